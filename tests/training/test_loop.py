"""One stage of training: order, early stopping, NaN, and resuming bit for bit, on a model of a few numbers."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import sklearn.metrics

from pat_keras.checkpoints.store import load_state
from pat_keras.config import FinetuneConfig
from pat_keras.errors import RunError
from pat_keras.training import loop
from pat_keras.training.loop import Watcher, train_stage
from pat_keras.training.optimizers import make_optimizer
from pat_keras.training.validation import Part, mean_loss, participant_auc, predict
from tests.training.stopping import StopError, StopsAfter

_LOSSES = {
    "binary": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    "multiclass": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "regression": keras.losses.MeanSquaredError,
}


def _config(**changes: Any) -> FinetuneConfig:
    return FinetuneConfig(**{"batch_size": 8, "head_learning_rate": 0.02, "warmup_epochs": 0} | changes)


def _part(n: int, seed: int, task: str = "binary") -> Part:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype("float32")
    y = {
        "binary": np.arange(n) % 2,
        "multiclass": np.arange(n) % 3,
        "regression": rng.normal(size=n),
    }[task].astype("float32")
    x[:, 0] += y
    weight = rng.uniform(0.5, 1.5, n).astype("float32")
    return Part(x, y, weight, np.array([f"p{i}" for i in range(n)]))


class Recording(keras.Sequential):
    """A small network with dropout that remembers the inputs of every training epoch."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: list[np.ndarray] = []

    def fit(self, x, y, **kwargs):
        self.seen.append(np.array(x))
        return super().fit(x, y, **kwargs)


def _model(config: FinetuneConfig, epochs: int, outputs: int = 1) -> Recording:
    keras.utils.set_random_seed(config.seed)
    model = Recording(name="small")
    for layer in (
        keras.layers.Input((5,)),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(4, activation="relu"),
        keras.layers.Dense(outputs),
    ):
        model.add(layer)
    model.compile(make_optimizer(config, model, epochs, 3), loss=_LOSSES[config.task]())
    return model


def _train(
    config: FinetuneConfig, epochs: int = 5, state: pathlib.Path | None = None, watcher: Watcher | None = None
) -> tuple[Recording, list[dict]]:
    """Trains on 20 windows: three steps an epoch, the last one smaller."""
    model = _model(config, epochs, outputs=3 if config.task == "multiclass" else 1)
    parts = _part(20, 0, config.task), _part(10, 1, config.task)
    return model, train_stage("full", model, *parts, config, epochs, state, watcher)


def _untimed(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def _equal(first: keras.Model, second: keras.Model) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


# --- order, seed ---


def test_order_differs_every_epoch_and_all_repeats_under_the_seed() -> None:
    (model, rows), (again, same_rows), (other, _) = (_train(_config(seed=seed)) for seed in (0, 0, 1))
    assert _equal(model, again)
    assert _untimed(rows) == _untimed(same_rows)
    assert not _equal(model, other)
    assert len(model.seen) == 5
    everything = np.sort(_part(20, 0).x, axis=0)
    for epoch, seen in enumerate(model.seen):
        np.testing.assert_array_equal(np.sort(seen, axis=0), everything)  # each window once
        np.testing.assert_array_equal(seen, again.seen[epoch])
        assert not np.array_equal(seen, other.seen[epoch])
        assert not any(np.array_equal(seen, earlier) for earlier in model.seen[:epoch])


# --- stop and go on ---


@functools.cache
def _never_stopped(optimizer: str) -> tuple[keras.Model, list[dict]]:
    return _train(_config(optimizer=optimizer, warmup_epochs=1, weight_decay=0.1))


@pytest.mark.parametrize(
    ("where", "optimizer"),
    [({"epochs": 2}, "adam"), ({"steps": 8}, "adam"), ({"steps": 1}, "adam"), ({"epochs": 2}, "sgd")],
    ids=["after the second epoch", "within the third", "within the first", "sgd"],
)
def test_resumed_is_the_same_as_never_stopped(tmp_path, where: dict, optimizer: str) -> None:
    config = _config(optimizer=optimizer, warmup_epochs=1, weight_decay=0.1)
    whole, rows = _never_stopped(optimizer)
    state = tmp_path / "full.npz"
    watcher = StopsAfter(**where)
    with pytest.raises(StopError):
        _train(config, state=state, watcher=watcher)
    assert watcher.ended == 1
    assert load_state(state)[1]["epoch"] == where.get("epochs", where.get("steps", 0) // 3)
    resumed, resumed_rows = _train(config, state=state)
    assert _equal(whole, resumed)
    assert _untimed(rows) == _untimed(resumed_rows)


def test_dropout_is_part_of_the_state(tmp_path) -> None:
    """Without dropout's random state, an epoch after resuming would draw the first epoch's masks."""
    state = tmp_path / "full.npz"
    model, _ = _train(_config(), state=state)
    arrays, _ = load_state(state)
    kinds = {str(array.dtype) for name, array in arrays.items() if name.startswith("model/")}
    assert kinds == {"float32", "uint32"} or kinds == {"float32", "int64"}
    assert len(arrays) == len(model.variables) + len(model.optimizer.variables) + len(model.trainable_variables)


def test_a_finished_stage_is_not_trained_again(tmp_path) -> None:
    state = tmp_path / "full.npz"
    first, rows = _train(_config(), state=state)
    content = state.read_bytes()
    again, same = _train(_config(), state=state)
    assert again.seen == []
    assert _equal(first, again)
    assert rows == same
    assert state.read_bytes() == content


def test_state_of_another_model(tmp_path) -> None:
    state = tmp_path / "full.npz"
    _train(_config(task="multiclass"), state=state)
    with pytest.raises(RunError, match=r"full\.npz: \w+/\d+: found shape .* another model"):
        _train(_config(), state=state)


# --- early stopping ---


def _scripted(monkeypatch, values: list[tuple[float, float]], **settings: Any) -> tuple[keras.Model, list, list]:
    """Trains with these validation AUCs and losses; also the trained variables after each epoch."""
    script, kept = iter(values), []

    def validate(self) -> dict:
        kept.append([np.array(keras.ops.convert_to_numpy(v)) for v in self.model.trainable_variables])
        auc, loss = next(script)
        return {"validation_loss": loss, "validation_auc": auc}

    monkeypatch.setattr(loop._Stage, "_validate", validate)
    model, rows = _train(_config(**settings), epochs=len(values))
    return model, rows, kept


@pytest.mark.parametrize(
    ("values", "settings", "best", "epochs"),
    [
        ([(0.6, 1.0), (0.8, 1.0), (0.7, 0.1), (0.8, 2.0), (0.9, 0.0)], {"patience": 2}, 2, 4),
        ([(0.6, 1.0), (0.8, 1.0), (0.8, 0.9), (0.7, 0.1)], {"patience": 9}, 3, 4),  # a tie: the lower loss
        ([(0.8, 1.0), (0.8, 1.0), (0.8, 1.0)], {"patience": 9}, 1, 3),  # a full tie: the first
        ([(0.6, 1.0), (0.5, 0.4), (0.9, 0.5), (0.9, 0.6), (0.9, 0.1)], {"patience": 2, "monitor": "loss"}, 2, 4),
        ([(0.6, 1.0), (0.5, 0.9)], {"patience": 1}, 1, 2),
    ],
)
def test_stops_and_restores_the_best(monkeypatch, values, settings, best: int, epochs: int) -> None:
    model, rows, kept = _scripted(monkeypatch, values, **settings)
    assert len(rows) == epochs
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    for variable, expected in zip(model.trainable_variables, kept[best - 1], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)


def test_rows_of_the_history() -> None:
    _, rows = _train(_config(schedule="constant"), epochs=2)
    assert list(rows[0]) == [
        "stage", "epoch", "loss", "validation_loss", "validation_auc", "head_learning_rate", "encoder_learning_rate",
        "seconds",
    ]  # fmt: skip
    assert rows[0]["head_learning_rate"] == pytest.approx(0.02)
    assert rows[0]["encoder_learning_rate"] == 0.0  # this model has none
    _, rows = _train(_config(task="regression"), epochs=1)
    assert "validation_auc" not in rows[0]


# --- NaN ---


@pytest.mark.parametrize("bad_epoch", [1, 3])
def test_a_loss_that_is_no_number_stops(tmp_path, monkeypatch, bad_epoch: int) -> None:
    state, models = tmp_path / "full.npz", []
    fit = Recording.fit

    def poisoned(self, x, y, **kwargs):
        models[:] = [self]
        return fit(self, x, np.full_like(y, np.nan) if len(self.seen) == bad_epoch - 1 else y, **kwargs)

    monkeypatch.setattr(Recording, "fit", poisoned)
    with pytest.raises(RunError, match=rf"NaN or infinite in training epoch {bad_epoch}, .*kept in .*full\.npz.*Lower"):
        _train(_config(), state=state)
    assert len(models[0].seen) == bad_epoch
    arrays, meta = load_state(state)
    assert meta["epoch"] == bad_epoch - 1
    assert all(np.isfinite(array).all() for array in arrays.values())
    best = [array for name, array in arrays.items() if name.startswith("best/")]
    for variable, expected in zip(models[0].trainable_variables, best, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)


def test_weights_that_are_no_numbers_stop_behind_a_finite_loss(monkeypatch) -> None:
    """TensorFlow's fused relu makes 0 of NaN, so that losses stay finite."""
    fit = Recording.fit

    def poisoned(self, x, y, **kwargs):
        history = fit(self, x, y, **kwargs)
        kernel = self.trainable_variables[0]
        kernel.assign(np.full(kernel.shape, np.nan))
        return history

    monkeypatch.setattr(Recording, "fit", poisoned)
    with pytest.raises(RunError, match=r"loss or weights became NaN or infinite in training epoch 1, .*from the start"):
        _train(_config())


# --- numbers ---


@pytest.mark.parametrize("task", list(_LOSSES))
def test_loss_is_that_of_keras(task: str) -> None:
    """With weights, and with targets (B,) beside outputs (B, 1), which must not be broadcast to (B, B)."""
    config = _config(task=task)
    model = _model(config, 1, outputs=3 if task == "multiclass" else 1)
    part = _part(20, 0, task)
    expected = model.evaluate(part.x, part.y, sample_weight=part.weight, batch_size=20, verbose=0)
    assert mean_loss(task, part, predict(model, part.x, 8)) == pytest.approx(expected, rel=1e-5)


def test_loss_of_huge_logits_is_finite() -> None:
    part = Part(np.zeros((2, 1)), np.array([0.0, 1.0]), np.ones(2), np.array(["a", "b"]))
    assert mean_loss("binary", part, np.array([[-1e4], [1e4]])) == 0.0
    assert mean_loss("binary", part, np.array([[1e4], [1e4]])) == pytest.approx(5e3)


def test_auc_is_by_participant() -> None:
    part = Part(np.zeros((5, 1)), np.array([1, 1, 0, 0, 1]), np.ones(5), np.array(["a", "a", "b", "c", "d"]))
    chance = np.array([0.9, 0.1, 0.6, 0.4, 0.7])  # a: 0.5 on average
    logits = np.log(chance / (1 - chance))[:, None]
    expected = sklearn.metrics.roc_auc_score([1, 0, 0, 1], [0.5, 0.6, 0.4, 0.7])
    assert participant_auc("binary", part, logits) == pytest.approx(expected) == 0.75


def test_equal_aucs_are_equal() -> None:
    """Added up in another order they differ in the last digit, which would choose the epoch in place of the loss."""
    part = Part(np.zeros((7, 1)), np.array([1, 1, 0, 0, 0, 0, 0]), np.ones(7), np.arange(7).astype(str))
    orders = np.array([[2, 1, 3, 5, 0, 6, 4], [3, 0, 4, 1, 5, 2, 6]])
    assert [participant_auc("binary", part, order[:, None] / 10.0) for order in orders] == [0.2, 0.2]


def test_auc_of_several_classes_is_the_mean_over_them() -> None:
    rng = np.random.default_rng(0)
    y, logits = np.arange(12) % 3, rng.normal(size=(12, 3))
    part = Part(np.zeros((12, 1)), y, np.ones(12), np.arange(12).astype(str))
    odds = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = sklearn.metrics.roc_auc_score(y, odds, multi_class="ovr", average="macro")
    assert participant_auc("multiclass", part, logits) == pytest.approx(expected)


def test_watcher_counts_every_step() -> None:
    class Counts(Watcher):
        steps = expected = 0

        def on_start(self, stage: str, steps: int) -> None:
            self.expected = steps

        def on_step(self) -> None:
            self.steps += 1

    watcher = Counts()
    _train(_config(), epochs=2, watcher=watcher)
    assert watcher.steps == watcher.expected == 6
