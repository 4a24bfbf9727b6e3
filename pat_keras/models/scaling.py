"""What happens to raw minutes inside a model: smoothing and scaling, as layers that are saved with it.

Axes: B people (or windows), T minutes.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from scipy import signal

from pat_keras.config import KINDS
from pat_keras.data.smoothing import HALF, ORDER, WINDOW
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.layers import PACKAGE


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

    @classmethod
    def of(cls, standardizer: Standardizer) -> Standardization:
        """The layer that scales as `standardizer` does."""
        layer = cls(standardizer.kind, len(standardizer.mean), name="standardization")
        layer.build((None, layer.length))
        layer.set_statistics(standardizer.mean, standardizer.scale)
        return layer

    def standardizer(self) -> Standardizer:
        """The inverse of `of`."""
        return Standardizer(self.kind, np.array(self.mean), np.array(self.scale))

    def build(self, input_shape: Any) -> None:
        """Create the statistics, neutral until `set_statistics`."""
        self.mean = self.add_weight(name="mean", shape=(self.length,), initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=(self.length,), initializer="ones", trainable=False)
        self.built = True

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
        # The choices below hang on isnan itself: converters to ONNX make any other one a product with 0 and 1, and 0
        # times NaN is NaN.
        missing = ops.isnan(x)
        known = ops.cast(ops.logical_not(missing), "float32")
        share = ops.mean(known, axis=1, keepdims=True)  # 0 for a recording without a minute: NaN
        mean = ops.mean(ops.where(missing, 0.0, x), axis=1, keepdims=True) / share
        squares = ops.where(missing, 0.0, ops.square(x - mean))
        scale = ops.sqrt(ops.mean(squares, axis=1, keepdims=True) / share)
        # A constant recording's deviation is zero but for rounding; as in `Standardizer`, it then counts as 1.
        constant = scale <= 1e-6 * ops.maximum(ops.abs(mean), 1.0)
        return (x - mean) / ops.where(constant, 1.0, scale)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "kind": self.kind, "length": self.length}


@keras.saving.register_keras_serializable(PACKAGE)
class SavitzkyGolay(layers.Layer):
    """The smoothing of `pat_keras.data.smoothing.smooth` inside a model: (B, T) raw minutes -> (B, T), always float32.

    A fixed linear filter: it has no weights. Missing minutes (NaN) are filled as there, and stay missing.

    Raises:
        ConfigError: when called on fewer than 51 minutes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"name": "savitzky_golay", **kwargs, "dtype": "float32"})
        self.middle = signal.savgol_coeffs(WINDOW, ORDER)  # (51,), the same read backwards
        # What each of the first 51 minutes adds to each of the first 25 smoothed ones: (51, 25).
        self.edge = np.stack([signal.savgol_coeffs(WINDOW, ORDER, pos=i, use="dot") for i in range(HALF)], axis=1)

    def call(self, x: Any) -> Any:
        """(B, T) -> (B, T)."""
        minutes = x.shape[1]
        if minutes is not None and minutes < WINDOW:
            raise ConfigError(
                f"The input has {minutes} minutes, and the model's smoothing needs at least {WINDOW}. Give windows of "
                "the length that it was trained on."
            )
        missing = ops.isnan(x)
        x = _filled(x, missing)
        # Sums of shifted minutes and not a convolution: on GPUs that rounds float32 to ten bits.
        inner = ops.shape(x)[1] - 2 * HALF
        middle = float(self.middle[HALF]) * x[:, HALF : HALF + inner]
        for i in range(HALF):
            middle += float(self.middle[i]) * (x[:, i : i + inner] + x[:, WINDOW - 1 - i : WINDOW - 1 - i + inner])
        edge = ops.expand_dims(ops.convert_to_tensor(self.edge, dtype="float32"), 0)  # (1, 51, 25)
        start = ops.sum(ops.expand_dims(x[:, :WINDOW], -1) * edge, axis=1)
        end = ops.flip(ops.sum(ops.expand_dims(ops.flip(x[:, -WINDOW:], axis=1), -1) * edge, axis=1), axis=1)
        smoothed = ops.concatenate([start, middle, end], axis=1)
        return ops.where(missing, float("nan"), smoothed)


def _filled(x: Any, missing: Any) -> Any:
    """(B, T) with every missing minute filled, as `smooth` does."""
    zeros = ops.where(missing, 0.0, x)
    known = ops.cast(ops.logical_not(missing), "float32")
    weeks = ops.sum(zeros, axis=1, keepdims=True) / ops.maximum(ops.sum(known, axis=1, keepdims=True), 1.0)

    def near(values: Any) -> Any:
        pooled = ops.average_pool(ops.expand_dims(values, -1), WINDOW, strides=1, padding="same")
        return ops.squeeze(pooled, -1)

    share = near(known)
    level = ops.where(share > 0, near(zeros) / ops.where(share > 0, share, 1.0), weeks)
    return ops.where(missing, level, x)
