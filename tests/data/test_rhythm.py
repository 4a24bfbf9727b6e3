"""Measures of the daily rhythm: cases known beforehand, examples worked by hand, and plain loops with gaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pat_keras.data.rhythm import (
    autocorrelation,
    daily_totals,
    hourly_means,
    interdaily_stability,
    intradaily_variability,
    sd_of_days,
)

DAY = 1440


def _sine(days: int = 7) -> np.ndarray:
    return 100 + 50 * np.sin(2 * np.pi * np.arange(days * DAY) / DAY)[None]


def _noise(days: int = 200, people: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 10, size=(people, days * DAY))


def _gappy(people: int = 5, days: int = 6, rest: int = 400) -> np.ndarray:
    rng = np.random.default_rng(1)
    x = rng.gamma(1 + np.sin(np.arange(days * DAY + rest) / DAY * 2 * np.pi) ** 2, 100, (people, days * DAY + rest))
    for row in range(people):
        for start in rng.integers(0, x.shape[1], 8):
            x[row, start : start + rng.integers(10, 700)] = np.nan
    return x


def test_a_perfect_rhythm() -> None:
    hours = hourly_means(_sine())
    assert interdaily_stability(hours) == pytest.approx(1.0)
    # Neighbours of a sampled sine differ by 2 sin(pi / 24) of a sine, whose variance is that of the sine.
    assert intradaily_variability(hours) == pytest.approx((2 * np.sin(np.pi / 24)) ** 2, rel=0.01)
    assert autocorrelation(_sine(), DAY) == pytest.approx(1.0)
    assert autocorrelation(_sine(200), 60) == pytest.approx(np.cos(2 * np.pi / 24), abs=0.001)
    assert sd_of_days(_sine()) == pytest.approx(0.0, abs=1e-6)


def test_white_noise() -> None:
    hours = hourly_means(_noise())
    np.testing.assert_allclose(intradaily_variability(hours), 2.0, atol=0.1)
    week = hourly_means(_noise(7, people=100))
    # Between 24 means of 7 draws each: (24 - 1) / (168 - 1) of the variance.
    assert interdaily_stability(week).mean() == pytest.approx(23 / 167, abs=0.01)
    np.testing.assert_allclose(autocorrelation(_noise(), 1), 0.0, atol=0.01)


def test_two_days_by_hand() -> None:
    """Twelve hours of 0, twelve of 1, then a day of 0: mean 1/4, squares about it 9, 24 hourly means of 0 and 1/2."""
    hours = np.zeros((1, 48))
    hours[0, 12:24] = 1
    assert interdaily_stability(hours) == pytest.approx(48 * 24 / 16 / (24 * 9))
    assert intradaily_variability(hours) == pytest.approx((2 / 47) / (9 / 48))
    hours[0, 24:36] = 1  # the second day is the first reversed
    assert interdaily_stability(hours) == pytest.approx(0.0)


def test_hours_and_totals() -> None:
    x = np.arange(3 * DAY, dtype=float)[None] // 60
    np.testing.assert_allclose(hourly_means(x), np.arange(72.0)[None])
    x[0, :31] = np.nan  # 29 minutes left
    x[0, 60:90] = np.nan  # 30 minutes left
    assert np.isnan(hourly_means(x)[0, 0]) and hourly_means(x)[0, 1] == 1
    steady = np.full((1, 3 * DAY), 2.0)
    steady[0, DAY : DAY + 720] = np.nan  # half the day is known, and counts for all of it
    steady[0, 2 * DAY : 2 * DAY + 721] = np.nan
    np.testing.assert_array_equal(daily_totals(steady), [[2 * DAY, 2 * DAY, np.nan]])


def test_a_last_hour_and_day_cut_off() -> None:
    x = np.full((1, 2 * DAY + 719), 3.0)
    assert daily_totals(x).shape == (1, 3) and np.isnan(daily_totals(x)[0, 2])
    assert hourly_means(x).shape == (1, 60) and hourly_means(x)[0, -1] == 3.0  # 59 minutes of it
    assert np.isnan(hourly_means(x[:, : 2 * DAY + 20])[0, -1])


def test_plain_loops_with_gaps() -> None:
    x = _gappy()
    for row, week in enumerate(x):
        hours = []
        for start in range(0, len(week), 60):
            known = week[start : start + 60][~np.isnan(week[start : start + 60])]
            hours.append(known.mean() if len(known) >= 30 else np.nan)
        series = np.array(hours)
        known = series[~np.isnan(series)]
        steps = [(b - a) ** 2 for a, b in itertools.pairwise(hours) if not np.isnan(a) and not np.isnan(b)]
        spread = sum((value - known.mean()) ** 2 for value in known) / len(known)
        assert intradaily_variability(series[None]) == pytest.approx(np.mean(steps) / spread)
        between = 0.0
        for hour in range(24):
            values = [value for value in hours[hour::24] if not np.isnan(value)]
            between += len(values) * (np.mean(values) - known.mean()) ** 2 if values else 0.0
        assert interdaily_stability(series[None]) == pytest.approx(between / len(known) / spread)
        mean, variance = np.nanmean(week), np.nanvar(week)
        products = [
            (week[t] - mean) * (week[t + 60] - mean)
            for t in range(len(week) - 60)
            if not np.isnan(week[t]) and not np.isnan(week[t + 60])
        ]
        assert autocorrelation(x, 60)[row] == pytest.approx(np.mean(products) / variance)
        totals = []
        for start in range(0, len(week), DAY):
            known = week[start : start + DAY][~np.isnan(week[start : start + DAY])]
            totals += [known.mean() * DAY] if len(known) >= 720 else []
        assert sd_of_days(x)[row] == pytest.approx(np.std(totals, ddof=1))


def test_missing_hours_move_stability_little() -> None:
    x = _sine(7)
    x[0, 3 * DAY + 100 : 4 * DAY - 200] = np.nan
    assert interdaily_stability(hourly_means(x)) == pytest.approx(1.0, abs=0.01)
    assert autocorrelation(x, DAY) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, np.nan])
def test_what_tells_nothing_is_nan(value: float) -> None:
    x = np.full((2, 3 * DAY), value)
    hours = hourly_means(x)
    for measure in (intradaily_variability(hours), interdaily_stability(hours), autocorrelation(x, 60)):
        assert np.isnan(measure).all()
    assert np.isnan(autocorrelation(_sine(1), DAY)).all()
    assert np.isnan(interdaily_stability(hourly_means(_sine(1)))).all()
    assert np.isnan(sd_of_days(_sine(1))).all()
