"""The layers of PAT: patch embeddings, positions, attention, transformer block.

Axes: B people, T minutes, P patch_size, N = T / P patches, D embed_dim, H heads, F filters.
Names of weights follow the original's tensors; `checkpoints.official` maps one to the other.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pat_keras.config import EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.attention import attend, attend_with_scores, fold_kernels

PACKAGE = "pat_keras"


# Indices of the rates (D = 96) where the float32 exponential of TensorFlow on CPU, which made the original's positions,
# lies one unit in the last place above the correctly rounded one. Read off the positions stored in whole-model files. A
# unit is worth 4e-5 in the tokens of a week, so every backend must use the same rates.
_RATES_ONE_UNIT_UP = (1, 2, 12, 14, 20, 21, 27, 30, 33, 40)


def position_rates(embed_dim: int) -> np.ndarray:
    """Radians a patch of the D / 2 angles: exp(-ln(10000) / D * [0, 2, 4, ...]), in the original's float32 values."""
    step = np.log(np.float32(10000.0)) / np.float32(embed_dim)
    exponents = np.arange(0, embed_dim, 2, dtype=np.float32) * -step
    rates = np.exp(exponents.astype(np.float64)).astype(np.float32)
    if embed_dim == 96:
        above = list(_RATES_ONE_UNIT_UP)
        rates[above] = np.nextafter(rates[above], np.float32(2.0))
    return rates


def positions(num_patches: Any, embed_dim: int) -> Any:
    """The original's fixed positions: the sines of all angles, then the cosines, not interleaved.

    float32 at every step, the logarithm and the exponential included, as the original computes them.

    Args:
        num_patches: N, a number or a scalar tensor.
        embed_dim: D, even.

    Returns:
        (N, D) float32.
    """
    angles = ops.expand_dims(ops.arange(num_patches, dtype="float32"), 1) * position_rates(embed_dim)  # (N, D / 2)
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def check_minutes(shape: tuple[int | None, ...], patch_size: int) -> None:
    """Raise a ConfigError unless `shape` is (B, T) with T, where it is known, a multiple of the patch size."""
    if len(shape) != 2:
        raise ConfigError(f"PAT reads weeks as (people, minutes); the input has shape {tuple(shape)}.")
    minutes = shape[1]
    if minutes is not None and (minutes == 0 or minutes % patch_size):
        if not isinstance(minutes, int):  # a symbol, by which JAX calls a length that is not known
            raise ConfigError(
                "The number of minutes of the input is not known, which JAX needs to cut it into patches. Give it, as "
                "keras.Input(shape=(10080,)), or set KERAS_BACKEND=tensorflow, which takes any length."
            )
        raise ConfigError(
            f"The input has {minutes} minutes, which is not a multiple of the patch size of {patch_size} minutes. Cut "
            f"it to {minutes // patch_size * patch_size} minutes, or choose a model with another patch size."
        )


def split_patches(x: Any, patch_size: int) -> Any:
    """(B, T) -> (B, N, P).

    Raises:
        ConfigError: if x is not (B, T), or T is not a multiple of the patch size.
    """
    check_minutes(tuple(x.shape), patch_size)
    batch, minutes = ops.shape(x)
    return ops.reshape(x, (batch, minutes // patch_size, patch_size))


def known_patches(patches: Any) -> Any:
    """Those with a known minute, NaN = missing: (B, N, P) -> (B, N) float32, 1 or 0."""
    return ops.cast(ops.any(ops.logical_not(ops.isnan(patches)), axis=-1), "float32")


@keras.saving.register_keras_serializable(PACKAGE)
class LinearPatchEmbedding(layers.Layer):
    """Each patch's minutes through one Dense layer: (B, T) -> (B, N, D). The published checkpoints' embedding."""

    def __init__(self, patch_size: int, embed_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size, self.embed_dim = patch_size, embed_dim

    def build(self, input_shape: Any) -> None:
        """Create kernel (P, D) and bias (D,)."""
        self.kernel = self.add_weight(name="kernel", shape=(self.patch_size, self.embed_dim))
        self.bias = self.add_weight(name="bias", shape=(self.embed_dim,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """(B, T) -> (B, N, D)."""
        return ops.matmul(split_patches(x, self.patch_size), self.kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "patch_size": self.patch_size, "embed_dim": self.embed_dim}


@keras.saving.register_keras_serializable(PACKAGE)
class ConvPatchEmbedding(layers.Layer):
    """The paper's PAT Conv: a convolution within each patch, relu, the mean over its minutes: (B, T) -> (B, N, D).

    Patches are padded with zeros at their edges, so that no patch sees another's minutes.
    """

    def __init__(self, patch_size: int, embed_dim: int, kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size, self.embed_dim, self.kernel_size = patch_size, embed_dim, kernel_size

    def build(self, input_shape: Any) -> None:
        """Create kernel (kernel_size, 1, D) and bias (D,)."""
        self.kernel = self.add_weight(name="kernel", shape=(self.kernel_size, 1, self.embed_dim))
        self.bias = self.add_weight(name="bias", shape=(self.embed_dim,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """(B, T) -> (B, N, D)."""
        patches = split_patches(x, self.patch_size)  # (B, N, P)
        seen = _windows(patches, self.kernel_size)  # (B, N, P, kernel)
        features = ops.relu(ops.matmul(seen, self.kernel[:, 0]) + self.bias)  # (B, N, P, D)
        return ops.mean(features, axis=2)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        shape = {"patch_size": self.patch_size, "embed_dim": self.embed_dim, "kernel_size": self.kernel_size}
        return {**super().get_config(), **shape}


@keras.saving.register_keras_serializable(PACKAGE)
class ConvLinearPatchEmbedding(layers.Layer):
    """A convolution over the minutes, relu, then a linear projection of each patch: (B, T) -> (B, N, D).

    The variant that the community describes as Conv-L. Not in the paper. Without the relu the two layers would be one
    linear map.

    Args:
        patch_size: P.
        embed_dim: D.
        filters: F, channels between the two layers.
        kernel_size: minutes the convolution sees.
        across_patches: whether the convolution sees the neighbouring patches' minutes at a patch's edges; zeros if not.
    """

    def __init__(
        self,
        patch_size: int,
        embed_dim: int,
        filters: int = 16,
        kernel_size: int = 5,
        across_patches: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size, self.embed_dim, self.filters = patch_size, embed_dim, filters
        self.kernel_size, self.across_patches = kernel_size, across_patches

    def build(self, input_shape: Any) -> None:
        """Create the convolution's kernel (kernel_size, 1, F) and the projection's (P x F, D), with their biases."""
        self.conv_kernel = self.add_weight(name="conv_kernel", shape=(self.kernel_size, 1, self.filters))
        self.conv_bias = self.add_weight(name="conv_bias", shape=(self.filters,), initializer="zeros")
        self.kernel = self.add_weight(name="kernel", shape=(self.patch_size * self.filters, self.embed_dim))
        self.bias = self.add_weight(name="bias", shape=(self.embed_dim,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """(B, T) -> (B, N, D)."""
        patches = split_patches(x, self.patch_size)  # (B, N, P)
        batch, count, _ = ops.shape(patches)
        stretch = ops.expand_dims(x, 1) if self.across_patches else patches  # (B, 1, T) or (B, N, P)
        seen = _windows(stretch, self.kernel_size)
        features = ops.relu(ops.matmul(seen, self.conv_kernel[:, 0]) + self.conv_bias)  # (..., F)
        features = ops.reshape(features, (batch, count, self.patch_size * self.filters))  # (B, N, P x F)
        return ops.matmul(features, self.kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("patch_size", "embed_dim", "filters", "kernel_size", "across_patches")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _windows(stretch: Any, kernel_size: int) -> Any:
    """Each minute with its neighbours, zeros beyond the edges: (B, M, L) -> (B, M, L, kernel)."""
    side = kernel_size // 2
    padded = ops.pad(stretch, [[0, 0], [0, 0], [side, side]])
    length = ops.shape(stretch)[2]
    return ops.stack([padded[:, :, k : k + length] for k in range(kernel_size)], axis=-1)


def patch_embedding(config: EncoderConfig, **kwargs: Any) -> layers.Layer:
    """The embedding layer that `config.embedding` names."""
    if config.embedding == "linear":
        return LinearPatchEmbedding(config.patch_size, config.embed_dim, **kwargs)
    if config.embedding == "conv":
        return ConvPatchEmbedding(config.patch_size, config.embed_dim, config.kernel_size, **kwargs)
    return ConvLinearPatchEmbedding(
        config.patch_size,
        config.embed_dim,
        config.conv_filters,
        config.kernel_size,
        config.conv_across_patches,
        **kwargs,
    )


@keras.saving.register_keras_serializable(PACKAGE)
class Attention(layers.Layer):
    """Multi-head self-attention of the original, holding its tensors and computing in folded form (see `attention.py`).

    Args:
        num_heads: H. Every head is as wide as the tokens.
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, input_shape: Any) -> None:
        """Create the original's eight tensors: kernels (D, H, D), biases (H, D); output kernel (H, D, D), bias (D,)."""
        width, heads = input_shape[-1], self.num_heads
        for name in ("query", "key", "value"):
            kernel = self._weight(f"{name}_kernel", (width, heads, width), (width, heads * width))
            bias = self._weight(f"{name}_bias", (heads, width))
            setattr(self, f"{name}_kernel", kernel)
            setattr(self, f"{name}_bias", bias)
        self.output_kernel = self._weight("output_kernel", (heads, width, width), (heads * width, width))
        self.output_bias = self._weight("output_bias", (width,))

    def _weight(self, name: str, shape: tuple[int, ...], fans: tuple[int, int] | None = None) -> Any:
        # autocast=False: kernels are folded in float32 whatever the precision of the products with the tokens.
        limit = (6.0 / sum(fans)) ** 0.5 if fans else 0.0
        start = keras.initializers.RandomUniform(-limit, limit) if fans else "zeros"
        return self.add_weight(name=name, shape=shape, initializer=start, autocast=False)

    def call(self, x: Any, return_attention_scores: bool = False, key_bias: Any = None) -> Any:
        """(B, N, D) -> (B, N, D), and the scores (B, H, N, N) when asked; never computed as a whole otherwise.

        `key_bias` (B, N), if given, is added to the scores of each key (see `attention.UNSEEN`).
        """
        folded = fold_kernels(
            self.query_kernel,
            self.query_bias,
            self.key_kernel,
            self.value_kernel,
            self.value_bias,
            self.output_kernel,
            self.output_bias,
        )
        score_kernel, score_bias, mix_kernel, mix_bias = (ops.cast(t, self.compute_dtype) for t in folded)
        # The softmax cancels the key's bias. Its gradient is zero, which is not the same to an optimizer as none.
        mix_bias += ops.cast(0.0 * ops.sum(self.key_bias), self.compute_dtype)
        if return_attention_scores:
            output, probabilities = attend_with_scores(x, score_kernel, score_bias, mix_kernel, key_bias)
            return output + mix_bias, probabilities
        return attend(x, score_kernel, score_bias, mix_kernel, key_bias) + mix_bias

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads}


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerBlock(layers.Layer):
    """One post-norm block: attention, dropout, add and norm; feed-forward, dropout, add and norm. (B, N, D) -> same.

    Args:
        num_heads: H.
        ff_dim: width of the feed-forward layer.
        dropout: rate, in training only.
    """

    def __init__(self, num_heads: int, ff_dim: int, dropout: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.ff_dim, self.dropout = num_heads, ff_dim, dropout
        self.attention = Attention(num_heads, name="attention", dtype=self.dtype_policy)
        self.ff1 = layers.Dense(ff_dim, activation="relu", name="ff1", dtype=self.dtype_policy)
        self.attention_dropout = layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.ff_dropout = layers.Dropout(dropout, name="dropout2", dtype=self.dtype_policy)
        self.norm1 = layers.LayerNormalization(epsilon=1e-6, name="norm1", dtype=self.dtype_policy)
        self.norm2 = layers.LayerNormalization(epsilon=1e-6, name="norm2", dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        """Create the weights of the sublayers for tokens of width D."""
        width = input_shape[-1]
        shape = (None, None, width)
        # Here and not in __init__, since it is the first place that knows the width.
        self.ff2 = layers.Dense(width, name="ff2", dtype=self.dtype_policy)
        for layer in (self.attention, self.norm1, self.norm2, self.ff1, self.attention_dropout, self.ff_dropout):
            layer.build(shape)
        self.ff2.build((None, None, self.ff_dim))

    def call(
        self, x: Any, training: bool | None = None, return_attention_scores: bool = False, key_bias: Any = None
    ) -> Any:
        """(B, N, D) -> (B, N, D), and the scores (B, H, N, N) when asked; `key_bias` as in `Attention`."""
        probabilities = None
        attended = self.attention(x, return_attention_scores=return_attention_scores, key_bias=key_bias)
        if return_attention_scores:
            attended, probabilities = attended
        x = self.norm1(x + self.attention_dropout(attended, training=training))
        x = self.norm2(x + self.ff_dropout(self.ff2(self.ff1(x)), training=training))
        return (x, probabilities) if return_attention_scores else x

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        shape = {"num_heads": self.num_heads, "ff_dim": self.ff_dim, "dropout": self.dropout}
        return {**super().get_config(), **shape}
