"""A baseline fitted as a network is trained: on training people, its probabilities recalibrated alike. Without Keras.

Axes: B windows, T minutes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pat_keras.config import FinetuneConfig
from pat_keras.evaluation.sealing import TrainingData
from pat_keras.models.baselines import FeatureBaseline
from pat_keras.models.outputs import probabilities
from pat_keras.training.recalibration import balanced_weights, logits_of, recalibration_of, shares_of_person


def fit_baseline(
    model: FeatureBaseline, known: TrainingData, config: FinetuneConfig
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a baseline on training people; its probabilities are recalibrated as those of a network are.

    Args:
        model: a baseline, not fitted yet, in which every class weighs the same.
        known: the data without test people.
        config: task and recalibration.

    Returns:
        From activity (B, T) to probabilities (B, classes), or values (B, 1).
    """
    rows, held = known.split.train, known.split.validation
    y, people = known.y[rows], known.participant_id[rows]
    model.fit(known.activity[rows], y, people)
    if config.task == "regression":
        return lambda activity: model.predict(activity)[:, None]
    logits = logits_of(model.predict_proba(known.activity[held]))
    weights = balanced_weights(y, people)
    shares = shares_of_person(known.participant_id[held])
    slope, shift = recalibration_of(config.recalibration, config.task, weights, logits, known.y[held], shares)
    if config.recalibration == "none":
        return model.predict_proba
    return lambda activity: probabilities(slope * logits_of(model.predict_proba(activity)) + shift, config.task)
