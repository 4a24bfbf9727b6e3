"""Attributions of gradients: exact where the answer is known, complete where they claim to be."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.errors import ConfigError
from pat_keras.evaluation.attribution import input_x_gradient, integrated_gradients
from pat_keras.evaluation.explained_model import ExplainedModel
from pat_keras.models.networks import BaselineNetwork
from tests.evaluation.explained import DAY, LinearModel, counts, raw_classifier, tiny_classifier, with_gaps


def _log_odds(model, x: np.ndarray, k: int = 1) -> np.ndarray:
    p = model.predict_proba(x)[:, k]
    return np.log(p / (1 - p))


@pytest.mark.parametrize("kind", ["cohort", "per_recording"])
def test_integrated_gradients_are_complete(kind: str) -> None:
    """They sum to the score less that of the reference, which here is 0 after scaling."""
    weeks = counts()
    model = raw_classifier(weeks, kind)
    found = integrated_gradients(model, weeks, steps=32)
    np.testing.assert_allclose(found.score, _log_odds(model, weeks), atol=1e-4)
    span = np.abs(found.score - found.reference_score)
    assert span.min() > 0.01  # otherwise the next line proves nothing
    assert (np.abs(found.gap) < 0.02 * span + 1e-4).all()
    assert np.abs(integrated_gradients(model, weeks, steps=1).gap).max() > 10 * np.abs(found.gap).max()


def test_missing_minutes_get_nothing_and_the_rest_is_complete() -> None:
    weeks = with_gaps(counts())
    found = integrated_gradients(raw_classifier(weeks, min_worn_share=0.5), weeks, steps=32)
    assert (found.minutes[np.isnan(weeks)] == 0).all()
    assert np.isfinite(found.minutes).all()
    assert np.abs(found.gap).max() < 0.02 * np.abs(found.score - found.reference_score).max()


def test_a_linear_model_is_explained_exactly() -> None:
    """By both methods: each minute's weight times its distance from the average day of typical people."""
    weights = np.random.default_rng(0).normal(size=2 * DAY)
    model, weeks, others = LinearModel(weights), counts(3), counts(5, seed=1)
    day = others.reshape(5, 2, DAY).mean(axis=(0, 1))
    expected = weights * (weeks - np.tile(day, 2))
    view = ExplainedModel(model, typical=others)
    for found in (input_x_gradient(view, weeks), integrated_gradients(view, weeks, steps=3)):
        np.testing.assert_allclose(found.minutes, expected, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(input_x_gradient(model, weeks).minutes, weights * weeks, rtol=1e-4, atol=1e-2)


def test_the_gradient_is_the_slope() -> None:
    """Input x gradient of a single minute, against a small step of that minute."""
    weeks = counts(2)
    model = raw_classifier(weeks)
    found, mean = input_x_gradient(model, weeks).minutes, float(model.standardization.mean.numpy()[0])
    minute = int(np.abs(found[0]).argmax())
    moved = weeks.copy()
    moved[0, minute] += 0.02 * (weeks[0, minute] - mean)
    change = (_log_odds(model, moved) - _log_odds(model, weeks))[0] / 0.02
    assert found[0, minute] == pytest.approx(change, rel=0.05)
    assert change != 0


def test_classes_are_explained_by_their_log_odds() -> None:
    weeks = counts() / 100 - 1
    model = tiny_classifier(task="multiclass", num_classes=3)
    wanted = np.array([0, 1, 2, 0])
    found = integrated_gradients(model, weeks, wanted, steps=64)
    expected = [_log_odds(model, weeks[row : row + 1], k)[0] for row, k in enumerate(wanted)]
    np.testing.assert_allclose(found.score, expected, atol=1e-3)
    assert np.abs(found.gap).max() < 0.05 * np.abs(found.score - found.reference_score).max()
    likely = model.predict_proba(weeks).argmax(axis=1)
    np.testing.assert_array_equal(input_x_gradient(model, weeks).score, input_x_gradient(model, weeks, likely).score)


def test_several_models_are_averaged() -> None:
    weeks = counts(3, days=1)
    models = [LinearModel(np.random.default_rng(seed).normal(size=DAY) / 100) for seed in (0, 1)]
    each = [input_x_gradient(model, weeks) for model in models]
    found = input_x_gradient(models, weeks)
    np.testing.assert_allclose(found.minutes, np.mean([one.minutes for one in each], axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.score, np.mean([one.score for one in each], axis=0), rtol=1e-5)


def test_other_networks_have_gradients_too() -> None:
    weeks = counts(2, days=1) / 100 - 1
    found = integrated_gradients(BaselineNetwork("cnn1d", DAY), with_gaps(weeks), steps=32)
    assert np.abs(found.gap).max() < 0.05 * np.abs(found.score - found.reference_score).max()
    assert (found.minutes[:, 120:300] == 0).all()


def test_what_can_not_be_explained_is_refused() -> None:
    model = tiny_classifier()
    with pytest.raises(ConfigError, match="4 of 4 windows have missing minutes"):
        input_x_gradient(model, with_gaps(counts()))
    with pytest.raises(ConfigError, match="steps is 0"):
        integrated_gradients(model, counts(), steps=0)
    with pytest.raises(ConfigError, match="missing is for models"):
        ExplainedModel(model, hide="missing")
    with pytest.raises(ConfigError, match="all of one task"):
        ExplainedModel([model, tiny_classifier(task="regression")])
