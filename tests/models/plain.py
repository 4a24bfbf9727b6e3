"""The encoder as anybody would write it with Keras' own layers: what ours is compared with, in numbers and in speed.

Axes: B people, T minutes, P patch_size, N = T / P patches, D embed_dim, H heads.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from pat_keras.config import WEEK_MINUTES, EncoderConfig
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.layers import positions


class Positions(layers.Layer):
    def call(self, x: Any) -> Any:
        return x + keras.ops.cast(positions(x.shape[1], x.shape[2]), x.dtype)


def plain_encoder(config: EncoderConfig, minutes: int = WEEK_MINUTES, dtype: Any = "float32") -> keras.Model:
    """(B, T) -> (B, N, D) by MultiHeadAttention, Dense and LayerNormalization; for the linear embedding only."""
    if config.embedding != "linear":
        raise ValueError(f"plain_encoder: embedding is {config.embedding!r}, expected 'linear'.")
    inputs = keras.Input((minutes,))
    x = layers.Reshape((minutes // config.patch_size, config.patch_size), dtype=dtype)(inputs)
    x = layers.Dense(config.embed_dim, name="patch_embedding", dtype=dtype)(x)
    x = Positions(dtype=dtype)(x)
    for i in range(1, config.num_layers + 1):
        attention = layers.MultiHeadAttention(config.num_heads, config.key_dim, name=f"attention_{i}", dtype=dtype)
        attended = layers.Dropout(config.dropout, dtype=dtype)(attention(x, x))
        x = layers.LayerNormalization(epsilon=1e-6, name=f"norm1_{i}", dtype=dtype)(x + attended)
        hidden = layers.Dense(config.ff_dim, activation="relu", name=f"ff1_{i}", dtype=dtype)(x)
        hidden = layers.Dense(config.embed_dim, name=f"ff2_{i}", dtype=dtype)(hidden)
        hidden = layers.Dropout(config.dropout, dtype=dtype)(hidden)
        x = layers.LayerNormalization(epsilon=1e-6, name=f"norm2_{i}", dtype=dtype)(x + hidden)
    return keras.Model(inputs, x, name="plain_encoder")


def paired_weights(encoder: PATEncoder, plain: keras.Model) -> list[tuple[Any, Any]]:
    """Each weight of the encoder with the plain model's that plays its part; every weight of both exactly once."""
    pairs = _pairs(encoder.patch_embedding, plain.get_layer("patch_embedding"), ("kernel", "bias"))
    for i, block in enumerate(encoder.blocks, start=1):
        theirs = plain.get_layer(f"attention_{i}")
        for name in ("query", "key", "value", "output"):
            dense = getattr(theirs, f"_{name}_dense")
            pairs.append((getattr(block.attention, f"{name}_kernel"), dense.kernel))
            pairs.append((getattr(block.attention, f"{name}_bias"), dense.bias))
        for name in ("norm1", "norm2"):
            pairs += _pairs(getattr(block, name), plain.get_layer(f"{name}_{i}"), ("gamma", "beta"))
        for name in ("ff1", "ff2"):
            pairs += _pairs(getattr(block, name), plain.get_layer(f"{name}_{i}"), ("kernel", "bias"))
    if len(pairs) != len(encoder.trainable_weights) or len(pairs) != len(plain.trainable_weights):
        raise AssertionError("paired_weights does not cover the weights of both models.")
    return pairs


def copy_weights(encoder: PATEncoder, plain: keras.Model) -> None:
    """Give the plain model the encoder's weights."""
    for ours, theirs in paired_weights(encoder, plain):
        theirs.assign(keras.ops.convert_to_numpy(ours))


def _pairs(ours: Any, theirs: Any, names: tuple[str, ...]) -> list[tuple[Any, Any]]:
    return [(getattr(ours, name), getattr(theirs, name)) for name in names]
