"""What validation people say about a model: its outputs for them, their mean loss, the AUC over participants.

Axes: B windows, T minutes (or D of pooled tokens), C outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import sklearn.metrics

from pat_keras.models.outputs import probabilities


@dataclasses.dataclass(frozen=True)
class Part:
    """The windows of some people.

    Attributes:
        x: inputs (B, T).
        y: targets (B,) of the loss; of training windows also shares (B, C).
        weight: of the loss, (B,).
        participant_id: whose they are, (B,).
        varied: gives the inputs (B, T) of a training epoch, counted from 0, in place of `x`; None if they stay.
        label: (B,) of which the AUC is, where that is not what is learned; None where it is `y`.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    participant_id: np.ndarray
    varied: Callable[[int], np.ndarray] | None = None
    label: np.ndarray | None = None

    @property
    def truth(self) -> np.ndarray:
        """(B,) labels."""
        return self.y if self.label is None else self.label


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
        # A target of two classes may lie between them.
        of_target = part.y * outputs[:, 1] if task == "binary" else outputs[np.arange(len(outputs)), part.y.astype(int)]
        losses = total - of_target
    return float(np.mean(part.weight * losses))


def participant_auc(task: str, part: Part, outputs: np.ndarray) -> float:
    """AUC over participants, whose windows' probabilities are averaged; of several classes, the mean."""
    chances = probabilities(outputs, task)
    _, first, place = np.unique(part.participant_id, return_index=True, return_inverse=True)
    means = np.stack([np.bincount(place, column) / np.bincount(place) for column in chances.T], axis=1)
    truth = part.truth[first].astype(int)
    scores = [
        sklearn.metrics.roc_auc_score(truth == k, means[:, k]) for k in range(means.shape[1]) if (truth == k).any()
    ]
    # Rounding makes equal AUCs equal, whatever the order of the additions: between such epochs the loss decides.
    return round(float(scores[1] if task == "binary" else np.mean(scores)), 12)
