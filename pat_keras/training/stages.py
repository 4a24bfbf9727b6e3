"""The stages of a training: the head alone on pooled tokens, everything, or one after the other.

Axes: B windows, T minutes, D what the head sees of a window's tokens, C outputs.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras

from pat_keras.config import FinetuneConfig
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import compile_by_default
from pat_keras.models.predictor import Predictor
from pat_keras.training.loop import Watcher, train_stage
from pat_keras.training.losses import make_loss
from pat_keras.training.optimizers import make_optimizer
from pat_keras.training.probe import pooled_tokens, solve_head
from pat_keras.training.state import Row
from pat_keras.training.validation import Part


class HeadOnly(keras.Model):
    """The head of a classifier on pooled tokens (B, D), sharing its weights: what a frozen encoder leaves to train."""

    def __init__(self, classifier: PATClassifier) -> None:
        super().__init__(name="head")
        self.head_dropout, self.output_layer = classifier.head_dropout, classifier.output_layer
        if classifier.head == "official":
            self.hidden = classifier.hidden
        self._call_head = classifier.call_head
        self.jit_compile = compile_by_default()
        self.built = True

    def call(self, pooled: Any, training: bool | None = None) -> Any:
        """(B, D) -> logits (B, C)."""
        return self._call_head(pooled, training=training)


def run_stages(
    model: Predictor,
    train: Part,
    validation: Part,
    config: FinetuneConfig,
    folder: pathlib.Path | None = None,
    watcher: Watcher | None = None,
) -> list[Row]:
    """Train a model as `config.mode` says, and leave it with its best weights.

    Args:
        model: built; takes scaled windows.
        train, validation: scaled windows (B, T).
        config: everything else.
        folder: for the state of each stage; what is found there is gone on with.
        watcher: told about progress.

    Returns:
        The rows of history.csv, one a training epoch.

    Raises:
        RunError: see `train_stage`.
    """
    if config.mode == "logistic_probe":
        assert isinstance(model, PATClassifier)
        return [solve_head(model, train, validation, config, watcher or Watcher())]
    history: list[Row] = []
    if config.mode != "full":
        assert isinstance(model, PATClassifier)  # no other model has an encoder to leave as it is
        epochs = config.epochs if config.mode == "linear_probe" else config.probe_epochs
        pooled, others = (_pooled_part(model, part, config.batch_size) for part in (train, validation))
        history += _run_stage("head", HeadOnly(model), pooled, others, config, epochs, folder, watcher)
    if config.mode != "linear_probe":
        history += _run_stage("full", model, train, validation, config, config.epochs, folder, watcher)
    return history


def _pooled_part(model: PATClassifier, part: Part, batch_size: int) -> Part:
    """The same windows as the head sees them, embedded once; again in every training epoch if they vary."""
    x, varied = pooled_tokens(model, part.x, batch_size), part.varied
    if varied is None:
        return dataclasses.replace(part, x=x)
    return dataclasses.replace(part, x=x, varied=lambda epoch: pooled_tokens(model, varied(epoch), batch_size))


def _run_stage(
    name: str,
    model: keras.Model,
    train: Part,
    validation: Part,
    config: FinetuneConfig,
    epochs: int,
    folder: pathlib.Path | None,
    watcher: Watcher | None,
) -> list[Row]:
    steps = -(-len(train.x) // config.batch_size)
    optimizer = make_optimizer(config, model, epochs, steps)
    jit = model.jit_compile if config.jit == "auto" else config.jit == "on"
    model.compile(optimizer, loss=make_loss(config), jit_compile=jit)
    state = None if folder is None else folder / f"{name}.npz"
    return train_stage(name, model, train, validation, config, epochs, state, watcher)
