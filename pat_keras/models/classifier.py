"""PATClassifier: an encoder, the mean of its tokens, and a head.

Axes: B people (or windows), T minutes, N patches, D embed_dim, C outputs (1 for binary and regression).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pat_keras.config import HEADS, KINDS, TASKS, WEEK_MINUTES, EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder, compile_by_default
from pat_keras.models.layers import PACKAGE, check_minutes


@keras.saving.register_keras_serializable(PACKAGE)
class Standardization(layers.Layer):
    """The scaling a model was trained under, kept inside it: (B, T) raw minutes -> (B, T) standardised, always float32.

    Args:
        kind: "per_minute" and "cohort" subtract a stored mean and divide by a stored scale; "per_recording" uses each
            week's own mean and standard deviation; "none" passes minutes through.
        length: T for "per_minute"; 1 for the others.

    Raises:
        ConfigError: for a kind that does not exist.
    """

    def __init__(self, kind: str, length: int = 1, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if kind not in KINDS:
            raise ConfigError(f"Standardization: kind is {kind!r}, expected one of {', '.join(KINDS)}.")
        self.kind, self.length = kind, length

    def build(self, input_shape: Any) -> None:
        """Create the statistics, neutral until `set_statistics`."""
        self.mean = self.add_weight(name="mean", shape=(self.length,), initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=(self.length,), initializer="ones", trainable=False)

    def set_statistics(self, mean: np.ndarray, scale: np.ndarray) -> None:
        """Store the training people's mean and scale, each (length,)."""
        self.mean.assign(np.asarray(mean, dtype=np.float32))
        self.scale.assign(np.asarray(scale, dtype=np.float32))

    def call(self, x: Any) -> Any:
        """(B, T) -> (B, T).

        Raises:
            ConfigError: if T is not the length of "per_minute" statistics.
        """
        if self.kind == "none":
            return x
        if self.kind != "per_recording":
            minutes = x.shape[1]
            if self.length != 1 and minutes is not None and minutes != self.length:
                raise ConfigError(
                    f"The input has {minutes} minutes, and the model's scaling one mean for each of {self.length}. "
                    f"Give windows of {self.length} minutes, as in training."
                )
            return (x - self.mean) / self.scale
        known = ops.logical_not(ops.isnan(x))
        share = ops.mean(ops.cast(known, "float32"), axis=1, keepdims=True)  # 0 for a recording without a minute: NaN
        mean = ops.mean(ops.where(known, x, 0.0), axis=1, keepdims=True) / share
        squares = ops.where(known, ops.square(x - mean), 0.0)
        scale = ops.sqrt(ops.mean(squares, axis=1, keepdims=True) / share)
        # A constant recording's deviation is zero but for rounding; as in `Standardizer`, it then counts as 1.
        constant = scale <= 1e-6 * ops.maximum(ops.abs(mean), 1.0)
        return (x - mean) / ops.where(constant, ops.ones_like(scale), scale)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "kind": self.kind, "length": self.length}


@keras.saving.register_keras_serializable(PACKAGE)
class PATClassifier(keras.Model):
    """A PAT encoder with a head: (B, T) weeks -> logits (B, C), or values for regression.

    Args:
        encoder: the encoder, or its `EncoderConfig` for one with random weights.
        head: "official" (dropout, Dense 128 relu `dense_128`, Dense `output`; Ruan et al.'s notebooks) or "linear"
            (dropout, Dense `output` on the pooled tokens alone).
        task: "binary", "multiclass" or "regression".
        num_classes: of a multi-class task; 2 for binary.
        dropout: rate before the head, in training only.
        standardization: the scaling of the data the model was trained under. With it the model takes raw minutes,
            without it standardised ones.
        min_worn_share: None if the model takes complete weeks only. A number from 0 to 1: missing minutes are NaN, and
            patches with a smaller share of known minutes are neither attended to nor pooled.

    Raises:
        ConfigError: for a head or task that does not exist, or a number of classes that does not fit.
    """

    def __init__(
        self,
        encoder: PATEncoder | EncoderConfig,
        head: str = "official",
        task: str = "binary",
        num_classes: int = 2,
        dropout: float = 0.1,
        standardization: Standardization | None = None,
        min_worn_share: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "pat_classifier", **kwargs})
        if head not in HEADS or task not in TASKS:
            raise ConfigError(
                f"PATClassifier: head is {head!r} and task {task!r}; expected one of {', '.join(HEADS)} and one of "
                f"{', '.join(TASKS)}."
            )
        if (task == "binary" and num_classes != 2) or (task == "multiclass" and num_classes < 2):
            raise ConfigError(f"PATClassifier: num_classes is {num_classes}, which a {task} task can't have.")
        if min_worn_share is not None and not 0.0 <= min_worn_share <= 1.0:
            raise ConfigError(f"PATClassifier: min_worn_share is {min_worn_share}, expected a number from 0 to 1.")
        self.min_worn_share = min_worn_share
        # Raw minutes reach the scaling in full precision; the encoder narrows its own input.
        self.autocast = False
        self.head, self.task, self.num_classes, self.dropout = head, task, num_classes, dropout
        self.encoder = encoder if isinstance(encoder, PATEncoder) else PATEncoder(encoder, dtype=self.dtype_policy)
        self.standardization = standardization
        self.head_dropout = layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        if head == "official":
            self.hidden = layers.Dense(128, activation="relu", name="dense_128", dtype=self.dtype_policy)
        # float32 logits: in a narrower type, probabilities near 0 and 1 would tie.
        self.output_layer = layers.Dense(self.num_outputs, name="output", dtype="float32")
        self.jit_compile = compile_by_default()
        self.build((None, WEEK_MINUTES))

    @property
    def num_outputs(self) -> int:
        """C: the classes of a multi-class task, otherwise 1."""
        return self.num_classes if self.task == "multiclass" else 1

    def build(self, input_shape: Any) -> None:
        """Create the weights of the head. None of them depends on the length of the input."""
        width = self.encoder.config.embed_dim
        self.head_dropout.build((None, width))
        if self.head == "official":
            self.hidden.build((None, width))
            width = self.hidden.units
        self.output_layer.build((None, width))
        if self.standardization is not None and not self.standardization.built:  # it is when it comes from a file
            self.standardization.build((None, self.standardization.length))
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B, T) -> logits (B, C); regression: values (B, 1)."""
        return self.call_head(self.pool(x, training=training), training=training)

    def pool(self, x: Any, training: bool | None = None) -> Any:
        """The mean of a week's (seen) tokens: (B, T) -> (B, D)."""
        if self.standardization is not None:
            x = self.standardization(x)
        if self.min_worn_share is None:
            return self.encoder.pool(x, training)
        return self.encoder.pool(x, training, ops.logical_not(ops.isnan(x)), self.min_worn_share)

    def call_head(self, pooled: Any, training: bool | None = None) -> Any:
        """The head alone, on pooled tokens: (B, D) -> (B, C). Those of a frozen encoder need computing only once."""
        pooled = self.head_dropout(pooled, training=training)
        if self.head == "official":
            pooled = self.hidden(pooled)
        return self.output_layer(pooled)

    def predict_logits(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Logits, or a regression's values: (B, T) numpy -> (B, C) float32 numpy, a batch at a time.

        Raises:
            ConfigError: if x is not (B, T), or T does not fit the model.
        """
        check_minutes(np.shape(x), self.encoder.config.patch_size)
        result = np.zeros((len(x), self.num_outputs), dtype=np.float32)
        for low in range(0, len(x), batch_size):
            batch = np.asarray(x[low : low + batch_size], dtype=np.float32)
            result[low : low + batch_size] = self.predict_on_batch(batch)
        return result

    def predict_proba(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Probabilities of the classes, as scikit-learn gives them: (B, T) -> (B, num_classes), rows summing to 1.

        Raises:
            ConfigError: for a regression, which has no classes (`predict_logits` gives its values), or a wrong x.
        """
        if self.task == "regression":
            raise ConfigError("predict_proba: this model is a regression; predict_logits(x) gives its values.")
        return probabilities(self.predict_logits(x, batch_size), self.task)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        standardization = self.standardization
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "head": self.head,
            "task": self.task,
            "num_classes": self.num_classes,
            "dropout": self.dropout,
            "min_worn_share": self.min_worn_share,
            "standardization": None
            if standardization is None
            else keras.saving.serialize_keras_object(standardization),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PATClassifier:
        """The inverse of `get_config`."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "standardization")
            if config[name] is not None
        }
        return cls(**{**config, **parts})


def probabilities(logits: np.ndarray, task: str) -> np.ndarray:
    """Logits (B, C) -> probabilities (B, classes) float64, without overflow.

    The original's sigmoid output is column 1 of a binary task.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if task == "binary":
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
