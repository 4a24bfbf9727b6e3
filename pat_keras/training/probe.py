"""A head that is solved and not trained: logistic or ridge regression on the pooled tokens of an encoder that stays.

What a linear probe is in most of the literature. Its loss has one minimum, which a solver finds in a second; by steps
of a gradient, a head on a few dozen people is far from it after thirty training epochs. The result is an ordinary
model: the regression's coefficients are the weights of its output layer.

Axes: B windows, T minutes, D what the head sees of a window's tokens, C outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pat_keras.config import FinetuneConfig
from pat_keras.errors import LabelError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.estimators import Sample, fit_best, make_estimator, person_folds
from pat_keras.training.loop import Watcher
from pat_keras.training.state import Row
from pat_keras.training.validation import Part, mean_loss, participant_auc

FOLDS = 5  # of the cross-validation that chooses the penalty


def pooled_tokens(
    model: PATClassifier, x: np.ndarray, batch_size: int, on_batch: Callable[[], None] = lambda: None
) -> np.ndarray:
    """What the head of `model` sees of (B, T) scaled weeks: (B, D).

    Args:
        model: whose encoder and pooling it is.
        x: (B, T); NaN = missing, in a model that masks missing minutes.
        batch_size: windows a step.
        on_batch: called after each step.
    """
    batches = []
    for low in range(0, len(x), batch_size):
        weeks = x[low : low + batch_size]
        worn: dict[str, Any] = {}
        if model.min_worn_share is not None:
            worn = {"wear": ~np.isnan(weeks), "min_worn_share": model.min_worn_share}
        batches.append(model.encoder.embed(weeks, batch_size, pooling=model.pooling, **worn))
        on_batch()
    return np.concatenate(batches)


def solve_head(model: PATClassifier, train: Part, validation: Part, config: FinetuneConfig, watcher: Watcher) -> Row:
    """Give the linear head of a model the weights of least loss on the training people.

    Pooled tokens are standardised, and the penalty on the coefficients (L2; scikit-learn's C, or 1 / alpha for ridge)
    is the one of least loss over a cross-validation within the training people, grouped by person. Validation people
    are not learned from: thresholds and recalibration are theirs, as after any training.

    Args:
        model: with a linear head; takes scaled windows.
        train, validation: scaled windows (B, T), labels, and weights in the loss.
        config: of the training.
        watcher: told about progress.

    Returns:
        The one row of history.csv: stage, epoch, losses, AUC, inverse_penalty, seconds.

    Raises:
        LabelError: if a class has fewer than two training people, or is missing among them.
    """
    started = time.perf_counter()
    steps = [-(-len(part.x) // config.batch_size) for part in (train, validation)]
    watcher.on_start("embedding", sum(steps))
    try:
        seen, others = (
            pooled_tokens(model, part.x, config.batch_size, watcher.on_step) for part in (train, validation)
        )
    finally:
        watcher.on_end()
    y = train.y.astype(np.float64)
    task = config.learned_task  # of a score, the logit is linear in its expected share; see `ScoreTargets`
    absent = sorted(set(range(max(model.num_outputs, 2))) - set(y.astype(int))) if task != "regression" else []
    if absent:
        raise LabelError(
            f"logistic_probe: no training window has class {', '.join(map(str, absent))}, expected some of every "
            "class. Enlarge the training part."
        )
    sample = Sample(seen.astype(np.float64), y, train.weight.astype(np.float64))
    folds = person_folds(task, y, train.participant_id, FOLDS, config.seed, "logistic_probe")
    inverse_penalty, fitted = fit_best(make_estimator("logistic", task, config.seed), sample, folds)
    kernel, bias = _coefficients(fitted, model.num_outputs)
    model.output_layer.kernel.assign(kernel)
    model.output_layer.bias.assign(bias)
    outputs = others @ kernel + bias
    row: Row = {
        "stage": "probe",
        "epoch": 1,
        "loss": mean_loss(task, train, seen @ kernel + bias),
        "validation_loss": mean_loss(task, validation, outputs),
    }
    if config.task != "regression":
        row["validation_auc"] = participant_auc(config.task, validation, outputs)
    row |= {"inverse_penalty": float(inverse_penalty), "seconds": round(time.perf_counter() - started, 3)}
    watcher.on_epoch(row)
    return row


def _coefficients(fitted: Any, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (D, C) and bias (C,), of tokens as they are, of a pipeline that standardises them and ends linearly."""
    scaler, last = fitted[-2], fitted[-1]
    coefficients = np.atleast_2d(last.coef_)  # (C, D)
    kernel = (coefficients / scaler.scale_).T
    bias = np.atleast_1d(last.intercept_) - scaler.mean_ @ kernel
    if kernel.shape[1] < outputs:  # two classes with an output each: scikit-learn has their log-odds alone
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
    return kernel.astype(np.float32), bias.astype(np.float32)
