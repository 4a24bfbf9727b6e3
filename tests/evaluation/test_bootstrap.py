"""Resamples of people: how they are drawn, and whether the interval covers what it says."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from pat_keras.evaluation import auc as roc
from pat_keras.evaluation import bootstrap


def test_every_resample_keeps_the_size_of_each_stratum() -> None:
    strata = np.array([0, 1, 1, 0, 1, 2])
    draws = np.concatenate(list(bootstrap.draw(strata, 50, seed=0)))
    assert draws.shape == (50, 6)
    for value, size in ((0, 2), (1, 3), (2, 1)):
        assert (draws[:, strata == value].sum(axis=1) == size).all()
    assert len({row.tobytes() for row in draws}) > 10  # it does draw


def test_each_person_is_drawn_equally_often() -> None:
    draws = np.concatenate(list(bootstrap.draw(np.zeros(5), 20_000, seed=0)))
    np.testing.assert_allclose(draws.mean(axis=0), 1.0, atol=0.03)
    np.testing.assert_allclose(draws.var(axis=0), 0.8, atol=0.03)  # n p (1 - p) of a multinomial


def test_seeds_repeat_and_differ() -> None:
    strata = np.zeros(30)
    one, again, other = (next(bootstrap.draw(strata, 5, seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_large_cohorts_come_in_chunks(monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", 100)
    parts = list(bootstrap.draw(np.zeros(30), 10, seed=0))
    assert [len(part) for part in parts] == [3, 3, 3, 1]


def test_interval_is_none_when_too_much_is_undefined() -> None:
    values = np.arange(100.0)
    assert bootstrap.interval(values) == pytest.approx((2.475, 96.525))
    values[:4] = np.nan
    assert bootstrap.interval(values) is not None
    values[:6] = np.nan
    assert bootstrap.interval(values) is None
    assert bootstrap.interval(np.full(100, 0.1) + np.arange(100) * 1e-17) is None  # no width


def test_interval_of_the_auc_covers_the_truth() -> None:
    """300 samples of 25 cases and 40 controls whose true AUC is 0.75: about 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    y = np.repeat([1.0, 0.0], [25, 40])
    shift = np.sqrt(2) * scipy.stats.norm.ppf(0.75)
    covered = 0
    for seed in range(300):
        score = rng.normal(size=65) + shift * y
        values = bootstrap.distribution(lambda draws, s=score: {"auc": roc.auc(y, s, draws)}, y, 400, seed)["auc"]
        low, high = bootstrap.interval(values) or (1.0, 0.0)
        covered += low <= 0.75 <= high
    assert 0.90 <= covered / 300 <= 0.98
