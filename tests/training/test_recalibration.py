"""Corrected probabilities are those of the people they were trained on; what is fitted is fitted right."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import sklearn.linear_model

from pat_keras.errors import ConfigError, LabelError
from pat_keras.models.outputs import probabilities
from pat_keras.training.recalibration import (
    apply_to,
    balanced_weights,
    logits_of,
    recalibration_of,
    weights_of_people,
)


def _people(n: int, seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Two features and a rare class (or two)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    logits = np.stack([np.zeros(n), 1.2 * x[:, 0] - 2.2, 0.8 * x[:, 1] - 1.5], axis=1)[:, :classes]
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return x, (rng.random(n)[:, None] > np.cumsum(share, axis=1)).sum(axis=1).astype(float)


def _calibration_in_the_large(y: np.ndarray, logit: np.ndarray) -> float:
    """The shift under which as many come true as are expected, found by halving."""
    low, high = -10.0, 10.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(-(logit + middle)))) < y.mean() else (low, middle)
    return low


@pytest.mark.parametrize("weights", ["balanced", "paper"])
def test_prior_takes_the_class_weights_out(weights: str) -> None:
    x, y = _people(20000)
    share = y.mean()
    given = {0.0: share, 1.0: 1 - share} if weights == "paper" else {0.0: 0.5 / (1 - share), 1.0: 0.5 / share}
    model = sklearn.linear_model.LogisticRegression(C=1e6).fit(x, y, [given[value] for value in y])
    new, truth = _people(20000, seed=1)
    logits = model.decision_function(new)[:, None]
    slope, shift = recalibration_of("prior", "binary", given, logits, truth)
    assert _calibration_in_the_large(truth, logits[:, 0]) < -1.5  # as trained: far too high
    assert slope == 1
    assert _calibration_in_the_large(truth, slope * logits[:, 0] + shift[0]) == pytest.approx(0, abs=0.06)
    unweighted = sklearn.linear_model.LogisticRegression(C=1e6).fit(x, y)
    assert (logits + shift).mean() == pytest.approx(unweighted.decision_function(new).mean(), abs=0.06)


def test_prior_of_several_classes() -> None:
    x, y = _people(20000, classes=3)
    weights = balanced_weights(y, np.arange(len(y)))
    model = sklearn.linear_model.LogisticRegression(C=1e6).fit(x, y, [weights[value] for value in y])
    new, truth = _people(20000, seed=1, classes=3)
    logits = model.decision_function(new)
    slope, shift = recalibration_of("prior", "multiclass", weights, logits, truth)
    observed = np.bincount(truth.astype(int)) / len(truth)
    assert np.abs(probabilities(logits, "multiclass").mean(axis=0) - observed).max() > 0.2
    np.testing.assert_allclose(probabilities(slope * logits + shift, "multiclass").mean(axis=0), observed, atol=0.01)


def test_platt_is_logistic_regression_on_logits() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(size=500) * 2
    y = (rng.random(500) < 1 / (1 + np.exp(-(0.5 * logit - 1)))).astype(float)
    weight = rng.integers(1, 4, 500) / 2
    slope, shift = recalibration_of("platt", "binary", {}, logit[:, None], y, weight)
    # Platt's targets, as people of both classes: each counts as a 1 to the share that is its target.
    ones, zeros = weight[y == 1].sum(), weight[y == 0].sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    expected = sklearn.linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.concatenate([logit, logit])[:, None],
        np.repeat([1, 0], 500),
        np.concatenate([weight * target, weight * (1 - target)]),
    )
    assert slope == pytest.approx(expected.coef_[0, 0], abs=1e-5)
    assert shift[0] == pytest.approx(expected.intercept_[0], abs=1e-5)
    assert (slope, shift[0]) == (pytest.approx(0.5, abs=0.2), pytest.approx(-1, abs=0.25))


def test_platt_of_classes_that_are_apart_is_finite_and_the_ranking_is_never_turned_round() -> None:
    y = np.array([0, 0, 0, 1, 1.0])
    slope, shift = recalibration_of("platt", "binary", {}, np.array([[-9], [-8], [-7], [7], [8]]), y)
    assert 0 < slope < 1 and abs(shift[0]) < 2
    slope, shift = recalibration_of("platt", "binary", {}, np.array([[2.0], [1], [1.5], [-1], [-2]]), y)
    assert slope == 1 and np.isfinite(shift).all()
    slope, shift = recalibration_of("platt", "binary", {}, np.full((5, 1), 3.0), y)
    assert np.isfinite([slope, *shift]).all()
    with pytest.raises(LabelError, match="all of class 1"):
        recalibration_of("platt", "binary", {}, np.zeros((3, 1)), np.ones(3))


def test_nothing_is_done_unless_asked_and_never_to_a_regression() -> None:
    logits = np.array([[1.0], [2.0]])
    for kind, task in (("none", "binary"), ("prior", "regression"), ("platt", "regression")):
        slope, shift = recalibration_of(kind, task, {0: 9.0}, logits, np.array([0, 1]))
        assert slope == 1 and shift.tolist() == [0]
    with pytest.raises(ConfigError, match="'isotonic', expected one of none, prior, platt"):
        recalibration_of("isotonic", "binary", {}, logits, np.array([0, 1]))
    with pytest.raises(ConfigError, match="for two classes, and the task is 'multiclass'"):
        recalibration_of("platt", "multiclass", {}, np.zeros((2, 3)), np.array([0, 1]))


def test_the_output_layer_has_it() -> None:
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    layer.bias.assign([1.0, 2.0, 3.0])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    before = np.asarray(layer(x))
    apply_to(layer, 0.5, np.array([0.1, -0.2, 3.0]))
    np.testing.assert_allclose(np.asarray(layer(x)), 0.5 * before + [0.1, -0.2, 3.0], atol=1e-6)


def test_weights_of_baselines_count_people() -> None:
    weights = balanced_weights(np.array([0, 0, 0, 0, 1]), np.array(["a", "a", "b", "c", "d"]))
    assert weights == pytest.approx({0.0: 4 / 6, 1.0: 2.0})


def test_weights_among_people_count_that_a_class_has_more_windows() -> None:
    y = np.array([0.0] * 6 + [1.0] * 2)
    ids = np.array(["a", "a", "a", "b", "b", "b", "c", "d"])  # two people of each class
    assert weights_of_people({0.0: 1.0, 1.0: 1.0}, y, ids) == pytest.approx({0.0: 1.5, 1.0: 0.5})
    balanced = {0.0: 8 / 12, 1.0: 8 / 4}
    assert weights_of_people(balanced, y, ids) == pytest.approx(balanced_weights(y, ids)) == {0.0: 1.0, 1.0: 1.0}
    equal = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    assert weights_of_people(balanced, y, equal) == balanced


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_logits_give_their_probabilities(task: str) -> None:
    given = np.array([[0.2, 0.8], [0.999, 0.001]]) if task == "binary" else np.array([[0.2, 0.5, 0.3], [0, 0.1, 0.9]])
    np.testing.assert_allclose(probabilities(logits_of(given), task), given, atol=1e-12)
