"""One stage of training: training epochs until the best validation value is `patience` epochs old; exact when resumed.

Axes: B windows, T minutes (or D of pooled tokens), C outputs.
"""

from __future__ import annotations

import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config import FinetuneConfig
from pat_keras.errors import RunError
from pat_keras.training.averaging import make_average
from pat_keras.training.losses import mix
from pat_keras.training.state import Row, TrainingState
from pat_keras.training.validation import Part, mean_loss, participant_auc, predict


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
        self.name, self.model, self.config, self.epochs = name, model, config, epochs
        self.train, self.validation = parts
        self.average = make_average(config, model.optimizer, epochs)
        self.kept = TrainingState(
            state, model, lambda: {"model": model.variables, "optimizer": model.optimizer.variables}
        )

    def restore(self) -> None:
        """Take up the saved state; where there is none yet, save this one, so that finite weights are always kept."""
        others = self.kept.restore()
        if others is None:
            self.save()
        else:
            self.average.restore(others)

    def save(self) -> None:
        """Write the state."""
        self.kept.save(self.average.arrays())

    def run_epoch(self, on_step: Callable[[], None]) -> Row:
        """One training epoch and its validation.

        Raises:
            RunError: if the loss or a weight is no longer a number.
        """
        started, epoch = time.perf_counter(), self.kept.progress.epoch
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
        if not (math.isfinite(row["loss"]) and all(np.isfinite(w).all() for w in self.kept.weights())):
            raise self._diverged(epoch)
        self.average.add(self.kept.weights(), epoch)
        with self.kept.having(self.average.weights()):
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

    def _diverged(self, epoch: int) -> RunError:
        kept = f"after training epoch {self.kept.progress.best_epoch}" if self.kept.progress.best else "from the start"
        self.kept.assign(self.kept.best_weights)
        where = f" With the last ones they are kept in {self.kept.path}." if self.kept.path else ""
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
        self.kept.note(row, rank, self.average.weights() or self.kept.weights())

    @property
    def done(self) -> bool:
        """Whether the last epoch is reached, or the best value is `patience` epochs old."""
        progress = self.kept.progress
        waited = progress.epoch - max(progress.best_epoch, self.average.start)
        return progress.epoch >= self.epochs or waited >= self.config.patience


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
    watcher.on_start(name, (epochs - stage.kept.progress.epoch) * steps)
    try:
        while not stage.done:
            row = stage.run_epoch(watcher.on_step)
            stage.note(row)
            stage.save()
            watcher.on_epoch(row)
    finally:
        watcher.on_end()
    stage.kept.assign(stage.kept.best_weights)
    return stage.kept.progress.rows


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
