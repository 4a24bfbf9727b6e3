"""What a PAT attends to: attention received by each patch, attention rollout, and the matrix from hour to hour.

Axes: B windows, T minutes, P patch_size, N = T / P patches, H heads.

Attention says where the network gathers from, and not what changes its answer: see `deletion`.

Memory: the scores (H, N, N) of a few windows at most are held at a time, 60 MB each for a week of PAT-L.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from pat_keras.errors import ConfigError
from pat_keras.evaluation.clock import Clock
from pat_keras.models.attention import key_bias_of
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.layers import check_minutes

_BATCH_BYTES = 2**26  # of the scores that are computed together


def attention_profile(model: Any, x: np.ndarray, block: int = -1) -> np.ndarray:
    """Attention received by each patch: summed over the queries, averaged over the heads, normalised to sum 1.

    The explanation of Ruan et al. (their notebooks; last block). Where minutes are missing, the queries are the patches
    that the model pools, and patches that it leaves out receive 0.

    Args:
        model: a PATClassifier, or a PATEncoder (which takes standardised minutes).
        x: (B, T) minutes; NaN = missing, for a model trained with them.
        block: index of the block, the last by default.

    Returns:
        (B, N) float32. `np.repeat(profile, P, axis=1)` gives each minute its patch's weight.

    Raises:
        ConfigError: for a model without attention, a block that is not there, or an x that does not fit.

    Example:
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> profile = pat.attention_profile(model, weeks)
        >>> profile.shape, bool(abs(profile.sum(axis=1) - 1).max() < 1e-5)
        ((4, 80), True)
    """
    encoder = encoder_of(model)
    number = _block_number(encoder, block)

    def received(tokens: Any, key_bias: Any, pooled: Any) -> Any:
        return ops.squeeze(ops.matmul(ops.expand_dims(pooled, 1), _matrix(encoder, number, tokens, key_bias)), 1)

    return _in_batches(model, x, received)


def attention_rollout(model: Any, x: np.ndarray) -> np.ndarray:
    """Attention followed through all blocks down to the patches, as the mean of the tokens sees it.

    Abnar and Zuidema (ACL 2020): each block passes on half of what its token was and half of what its heads, averaged,
    attend to. The mean over tokens is a row of weights that is multiplied by one block's matrix after another, so that
    the matrices of all blocks are never multiplied with each other.

    Args:
        model: a PATClassifier, or a PATEncoder (which takes standardised minutes).
        x: (B, T) minutes; NaN = missing, for a model trained with them.

    Returns:
        (B, N) float32, rows summing to 1.

    Raises:
        ConfigError: for a model without attention, or an x that does not fit.

    Example:
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> followed = pat.attention_rollout(model, weeks)
        >>> followed.shape, bool(abs(followed.sum(axis=1) - 1).max() < 1e-5)
        ((4, 80), True)
    """
    encoder = encoder_of(model)

    def followed(tokens: Any, key_bias: Any, pooled: Any) -> Any:
        matrices = []
        for block in encoder.blocks:
            tokens, scores = block(tokens, training=False, return_attention_scores=True, key_bias=key_bias)
            matrices.append(ops.mean(scores, axis=1))  # (b, N, N)
        weights = ops.expand_dims(pooled, 1)  # (b, 1, N)
        for matrix in reversed(matrices):
            weights = (weights + ops.matmul(weights, matrix)) / 2
        return ops.squeeze(weights, 1)

    return _in_batches(model, x, followed)


def attention_by_hour(model: Any, x: np.ndarray, clock: Clock, block: int = -1) -> np.ndarray:
    """How the hours of a week attend to each other: the head-averaged scores, from hour to hour.

    Args:
        model: as for `attention_profile`.
        x: (T,) minutes of one window.
        clock: of the window.
        block: index of the block, the last by default.

    Returns:
        (hours, hours) float64: the share of its attention that an hour (row) gives to an hour (column); a patch that
        lies in two hours belongs to each by its minutes. Rows sum to 1, and are NaN where no patch is pooled.

    Raises:
        ConfigError: for a model without attention, a block that is not there, or an x that does not fit.
    """
    encoder = encoder_of(model)
    number = _block_number(encoder, block)
    kept: list[np.ndarray] = []

    def matrix(tokens: Any, key_bias: Any, pooled: Any) -> Any:
        kept.append(np.asarray(ops.convert_to_numpy(_matrix(encoder, number, tokens, key_bias)), dtype=np.float64)[0])
        return pooled

    pooled = _in_batches(model, x[None], matrix)[0]
    share = np.zeros((len(pooled), clock.n_hours))  # of a patch's minutes in each hour
    np.add.at(share, (np.arange(clock.length) // encoder.config.patch_size, clock.hour), 1 / encoder.config.patch_size)
    queries = share * pooled[:, None]
    total = queries.sum(axis=0)
    queries = np.divide(queries, total, out=np.full(queries.shape, np.nan), where=total > 0)
    return queries.T @ kept[0] @ share


def encoder_of(model: Any) -> PATEncoder:
    """The encoder of a model that has one.

    Raises:
        ConfigError: for any other.
    """
    if isinstance(model, PATEncoder):
        return model
    if isinstance(model, PATClassifier):
        return model.encoder
    kind = getattr(model, "kind", type(model).__name__)
    raise ConfigError(
        f"Attention: the model is a {kind}, which has none; expected a PATClassifier or a PATEncoder. Gradients and "
        "occlusion explain it (input_x_gradient, integrated_gradients, occlusion)."
    )


def _block_number(encoder: PATEncoder, block: int) -> int:
    count = len(encoder.blocks)
    if not -count <= block < count:
        raise ConfigError(
            f"Attention: block is {block}, and the encoder has {count}: 0 to {count - 1}, or -1 for the last."
        )
    return block % count


def _matrix(encoder: PATEncoder, number: int, tokens: Any, key_bias: Any) -> Any:
    """Scores of a block, averaged over its heads: embedded patches (b, N, D) -> (b, N, N)."""
    for earlier in encoder.blocks[:number]:
        tokens = earlier(tokens, training=False, key_bias=key_bias)
    _, scores = encoder.blocks[number].attention(tokens, return_attention_scores=True, key_bias=key_bias)
    return ops.mean(scores, axis=1)


def _in_batches(model: Any, x: np.ndarray, explain: Callable[[Any, Any, Any], Any]) -> np.ndarray:
    """(B, N) of `explain(tokens (b, N, D), key_bias (b, N) or None, weights of the pooled patches (b, N))`."""
    encoder = encoder_of(model)
    share = model.min_worn_share if isinstance(model, PATClassifier) else None
    check_minutes(np.shape(x), encoder.config.patch_size)
    if share is None and (missing := int(np.isnan(x).any(axis=1).sum())):
        raise ConfigError(
            f"Attention: {missing} of {len(x)} windows have missing minutes, and the model was not trained to leave "
            "them out. Give complete windows, or a model trained with --missing=mask."
        )
    count = x.shape[1] // encoder.config.patch_size
    together = max(1, _BATCH_BYTES // (4 * encoder.config.num_heads * count**2))
    parts = []
    for low in range(0, len(x), together):
        minutes = ops.convert_to_tensor(np.asarray(x[low : low + together], dtype=np.float32))
        z = model.prepare(minutes) if isinstance(model, PATClassifier) else minutes
        key_bias, seen = None, ops.ones((len(z), count), dtype="float32")
        if share is not None:
            worn = ops.logical_not(ops.isnan(z))
            visible = encoder.patches_seen(worn, share)
            key_bias = key_bias_of(visible, encoder.compute_dtype)
            seen, z = ops.cast(visible, "float32"), ops.where(worn, z, ops.zeros_like(z))
        pooled = seen / ops.maximum(ops.sum(seen, axis=1, keepdims=True), 1.0)
        found = ops.convert_to_numpy(explain(encoder.embed_patches(z), key_bias, pooled))
        parts.append(np.asarray(found, dtype=np.float32))
    return np.concatenate(parts)
