"""Options of a training on one split: other networks, smoothing, recalibration, no test part; all of them resumed."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.data.smoothing import smooth
from pat_keras.data.splits import Split
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.networks import BaselineNetwork
from pat_keras.training import stages
from pat_keras.training.finetune import Fitted, class_weights, train_split
from pat_keras.training.loop import Watcher
from pat_keras.training.start import check_start
from tests.small import small_config
from tests.training.stopping import StopError, StopsAfter
from tests.training.test_loop import _untimed


def _fit(
    cohort: Cohort,
    split: Split,
    folder: pathlib.Path | None = None,
    watcher: Watcher | None = None,
    label: str = "label",
    **settings: Any,
) -> Fitted:
    y = cohort.label(label)
    return train_split(cohort.activity, y, cohort.participant_id, split, small_config(**settings), folder, watcher)


def _parts_seen(monkeypatch) -> dict[str, Any]:
    """What the stages are given, which then don't train."""
    seen: dict[str, Any] = {}

    def noted(name, model, train, validation, *_):
        seen.update(name=name, train=train, validation=validation)
        return []

    monkeypatch.setattr(stages, "train_stage", noted)
    return seen


def _logit(fitted: Fitted, part: str = "validation") -> np.ndarray:
    chances = fitted.predictions[part]
    return np.log(chances[:, 1] / chances[:, 0])


# --- resumed ---

_ALL = {
    "unfreeze_epochs": 1,
    "layer_decay": 0.7,
    "label_smoothing": 0.1,
    "focal_gamma": 1.0,
    "mixup": 0.3,
    "augment_days": True,
    "augment_minutes": 30,
    "augment_scale": 0.1,
    "augment_mask_hours": 2,
    "weight_decay": 0.01,
}


@pytest.mark.parametrize(
    "settings",
    [
        {**_ALL, "averaging": "ema"},
        {**_ALL, "averaging": "swa", "task": "multiclass", "label": "level", "missing": "mask"},
        {**_ALL, "averaging": "ema", "mode": "linear_probe", "unfreeze_epochs": 0, "smoothing": "savitzky_golay"},
        {"mixup": 0.3, "augment_scale": 0.1, "averaging": "swa", "model": "cnn1d", "encoder_learning_rate": None},
    ],
    ids=["binary", "several classes", "head alone", "another network"],
)
def test_with_every_option_resumed_is_as_never_stopped(cohort, split, tmp_path, settings: dict) -> None:
    settings = {"epochs": 3, **settings}
    whole = _fit(cohort, split, **settings)
    with pytest.raises(StopError):
        _fit(cohort, split, tmp_path, StopsAfter(epochs=2), **settings)
    resumed = _fit(cohort, split, tmp_path, **settings)
    for first, second in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        assert first.tobytes() == second.tobytes()
    assert _untimed(whole.history) == _untimed(resumed.history)
    np.testing.assert_array_equal(whole.predictions["test"], resumed.predictions["test"])


# --- what the network is given ---


@pytest.mark.parametrize("mode", ["full", "linear_probe"])
def test_weeks_vary_by_epoch_in_training_and_nowhere_else(cohort, split, monkeypatch, mode: str) -> None:
    seen = _parts_seen(monkeypatch)
    _fit(cohort, split, mode=mode)
    plain = dict(seen)
    _fit(cohort, split, mode=mode, augment_scale=0.3)
    assert plain["train"].varied is None
    np.testing.assert_array_equal(seen["validation"].x, plain["validation"].x)
    first, again, second = (seen["train"].varied(epoch) for epoch in (0, 0, 1))
    assert first.shape == plain["train"].x.shape
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 1e-3
    assert np.abs(first - plain["train"].x).max() > 1e-3
    assert seen["validation"].varied is None


def test_only_training_targets_are_softened(cohort, split, monkeypatch) -> None:
    seen = _parts_seen(monkeypatch)
    _fit(cohort, split, label_smoothing=0.2)
    np.testing.assert_allclose(np.unique(seen["train"].y), [0.1, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(np.unique(seen["validation"].y), [0.0, 1.0])
    _fit(cohort, split, label="level", task="multiclass", mixup=0.2)
    assert seen["train"].y.shape == (len(split.train), 3)
    assert seen["validation"].y.shape == (len(split.validation),)


def test_smoothing_comes_first_and_goes_into_the_model(cohort, split, monkeypatch) -> None:
    seen = _parts_seen(monkeypatch)
    settings = {"smoothing": "savitzky_golay", "standardize": "per_minute"}
    fitted = _fit(cohort, split, **settings)
    smoothed = smooth(cohort.activity)
    scaling = Standardizer.fit(smoothed[split.train], "per_minute")
    np.testing.assert_array_equal(seen["train"].x, scaling.apply(smoothed[split.train]))
    raw = fitted.model.predict_proba(cohort.activity[split.test])
    np.testing.assert_array_equal(fitted.predictions["test"], raw)
    logits = fitted.model.call_head(fitted.model.encoder.embed(scaling.apply(smoothed[split.test])))
    np.testing.assert_allclose(_logit(fitted, "test"), np.asarray(logits)[:, 0], atol=1e-4)


def test_frozen_for_the_whole_training_is_the_encoder_it_began_with(cohort, split) -> None:
    frozen, one_moves = (_fit(cohort, split, unfreeze_epochs=epochs, schedule="constant") for epochs in (2, 1))
    start = _fit(cohort, split, mode="linear_probe", epochs=1).model.encoder
    for before, after in zip(start.get_weights(), frozen.model.encoder.get_weights(), strict=True):
        assert before.tobytes() == after.tobytes()
    assert [row["encoder_learning_rate"] > 0 for row in frozen.history] == [False, False]
    assert [row["encoder_learning_rate"] > 0 for row in one_moves.history] == [False, True]
    for layer, moves in ((start.patch_embedding, False), (start.blocks[0], True)):
        after = next(part for part in one_moves.model.encoder.layers if part.name == layer.name)
        changes = [np.abs(a - b).max() for a, b in zip(layer.get_weights(), after.get_weights(), strict=True)]
        assert (max(changes) > 1e-5) == moves


# --- what comes out ---


def test_without_a_test_part(cohort, split) -> None:
    nobody = dataclasses.replace(split, test=np.array([], dtype=np.int64))
    for standardize in ("auto", "paper"):
        fitted = _fit(cohort, nobody, standardize=standardize, epochs=1)
        assert list(fitted.predictions) == ["validation"]
    with_test = _fit(cohort, split, standardize="paper", epochs=1)
    np.testing.assert_array_equal(fitted.predictions["validation"], with_test.predictions["validation"])


def test_probabilities_without_the_class_weights(cohort, split) -> None:
    """Of the training people more are positive here."""
    y = cohort.label("label")[split.train]
    controls = np.unique(cohort.participant_id[split.train[y == 0]])
    drop = np.isin(cohort.participant_id[split.train], controls[::2])
    fewer = dataclasses.replace(split, train=split.train[~drop])
    weights = class_weights(cohort.label("label")[fewer.train], "paper")
    prior, none = (_fit(cohort, fewer, class_weight="paper", recalibration=kind) for kind in ("prior", "none"))
    shift = np.log(weights[0.0] / weights[1.0])
    assert abs(shift) > 0.3
    np.testing.assert_allclose(_logit(prior), _logit(none) + shift, atol=1e-5)
    np.testing.assert_allclose(_logit(prior, "test"), _logit(none, "test") + shift, atol=1e-5)
    in_model = prior.model.predict_proba(cohort.activity[split.test])
    np.testing.assert_array_equal(in_model, prior.predictions["test"])


def test_platt_is_affine_in_the_logits_and_fits_validation_people(cohort, split) -> None:
    platt, none = (_fit(cohort, split, recalibration=kind) for kind in ("platt", "none"))
    slope, intercept = np.polyfit(_logit(none), _logit(platt), 1)
    np.testing.assert_allclose(_logit(platt, "test"), slope * _logit(none, "test") + intercept, atol=1e-4)
    assert slope > 0
    assert abs(slope - 1) + abs(intercept) > 1e-3
    y = cohort.label("label")[split.validation]

    def loss(fitted: Fitted) -> float:
        return float(-np.log(fitted.predictions["validation"][np.arange(len(y)), y.astype(int)]).mean())

    assert loss(platt) < loss(none)


# --- another network ---


def test_another_network_learns_and_takes_raw_minutes(cohort, split) -> None:
    settings = {"model": "cnn1d", "encoder_learning_rate": None}
    fitted = _fit(cohort, split, **settings)
    assert isinstance(fitted.model, BaselineNetwork)
    raw = fitted.model.predict_proba(cohort.activity[split.test])
    np.testing.assert_array_equal(fitted.predictions["test"], raw)
    assert [(row["stage"], row["encoder_learning_rate"]) for row in fitted.history] == [("full", 0.0)] * 2
    assert fitted.history[1]["loss"] != fitted.history[0]["loss"]


def test_first_step_of_another_network_is_the_rate_of_the_head(cohort, split) -> None:
    settings = {"model": "cnn1d", "encoder_learning_rate": None, "batch_size": 64, "recalibration": "none"}
    quick, slow = (
        _fit(cohort, split, epochs=1, schedule="constant", head_learning_rate=rate, **settings)
        for rate in (1e-3, 1e-12)
    )
    changes = [np.abs(a - b).max() for a, b in zip(quick.model.get_weights(), slow.model.get_weights(), strict=True)]
    assert max(changes) == pytest.approx(1e-3, rel=0.05)


def test_what_does_not_fit_is_said_before_anything_is_done() -> None:
    with pytest.raises(ConfigError, match="1440 minutes; cnn3d takes a week"):
        check_start(small_config(model="cnn3d", encoder_learning_rate=None), 1440)
    check_start(small_config(model="cnn1d", encoder_learning_rate=None), 1441)
    with pytest.raises(ConfigError, match="expected a multiple of 1440"):
        check_start(small_config(augment_days=True), 1440 + 18)
