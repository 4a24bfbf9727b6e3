"""Hiding hours and days, and whether hours that are named matter more than others."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.errors import ConfigError
from pat_keras.evaluation.clock import Clock
from pat_keras.evaluation.deletion import deletion_changes, deletion_test, importance_by_hour
from pat_keras.evaluation.explained_model import ExplainedModel
from pat_keras.evaluation.occlusion import occlusion
from tests.evaluation.explained import DAY, LinearModel, counts, tiny_classifier, with_gaps

DAYS = 3
CLOCK = Clock(DAYS * DAY, first=90)  # from half past one


def _morning() -> tuple[LinearModel, np.ndarray]:
    """A model that looks at 5 to 8 in the morning alone, and its weights."""
    weights = np.where(np.isin(CLOCK.hour_of_day, (5, 6, 7)), 0.01, 0.0)
    return LinearModel(weights), weights


def test_hours_and_days_of_a_linear_model() -> None:
    """What is ignored changes nothing; an hour of the day and a day change the score by what they added to it."""
    model, weights = _morning()
    weeks = counts(4, DAYS)
    found = occlusion(model, weeks, CLOCK)
    assert (np.delete(found.hours, (5, 6, 7), axis=1) == 0).all()
    added = weights * weeks
    for hour in (5, 6, 7):
        np.testing.assert_allclose(found.hours[:, hour], added[:, CLOCK.hour_of_day == hour].sum(axis=1), rtol=1e-3)
    for day in range(CLOCK.n_days):
        expected = added[:, CLOCK.day == day].sum(axis=1)
        np.testing.assert_allclose(found.days[:, day], expected, rtol=1e-3, atol=1e-3)
    assert found.by_hour(CLOCK).shape == (4, CLOCK.n_hours)
    assert set((np.flatnonzero(found.by_hour(CLOCK)[0] > 0) + 1) % 24) == {5, 6, 7}


def test_hidden_is_missing_for_a_model_that_knows_missing_minutes() -> None:
    weeks, hidden = counts(3) / 100 - 1, np.zeros((3, 2 * DAY), dtype=bool)
    hidden[:, 600:720] = True
    knows, knows_not = tiny_classifier(min_worn_share=0.5), tiny_classifier()
    told = ExplainedModel(knows).score(np.where(hidden, np.nan, weeks))
    np.testing.assert_array_equal(ExplainedModel(knows).score(weeks, hidden), told)
    zeroed = ExplainedModel(knows_not).score(np.where(hidden, 0, weeks).astype(np.float32))
    np.testing.assert_array_equal(ExplainedModel(knows_not).score(weeks, hidden), zeroed)
    np.testing.assert_array_equal(ExplainedModel(knows, hide="reference").score(weeks, hidden), zeroed)
    assert np.abs(told - zeroed).max() > 1e-3


def test_deletion_finds_planted_hours_and_not_random_ones() -> None:
    model, weights = _morning()
    weeks = counts(40, DAYS)
    planted = importance_by_hour(np.tile(np.abs(weights), (40, 1)), CLOCK)
    random = np.random.default_rng(1).random(planted.shape)
    changes = deletion_changes(model, weeks, {"planted": planted, "random": random, "even": 0 * random}, CLOCK)
    found = {name: deletion_test(each) for name, each in changes.items()}
    assert found["planted"].passed
    assert found["planted"].ratio_low > 4  # 9 of 73 hours matter, and 7 of them are hidden
    assert found["planted"].people_share == 1
    for name in ("random", "even"):
        assert not found[name].passed, name
        assert found[name].difference_low < 0 < found[name].difference_high
    assert "10 % of hours" in found["planted"].words()
    assert "more than chance" in found["planted"].words()
    assert "no better than chance" in found["random"].words()


def test_deletion_over_people_averages_their_windows() -> None:
    model, weights = _morning()
    weeks = counts(6, DAYS)
    planted = importance_by_hour(np.tile(np.abs(weights), (6, 1)), CLOCK)
    changes = deletion_changes(model, weeks, {"planted": planted}, CLOCK)["planted"]
    alone = deletion_test(changes, np.array(["a"] * 6))
    assert (alone.n, alone.difference_low, alone.ratio_low, alone.passed) == (1, None, None, False)
    assert alone.difference == pytest.approx(changes.named.mean() - changes.random.mean())
    assert "too few people" in alone.words()
    uneven = deletion_test(changes, np.array(["a"] * 5 + ["b"]))
    assert (uneven.n, uneven.passed, uneven.ratio_low) == (2, False, None)  # chance would pass once in five times
    assert uneven.named == pytest.approx((changes.named[:5].mean() + changes.named[5]) / 2)
    nothing = deletion_test(deletion_changes(LinearModel(0 * weights), weeks, {"planted": planted}, CLOCK)["planted"])
    assert nothing.ratio is None
    assert "does not change" in nothing.words()


def test_hours_that_are_missing_are_not_hidden() -> None:
    """A window of whose hours all but one are missing can only hide that one: named and random are the same."""
    model, weights = _morning()
    weeks = counts(2, DAYS)
    weeks[:, CLOCK.hour != 4] = np.nan  # which is 05:00 to 06:00 of the first day
    importance = importance_by_hour(np.tile(np.abs(weights), (2, 1)), CLOCK)[:, ::-1]
    changes = deletion_changes(model, weeks, {"wrong": importance}, CLOCK, draws=3)["wrong"]
    np.testing.assert_allclose(changes.named, changes.random)
    assert (changes.named > 0).all()
    assert np.isfinite(occlusion(model, with_gaps(counts(2, DAYS)), CLOCK).hours).all()


def test_what_does_not_fit_is_refused() -> None:
    model, _ = _morning()
    weeks = counts(2, DAYS)
    with pytest.raises(ConfigError, match="importances of mine have the shape"):
        deletion_changes(model, weeks, {"mine": np.zeros((2, 24))}, CLOCK)
    with pytest.raises(ConfigError, match="share is 1"):
        deletion_changes(model, weeks, {}, CLOCK, share=1.0)
