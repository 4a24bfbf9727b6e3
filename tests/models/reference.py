"""What the models are compared with: the paper's formulas in NumPy, float64, one head after another; and gradients.

Axes: B people, T minutes, P patch_size, N = T / P patches, D embed_dim, H heads, F filters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config import EncoderConfig

TINY = EncoderConfig(patch_size=6, num_heads=3, num_layers=2, embed_dim=8, key_dim=8, ff_dim=20)

Weights = Callable[[str], np.ndarray]


def randomize(model: Any, seed: int = 0) -> Any:
    """Random values in every weight, biases and norms included, so that a wrong or missing one shows."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" in weight.path:
            continue
        fan = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 10.0
        values = rng.normal(size=weight.shape) / np.sqrt(fan)
        weight.assign(1.0 + values if weight.name in ("gamma", "scale") else values)
    return model


def weights_of(model: Any) -> Weights:
    """Look a weight up by its path under `model`, such as "blocks.0.attention.query_kernel", as float64."""

    def find(path: str) -> np.ndarray:
        found = model
        for step in path.split("."):
            found = found[int(step)] if step.isdigit() else getattr(found, step)
        return np.asarray(ops.convert_to_numpy(found.value), dtype=np.float64)

    return find


def encode(weights: Weights, config: EncoderConfig, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Tokens (B, N, D) of weeks (B, T), and each block's attention scores (B, H, N, N)."""
    tokens = embed(weights, config, x)
    return blocks(weights, config, tokens)


def blocks(weights: Weights, config: EncoderConfig, tokens: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The transformer blocks on embedded patches (B, N, D)."""
    scores = []
    for i in range(config.num_layers):
        tokens, block_scores = block(lambda name, i=i: weights(f"blocks.{i}.{name}"), tokens)
        scores.append(block_scores)
    return tokens, scores


def embed(weights: Weights, config: EncoderConfig, x: np.ndarray) -> np.ndarray:
    """Patches with their positions, (B, N, D)."""
    x = x.astype(np.float64)
    patches = x.reshape(len(x), -1, config.patch_size)  # (B, N, P)
    if config.embedding == "linear":
        embedded = patches @ weights("patch_embedding.kernel") + weights("patch_embedding.bias")
    elif config.embedding == "conv":
        features = convolve(patches, weights("patch_embedding.kernel"), weights("patch_embedding.bias"))
        embedded = features.mean(axis=2)
    else:
        stretch = x[:, None] if config.conv_across_patches else patches
        features = convolve(stretch, weights("patch_embedding.conv_kernel"), weights("patch_embedding.conv_bias"))
        features = features.reshape(*patches.shape[:2], -1)  # (B, N, P x F)
        embedded = features @ weights("patch_embedding.kernel") + weights("patch_embedding.bias")
    return embedded + positions(patches.shape[1], config.embed_dim)


def convolve(stretch: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolution along the last axis with zeros beyond the ends, relu: (B, M, L) -> (B, M, L, F)."""
    size, length = len(kernel), stretch.shape[-1]
    result = np.zeros((*stretch.shape, kernel.shape[-1])) + bias
    for minute in range(length):
        for k in range(size):
            source = minute + k - size // 2
            if 0 <= source < length:
                result[:, :, minute] += stretch[:, :, source, None] * kernel[k, 0]
    return np.maximum(result, 0.0)


def positions(count: int, width: int) -> np.ndarray:
    """Sines of all angles, then cosines, in float64."""
    angles = np.arange(count)[:, None] * np.exp(-np.log(10000.0) / width * np.arange(0, width, 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def block(weights: Weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One post-norm block: (B, N, D) -> same, and the scores (B, H, N, N)."""
    attended, scores = attention(lambda name: weights(f"attention.{name}"), x)
    x = normalize(x + attended, weights("norm1.gamma"), weights("norm1.beta"))
    hidden = np.maximum(x @ weights("ff1.kernel") + weights("ff1.bias"), 0.0)
    hidden = hidden @ weights("ff2.kernel") + weights("ff2.bias")
    return normalize(x + hidden, weights("norm2.gamma"), weights("norm2.beta")), scores


def attention(weights: Weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keras' MultiHeadAttention of x with itself: queries, keys and values of each head, one head after another."""
    output, scores = np.zeros_like(x) + weights("output_bias"), []
    for head in range(weights("query_kernel").shape[1]):
        query, key, value = (
            x @ weights(f"{part}_kernel")[:, head] + weights(f"{part}_bias")[head] for part in ("query", "key", "value")
        )
        logits = query @ np.swapaxes(key, 1, 2) / np.sqrt(key.shape[-1])
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores.append(odds / odds.sum(axis=-1, keepdims=True))
        output += scores[-1] @ value @ weights("output_kernel")[head]
    return output, np.stack(scores, axis=1)


def normalize(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """LayerNormalization with epsilon 1e-6."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6) * gamma + beta


def gradients(loss: Callable[..., Any], *arrays: Any) -> list[np.ndarray]:
    """Gradients of a scalar function by the backend's own automatic differentiation."""
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    if keras.backend.backend() == "jax":
        import jax

        found = jax.jit(jax.grad(loss, argnums=tuple(range(len(tensors)))))(*tensors)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = loss(*tensors)
        found = tape.gradient(value, tensors)
    return [np.asarray(ops.convert_to_numpy(gradient)) for gradient in found]
