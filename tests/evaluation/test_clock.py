"""Which hour and day a sample is in."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.errors import CohortError
from pat_keras.evaluation.clock import Clock, mean_by, total_by


def _cohort(starts: list[datetime.datetime | None], length: int = 1440, epoch_length: int = 60) -> Cohort:
    table = pl.DataFrame({"participant_id": [f"p{k}" for k in range(len(starts))], "start": starts})
    return Cohort(np.ones((len(starts), length)), table, {"source": "x", "epoch_length": epoch_length})


def test_a_window_from_half_past_nine() -> None:
    clock = Clock.of(_cohort([datetime.datetime(2024, 1, 3, 9, 30), datetime.datetime(2024, 2, 3, 9, 30)], 2000))
    assert clock == Clock(2000, 60, 570, True)
    assert clock.hour[:31].tolist() == [0] * 30 + [1]
    assert clock.hour_of_day[[0, 30, 870, 1999]].tolist() == [9, 10, 0, 18]
    assert clock.day[[0, 869, 870, 1999]].tolist() == [0, 0, 1, 1]
    assert (clock.n_hours, clock.n_days) == (34, 2)
    assert clock.day_names(7) == ["Sunday", "Monday"]
    assert clock.day_names(None) == ["day 1", "day 2"]


def test_half_minutes_from_an_unknown_time() -> None:
    clock = Clock.of(_cohort([None, None], 2880, 30))
    assert clock == Clock(2880, 30, 0, False)
    assert (clock.per_hour, clock.n_hours, clock.n_days) == (120, 24, 1)


@pytest.mark.parametrize(
    ("cohort", "words"),
    [
        (lambda: _cohort([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, 8)]), "at 2 different times"),
        (lambda: _cohort([datetime.datetime(2024, 1, 1), None]), "at 2 different times"),
        (lambda: _cohort([None], 1439), "less than the day"),
        (lambda: _cohort([None], 50000, 7), "not a whole number"),
    ],
)
def test_windows_that_have_no_common_clock(cohort, words: str) -> None:
    with pytest.raises(CohortError, match=words):
        Clock.of(cohort())


def test_sums_and_means_of_groups() -> None:
    values, group = np.array([[1.0, 2.0, 4.0, np.nan]]), np.array([0, 2, 2, 3])
    assert total_by(values[:, :3], group[:3]).tolist() == [[1, 0, 6]]
    np.testing.assert_array_equal(mean_by(values, group), [[1, np.nan, 3, np.nan]])
