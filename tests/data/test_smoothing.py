"""Savitzky-Golay smoothing: SciPy's on complete weeks, and no harm beside gaps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from pat_keras.data.smoothing import smooth
from pat_keras.errors import CohortError


def test_complete_weeks_are_scipy_s() -> None:
    x = np.random.default_rng(0).gamma(0.3, 3000.0, size=(300, 200)).astype(np.float32)
    expected = signal.savgol_filter(x.astype(np.float64), 51, 3, mode="interp")
    found = smooth(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)


def test_a_cubic_passes_unchanged() -> None:
    t = np.linspace(-1, 1, 400)
    cubic = (100 * (2 + t - t**2 + 3 * t**3))[None]
    np.testing.assert_allclose(smooth(cubic), cubic, rtol=1e-6)


def test_gaps_stay_and_take_the_level_beside_them() -> None:
    """A quiet night with a gap in an active week: the minutes beside the gap stay quiet."""
    x = np.full((1, 1000), 500.0, np.float32)
    x[0, 300:700] = 2.0
    x[0, 450:550] = np.nan
    found = smooth(x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    np.testing.assert_allclose(found[0, 350:450], 2.0, rtol=1e-5)
    np.testing.assert_allclose(found[0, 550:650], 2.0, rtol=1e-5)


def test_a_missing_minute_counts_as_the_mean_of_its_neighbours() -> None:
    x = np.random.default_rng(1).gamma(1.0, 100.0, size=(1, 300))
    x[0, [140, 150]] = np.nan
    filled = x.copy()
    for place in (140, 150):
        filled[0, place] = np.nanmean(x[0, place - 25 : place + 26])
    expected = signal.savgol_filter(filled, 51, 3, mode="interp")
    expected[np.isnan(x)] = np.nan
    np.testing.assert_allclose(smooth(x), expected, rtol=1e-6)


def test_weeks_of_gaps_alone() -> None:
    x = np.full((2, 100), np.nan, np.float32)
    x[1, 0] = 7.0
    found = smooth(x)
    assert np.isnan(found[0]).all() and np.isnan(found[1, 1:]).all()
    assert found[1, 0] == pytest.approx(7.0)


@pytest.mark.parametrize("shape", [(3, 50), (100,)])
def test_what_cannot_be_smoothed(shape: tuple[int, ...]) -> None:
    with pytest.raises(CohortError, match="at least 51 minutes"):
        smooth(np.zeros(shape))
