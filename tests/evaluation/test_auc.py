"""The ROC curve's numbers against scikit-learn, and DeLong against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from pat_keras.evaluation import auc as roc
from pat_keras.evaluation import bootstrap


def _sample(seed: int, n: int = 60, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(float)
    score = rng.normal(size=n) + y
    return y, np.round(score, 0 if ties else 9)


@pytest.mark.parametrize("ties", [True, False])
def test_resampled_auc_and_average_precision_equal_scikit_learn_with_weights(ties: bool) -> None:
    y, score = _sample(0, ties=ties)
    draws = next(bootstrap.draw(y, 20, seed=1))
    expected_auc = [sklearn.metrics.roc_auc_score(y, score, sample_weight=row) for row in draws]
    expected_ap = [sklearn.metrics.average_precision_score(y, score, sample_weight=row) for row in draws]
    np.testing.assert_allclose(roc.auc(y, score, draws), expected_auc, atol=1e-12)
    np.testing.assert_allclose(roc.average_precision(y, score, draws), expected_ap, atol=1e-12)


def test_roc_points_equal_scikit_learn() -> None:
    y, score = _sample(2)
    expected = sklearn.metrics.roc_curve(y, score, drop_intermediate=False)
    for ours, theirs in zip(roc.roc_points(y, score), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_one_class_is_nan_not_an_error() -> None:
    draws = np.array([[1, 1, 0], [0, 1, 1]])
    values = roc.auc(np.array([1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.5]), draws)
    assert np.isnan(values[0])
    assert values[1] == 1.0


def test_delong_equals_its_definition_by_all_pairs() -> None:
    y, first = _sample(3)
    scores = np.stack([first, _sample(4)[1] + y])
    aucs, covariance = roc.delong(y, scores)
    # The definition: psi(case, control) for every pair, averaged over the other class for each person.
    pairs = [
        np.sign(score[y == 1][:, None] - score[y == 0][None, :]) / 2 + 0.5 for score in scores
    ]  # each (cases, controls)
    of_case, of_control = np.stack([p.mean(1) for p in pairs]), np.stack([p.mean(0) for p in pairs])
    expected = np.zeros((2, 2))
    for a in range(2):
        for b in range(2):
            for parts in (of_case, of_control):
                m = parts.shape[1]
                centred = parts - parts.mean(axis=1, keepdims=True)
                expected[a, b] += (centred[a] * centred[b]).sum() / (m - 1) / m
    np.testing.assert_allclose(aucs, [p.mean() for p in pairs], atol=1e-12)
    np.testing.assert_allclose(covariance, expected, atol=1e-14)


def test_delong_by_hand() -> None:
    # Cases 2, 4; controls 1, 3. psi = [[1, 0], [1, 1]]: AUC 3/4; cases' means 1/2, 1; controls' means 1, 1/2;
    # each has the variance 1/8, so the AUC's is 1/8 / 2 + 1/8 / 2 = 1/8.
    aucs, covariance = roc.delong(np.array([1.0, 1, 0, 0]), np.array([[2.0, 4, 1, 3]]))
    assert aucs[0] == pytest.approx(0.75)
    assert covariance[0, 0] == pytest.approx(0.125)


def test_delong_of_a_single_case_has_no_variance() -> None:
    aucs, covariance = roc.delong(np.array([1.0, 0, 0]), np.array([[2.0, 1, 3]]))
    assert aucs[0] == pytest.approx(0.5)
    assert np.isnan(covariance).all()
