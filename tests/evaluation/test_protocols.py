from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.data.simulate import simulate_cohort
from pat_keras.evaluation.protocols import labelled_data, make_splits


def test_people_who_share_recordings_are_kept_together_by_random_splits() -> None:
    cohort = simulate_cohort(n_people=40, days=1)
    number, labels = np.arange(40), cohort.label("label")
    # Pairs of one case and one control each: a split by participant and label would tear nearly all of them apart.
    rank = {label: np.cumsum(labels == label) for label in (0.0, 1.0)}
    pair = [int(rank[label][n]) if rank[label][n] <= 10 else None for n, label in zip(number, labels, strict=True)]
    grouped = cohort.with_columns(pl.Series("same_recording_group", pair, dtype=pl.Int32))
    for split in ("holdout", "kfold"):
        config = FinetuneConfig(split=split, baseline=False)
        data = labelled_data(grouped, "label", config, pytest.fail)
        for parts in make_splits(data, config):
            parts_of_group: dict[str, set[str]] = {}
            for name in ("train", "validation", "test"):
                for group in data.group[getattr(parts, name)]:
                    parts_of_group.setdefault(str(group), set()).add(name)
            assert all(len(found) == 1 for found in parts_of_group.values())
            assert sum(group.startswith("recording") for group in parts_of_group) == 10
