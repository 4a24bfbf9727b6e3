"""Whose days are these: a loss that tells people apart, beside the reconstruction of minutes.

A week's days are dealt into two halves, and the encoder sees some patches of each. The two halves of a person are to be
more alike than halves of different people of the batch: InfoNCE (van den Oord et al., arXiv 1807.03748) as SimCLR has
it (Chen et al., arXiv 2002.05709), with pairs from one person, as Abbaspourazad et al. (arXiv 2312.05409) pretrain on
signals of watches. What stays with a person from day to day is what labels of people are about, and filling in masked
minutes needs little of it.

Axes: B people, T minutes, N patches, V patches seen of a half, D embed_dim.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pat_keras.config.pretrain import PERSON_LOSS, PretrainConfig
from pat_keras.errors import ConfigError
from pat_keras.models.layers import known_patches
from pat_keras.training.augmentation import DAY_MINUTES

# Widths of the projection, which is left behind after pretraining.
HIDDEN, PROJECTED = 128, 64
TEMPERATURE = 0.1
# Of the patches of the smaller half, how many are seen.
SEEN_SHARE = 0.75
# Minutes of a week by which it is known again.
LOOKED_AT = 256


def person_weight(config: PretrainConfig, length: int, patch_size: int) -> float:
    """The weight of the loss for windows of `length` minutes, None resolved."""
    if config.person_loss is not None:
        return config.person_loss
    return PERSON_LOSS if _has_halves(length, patch_size) else 0.0


def _has_halves(length: int, patch_size: int) -> bool:
    return length % DAY_MINUTES == 0 and length >= 2 * DAY_MINUTES and DAY_MINUTES % patch_size == 0


class SamePerson(layers.Layer):
    """The loss of a batch from the tokens of its halves; the projection before it learns with the encoder.

    Args:
        length: T.
        patch_size: minutes in one patch.
        width: D.

    Raises:
        ConfigError: if weeks are not two whole days or more, or a day is not whole patches.
    """

    def __init__(self, length: int, patch_size: int, width: int) -> None:
        super().__init__(name="same_person", dtype="float32")
        if not _has_halves(length, patch_size):
            raise ConfigError(
                f"person_loss compares days of a person: the windows have {length} minutes and the patches "
                f"{patch_size}, expected windows of two whole days ({2 * DAY_MINUTES} minutes) or more, and patches "
                f"that divide a day ({DAY_MINUTES}). Prepare such windows, or set person_loss to 0."
            )
        self._days, self._patches_a_day = length // DAY_MINUTES, DAY_MINUTES // patch_size
        self._half = self._days // 2  # of an odd number of days, the smaller one
        self.seen = math.ceil(SEEN_SHARE * self._half * self._patches_a_day)  # V
        self._looked_at = np.sort(np.random.default_rng(0).choice(length, LOOKED_AT, replace=False)).astype(np.int32)
        self.hidden = layers.Dense(HIDDEN, activation="relu", name="hidden", dtype="float32")
        self.projected = layers.Dense(PROJECTED, name="projected", dtype="float32")
        self.hidden.build((None, 2 * width))
        self.projected.build((None, HIDDEN))
        self.built = True

    def halves(self, patches: Any, seed: keras.random.SeedGenerator) -> tuple[Any, Any]:
        """Draw some patches of the two halves of each person's days; those without a known minute come last.

        Args:
            patches: (B, N, P), NaN = missing.
            seed: its state moves on.

        Returns:
            (B, V) and (B, V), numbers of patches, none in both.
        """
        people, count, _ = ops.shape(patches)
        places = ops.argsort(keras.random.uniform((people, self._days), dtype="float32", seed=seed), axis=1)
        first = ops.repeat(ops.cast(places < self._half, "float32"), self._patches_a_day, axis=1)  # (B, N)
        known = known_patches(patches)
        drawn = []
        for half in (first, 1.0 - first):
            keys = keras.random.uniform((people, count), dtype="float32", seed=seed) + half * (1.0 + known)
            drawn.append(ops.argsort(keys, axis=1)[:, count - self.seen :])
        return drawn[0], drawn[1]

    def call(self, first: Any, second: Any, same: Any) -> Any:
        """Tokens of the halves, (B, V, D) each -> (), 0 at best; people who can't be told apart give log(2 B - 1).

        `same` (B, B) is true where two are one, as everybody is with himself: nobody is told apart from himself.
        """
        vectors = ops.concatenate([self.project(first), self.project(second)], axis=0)  # (2 B, 64)
        likeness = ops.matmul(vectors, ops.transpose(vectors)) / TEMPERATURE
        both = ops.shape(likeness)[0]
        halves = ops.arange(both, dtype="int32")
        other = ops.expand_dims(ops.mod(halves + both // 2, both), 1)  # (2 B, 1) each half's own other one
        left_out = ops.logical_and(ops.tile(same, (2, 2)), ops.not_equal(other, halves))
        likeness -= 1e9 * ops.cast(left_out, "float32")
        own = ops.take_along_axis(likeness, other, axis=1)[:, 0]
        return ops.mean(ops.logsumexp(likeness, axis=1) - own)

    def same_weeks(self, x: Any) -> Any:
        """Which weeks are one: (B, T) -> (B, B) true or false.

        A cohort whose share is larger than its people comes round within a training epoch, and so may somebody within a
        batch. Some minutes of each week are looked at, always the same.
        """
        looked = ops.take(ops.cast(x, "float32"), self._looked_at, axis=1)
        looked = ops.where(ops.isnan(looked), ops.full_like(looked, 1e9), looked)
        return ops.all(ops.equal(ops.expand_dims(looked, 1), ops.expand_dims(looked, 0)), axis=-1)

    def project(self, tokens: Any) -> Any:
        """(B, V, D) -> (B, 64) unit vectors, of the tokens' mean and deviation."""
        tokens = ops.cast(tokens, "float32")
        mean, deviation = ops.mean(tokens, axis=1), ops.sqrt(ops.var(tokens, axis=1) + 1e-6)
        return ops.normalize(self.projected(self.hidden(ops.concatenate([mean, deviation], axis=1))), axis=1)
