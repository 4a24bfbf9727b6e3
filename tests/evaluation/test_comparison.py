"""The difference of two models on the same people."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk

from pat_keras.evaluation import comparison, metrics
from tests.evaluation.test_metrics import binary_scores


def test_paired_difference_is_narrower_than_unpaired_and_keeps_its_sign() -> None:
    y, p = binary_scores(3, n=150)
    rng = np.random.default_rng(0)
    worse = p + rng.normal(0, 0.05, len(p))
    result = comparison.paired_auc_difference(y, p, worse)
    assert result["auc"] == pytest.approx(sk.roc_auc_score(y, p) - sk.roc_auc_score(y, worse))
    assert result["low"] < result["auc"] < result["high"]
    alone = metrics.evaluate("binary", y, p)
    assert result["high"] - result["low"] < 0.5 * (alone["auc_high"] - alone["auc_low"])
    mirrored = comparison.paired_auc_difference(y, worse, p)
    assert mirrored["low"] == pytest.approx(-result["high"])
    assert mirrored["p_value"] == pytest.approx(result["p_value"])


def test_clear_difference_has_a_small_p_value() -> None:
    y, p = binary_scores(3, n=300)
    result = comparison.paired_auc_difference(y, p, np.random.default_rng(0).random(300))
    assert result["low"] > 0
    assert result["p_value"] < 0.001


def test_equal_models_do_not_differ() -> None:
    y, p = binary_scores()
    result = comparison.paired_auc_difference(y, p, p)
    assert (result["auc"], result["low"], result["high"]) == (0, None, None)
    assert result["p_value"] is None


def test_p_value_is_uniform_when_models_are_equally_good() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([1.0, 0.0], [40, 60])
    shared = rng.normal(size=(200, 100)) + y
    p_values = [metrics.roc.delong(y, np.stack([s + rng.normal(size=100), s + rng.normal(size=100)])) for s in shared]
    z = [(a[0] - a[1]) / np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1]) for a, c in p_values]
    assert scipy.stats.kstest(z, "norm").pvalue > 0.01


def test_paired_difference_of_other_tasks() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=50)
    result = comparison.paired_difference("regression", y, y + 0.1, y + 0.3)
    assert result["mae"] == pytest.approx(-0.2)
    classes = rng.integers(0, 3, 60)
    good, chance = np.eye(3)[classes] * 0.7 + 0.1, np.full((60, 3), 1 / 3)
    assert comparison.paired_difference("multiclass", classes, good, chance)["auc"] == pytest.approx(0.5)


def test_differences_of_folds_are_wider() -> None:
    y, p = binary_scores(2, n=90)
    factor = math.sqrt(1.8)
    pairs = [comparison.paired_auc_difference(y, p, p[::-1], folds=k) for k in (1, 5)]
    assert pairs[1]["high"] - pairs[1]["auc"] == pytest.approx(factor * (pairs[0]["high"] - pairs[0]["auc"]))
    assert pairs[1]["standard_error"] == pytest.approx(factor * pairs[0]["standard_error"])
    assert pairs[1]["p_value"] > pairs[0]["p_value"]
