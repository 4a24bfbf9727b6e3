"""PATMaskedAutoencoder: hide most patches of a week, encode the rest, reconstruct all of it.

Axes: B people, T minutes, N patches, M masked patches, P patch_size, D embed_dim.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pat_keras.config import WEEK_MINUTES, EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder, compile_by_default
from pat_keras.models.layers import PACKAGE, TransformerBlock, positions

ORDERS = ("restored", "original")


@keras.saving.register_keras_serializable(PACKAGE)
class PATMaskedAutoencoder(keras.Model):
    """The masked autoencoder of Ruan et al. (arXiv 2411.15240), forward pass.

    A permutation of the patches is drawn and its first `round(mask_ratio * N)` are masked. The visible patches, with
    their positions, go through the encoder alone; a learned mask token stands for each masked one; positions are added
    again; one transformer block and a Dense layer with 2 tanh give back the minutes.

    Args:
        encoder: the encoder, or its `EncoderConfig` for one with random weights.
        mask_ratio: share of patches masked; the paper's best is 0.9.
        order: where the decoder sees each token. "restored", the default: at its own place. "original": as the authors'
            notebooks have it, which list masked patches first in the permutation but visible ones first in the
            decoder's input, so that encoded patches land at the places of masked ones.

    Raises:
        ConfigError: for an order that does not exist, or a mask ratio not between 0 and 1.
    """

    def __init__(
        self, encoder: PATEncoder | EncoderConfig, mask_ratio: float = 0.9, order: str = "restored", **kwargs: Any
    ) -> None:
        super().__init__(**{"name": "pat_masked_autoencoder", **kwargs})
        if order not in ORDERS or not 0.0 < mask_ratio < 1.0:
            raise ConfigError(
                f"PATMaskedAutoencoder: order is {order!r} and mask_ratio {mask_ratio!r}; expected one of "
                f"{', '.join(ORDERS)} and a number between 0 and 1."
            )
        self.encoder = encoder if isinstance(encoder, PATEncoder) else PATEncoder(encoder, dtype=self.dtype_policy)
        self.mask_ratio, self.order = mask_ratio, order
        config = self.encoder.config
        self.decoder_block = TransformerBlock(
            config.num_heads, config.ff_dim, config.dropout, name="decoder_layer_1", dtype=self.dtype_policy
        )
        self.decoder_dense = layers.Dense(
            config.patch_size, activation="tanh", name="decoder_dense", dtype=self.dtype_policy
        )
        self.jit_compile = compile_by_default()
        self.build((None, WEEK_MINUTES))

    def build(self, input_shape: Any) -> None:
        """Create the mask token (1, 1, D) and the decoder's weights."""
        width = self.encoder.config.embed_dim
        self.mask_token = self.add_weight(name="mask_token", shape=(1, 1, width), initializer="random_normal")
        self.decoder_block.build((None, None, width))
        self.decoder_dense.build((None, None, width))
        self.built = True

    def num_masked(self, num_patches: Any) -> Any:
        """M, the patches masked among N; a scalar tensor in a graph that does not know N."""
        if isinstance(num_patches, int):
            return round(self.mask_ratio * num_patches)
        return ops.cast(ops.round(self.mask_ratio * ops.cast(num_patches, "float64")), "int32")

    def draw_permutation(self, num_patches: int, seed: int, people: int | None = None) -> np.ndarray:
        """Permutations of the patches: (people, N), or the original's single one for the whole batch, (N,)."""
        generator = np.random.default_rng(seed)
        if people is None:
            return generator.permutation(num_patches).astype(np.int32)
        return generator.permuted(np.tile(np.arange(num_patches, dtype=np.int32), (people, 1)), axis=1)

    def call(self, x: Any, permutation: Any, training: bool | None = None) -> Any:
        """Reconstruct weeks of which only the permutation's tail is seen.

        Args:
            x: (B, T) standardised minutes.
            permutation: (N,) for the whole batch, or (B, N); the first M entries are masked.
            training: whether dropout is active.

        Returns:
            (B, T), between -2 and 2.

        Raises:
            ConfigError: if the permutation is of another number of patches, or leaves none to see.
        """
        tokens = self.encoder.embed_patches(x)  # (B, N, D)
        batch, count, width = ops.shape(tokens)
        masked = self.num_masked(count)  # M
        _check_permutation(permutation, count, masked)
        permutation = ops.broadcast_to(ops.cast(permutation, "int32"), (batch, count))
        visible = permutation[:, masked:]  # (B, N - M)
        encoded = self.encoder.encode(_gather(tokens, visible), training=training)  # (B, N - M, D)
        hidden = ops.broadcast_to(self.mask_token, (batch, masked, width))
        hidden = ops.cast(hidden, encoded.dtype)
        ordered = [hidden, encoded] if self.order == "restored" else [encoded, hidden]
        inverse = ops.argsort(permutation, axis=1)
        tokens = _gather(ops.concatenate(ordered, axis=1), inverse)  # (B, N, D)
        tokens = tokens + ops.cast(positions(count, width), tokens.dtype)
        minutes = 2.0 * self.decoder_dense(self.decoder_block(tokens, training=training))  # (B, N, P)
        return ops.reshape(minutes, ops.shape(x))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, "mask_ratio": self.mask_ratio, "order": self.order}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PATMaskedAutoencoder:
        """The inverse of `get_config`."""
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


def _check_permutation(permutation: Any, count: Any, masked: Any) -> None:
    """Raise a ConfigError where the lengths, so far as they are known, don't fit."""
    length = permutation.shape[-1]
    if length is not None and isinstance(count, int) and length != count:
        raise ConfigError(f"The permutation of {length} patches does not fit weeks of {count}. Draw one of {count}.")
    if isinstance(count, int) and masked >= count:
        raise ConfigError(
            f"Masking {masked} of {count} patches leaves no patch to see. Give longer weeks, or a smaller mask_ratio."
        )


def _gather(tokens: Any, places: Any) -> Any:
    """Tokens at each person's own places: (B, n, D), (B, m) -> (B, m, D)."""
    return ops.take_along_axis(tokens, ops.expand_dims(places, -1), axis=1)
