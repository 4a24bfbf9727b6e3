"""Two models on the same people: the difference of their first metric, paired, with an interval over people.

Legend: n people, K classes. Intervals are those of `metrics`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.stats

from pat_keras.evaluation import auc as roc
from pat_keras.evaluation import bootstrap
from pat_keras.evaluation.metrics import PRIMARY, checked, has_one_of_class, statistics, strata, widened


def paired_difference(
    task: str, y: np.ndarray, prediction: np.ndarray, other: np.ndarray, seed: int = 0, folds: int = 1
) -> dict[str, float | None]:
    """A task's first metric of `prediction` minus that of `other`, with the bootstrap interval over the same people.

    Args:
        task: one of `TASKS`.
        y: (n,) labels, one a person.
        prediction: (n,) or (n, K), see `metrics.evaluate`.
        other: of the same shape: another model's predictions for the same people.
        seed: of the bootstrap.
        folds: as for `metrics.evaluate`.

    Returns:
        "auc" (for regression "mae", where below zero is better), "low" and "high"; None where undefined.

    Raises:
        LabelError, ValueError: as `metrics.evaluate`.
    """
    y, prediction = checked(task, y, prediction)
    _, other = checked(task, y, other)
    name = PRIMARY[task]
    first, second = (statistics(task, y, values, None, only=[name]) for values in (prediction, other))

    def difference(draws: np.ndarray) -> dict[str, np.ndarray]:
        return {name: first(draws)[name] - second(draws)[name]}

    estimate = float(difference(np.ones((1, len(y)), dtype=np.int32))[name][0])
    resampled = bootstrap.distribution(difference, strata(task, y), seed=seed)[name]
    limits = None if has_one_of_class(task, y) else bootstrap.interval(resampled)
    limits = widened("difference", estimate, limits, folds)
    low, high = limits if limits and math.isfinite(estimate) else (None, None)
    return {name: estimate if math.isfinite(estimate) else None, "low": low, "high": high}


def paired_auc_difference(
    y: np.ndarray, score: np.ndarray, other: np.ndarray, seed: int = 0, folds: int = 1
) -> dict[str, Any]:
    """`paired_difference` of two binary models, with DeLong's standard error and two-sided p-value.

    Args:
        y: (n,) labels 0 or 1, one a person.
        score: (n,) of the first model.
        other: (n,) of the second model, for the same people in the same order.
        seed: of the bootstrap.
        folds: as for `metrics.evaluate`.

    Returns:
        "auc", "low", "high", "standard_error", "p_value"; None where undefined.

    Raises:
        LabelError, ValueError: as `metrics.evaluate`.
    """
    result: dict[str, Any] = {**paired_difference("binary", y, score, other, seed, folds)}
    result |= {"standard_error": None, "p_value": None}
    y, score, other = (np.asarray(values, dtype=np.float64) for values in (y, score, other))
    if len(np.unique(y)) < 2:
        return result
    aucs, covariance = roc.delong(y, np.stack([score, other]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if math.isfinite(variance) and variance > 1e-15:
        error = bootstrap.widening(folds) * math.sqrt(variance)
        p_value = 2 * scipy.stats.norm.sf(abs(aucs[0] - aucs[1]) / error)
        result |= {"standard_error": error, "p_value": float(p_value)}
    return result
