"""Who is at the ends of certainty: by hand on few people."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.evaluation import certainty as kinds
from pat_keras.evaluation.certainty import certainty, choose_people, predicted_class


def test_binary_certainty_is_the_distance_from_the_threshold() -> None:
    score, threshold = np.array([0.5, 0.9, 0.1]), np.array([0.5, 0.5, 0.1])
    np.testing.assert_allclose(certainty("binary", score, threshold), [0, np.log(9), 0], atol=1e-12)
    assert predicted_class("binary", score, threshold).tolist() == [1, 1, 1]


def test_far_in_log_odds_is_far_where_thresholds_are_low() -> None:
    """0.001 is as far below a threshold of 0.01 as 0.09 is above it, which differences of probabilities deny."""
    low, high = certainty("binary", np.array([0.001, 0.0917]), 0.01)
    assert low == pytest.approx(high, rel=0.02)


def test_certainty_of_several_classes_is_the_lead_of_the_first() -> None:
    score = np.array([[0.5, 0.3, 0.2], [0.2, 0.4, 0.4]])
    np.testing.assert_allclose(certainty("multiclass", score, None), [0.2, 0.0])
    assert predicted_class("multiclass", score, None).tolist() == [0, 1]


def test_two_classes() -> None:
    score = np.array([0.99, 0.02, 0.51, 0.60, 0.97, 0.48])
    y = np.array([1, 0, 1, 0, 0, 1])
    found = choose_people("binary", y, score, 0.5, 1)
    assert {kind: places.tolist() for kind, places in found.items()} == {
        kinds.WRONG: [4],
        kinds.SUREST: [0],
        kinds.UNSURE: [2],
    }


def test_nobody_is_chosen_twice() -> None:
    score, y = np.array([0.9, 0.4, 0.6]), np.array([0, 0, 1])
    found = choose_people("binary", y, score, 0.5, 3)
    assert sorted(place for places in found.values() for place in places) == [0, 1, 2]
    assert found[kinds.WRONG].tolist() == [0]
    assert kinds.UNSURE not in found


def test_errors_of_a_regression() -> None:
    y, score = np.array([10.0, 10.0, 10.0, 10.0]), np.array([10.1, 14.0, 3.0, 12.0])
    found = choose_people("regression", y, score, None, 1)
    assert {kind: places.tolist() for kind, places in found.items()} == {
        kinds.HIGH: [1],
        kinds.LOW: [2],
        kinds.NEAREST: [0],
    }
