"""A score as what is learned in place of the label that is a cut of it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pat_keras.errors import LabelError
from pat_keras.training.score_targets import ScoreTargets


def test_targets_are_shares_of_the_range_of_training_people() -> None:
    scores = np.concatenate([np.arange(101.0), [5000.0]])  # one person's is far out
    targets = ScoreTargets.fit(scores, np.arange(102))
    assert targets.high < 102
    shares = targets(np.array([-10.0, targets.low, (targets.low + targets.high) / 2, targets.high, 1e9]))
    np.testing.assert_allclose(shares, [0, 0, 0.5, 1, 1], atol=1e-6)
    assert shares.dtype == np.float32


def test_people_and_not_windows_make_the_range() -> None:
    scores = np.concatenate([np.full(900, 50.0), np.arange(100.0)])
    people = np.concatenate([np.full(900, 1000), np.arange(100)])  # one person has 900 windows
    assert ScoreTargets.fit(scores, people) == ScoreTargets.fit(scores[899:], people[899:])


@pytest.mark.parametrize("n", [4, 30, 80, 101, 400])
def test_one_score_far_out_is_no_range(n: int) -> None:
    scores = np.arange(float(n))
    far = ScoreTargets.fit(np.append(scores[:-1], 9999.0), np.arange(n))
    assert far == ScoreTargets.fit(scores, np.arange(n)) and far.high < n
    below = ScoreTargets.fit(np.append(scores[1:], -9999.0), np.arange(n))
    assert below == ScoreTargets.fit(scores, np.arange(n)) and below.low >= 0
    if n >= 101:
        assert [far.low, far.high] == np.quantile(scores, [0.01, 0.99]).tolist()


def test_one_person_with_a_score_is_one_still() -> None:
    scores = np.zeros(30)
    scores[7] = 5.0
    assert ScoreTargets.fit(scores, np.arange(30))(scores).tolist() == (scores > 0).tolist()


def test_scores_that_hardly_differ_are_refused() -> None:
    scores = np.zeros(500)
    scores[0] = 3.0
    with pytest.raises(LabelError, match=r"nearly all have the score 0 .*expected scores that differ"):
        ScoreTargets.fit(scores, np.arange(500))


def test_order_is_kept() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 28, 400).astype(float)
    targets = ScoreTargets.fit(scores, np.arange(400))(scores)
    assert roc_auc_score(scores >= 10, targets) == 1.0
