from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.simulate import simulate_cohort
from pat_keras.data.splits import PARTS, Split
from pat_keras.errors import CohortError, LabelError
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


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return simulate_cohort(n_people=60, days=1)


def _splits(cohort: Cohort, **settings: object) -> list[Split]:
    config = FinetuneConfig(baseline=False, **settings)  # type: ignore[arg-type]
    return make_splits(labelled_data(cohort, "label", config, pytest.fail), config)


def test_the_seed_of_the_split_is_apart_from_that_of_training(cohort) -> None:
    by_seed, alone, both = (
        _splits(cohort, **seeds)[0].test.tolist()
        for seeds in ({"seed": 3}, {"split_seed": 3}, {"seed": 9, "split_seed": 3})
    )
    assert by_seed == alone == both != _splits(cohort, seed=9)[0].test.tolist()


@pytest.mark.parametrize("split", ["holdout", "kfold", "leave_one_out"])
def test_every_kind_of_split_takes_a_training_size(cohort, split: str) -> None:
    smaller, larger = (_splits(cohort, split=split, train_size=size) for size in (20, 30))
    assert len(smaller) == len(larger) == {"holdout": 1, "kfold": 5, "leave_one_out": 60}[split]
    for few, more in zip(smaller, larger, strict=True):
        assert len(few.train) + len(few.validation) == 20 and len(more.train) + len(more.validation) == 30
        assert set(few.train) < set(more.train) and set(few.validation) <= set(more.validation)
        np.testing.assert_array_equal(few.test, more.test)


def test_a_list_is_read_and_people_without_the_label_may_be_on_it(cohort, tmp_path) -> None:
    path = tmp_path / "test.txt"
    path.write_text("".join(f"synthetic_{number:04d}\n" for number in range(1, 21)))
    settings = {"split": "list", "test_people": str(path), "validation_fraction": 0.3}
    unknown = pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise(pl.col("label")).alias("label")
    (split,) = _splits(cohort.with_columns(unknown), **settings)
    assert len(split.test) == 17 and split.left_out == {"on the list, without a window or a label here": 3}
    assert [len(getattr(split, part)) for part in PARTS] == [28, 12, 17]
    path.write_text(path.read_text() + "nobody\n")
    with pytest.raises(CohortError, match="1 of 21 ids are of nobody in the cohort"):
        _splits(cohort.with_columns(unknown), **settings)


def test_too_few_people_of_a_class_for_a_training_size(cohort) -> None:
    with pytest.raises(LabelError, match="expected at least 2 of each"):
        config = FinetuneConfig(train_size=5)
        make_splits(labelled_data(cohort, "label", config, pytest.fail), config)
    with pytest.raises(CohortError, match="48 people are not tested, expected at least the 49"):
        _splits(cohort, train_size=49)
