"""The networks that Ruan et al. (arXiv 2411.15240) set beside PAT: LSTM, 1D CNN, 3D CNN and ConvLSTM.

Axes: B people (or windows), T minutes, C outputs (1 for binary and regression).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pat_keras.config import WEEK_MINUTES
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import compile_by_default
from pat_keras.models.layers import PACKAGE
from pat_keras.models.predictor import Predictor
from pat_keras.models.scaling import Standardization

NETWORKS = ("lstm", "cnn1d", "cnn3d", "convlstm")
GATES = ("hard", "sigmoid")

_WEEK_SHAPE = (7, 24, 60, 1)  # days, hours, minutes, channel
# Below it, the second pooling of the 1D CNN has nothing left: ((10 - 2) / 2 - 2) / 2 = 1.
_SHORTEST = {"lstm": 1, "cnn1d": 10}


@keras.saving.register_keras_serializable(PACKAGE)
class BaselineNetwork(Predictor):
    """One of the paper's baseline networks: (B, T) weeks -> logits (B, C), or values for regression.

    Layers and widths are the original's. Its sigmoid is left out, since ours end in logits. The gates of "convlstm" are
    Keras 2's hard sigmoid, as the original's, where Keras 3 has a sigmoid. Dropout rates are the architecture's own.
    Missing minutes (NaN) count as 0, the mean of standardised minutes.

    Args:
        kind: "lstm", LSTM(50), Dense(100), Dense(C) over all minutes one by one; "cnn1d", two convolutions of width 3
            (32 and 64 filters), each halved by pooling, the mean over time, Dense(64), Dense(C); "cnn3d" and "convlstm"
            take the week as 7 days x 24 hours x 60 minutes: two 3D convolutions (32 and 64 filters) and Dense(128), or
            two convolutional LSTMs over the days (32 and 64 filters) and Dense(100).
        length: T, the minutes of a window: 10,080 for "cnn3d" and "convlstm".
        task: "binary", "multiclass" or "regression".
        num_classes: of a multi-class task; 2 for binary.
        standardization: the scaling of the data the model was trained under. With it the model takes raw minutes,
            without it standardised ones.
        smoothing: "none" or "savitzky_golay" (`pat_keras.data.smoothing`), of raw minutes before they are scaled.
        gates: of "convlstm": "hard", or "sigmoid", with which models were saved before there was a choice.

    Raises:
        ConfigError: for a kind or task that does not exist, or a length that the kind can't take.

    Example:
        >>> import numpy as np
        >>> model = BaselineNetwork("cnn1d", 1440)
        >>> model.predict_proba(np.zeros((2, 1440), dtype="float32")).shape
        (2, 2)
    """

    def __init__(
        self,
        kind: str,
        length: int = WEEK_MINUTES,
        task: str = "binary",
        num_classes: int = 2,
        standardization: Standardization | None = None,
        smoothing: str = "none",
        gates: str = "hard",
        **kwargs: Any,
    ) -> None:
        super().__init__(task, num_classes, standardization, smoothing, **{"name": kind, **kwargs})
        check_network(kind, length)
        if gates not in GATES:
            raise ConfigError(f"BaselineNetwork: gates is {gates!r}, expected one of {', '.join(GATES)}.")
        self.kind, self.length, self.gates = kind, length, gates
        if kind == "convlstm":
            self.stack = _convlstm(self.dtype_policy, gates)
        else:
            self.stack = {"lstm": _lstm, "cnn1d": _cnn1d, "cnn3d": _cnn3d}[kind](self.dtype_policy)
        # float32 logits: in a narrower type, probabilities near 0 and 1 would tie.
        self.output_layer = layers.Dense(self.num_outputs, name="output", dtype="float32")
        # Under TensorFlow the LSTM is cuDNN's on a GPU, which XLA can't compile.
        self.jit_compile = compile_by_default() and all(layer.supports_jit for layer in self.stack)
        self.build((None, length))

    @property
    def input_shape_of_stack(self) -> tuple[int, ...]:
        """The shape of one window as the first layer takes it."""
        return _WEEK_SHAPE if self.kind in ("cnn3d", "convlstm") else (self.length, 1)

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        shape: tuple[int | None, ...] = (None, *self.input_shape_of_stack)
        for layer in self.stack:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.output_layer.build(shape)
        self.build_preparation()
        self.built = True

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """Raise a ConfigError unless `shape` is (B, T) with the T of the model."""
        if len(shape) != 2 or shape[1] not in (None, self.length):
            raise ConfigError(
                f"The input has the shape {tuple(shape)}, and this {self.kind} takes (people, {self.length} minutes). "
                "Give windows of the length that it was made for."
            )

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B, T) -> logits (B, C); regression: values (B, 1)."""
        self.check_input(tuple(x.shape))
        x = self.prepare(x)
        x = ops.where(ops.isnan(x), 0.0, x)
        x = ops.reshape(ops.cast(x, self.compute_dtype), (-1, *self.input_shape_of_stack))
        for layer in self.stack:
            x = layer(x, training=training) if isinstance(layer, layers.Dropout) else layer(x)
        return self.output_layer(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "kind": self.kind, "length": self.length, "gates": self.gates}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> BaselineNetwork:
        """The inverse of `get_config`; of files from before `gates`, too."""
        return super().from_config({"gates": "sigmoid", **config}, custom_objects)


def check_network(kind: str, length: int) -> None:
    """See that there is such a network, and that it can take windows of so many minutes.

    Raises:
        ConfigError: if not.
    """
    if kind not in NETWORKS:
        raise ConfigError(f"BaselineNetwork: kind is {kind!r}, expected one of {', '.join(NETWORKS)}.")
    if kind in ("cnn3d", "convlstm") and length != WEEK_MINUTES:
        raise ConfigError(
            f"The windows have {length} minutes; {kind} takes a week as 7 days x 24 hours x 60 minutes, which is "
            f"{WEEK_MINUTES}. Prepare windows of 7 whole days, or choose pat, lstm or cnn1d."
        )
    if length < _SHORTEST.get(kind, 1):
        raise ConfigError(f"The windows have {length} minutes; {kind} needs at least {_SHORTEST[kind]}.")


def _lstm(policy: Any) -> list[layers.Layer]:
    """tanh, sigmoid, no dropout within, not unrolled: what cuDNN has, without which 10,080 steps take minutes.

    In float32 always: over so many steps, a narrower state would lose what it remembers.
    """
    return [
        layers.LSTM(50, name="lstm", dtype="float32"),
        layers.Dense(100, activation="relu", name="dense", dtype=policy),
    ]


def _cnn1d(policy: Any) -> list[layers.Layer]:
    return [
        layers.Conv1D(32, 3, activation="relu", name="conv_1", dtype=policy),
        layers.MaxPooling1D(2, name="pool_1", dtype=policy),
        layers.Conv1D(64, 3, activation="relu", name="conv_2", dtype=policy),
        layers.MaxPooling1D(2, name="pool_2", dtype=policy),
        layers.GlobalAveragePooling1D(name="mean", dtype=policy),
        layers.Dense(64, activation="relu", name="dense", dtype=policy),
        layers.Dropout(0.5, name="dropout", dtype=policy),
    ]


def _cnn3d(policy: Any) -> list[layers.Layer]:
    return [
        layers.Conv3D(32, 3, padding="same", activation="relu", name="conv_1", dtype=policy),
        layers.MaxPooling3D(2, name="pool_1", dtype=policy),  # (3, 12, 30)
        layers.Conv3D(64, 3, padding="same", activation="relu", name="conv_2", dtype=policy),
        layers.MaxPooling3D(2, name="pool_2", dtype=policy),  # (1, 6, 15)
        layers.Flatten(name="flatten", dtype=policy),
        layers.Dense(128, activation="relu", name="dense", dtype=policy),
        layers.Dropout(0.5, name="dropout", dtype=policy),
    ]


def hard_sigmoid(x: Any) -> Any:
    """Keras 2's: Keras 3 has another of this name, of slope 1/6."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def _convlstm(policy: Any, gates: str) -> list[layers.Layer]:
    shared = {"recurrent_activation": hard_sigmoid if gates == "hard" else "sigmoid", "dtype": policy}
    return [
        layers.ConvLSTM2D(32, 5, activation="relu", return_sequences=True, name="convlstm_1", **shared),
        layers.ReLU(name="relu", dtype=policy),  # (7, 20, 56)
        layers.MaxPooling3D((1, 2, 2), name="pool", dtype=policy),  # (7, 10, 28)
        layers.ConvLSTM2D(64, 2, name="convlstm_2", **shared),  # (9, 27)
        layers.Dropout(0.2, name="dropout_1", dtype=policy),
        layers.Flatten(name="flatten", dtype=policy),
        layers.Dropout(0.2, name="dropout_2", dtype=policy),
        layers.Dense(100, activation="relu", name="dense", dtype=policy),
    ]
