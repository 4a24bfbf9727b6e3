"""Small things to train on: a day instead of a week, so that a training takes seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.simulate import simulate_cohort


def small_cohort(n_people: int = 24, windows: int = 2, seed: int = 0, effect: float = 2.0) -> Cohort:
    """People with some one-day windows each; columns label (0/1), level (0/1/2), score (a number), age, sex."""
    source = simulate_cohort(n_people, seed, windows, effect)
    label = source.label("label")
    rng = np.random.default_rng(seed)
    columns = {
        "participant_id": [name for name in source.participant_id for _ in range(windows)],
        "label": np.repeat(label, windows),
        "level": np.repeat(label * (1 + np.cumsum(label) % 2), windows),
        "score": np.repeat(50 + 10 * label + rng.normal(size=n_people), windows),
    }
    return Cohort(source.activity.reshape(n_people * windows, -1), pl.DataFrame(columns), source.metadata)


def small_config(**changes: Any) -> FinetuneConfig:
    """Two short training epochs, large enough steps to see them, no baseline."""
    settings: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 8,
        "warmup_epochs": 0,
        "encoder_learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
        "baseline": False,
    }
    if changes.get("mode") == "linear_probe":  # an encoder that stays has no rate
        del settings["encoder_learning_rate"]
    return FinetuneConfig(**settings | changes)
