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
from pat_keras.training.score_targets import ScoreTargets


def fit_baseline(
    model: FeatureBaseline, known: TrainingData, config: FinetuneConfig
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a baseline on training people; its probabilities are recalibrated as those of a network are.

    Args:
        model: a baseline of the config's `learned_task`, not fitted yet, in which every class weighs the same.
        known: the data without test people; where a network learns a score from it, so does the baseline.
        config: task and recalibration.

    Returns:
        From activity (B, T) to probabilities (B, classes), or values (B, 1).
    """
    rows, held = known.split.train, known.split.validation
    y, people = known.y[rows], known.participant_id[rows]
    logits: Callable[[np.ndarray], np.ndarray]
    if known.score is not None:
        targets = ScoreTargets.fit(known.score[rows], people)(known.score[rows])
        model.fit(known.activity[rows], targets, people)
        weights: dict[float, float] = {}

        def logits(activity: np.ndarray) -> np.ndarray:
            return model.predict(activity)[:, None]
    else:
        model.fit(known.activity[rows], y, people)
        if config.task == "regression":
            return lambda activity: model.predict(activity)[:, None]
        if config.recalibration == "none":
            return model.predict_proba
        weights = balanced_weights(y, people)

        def logits(activity: np.ndarray) -> np.ndarray:
            return logits_of(model.predict_proba(activity))

    shares = shares_of_person(known.participant_id[held])
    seen = logits(known.activity[held])
    slope, shift = recalibration_of(config.recalibration, config.task, weights, seen, known.y[held], shares)
    return lambda activity: probabilities(slope * logits(activity) + shift, config.task)
