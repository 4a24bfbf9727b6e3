"""Activity in a file: what it gives is what was written, whatever part is asked for."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pat_keras.data import stored_activity
from pat_keras.data.cohort_files import open_parquet
from pat_keras.data.standardize import Standardizer, detect_scaling
from pat_keras.data.stored_activity import Changed
from pat_keras.errors import CohortError
from tests.small import small_cohort


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_activity, "BLOCK", 8)
    small_cohort(n_people=10).write(tmp_path / "cohort.parquet")
    return open_parquet(tmp_path / "cohort.parquet")[0]


def test_slices(stored) -> None:
    activity = small_cohort(n_people=10).activity
    assert (stored.shape, stored.ndim, len(stored)) == (activity.shape, 2, 20)
    for part in (slice(None), slice(5, 19), slice(8, 16), slice(-3, None), slice(4, 4), slice(16, 400)):
        np.testing.assert_array_equal(stored[part], activity[part])
    with pytest.raises(IndexError, match="expected consecutive windows"):
        stored[::2]


def test_scaling_is_fitted_as_in_memory(stored) -> None:
    activity = small_cohort(n_people=10).activity
    for kind in ("per_minute", "cohort"):
        here, there = Standardizer.fit(activity, kind), Standardizer.fit(stored, kind)
        np.testing.assert_array_equal(here.mean, there.mean)
        np.testing.assert_array_equal(here.scale, there.scale)
    assert detect_scaling(stored) is None
    scaled = detect_scaling(Changed(stored, lambda block: (block - 2.5) / 2.0))
    assert scaled.kind == "fixed"


def test_what_is_wrong_with_the_file_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stored_activity, "BLOCK", 2)
    path = tmp_path / "cohort.parquet"
    rows = [[1.0, 2.0], [3.0, 4.0], [5.0, float("inf")], [7.0, 8.0]]
    for activity, words in (
        (rows, "from 2 on: .*window 0, minute 1"),
        ([*rows[:2], None, None], "2 of 4 rows have no"),
    ):
        pl.DataFrame({"participant_id": list("abcd"), "activity": activity}).write_parquet(path)
        with pytest.raises(CohortError, match=words):
            open_parquet(path)[0][:]
