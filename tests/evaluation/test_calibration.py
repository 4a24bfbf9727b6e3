"""Slope and intercept of calibration: closed forms, scikit-learn, and intervals that cover."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.linear_model

from pat_keras.evaluation import bootstrap, metrics
from pat_keras.evaluation.calibration import CLIP, calibration_intercept, calibration_slope, clipped_logit


def _logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _once(y: np.ndarray) -> np.ndarray:
    return np.ones((1, len(y)), dtype=np.int32)


def _sample(n: int, slope: float, intercept: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions whose true log-odds are intercept + slope * the predicted ones."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(intercept + slope * logit)))).astype(float)
    return y, 1 / (1 + np.exp(-logit))


def test_two_predictions_by_hand() -> None:
    """With two different predictions the regression goes through both observed shares: 6 of 20 and 30 of 40."""
    p = np.repeat([0.2, 0.9], [20, 40])
    y = np.concatenate([np.arange(20) < 6, np.arange(40) < 30]).astype(float)
    expected = (_logit(0.75) - _logit(0.3)) / (_logit(0.9) - _logit(0.2))
    assert calibration_slope(y, p, _once(y))[0] == pytest.approx(expected, abs=1e-10)
    intercept = calibration_intercept(y, p, _once(y))[0]
    shifted = [1 / (1 + np.exp(-(_logit(value) + intercept))) for value in (0.2, 0.9)]
    assert 20 * shifted[0] + 40 * shifted[1] == pytest.approx(36, abs=1e-9)  # as many expected as observed
    # Of one prediction for everybody the intercept is the difference of the log-odds.
    assert calibration_intercept(y, np.full(60, 0.2), _once(y))[0] == pytest.approx(_logit(0.6) - _logit(0.2))


def test_slope_agrees_with_scikit_learn_and_repeats_people_as_drawn() -> None:
    y, p = _sample(300, 0.6, 0.4)
    draws = np.concatenate([_once(y), next(iter(bootstrap.draw(np.zeros(300), 20, seed=0)))])
    found = calibration_slope(y, p, draws)
    for value, drawn in zip(found, draws, strict=True):
        model = sklearn.linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        model.fit(clipped_logit(p)[:, None], y, drawn)
        assert value == pytest.approx(model.coef_[0, 0], abs=1e-5)


def test_intercept_agrees_with_newton_from_nothing() -> None:
    y, p = _sample(300, 0.6, 0.4)
    draws = next(iter(bootstrap.draw(np.zeros(300), 20, seed=0)))
    for value, drawn in zip(calibration_intercept(y, p, draws), draws, strict=True):
        people = np.repeat(np.arange(300), drawn)
        a = 0.0
        for _ in range(50):
            chance = 1 / (1 + np.exp(-(np.log(p / (1 - p))[people] + a)))
            a += (y[people] - chance).sum() / (chance * (1 - chance)).sum()
        assert value == pytest.approx(a, abs=1e-8)


def test_well_calibrated_too_extreme_and_too_high() -> None:
    for slope, intercept in ((1, 0), (0.5, 0), (1, -1)):
        y, p = _sample(20000, slope, intercept)
        assert calibration_slope(y, p, _once(y))[0] == pytest.approx(slope, abs=0.06)
        if slope == 1:
            assert calibration_intercept(y, p, _once(y))[0] == pytest.approx(intercept, abs=0.05)
            result = metrics.estimate("binary", y, p)
            assert result["expected_observed"] == pytest.approx(p.sum() / y.sum())
            assert (result["expected_observed"] > 1.3) == (intercept < 0)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Also of the intercept, whose resamples must not hold the numbers of both classes fixed."""
    truth = {"calibration_slope": 0.8, "calibration_intercept": _large(0.8)}
    covered = dict.fromkeys(truth, 0)
    for seed in range(60):
        y, p = _sample(150, 0.8, 0.0, seed)
        resampled = metrics._resampled("binary", y, p, None, seed)
        for name, value in truth.items():
            low, high = bootstrap.interval(resampled[name]) or (np.nan, np.nan)
            covered[name] += low < value < high
    assert all(52 <= count <= 60 for count in covered.values()), covered


def _large(slope: float) -> float:
    """The intercept, at a slope of 1, of very many people."""
    y, p = _sample(400_000, slope, 0.0, seed=99)
    return float(calibration_intercept(y, p, _once(y))[0])


def test_what_has_no_slope() -> None:
    y = np.array([0, 0, 0, 1, 1, 1.0])
    apart, equal = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.8]), np.full(6, 0.3)
    for p, words in ((apart, "separate the classes"), (equal, "all equal")):
        result = metrics.evaluate("binary", y, p)
        assert result["calibration_slope"] is None and words in result["reasons"]["calibration_slope"]
        assert result["calibration_intercept"] is not None
    touching = np.array([0.1, 0.2, 0.5, 0.5, 0.7, 0.8])  # apart but for one tie: no finite slope either
    assert np.isnan(calibration_slope(y, touching, _once(y)))[0]
    one = metrics.evaluate("binary", np.ones(6), apart)
    assert one["calibration_slope"] is one["calibration_intercept"] is None
    assert "all 6 people are of class 1" in one["reasons"]["calibration_intercept"]
    json.dumps(one, allow_nan=False)


def test_certain_predictions_are_clipped() -> None:
    rng = np.random.default_rng(0)
    p = np.concatenate([[0.0, 1.0], rng.random(98)])
    y = (rng.random(100) < p).astype(float)
    clipped = np.clip(p, CLIP, 1 - CLIP)
    for statistic in (calibration_slope, calibration_intercept):
        assert statistic(y, p, _once(y))[0] == statistic(y, clipped, _once(y))[0]
        assert np.isfinite(statistic(y, p, _once(y))).all()
