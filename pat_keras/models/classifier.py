"""PATClassifier: an encoder, its tokens pooled, and a head.

Axes: B people (or windows), T minutes, N patches, D embed_dim, C outputs (1 for binary and regression).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pat_keras.config import HEADS, POOLING, WEEK_MINUTES, EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder, compile_by_default
from pat_keras.models.layers import PACKAGE, check_minutes
from pat_keras.models.predictor import Predictor
from pat_keras.models.scaling import Standardization

__all__ = ["PATClassifier", "Standardization"]  # the latter lived here first


@keras.saving.register_keras_serializable(PACKAGE)
class PATClassifier(Predictor):
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
        smoothing: "none" or "savitzky_golay" (`pat_keras.data.smoothing`), of raw minutes before they are scaled.
        pooling: what the head sees of the tokens: "mean", as in the paper, or "mean_std": their standard deviations,
            too.

    Raises:
        ConfigError: for a head, pooling or task that does not exist, or a number of classes that does not fit.

    Example:
        >>> import numpy as np
        >>> model = PATClassifier(EncoderConfig.small(), head="linear", task="multiclass", num_classes=3)
        >>> model.predict_proba(np.zeros((2, 1440), dtype="float32")).shape
        (2, 3)
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
        smoothing: str = "none",
        pooling: str = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(task, num_classes, standardization, smoothing, **{"name": "pat_classifier", **kwargs})
        for name, value, allowed in (("head", head, HEADS), ("pooling", pooling, POOLING)):
            if value not in allowed:
                raise ConfigError(f"PATClassifier: {name} is {value!r}, expected one of {', '.join(allowed)}.")
        if min_worn_share is not None and not 0.0 <= min_worn_share <= 1.0:
            raise ConfigError(f"PATClassifier: min_worn_share is {min_worn_share}, expected a number from 0 to 1.")
        self.min_worn_share, self.head, self.dropout, self.pooling = min_worn_share, head, dropout, pooling
        self.encoder = encoder if isinstance(encoder, PATEncoder) else PATEncoder(encoder, dtype=self.dtype_policy)
        self.head_dropout = layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        if head == "official":
            self.hidden = layers.Dense(128, activation="relu", name="dense_128", dtype=self.dtype_policy)
        # float32 logits: in a narrower type, probabilities near 0 and 1 would tie.
        self.output_layer = layers.Dense(self.num_outputs, name="output", dtype="float32")
        self.jit_compile = compile_by_default()
        self.build((None, WEEK_MINUTES))

    def build(self, input_shape: Any) -> None:
        """Create the weights of the head. None of them depends on the length of the input."""
        width = self.encoder.config.embed_dim * (2 if self.pooling == "mean_std" else 1)
        self.head_dropout.build((None, width))
        if self.head == "official":
            self.hidden.build((None, width))
            width = self.hidden.units
        self.output_layer.build((None, width))
        self.build_preparation()
        self.built = True

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """Raise a ConfigError unless `shape` is (B, T), T a multiple of the patch size."""
        check_minutes(shape, self.encoder.config.patch_size)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B, T) -> logits (B, C); regression: values (B, 1)."""
        return self.call_head(self.pool(x, training=training), training=training)

    def pool(self, x: Any, training: bool | None = None) -> Any:
        """What the head sees of a week's (seen) tokens: (B, T) -> (B, D), or (B, 2 D) by the pooling "mean_std"."""
        x = self.prepare(x)
        if self.min_worn_share is None:
            return self.encoder.pool(x, training, pooling=self.pooling)
        missing = ops.isnan(x)
        # The encoder does it as well, but not by isnan itself; see `Standardization` for why that matters.
        x = ops.where(missing, 0.0, x)
        return self.encoder.pool(x, training, ops.logical_not(missing), self.min_worn_share, self.pooling)

    def call_head(self, pooled: Any, training: bool | None = None) -> Any:
        """The head alone, on pooled tokens: (B, D) -> (B, C). Those of a frozen encoder need computing only once."""
        pooled = self.head_dropout(pooled, training=training)
        if self.head == "linear":
            return self.output_layer(pooled)
        logits = self.output_layer(self.hidden(pooled))
        # TensorFlow's relu makes 0 of NaN: a week with missing minutes would get the probability of no week at all.
        missing = ops.any(ops.isnan(pooled), axis=-1, keepdims=True)  # (B, 1)
        return ops.where(missing, float("nan"), logits)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "head": self.head,
            "dropout": self.dropout,
            "min_worn_share": self.min_worn_share,
            "pooling": self.pooling,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PATClassifier:
        """The inverse of `get_config`."""
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return super().from_config({**config, "encoder": encoder})
