"""Models small or simple enough that what explains them is known."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.predictor import Predictor
from tests.models.reference import randomize

DAY = 1440
CONFIG = EncoderConfig(patch_size=30, num_heads=2, num_layers=2, embed_dim=8, key_dim=8, ff_dim=16)


class LinearModel(Predictor):
    """A binary model whose logit is a weighted sum of the minutes; missing ones count as 0."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.minutes = np.asarray(weights, dtype=np.float32)
        self.built = True  # it has no variables

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        assert shape[1] == len(self.minutes)

    def call(self, x: Any, training: bool | None = None) -> Any:
        known = ops.where(ops.isnan(x), ops.zeros_like(x), x)
        return ops.sum(known * self.minutes, axis=1, keepdims=True)


def tiny_classifier(seed: int = 0, **settings: Any) -> PATClassifier:
    """A PAT of a few weights, all random."""
    keras.utils.set_random_seed(seed)
    return randomize(PATClassifier(CONFIG, **settings), seed)


def raw_classifier(weeks: np.ndarray, kind: str = "cohort", **settings: Any) -> PATClassifier:
    """The same, taking raw minutes scaled as `weeks` are."""
    return tiny_classifier(**settings).taking_raw(Standardizer.fit(weeks, kind))


def counts(people: int = 4, days: int = 2, seed: int = 0) -> np.ndarray:
    """Weeks of counts that are higher by day: (people, days x 1440) float32."""
    rng = np.random.default_rng(seed)
    level = 100 * (1.1 - np.cos(2 * np.pi * np.arange(days * DAY) / DAY))
    return (level * rng.gamma(1.0, 1.0, (people, days * DAY))).astype(np.float32)


def with_gaps(weeks: np.ndarray) -> np.ndarray:
    """The same with a night that is missing, and two hours of the second person."""
    weeks = weeks.copy()
    weeks[:, 120:300] = np.nan
    weeks[1, 800:920] = np.nan
    return weeks
