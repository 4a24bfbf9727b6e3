"""PATEncoder: weeks in, tokens out.

Axes: B people, T minutes, N patches, D embed_dim, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config import POOLING, WEEK_MINUTES, EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.attention import key_bias_of, on_accelerator
from pat_keras.models.layers import (
    PACKAGE,
    TransformerBlock,
    check_minutes,
    patch_embedding,
    positions,
    split_patches,
)

# Of pooled tokens: below it a standard deviation counts as its root.
SMALLEST_VARIANCE = 1e-12


def compile_by_default() -> bool:
    """Whether XLA is the faster choice here: not for TensorFlow on CPU, where plain graphs were measured faster."""
    return keras.backend.backend() == "jax" or on_accelerator()


@keras.saving.register_keras_serializable(PACKAGE)
class PATEncoder(keras.Model):
    """The PAT encoder of Ruan et al. (arXiv 2411.15240), section "Model architecture".

    Input: (B, T) standardised minutes; T is any multiple of the patch size, 10,080 for a week. Output: tokens
    (B, N, D). Built on creation, with random weights.

    Args:
        config: the shape of the encoder.

    Example:
        >>> import numpy as np, pat_keras as pat
        >>> encoder = pat.PATEncoder(pat.EncoderConfig.small())
        >>> encoder.embed(np.zeros((2, 10080), dtype="float32")).shape
        (2, 96)
    """

    def __init__(self, config: EncoderConfig, **kwargs: Any) -> None:
        if not isinstance(config, EncoderConfig):
            raise ConfigError(
                f"PATEncoder takes an EncoderConfig, such as EncoderConfig.small(); it was given {config!r}."
            )
        super().__init__(**{"name": "pat_encoder", **kwargs})
        self.config = config
        self.patch_embedding = patch_embedding(config, name="patch_embedding", dtype=self.dtype_policy)
        self.blocks = [
            TransformerBlock(
                config.num_heads, config.ff_dim, config.dropout, name=f"encoder_layer_{i}", dtype=self.dtype_policy
            )
            for i in range(1, config.num_layers + 1)
        ]
        self.jit_compile = compile_by_default()
        self.build((None, WEEK_MINUTES))

    def build(self, input_shape: Any) -> None:
        """Create the weights. None of them depends on the length of the input."""
        self.patch_embedding.build((None, None))
        for block in self.blocks:
            block.build((None, None, self.config.embed_dim))
        self.built = True

    def call(
        self,
        x: Any,
        training: bool | None = None,
        return_attention_scores: bool = False,
        wear: Any = None,
        min_worn_share: float = 0.5,
    ) -> Any:
        """Tokens of each week, and the attention scores of every block when asked.

        Args:
            x: (B, T) standardised minutes, T a multiple of the patch size.
            training: whether dropout is active.
            return_attention_scores: also return the list of scores, one (B, H, N, N) a block. For a week of PAT-L that
                is 60 MB a person and block; `iter_attention_scores` streams them.
            wear: (B, T), true where a minute was recorded and worn; None if all were. Other minutes count as 0, the
                mean of standardised minutes. Patches worn less than `min_worn_share` are seen by no patch; their own
                tokens are still there, and to be left out of what follows (`patches_seen`).
            min_worn_share: of a patch's minutes, from 0 to 1.

        Returns:
            (B, N, D), or ((B, N, D), [(B, H, N, N), ...]).

        Raises:
            ConfigError: if x is not (B, T), or T is not a multiple of the patch size.
        """
        if wear is None:
            return self.encode(self.embed_patches(x), training, return_attention_scores)
        wear = ops.cast(wear, "bool")
        seen = self.patches_seen(wear, min_worn_share)
        key_bias = key_bias_of(seen, self.compute_dtype)  # (B, N)
        x = ops.where(wear, x, ops.zeros_like(x))
        return self.encode(self.embed_patches(x), training, return_attention_scores, key_bias)

    def patches_seen(self, wear: Any, min_worn_share: float = 0.5) -> Any:
        """Which patches have a share of worn minutes of at least `min_worn_share`: (B, T) -> (B, N) true or false."""
        patches = split_patches(ops.cast(ops.cast(wear, "bool"), "float32"), self.config.patch_size)
        return ops.mean(patches, axis=-1) >= min_worn_share

    def embed_patches(self, x: Any) -> Any:
        """Patches with their positions, before the first block: (B, T) -> (B, N, D); NaN where a minute is."""
        patches = split_patches(x, self.config.patch_size)  # (B, N, P)
        x = self.patch_embedding(ops.cast(x, self.compute_dtype))
        # XLA's relu makes a number of NaN: a convolution's tokens would hide that minutes are missing.
        missing = ops.any(ops.isnan(patches), axis=-1, keepdims=True)  # (B, N, 1)
        x = ops.where(missing, float("nan"), x)
        return x + ops.cast(positions(ops.shape(x)[1], self.config.embed_dim), x.dtype)

    def encode(
        self, x: Any, training: bool | None = None, return_attention_scores: bool = False, key_bias: Any = None
    ) -> Any:
        """The transformer blocks alone, on any subset of embedded patches: (B, n, D) -> same, and scores if asked."""
        all_scores = []
        for block in self.blocks:
            x = block(x, training=training, return_attention_scores=return_attention_scores, key_bias=key_bias)
            if return_attention_scores:
                x, block_scores = x
                all_scores.append(block_scores)
        return (x, all_scores) if return_attention_scores else x

    def pool(
        self,
        x: Any,
        training: bool | None = None,
        wear: Any = None,
        min_worn_share: float = 0.5,
        pooling: str = "mean",
    ) -> Any:
        """One vector a week, of its tokens, of those of seen patches if `wear` is given: (B, T) -> (B, D).

        With the pooling "mean_std", the tokens' standard deviations follow their means: (B, 2 D), in float32.

        Raises:
            ConfigError: as `call`, and if there is no such pooling.
        """
        _check_pooling(pooling)
        tokens = self(x, training=training, wear=wear, min_worn_share=min_worn_share)  # (B, N, D)
        if pooling == "mean_std":  # squares of differences lose too much in a narrower type
            tokens = ops.cast(tokens, "float32")
        seen = None
        if wear is not None:
            seen = ops.expand_dims(ops.cast(self.patches_seen(wear, min_worn_share), tokens.dtype), -1)  # (B, N, 1)
        mean = _mean_of_seen(tokens, seen)
        if pooling == "mean":
            return mean
        variance = _mean_of_seen(ops.square(tokens - ops.expand_dims(mean, 1)), seen)
        # The root's gradient at 0 is infinite, as where all tokens are alike.
        return ops.concatenate([mean, ops.sqrt(ops.maximum(variance, SMALLEST_VARIANCE))], axis=1)

    def embed(
        self,
        x: np.ndarray,
        batch_size: int = 32,
        *,
        wear: np.ndarray | None = None,
        min_worn_share: float = 0.5,
        pooling: str = "mean",
    ) -> np.ndarray:
        """One vector a week, of its tokens: (B, T) standardised minutes -> numpy (B, D), or (B, 2 D), float32.

        Args:
            x: (B, T) standardised minutes.
            batch_size: people a step.
            wear: (B, T), true where a minute was recorded and worn; None if all were. See `call`.
            min_worn_share: of a patch's minutes, for the patch to be seen.
            pooling: "mean" of the (seen) tokens, as in the paper; or "mean_std": then their standard deviations, too.

        Raises:
            ConfigError: if x is not (B, T), T is not a multiple of the patch size, wear is of another shape, or there
                is no such pooling.
        """
        check_minutes(np.shape(x), self.config.patch_size)
        if wear is not None and np.shape(wear) != np.shape(x):
            raise ConfigError(
                f"PATEncoder: wear has the shape {np.shape(wear)} and the minutes {np.shape(x)}, expected the same: "
                "true or false for each minute of each week."
            )
        _check_pooling(pooling)
        width = self.config.embed_dim
        result = np.zeros((len(x), width * (1 + (pooling == "mean_std"))), dtype=np.float32)
        for low in range(0, len(x), batch_size):
            batch = slice(low, low + batch_size)
            minutes, seen = np.asarray(x[batch], dtype=np.float32), None
            if wear is None:
                tokens = self.predict_on_batch(minutes)
            else:
                worn = np.asarray(wear[batch])
                seen = np.asarray(ops.convert_to_numpy(self.patches_seen(worn, min_worn_share)))
                minutes = ops.convert_to_tensor(minutes)
                tokens = ops.convert_to_numpy(self(minutes, training=False, wear=worn, min_worn_share=min_worn_share))
            tokens = np.asarray(tokens, dtype=np.float32)
            mean = _mean(tokens, seen)
            result[batch, :width] = mean
            if pooling == "mean_std":
                result[batch, width:] = np.sqrt(_mean((tokens - mean[:, None]) ** 2, seen))
        return result

    def iter_attention_scores(
        self, x: np.ndarray, block: int = -1, batch_size: int = 1
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Attention scores of one block for a whole cohort, a batch at a time, so that they are never held together.

        Args:
            x: (B, T) standardised minutes.
            block: index of the block, the last by default.
            batch_size: people a step; each takes H x N x N x 4 bytes.

        Yields:
            The slice of x, and numpy scores (b, H, N, N) float32; rows (axis 2) are queries, columns keys.

        Raises:
            ConfigError: if x is not (B, T), or T is not a multiple of the patch size.
        """
        check_minutes(np.shape(x), self.config.patch_size)
        index = range(len(self.blocks))[block]
        for low in range(0, len(x), batch_size):
            part = slice(low, min(low + batch_size, len(x)))
            tokens = self.embed_patches(ops.convert_to_tensor(np.asarray(x[part], dtype=np.float32)))
            for earlier in self.blocks[:index]:
                tokens = earlier(tokens, training=False)
            _, batch_scores = self.blocks[index](tokens, training=False, return_attention_scores=True)
            yield part, np.asarray(ops.convert_to_numpy(batch_scores), dtype=np.float32)

    @classmethod
    def from_preset(cls, name: str, *, cache: str | None = None) -> PATEncoder:
        """The encoder of a preset: one that comes with the package, or the authors', from the cache or else downloaded.

        Args:
            name: one of `pat_keras.PRESETS`, such as "pat_medium_nhanes2005" or the authors' "pat_large_29k".
            cache: folder of downloaded files; None for PAT_KERAS_CACHE or the user's cache folder.

        Raises:
            CheckpointError: if there is no such preset, it can't be fetched, or the file is not what it should be.
        """
        # The one import against the direction of the house, kept inside: users look for this on the class.
        from pat_keras.checkpoints.weights import load_preset

        return load_preset(name, cache=cache)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "config": self.config.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PATEncoder:
        """The inverse of `get_config`."""
        return cls(**{**config, "config": EncoderConfig.from_dict(config["config"])})


def _check_pooling(pooling: str) -> None:
    if pooling not in POOLING:
        raise ConfigError(f"PATEncoder: pooling is {pooling!r}, expected one of {', '.join(POOLING)}.")


def _mean_of_seen(tokens: Any, seen: Any) -> Any:
    """The mean of the seen tokens of each week, 0 where none is: (B, N, D), (B, N, 1) or None for all -> (B, D)."""
    if seen is None:
        return ops.mean(tokens, axis=1)
    # Written so that with every patch seen it is the mean above to the last bit.
    share = ops.maximum(ops.mean(seen, axis=1), 1.0 / ops.cast(ops.shape(seen)[1], tokens.dtype))
    return ops.mean(tokens * seen, axis=1) / share


def _mean(tokens: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
    """The mean of the seen tokens of each week, 0 where none is: (B, N, D), (B, N) -> (B, D)."""
    if seen is None:
        return tokens.mean(axis=1)
    # Written so that with every patch seen it is the mean above to the last bit.
    share = np.maximum(seen.mean(axis=1, dtype=np.float32), np.float32(1 / seen.shape[1]))
    return (tokens * seen[..., None]).mean(axis=1) / share[:, None]
