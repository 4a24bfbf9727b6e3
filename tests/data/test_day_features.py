"""Features of days: by definition, and summed up over a person's days."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.data.day_features import DAY_MINUTES, day_features, mean_and_sd_by_person
from pat_keras.errors import CohortError

MINUTE = np.arange(DAY_MINUTES)


def of_one(day: np.ndarray) -> dict[str, float]:
    values, names = day_features(day[None].astype(np.float32))
    assert values.shape == (1, 44) and len(set(names)) == 44 and np.isfinite(values).all()
    return dict(zip(names, values[0], strict=True))


def test_a_day_with_one_bout() -> None:
    """Active from 09:00 to 10:40 with 100 counts a minute."""
    found = of_one(np.where((MINUTE >= 540) & (MINUTE < 640), 100.0, 0.0))
    assert found["active_bout_longest"] == found["active_bout_mean"] == pytest.approx(np.log1p(100))
    assert found["rest_bout_longest"] == pytest.approx(np.log1p(800))
    assert found["rest_bout_mean"] == pytest.approx(np.log1p(1340 / 2))
    assert found["rest_night"] == 1 and found["rest_morning"] == pytest.approx(260 / 360)
    assert found["active_to_rest"] == pytest.approx(1 / 100) and found["rest_to_active"] == pytest.approx(1 / 1339)
    assert found["log_counts_morning"] == pytest.approx(np.log1p(100) * 100 / 360)
    assert found["log_counts_evening"] == 0


def test_a_day_that_is_a_cosine() -> None:
    """log(1 + counts) = 4 + 2 cos(angle): the first harmonic is 2, the second 0."""
    found = of_one(np.expm1(4 + 2 * np.cos(2 * np.pi * MINUTE / DAY_MINUTES)))
    assert found["harmonic_1_cos"] == pytest.approx(2, abs=1e-5)
    assert found["harmonic_1_sin"] == pytest.approx(0, abs=1e-5)
    assert found["harmonic_1_amplitude"] == pytest.approx(2, abs=1e-5)
    assert found["harmonic_2_amplitude"] == pytest.approx(0, abs=1e-5)
    assert found["log_counts_mean"] == pytest.approx(4, abs=1e-5)
    assert found["log_counts_sd"] == pytest.approx(np.sqrt(2), abs=1e-5)


def test_days_of_one_value() -> None:
    for value in (0.0, 500.0):
        found = of_one(np.full(DAY_MINUTES, value))
        assert found["variation"] == found["successive_over_sd"] == found["hourly_variability"] == 0
        assert found["autocorrelation_30"] == 0


def test_mean_and_sd_of_each_person() -> None:
    features = np.array([[1.0, 10.0], [5.0, 7.0], [3.0, np.nan], [8.0, np.nan]])
    found = mean_and_sd_by_person(features, np.array(["a", "b", "a", "b"]))
    first, second = [2.0, 10.0, np.sqrt(2), np.nan], [6.5, 7.0, np.sqrt(4.5), np.nan]
    np.testing.assert_allclose(found, [first, second, first, second])


def test_what_is_no_whole_day_is_refused() -> None:
    with pytest.raises(CohortError, match=r"10080 minutes, expected 1440.*--window_days=1"):
        day_features(np.zeros((2, 7 * DAY_MINUTES), dtype=np.float32))
    gap = np.zeros((3, DAY_MINUTES), dtype=np.float32)
    gap[1, 5] = np.nan
    with pytest.raises(CohortError, match="1 of 3 days have missing minutes"):
        day_features(gap)
