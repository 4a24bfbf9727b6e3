"""Stacking weights: the best mixture there is, and none of it for a member that knows nothing."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from pat_keras.errors import LabelError
from pat_keras.evaluation.stacking import stack_weights


def _binary(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn by a probability, which member 0 knows; members 1 and 2 know it badly and not at all."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, n)
    p = 1 / (1 + np.exp(-logit))
    y = (rng.random(n) < p).astype(float)
    rough = 1 / (1 + np.exp(-(logit + rng.normal(0, 2, n))))
    return y, np.stack([p, rough, rng.uniform(0.2, 0.8, n)])


def test_weights_favour_the_member_that_knows() -> None:
    y, scores = _binary()
    weights = stack_weights("binary", y, scores)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[0] > 0.85
    assert weights[2] < 0.05
    turned = stack_weights("binary", y, scores[::-1])
    np.testing.assert_allclose(turned, weights[::-1], atol=1e-4)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_no_other_mixture_is_better(task: str) -> None:
    """Against every mixture of two members in steps of a thousandth, by scikit-learn's losses."""
    rng = np.random.default_rng(3)
    if task == "regression":
        y = rng.normal(50, 10, 60)
        scores = np.stack([y + rng.normal(0, 6, 60), y + rng.normal(0, 9, 60)])
    else:
        classes = 2 if task == "binary" else 3
        y = rng.integers(0, classes, 60).astype(float)
        scores = 0.5 * rng.dirichlet(np.ones(classes), (2, 60)) + 0.5 * np.eye(classes)[y.astype(int)] * 0.6 + 0.1
        scores /= scores.sum(axis=2, keepdims=True)
        scores = scores[..., 1] if task == "binary" else scores

    def loss(weight: float) -> float:
        mixed = weight * scores[0] + (1 - weight) * scores[1]
        if task == "regression":
            return float(np.mean((mixed - y) ** 2))
        return float(sklearn.metrics.log_loss(y, mixed))

    grid = np.linspace(0, 1, 1001)
    best = grid[np.argmin([loss(weight) for weight in grid])]
    weights = stack_weights(task, y, scores)
    assert weights[0] == pytest.approx(best, abs=2e-3)
    assert 0.02 < best < 0.98  # otherwise this would prove nothing


def test_members_that_are_alike_share() -> None:
    y, scores = _binary(40)
    np.testing.assert_allclose(stack_weights("binary", y, np.stack([scores[0]] * 4)), np.full(4, 0.25))


def test_certain_and_wrong_members_are_survived() -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0])
    weights = stack_weights("binary", y, np.stack([1 - y, np.full(4, 0.5)]))
    np.testing.assert_allclose(weights, [0, 1], atol=1e-6)


def test_one_class_or_nobody() -> None:
    with pytest.raises(LabelError, match="the 5 validation people are of 1 class"):
        stack_weights("binary", np.ones(5), np.full((2, 5), 0.5))
    with pytest.raises(LabelError, match="no validation people"):
        stack_weights("regression", np.zeros(0), np.zeros((2, 0)))
