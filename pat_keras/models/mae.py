"""PATMaskedAutoencoder: hide most patches of a week, encode the rest, reconstruct all of it.

Axes: B people, T minutes, N patches, M masked patches, V = N - M visible ones, P patch_size, D embed_dim.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pat_keras.config import ORDERS, OUTPUTS, WEEK_MINUTES, EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder, compile_by_default
from pat_keras.models.layers import PACKAGE, TransformerBlock, known_patches, positions, split_patches

# Of the kernels of `start_mimetic`. 1 and 1.7 were tried (PAT-S): from 1.7 the loss fell sooner.
MIMETIC_GAIN = 1.7


@keras.saving.register_keras_serializable(PACKAGE)
class PATMaskedAutoencoder(keras.Model):
    """The masked autoencoder of Ruan et al. (arXiv 2411.15240).

    A permutation of the patches is drawn and its first `round(mask_ratio * N)` are masked. The visible patches, with
    their positions, go through the encoder alone; a learned mask token stands for each masked one; positions are added
    again; one transformer block and a Dense layer give back the minutes.

    Args:
        encoder: the encoder, or its `EncoderConfig` for one with random weights.
        mask_ratio: share of patches masked; the paper's best is 0.9.
        order: where the decoder sees each token. "restored", the default: at its own place. "original": as the authors'
            notebooks have it, which list masked patches first in the permutation but visible ones first in the
            decoder's input, so that encoded patches land at the places of masked ones.
        output: "tanh", 2 tanh as the authors have it, or "linear".

    Raises:
        ConfigError: for an order or output that does not exist, a mask ratio not between 0 and 1, or an encoder whose
            embedding sees across patches, and so what is masked.

    Example:
        >>> import numpy as np
        >>> model = PATMaskedAutoencoder(EncoderConfig.small())
        >>> week = np.zeros((1, 10080), dtype="float32")
        >>> seed = keras.random.SeedGenerator(0)
        >>> tuple(model(week, model.permutations(week, seed)).shape)  # as much is given back
        (1, 10080)
    """

    def __init__(
        self,
        encoder: PATEncoder | EncoderConfig,
        mask_ratio: float = 0.9,
        order: str = "restored",
        output: str = "tanh",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "pat_masked_autoencoder", **kwargs})
        if order not in ORDERS or output not in OUTPUTS or not 0.0 < mask_ratio < 1.0:
            raise ConfigError(
                f"PATMaskedAutoencoder: order is {order!r}, output {output!r} and mask_ratio {mask_ratio!r}; expected "
                f"one of {', '.join(ORDERS)}, one of {', '.join(OUTPUTS)} and a number between 0 and 1."
            )
        self.encoder = encoder if isinstance(encoder, PATEncoder) else PATEncoder(encoder, dtype=self.dtype_policy)
        self.mask_ratio, self.order, self.output_kind = mask_ratio, order, output
        config = self.encoder.config
        if config.conv_across_patches:
            raise ConfigError(
                "PATMaskedAutoencoder: the embedding of this encoder sees the neighbouring patches' minutes "
                "(conv_across_patches), so masked ones would be seen; expected one that does not."
            )
        self.decoder_block = TransformerBlock(
            config.num_heads, config.ff_dim, config.dropout, name="decoder_layer_1", dtype=self.dtype_policy
        )
        activation = "tanh" if output == "tanh" else None
        self.decoder_dense = layers.Dense(
            config.patch_size, activation=activation, name="decoder_dense", dtype=self.dtype_policy
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

    def start_mimetic(self) -> None:
        """Give the decoder's attention keys equal to its queries, a little larger than they were drawn.

        A score is then largest between tokens of like positions, and falls with the distance: a masked patch begins by
        looking at what is visible around it. From independent queries and keys it takes training thousands of steps to
        find that, in which the loss stays near that of the mean day. After Trockman & Kolter, "Mimetic Initialization
        of Self-Attention Layers" (arXiv 2305.09828).
        """
        attention = self.decoder_block.attention
        # In NumPy: two variables of one JAX array could not both be given away to a compiled step.
        shared = MIMETIC_GAIN * ops.convert_to_numpy(attention.query_kernel)
        attention.query_kernel.assign(shared)
        attention.key_kernel.assign(shared)

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

    def permutations(self, x: Any, seed: keras.random.SeedGenerator, shared: bool = False) -> Any:
        """Draw permutations where the model runs.

        Patches without a known minute come first, so that they are masked and not shown; a shared permutation can't
        look at them.

        Args:
            x: (B, T) standardised minutes, NaN = missing.
            seed: its state moves on.
            shared: one permutation for the whole batch, as the original has it.

        Returns:
            (B, N), or (N,) if shared.
        """
        patches = split_patches(x, self.encoder.config.patch_size)  # (B, N, P)
        batch, count, _ = ops.shape(patches)
        if shared:
            return ops.argsort(keras.random.uniform((count,), dtype="float32", seed=seed))
        keys = keras.random.uniform((batch, count), dtype="float32", seed=seed) + known_patches(patches)
        return ops.argsort(keys, axis=1)

    def call(self, x: Any, permutation: Any, training: bool | None = None) -> Any:
        """Reconstruct weeks of which only the permutation's tail is seen.

        Args:
            x: (B, T) standardised minutes; a missing one (NaN) counts as 0, the mean.
            permutation: (N,) for the whole batch, or (B, N); the first M entries are masked.
            training: whether dropout is active.

        Returns:
            (B, T); between -2 and 2 if the output is "tanh".

        Raises:
            ConfigError: if the permutation is of another number of patches, or leaves none to see.
        """
        config = self.encoder.config
        patches = split_patches(x, config.patch_size)  # (B, N, P)
        batch, count, _ = ops.shape(patches)
        masked = self.num_masked(count)  # M
        _check_permutation(permutation, count, masked)
        permutation = ops.broadcast_to(ops.cast(permutation, "int32"), (batch, count))
        visible = permutation[:, masked:]  # (B, V)
        encoded = self.encode_visible(patches, visible, training=training)  # (B, V, D)
        places = visible if self.order == "restored" else permutation[:, : count - masked]
        tokens = self._fill(encoded, places, count)  # (B, N, D)
        tokens = tokens + ops.cast(positions(count, config.embed_dim), tokens.dtype)
        minutes = self.decoder_dense(self.decoder_block(tokens, training=training))  # (B, N, P)
        return ops.reshape(2.0 * minutes if self.output_kind == "tanh" else minutes, ops.shape(x))

    def encode_visible(self, patches: Any, visible: Any, training: bool | None = None) -> Any:
        """Some patches alone through the encoder, each with its own position.

        Args:
            patches: (B, N, P) standardised minutes; a missing one (NaN) counts as 0, the mean.
            visible: (B, V) numbers of the patches that are seen.
            training: whether dropout is active.

        Returns:
            (B, V, D).
        """
        return self.encoder.encode(self._embed(patches, visible), training=training)

    def _embed(self, patches: Any, visible: Any) -> Any:
        """Visible patches alone, embedded, with their own positions: (B, N, P), (B, V) -> (B, V, D)."""
        seen = ops.take_along_axis(patches, ops.expand_dims(visible, -1), axis=1)  # (B, V, P)
        seen = ops.where(ops.isnan(seen), ops.zeros_like(seen), seen)
        batch, count, size = ops.shape(seen)
        tokens = self.encoder.patch_embedding(ops.reshape(ops.cast(seen, self.compute_dtype), (batch, count * size)))
        table = positions(ops.shape(patches)[1], self.encoder.config.embed_dim)  # (N, D)
        return tokens + ops.cast(ops.take(table, visible, axis=0), tokens.dtype)

    def _fill(self, encoded: Any, places: Any, count: Any) -> Any:
        """Encoded patches at their places, the mask token elsewhere: (B, V, D), (B, V) -> (B, N, D).

        A product with zeros and ones, which is exact: the gradient of a gather would be a scatter, slow on GPUs.
        """
        every = ops.reshape(ops.arange(count, dtype="int32"), (1, -1, 1))
        at = ops.cast(ops.equal(every, ops.expand_dims(places, 1)), encoded.dtype)  # (B, N, V)
        hidden = 1.0 - ops.sum(at, axis=-1, keepdims=True)
        return ops.matmul(at, encoded) + hidden * ops.cast(self.mask_token, encoded.dtype)

    def squared_errors(self, x: Any, reconstruction: Any, permutation: Any, loss: str = "masked") -> tuple[Any, Any]:
        """What the loss is made of, summed over each person's minutes.

        Args:
            x: (B, T) standardised minutes; missing ones (NaN) are left out.
            reconstruction: (B, T).
            permutation: (N,) or (B, N), as `call` had it.
            loss: "masked", the minutes of masked patches; "all" of all patches.

        Returns:
            (B,) sums of squared errors and (B,) numbers of minutes, float32. The loss of a batch is the sum of the ones
            over the sum of the others.
        """
        x, reconstruction = ops.cast(x, "float32"), ops.cast(reconstruction, "float32")
        counted = ops.logical_not(ops.isnan(x))
        if loss == "masked":
            patches = split_patches(x, self.encoder.config.patch_size)
            batch, count, size = ops.shape(patches)
            permutation = ops.broadcast_to(ops.cast(permutation, "int32"), (batch, count))
            visible = ops.expand_dims(permutation[:, self.num_masked(count) :], 1)  # (B, 1, V)
            every = ops.reshape(ops.arange(count, dtype="int32"), (1, -1, 1))
            masked = ops.logical_not(ops.any(ops.equal(every, visible), axis=-1))  # (B, N)
            masked = ops.broadcast_to(ops.expand_dims(masked, -1), (batch, count, size))
            counted = ops.logical_and(counted, ops.reshape(masked, ops.shape(x)))
        # The difference first: NaN times zero would be NaN in the gradient, too.
        errors = ops.where(counted, reconstruction - ops.where(counted, x, ops.zeros_like(x)), ops.zeros_like(x))
        return ops.sum(ops.square(errors), axis=1), ops.sum(ops.cast(counted, "float32"), axis=1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "mask_ratio": self.mask_ratio,
            "order": self.order,
            "output": self.output_kind,
        }

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
