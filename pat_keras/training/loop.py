"""One stage of training: training epochs until the best validation value is `patience` epochs old; exact when resumed.

Axes: B windows, T minutes (or D of pooled tokens), C outputs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import sklearn.metrics
from keras import ops

from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.config import FinetuneConfig
from pat_keras.errors import RunError
from pat_keras.models.classifier import probabilities
from pat_keras.training.averaging import make_average
from pat_keras.training.losses import mix

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Part:
    """The windows of some people.

    Attributes:
        x: inputs (B, T).
        y: targets (B,); of training windows also shares (B, C).
        weight: of the loss, (B,).
        participant_id: whose they are, (B,).
        varied: gives the inputs (B, T) of a training epoch, counted from 0, in place of `x`; None if they stay.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    participant_id: np.ndarray
    varied: Callable[[int], np.ndarray] | None = None


class Watcher:
    """What a training tells while it runs; these do nothing."""

    def on_split(self, name: str) -> None:
        """The stages that follow are those of this split."""

    def on_note(self, text: str) -> None:
        """Something that the reader of a result should know was done."""

    def on_start(self, stage: str, steps: int) -> None:
        """A stage begins, of at most so many steps."""

    def on_step(self) -> None:
        """A step is done."""

    def on_epoch(self, row: Row) -> None:
        """A training epoch is done: its row of history.csv."""

    def on_end(self) -> None:
        """A stage is done."""


@dataclasses.dataclass
class _Progress:
    """Where a stage stands."""

    epoch: int = 0
    best: tuple[float, float] | None = None
    best_epoch: int = 0
    rows: list[Row] = dataclasses.field(default_factory=list)


class _Stage:
    """A compiled model, its data and its progress; saved after every training epoch."""

    def __init__(
        self,
        name: str,
        model: keras.Model,
        parts: tuple[Part, Part],
        config: FinetuneConfig,
        epochs: int,
        state: pathlib.Path | None,
    ) -> None:
        self.name, self.model, self.config, self.epochs, self.state = name, model, config, epochs, state
        self.train, self.validation = parts
        self.progress = _Progress()
        self.average = make_average(config, model.optimizer, epochs)
        self.best_weights = self._trained_weights()

    def restore(self) -> None:
        """Take up the saved state; where there is none yet, save this one, so that finite weights are always kept."""
        if self.state is None or not self.state.exists():
            self.save()
            return
        arrays, meta = load_state(self.state)
        for kind, variables in self._variables().items():
            for i, variable in enumerate(variables):
                variable.assign(_saved(self.state, arrays, f"{kind}/{i}", tuple(variable.shape)))
        shapes = [tuple(variable.shape) for variable in self.model.trainable_variables]
        self.best_weights = [_saved(self.state, arrays, f"best/{i}", shape) for i, shape in enumerate(shapes)]
        self.average.restore(arrays)
        best = meta["best"]
        self.progress = _Progress(
            meta["epoch"], None if best is None else tuple(best), meta["best_epoch"], meta["rows"]
        )

    def save(self) -> None:
        """Write the state: all variables (dropout's random state among them), the optimizer's, the best weights."""
        if self.state is None:
            return
        arrays = {
            f"{kind}/{i}": np.asarray(ops.convert_to_numpy(variable))
            for kind, variables in self._variables().items()
            for i, variable in enumerate(variables)
        }
        arrays |= {f"best/{i}": weights for i, weights in enumerate(self.best_weights)}
        arrays |= self.average.arrays()
        save_state(self.state, arrays, dataclasses.asdict(self.progress))

    def _trained_weights(self) -> list[np.ndarray]:
        return [np.array(ops.convert_to_numpy(variable)) for variable in self.model.trainable_variables]

    def _variables(self) -> dict[str, list[Any]]:
        return {"model": self.model.variables, "optimizer": self.model.optimizer.variables}

    def run_epoch(self, on_step: Callable[[], None]) -> Row:
        """One training epoch and its validation.

        Raises:
            RunError: if the loss or a weight is no longer a number.
        """
        started, epoch = time.perf_counter(), self.progress.epoch
        x, y, weight = self._epoch_data(epoch)
        logs = self.model.fit(
            x,
            y,
            sample_weight=weight,
            batch_size=self.config.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[_Steps(on_step)],
        ).history
        row: Row = {"stage": self.name, "epoch": epoch + 1, "loss": float(logs["loss"][0])}
        # The weights too: TensorFlow's fused relu makes 0 of NaN, behind which a head hides an encoder that is lost.
        if not (math.isfinite(row["loss"]) and all(np.isfinite(w).all() for w in self._trained_weights())):
            raise self._diverged(epoch)
        self.average.add(self._trained_weights(), epoch)
        with self._averaged():
            row |= self._validate()
        if not math.isfinite(row["validation_loss"]):
            raise self._diverged(epoch)
        row["head_learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        trains_encoder = hasattr(self.model, "encoder") and epoch >= self.config.unfreeze_epochs
        factor = self.config.encoder_rate / self.config.head_learning_rate if trains_encoder else 0.0
        row["encoder_learning_rate"] = row["head_learning_rate"] * factor
        row["seconds"] = round(time.perf_counter() - started, 3)
        return row

    def _epoch_data(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, targets and weights of a training epoch, in its order."""
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self.train.x))
        inputs = self.train.x if self.train.varied is None else self.train.varied(epoch)
        x, y, weight = inputs[order], self.train.y[order], self.train.weight[order]
        return mix(x, y, weight, self.config, epoch) if self.config.mixup else (x, y, weight)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The model with its averaged weights, if it has any, for as long as this lasts."""
        weights = self.average.weights()
        if weights is None:
            yield
            return
        trained = self._trained_weights()
        self.assign(weights)
        yield
        self.assign(trained)

    def assign(self, weights: list[np.ndarray]) -> None:
        """Give the model's trainable variables these values."""
        for variable, values in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(values)

    def _diverged(self, epoch: int) -> RunError:
        kept = f"after training epoch {self.progress.best_epoch}" if self.progress.best else "from the start"
        self.assign(self.best_weights)
        where = f" With the last ones they are kept in {self.state}." if self.state else ""
        return RunError(
            f"{self.name}: the loss or weights became NaN or infinite in training epoch {epoch + 1}, expected finite "
            f"numbers; the best finite weights are those {kept}.{where} Lower the learning rates "
            f"(encoder_learning_rate {self.config.encoder_rate:g}, head_learning_rate "
            f"{self.config.head_learning_rate:g}), or look for extreme values in the data."
        )

    def _validate(self) -> Row:
        outputs = predict(self.model, self.validation.x, self.config.batch_size)
        loss = mean_loss(self.config.task, self.validation, outputs)
        row: Row = {"validation_loss": loss}
        if self.config.task != "regression" and math.isfinite(loss):
            row["validation_auc"] = participant_auc(self.config.task, self.validation, outputs)
        return row

    def note(self, row: Row) -> None:
        """Count the epoch, and keep its weights if they are the best so far."""
        value = -row["validation_loss"]
        rank = (row["validation_auc"], value) if self.config.monitored == "auc" else (value, 0.0)
        self.progress.epoch += 1
        self.progress.rows.append(row)
        if self.progress.best is None or rank > self.progress.best:
            self.progress.best, self.progress.best_epoch = rank, self.progress.epoch
            self.best_weights = self.average.weights() or self._trained_weights()

    @property
    def done(self) -> bool:
        """Whether the last epoch is reached, or the best value is `patience` epochs old."""
        waited = self.progress.epoch - max(self.progress.best_epoch, self.average.start)
        return self.progress.epoch >= self.epochs or waited >= self.config.patience


def train_stage(
    name: str,
    model: keras.Model,
    train: Part,
    validation: Part,
    config: FinetuneConfig,
    epochs: int,
    state: pathlib.Path | None = None,
    watcher: Watcher | None = None,
) -> list[Row]:
    """Train a compiled model and leave it with the weights of its best training epoch.

    The order of the windows differs in every training epoch and depends on (seed, epoch) alone, so that a resumed
    training goes on as an uninterrupted one would.

    Args:
        name: of the stage, for history.csv.
        model: compiled, with a built optimizer.
        train, validation: the people to learn from, and those who decide when to stop.
        config: batch size, patience, what to monitor, seed.
        epochs: at most so many.
        state: file to keep the state in after every training epoch, and to resume from if it exists.
        watcher: told about progress.

    Returns:
        The rows of history.csv, one a training epoch.

    Raises:
        RunError: if the loss becomes NaN or infinite (the model then has its best weights so far), or the state file is
            damaged or of another model.
    """
    watcher = watcher or Watcher()
    stage = _Stage(name, model, (train, validation), config, epochs, state)
    stage.restore()
    steps = -(-len(train.x) // config.batch_size)
    watcher.on_start(name, (epochs - stage.progress.epoch) * steps)
    try:
        while not stage.done:
            row = stage.run_epoch(watcher.on_step)
            stage.note(row)
            stage.save()
            watcher.on_epoch(row)
    finally:
        watcher.on_end()
    stage.assign(stage.best_weights)
    return stage.progress.rows


class _Steps(keras.callbacks.Callback):
    """Tells about every step; stops a training epoch whose loss is no number any more."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        super().__init__()
        self._on_step = on_step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count the step."""
        self._on_step()
        if logs and not math.isfinite(float(logs["loss"])):
            self.model.stop_training = True  # the mean over the epoch is no number either, which run_epoch reports


def predict(model: keras.Model, x: np.ndarray, batch_size: int) -> np.ndarray:
    """Outputs (B, C) of a model, a batch at a time."""
    batches = [model.predict_on_batch(x[low : low + batch_size]) for low in range(0, len(x), batch_size)]
    return np.concatenate([np.asarray(batch, dtype=np.float32) for batch in batches])


def mean_loss(task: str, part: Part, outputs: np.ndarray) -> float:
    """The weighted mean loss of outputs (B, C): cross-entropy of logits, or the squared error."""
    outputs = outputs.astype(np.float64)
    if task == "regression":
        losses = (outputs[:, 0] - part.y) ** 2
    else:
        if task == "binary":
            outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
        total = np.logaddexp.reduce(outputs, axis=1)
        losses = total - outputs[np.arange(len(outputs)), part.y.astype(int)]
    return float(np.mean(part.weight * losses))


def participant_auc(task: str, part: Part, outputs: np.ndarray) -> float:
    """AUC over participants, whose windows' probabilities are averaged; of several classes, the mean."""
    chances = probabilities(outputs, task)
    _, first, place = np.unique(part.participant_id, return_index=True, return_inverse=True)
    means = np.stack([np.bincount(place, column) / np.bincount(place) for column in chances.T], axis=1)
    truth = part.y[first].astype(int)
    scores = [
        sklearn.metrics.roc_auc_score(truth == k, means[:, k]) for k in range(means.shape[1]) if (truth == k).any()
    ]
    return float(scores[1] if task == "binary" else np.mean(scores))


def _saved(path: pathlib.Path, arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = arrays.get(name)
    if found is None or found.shape != shape:
        what = "nothing" if found is None else f"shape {found.shape}"
        raise RunError(
            f"{path}: {name}: found {what}, expected shape {shape}. The state is of another model; remove it to train "
            "this part again from its start."
        )
    return found
