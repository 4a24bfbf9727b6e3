"""Starts of a convolutional patch embedding on the transformer blocks of a linear checkpoint.

No weights with a convolutional embedding were ever published. Blocks that learned from linear tokens can't use those of
a random convolution, so the convolution may start close to the linear embedding, or at it.

Axes: B windows, T minutes, P patch_size, N patches (here those of all windows), D embed_dim, F filters, K kernel_size.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops
from scipy import optimize

from pat_keras.config import STARTS
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder

# Patches that "distilled" is fitted on: a few seconds of one core, and many more than there are numbers to fit.
_PATCHES = {"conv": 512, "conv_linear": 20_000}
_ITERATIONS = 100
# Of the mean square of the features, added to the normal equations: features of one patch are nearly dependent.
_RIDGE = 1e-6


def with_embedding(
    encoder: PATEncoder,
    embedding: str,
    start: str,
    minutes: np.ndarray | None = None,
    seed: int = 0,
    precision: str = "float32",
) -> PATEncoder:
    """The transformer blocks of an encoder with the linear embedding, behind a convolutional one.

    Args:
        encoder: with the linear embedding.
        embedding: "conv" or "conv_linear".
        start: of the new embedding. "random". "distilled": fitted by least squares to the tokens that the linear one
            makes of `minutes`. "exact", for "conv_linear" alone: two filters pass on the positive and the negative part
            of each minute, and the projection puts them together as the linear embedding did; tokens are the same to
            float32 rounding, the other filters are random and have no say yet.
        minutes: (B, T) standardised minutes of training people, for "distilled"; those missing (NaN) count as 0.
        seed: of the patches that are drawn for "distilled"; random weights are Keras' own.
        precision: of the new encoder's arithmetic.

    Raises:
        ConfigError: for a start or embedding that does not exist, or that don't go together; or without the minutes
            that "distilled" needs.
    """
    _check(encoder, embedding, start, minutes)
    config = dataclasses.replace(encoder.config, embedding=embedding)
    new = PATEncoder(config, dtype=precision)
    for block, learned in zip(new.blocks, encoder.blocks, strict=True):
        block.set_weights(learned.get_weights())
    if start == "exact":
        _copy_linear(new, encoder)
    elif start == "distilled":
        assert minutes is not None  # _check
        patches = _draw(minutes, config.patch_size, _PATCHES[embedding], seed)
        target = patches @ _array(encoder.patch_embedding.kernel) + _array(encoder.patch_embedding.bias)  # (N, D)
        (_fit_conv if embedding == "conv" else _fit_conv_linear)(new, patches, target)
    return new


def likeness(encoder: PATEncoder, linear: PATEncoder, minutes: np.ndarray) -> float:
    """How much of the linear tokens another embedding gives, as R²: 1 for all, 0 for no more than their mean.

    Args:
        encoder: whose embedding is looked at.
        linear: with the linear embedding.
        minutes: (B, T) standardised minutes.
    """
    x = np.nan_to_num(minutes).astype(np.float32)
    found, expected = (
        np.asarray(ops.convert_to_numpy(model.patch_embedding(x)), dtype=np.float64).reshape(-1, model.config.embed_dim)
        for model in (encoder, linear)
    )
    rest = ((found - expected) ** 2).sum()
    return float(1.0 - rest / ((expected - expected.mean(axis=0)) ** 2).sum())


def _check(encoder: PATEncoder, embedding: str, start: str, minutes: np.ndarray | None) -> None:
    if encoder.config.embedding != "linear" or embedding not in ("conv", "conv_linear"):
        raise ConfigError(
            f"found weights with the {encoder.config.embedding} embedding, to be given the {embedding} one; expected "
            "linear weights and conv or conv_linear."
        )
    if start not in STARTS:
        raise ConfigError(f"the start of the embedding is {start!r}, expected one of {', '.join(STARTS)}.")
    if start == "exact" and embedding == "conv":
        raise ConfigError(
            "the start of the embedding is 'exact', which the conv one can't have: it ends in a relu and a mean, so "
            "its tokens are never negative; expected distilled or random, or the conv_linear embedding."
        )
    if start == "exact" and encoder.config.conv_filters < 2:
        raise ConfigError("the start of the embedding is 'exact', which takes two filters (conv_filters), found one.")
    if start == "distilled" and minutes is None:
        raise ConfigError("the start of the embedding is 'distilled', which needs minutes of training people.")


def _copy_linear(new: PATEncoder, linear: PATEncoder) -> None:
    """x = relu(x) - relu(-x): filters 0 and 1 are the two, the projection weighs them as the linear kernel does."""
    layer = new.patch_embedding
    conv, bias = _array(layer.conv_kernel), _array(layer.conv_bias)  # (K, 1, F), (F,)
    conv[:, :, :2], bias[:2] = 0.0, 0.0
    conv[layer.kernel_size // 2, 0, :2] = 1.0, -1.0
    kernel = np.zeros((layer.patch_size, layer.filters, layer.embed_dim))
    kernel[:, 0], kernel[:, 1] = _array(linear.patch_embedding.kernel), -_array(linear.patch_embedding.kernel)
    layer.set_weights([conv, bias, kernel.reshape(-1, layer.embed_dim), _array(linear.patch_embedding.bias)])


def _fit_conv_linear(new: PATEncoder, patches: np.ndarray, target: np.ndarray) -> None:
    """The projection that fits best behind the random filters, half of which become the others' negatives: a relu and
    that of the negative together carry what is linear."""
    layer = new.patch_embedding
    conv, bias = _array(layer.conv_kernel), _array(layer.conv_bias)
    half = layer.filters // 2
    conv[:, :, half : 2 * half] = -conv[:, :, :half]
    features = np.maximum(_windows(patches, layer.kernel_size) @ conv[:, 0] + bias, 0.0)  # (N, P, F)
    features = features.reshape(len(patches), -1)
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    products = features.T @ features
    products[np.diag_indices_from(products)] += _RIDGE * np.trace(products) / len(products)
    solved = np.linalg.solve(products, features.T @ target)
    layer.set_weights([conv, bias, solved[:-1], solved[-1]])


def _fit_conv(new: PATEncoder, patches: np.ndarray, target: np.ndarray) -> None:
    """Filters whose mean response fits best, by L-BFGS from the flat filters of the same total weight."""
    layer = new.patch_embedding
    windows = _windows(patches, layer.kernel_size)  # (N, P, K)
    windows = np.concatenate([windows, np.ones((*windows.shape[:2], 1))], axis=2).astype(np.float32)  # bias included
    size, width = windows.shape[2], target.shape[1]
    design = windows.reshape(-1, size)
    goal = target.astype(np.float32)

    def error(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        filters = parameters.reshape(size, width).astype(np.float32)
        response = design @ filters  # (N x P, D)
        active = response > 0
        means = np.where(active, response, 0).reshape(*windows.shape[:2], width).mean(axis=1)
        rest = means - goal  # (N, D)
        back = np.repeat(rest * (2.0 / (rest.size * windows.shape[1])), windows.shape[1], axis=0) * active
        return float(np.mean(rest.astype(np.float64) ** 2)), (design.T @ back).ravel().astype(np.float64)

    # The linear fit of the target to the means of the windows, which the relu would leave alone were all positive.
    flat = windows.mean(axis=1).astype(np.float64)
    first = np.linalg.lstsq(flat, target, rcond=1e-4)[0]
    fitted = optimize.minimize(error, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    filters = fitted.x.reshape(size, width)
    layer.set_weights([filters[:-1, None], filters[-1]])


def _windows(patches: np.ndarray, kernel_size: int) -> np.ndarray:
    """Each minute of a patch with its neighbours, zeros beyond the patch: (N, P) -> (N, P, K)."""
    side = kernel_size // 2
    return np.lib.stride_tricks.sliding_window_view(np.pad(patches, ((0, 0), (side, side))), kernel_size, axis=1)


def _draw(minutes: np.ndarray, patch_size: int, count: int, seed: int) -> np.ndarray:
    """Patches of all windows, as many as `count`, float64 (N, P)."""
    patches = np.asarray(minutes).reshape(-1, patch_size)
    rows = np.random.default_rng(seed).permutation(len(patches))[:count]
    return np.nan_to_num(patches[np.sort(rows)].astype(np.float64))


def _array(variable: object) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable), dtype=np.float64)
