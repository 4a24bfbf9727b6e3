"""Stages under averaged weights: these are validated and kept, training goes on from its own; exact when resumed."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest

from pat_keras.checkpoints.store import load_state
from pat_keras.training import loop
from pat_keras.training.averaging import EqualAverage
from tests.training.stopping import StopError, StopsAfter
from tests.training.test_loop import _config, _equal, _train, _untimed

_EPOCHS = 6


def _weights(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.trainable_variables]


@functools.cache
def _trained(averaging: str, **settings: Any) -> tuple[keras.Model, list[dict], list, list]:
    """Model, history, and the weights after each epoch: those that trained, and those that were validated."""
    trained, validated = [], []

    class Watching(loop._Stage):
        def _validate(self) -> dict:
            validated.append(_weights(self.model))
            return super()._validate()

        def note(self, row: dict) -> None:
            trained.append(_weights(self.model))
            super().note(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_Stage", Watching)
        model, rows = _train(_config(averaging=averaging, patience=99, **settings), epochs=_EPOCHS)
    return model, rows, trained, validated


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_averaged_weights_are_validated_and_training_is_as_without(averaging: str) -> None:
    _, rows, trained, validated = _trained(averaging)
    _, plain_rows, plain, _ = _trained("none")
    for epoch in range(_EPOCHS):
        for first, second in zip(trained[epoch], plain[epoch], strict=True):
            np.testing.assert_array_equal(first, second)
    assert [row["loss"] for row in rows] == [row["loss"] for row in plain_rows]
    assert rows[-1]["validation_loss"] != plain_rows[-1]["validation_loss"]
    assert not np.allclose(validated[-1][0], trained[-1][0], atol=1e-4)


def test_swa_is_the_mean_of_the_later_epochs() -> None:
    _, _, trained, validated = _trained("swa")
    for epoch in range(_EPOCHS):
        first = 3 if epoch >= 3 else epoch  # the second half; before it the weights themselves
        for found, steps in zip(validated[epoch], zip(*trained[first : epoch + 1], strict=True), strict=True):
            np.testing.assert_allclose(found, np.mean(steps, axis=0), atol=1e-7)


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_the_best_averaged_weights_are_left_in_the_model(averaging: str) -> None:
    model, rows, _, validated = _trained(averaging)
    best = max(range(_EPOCHS), key=lambda epoch: (rows[epoch]["validation_auc"], -rows[epoch]["validation_loss"]))
    for found, expected in zip(_weights(model), validated[best], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("averaging", ["ema", "swa"])
@pytest.mark.parametrize("where", [{"epochs": 4}, {"steps": 14}], ids=["after the fourth epoch", "within the fifth"])
def test_resumed_is_the_same_as_never_stopped(tmp_path, averaging: str, where: dict) -> None:
    whole, rows, _, _ = _trained(averaging)
    state, config = tmp_path / "full.npz", _config(averaging=averaging, patience=99)
    with pytest.raises(StopError):
        _train(config, epochs=_EPOCHS, state=state, watcher=StopsAfter(**where))
    assert load_state(state)[1]["epoch"] == 4
    resumed, resumed_rows = _train(config, epochs=_EPOCHS, state=state)
    assert _equal(whole, resumed)
    assert _untimed(rows) == _untimed(resumed_rows)


def test_no_stopping_before_the_mean_had_its_time(monkeypatch) -> None:
    """The best epoch is the first; four epochs of patience begin with the mean, after the fifth."""
    for averaging, expected in (("none", 5), ("swa", 9)):
        script = iter([0.9] + 9 * [0.5])

        def validate(stage, script=script) -> dict:
            return {"validation_auc": next(script), "validation_loss": 1.0}

        monkeypatch.setattr(loop._Stage, "_validate", validate)
        _, rows = _train(_config(averaging=averaging, patience=4), epochs=10)
        assert len(rows) == expected


def test_mean_of_many_does_not_drift() -> None:
    average = EqualAverage(0)
    rng = np.random.default_rng(0)
    values = [rng.normal(1000, 1, 4).astype(np.float32) for _ in range(500)]
    for epoch, value in enumerate(values):
        average.add([value], epoch)
    np.testing.assert_allclose(average.weights()[0], np.mean(values, axis=0, dtype=np.float64), rtol=1e-7)
