"""The formulas behind the metrics: each a function from draws of people to one value a resample.

Legend: n people, K classes, R resamples. `draws` (R, n) says how often each person was drawn; every function returns
(R,), NaN where undefined. With one row of ones it is the sample's own value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pat_keras.evaluation import auc as roc
from pat_keras.evaluation.calibration import calibration_intercept, calibration_slope

# These compare with how many people are of class 1, which a bootstrap within classes would hold fixed.
OF_ALL_PEOPLE = ("calibration_slope", "calibration_intercept", "expected_observed")

Formulas = dict[str, Callable[[np.ndarray], np.ndarray]]


def binary(y: np.ndarray, p: np.ndarray, threshold: float | np.ndarray | None) -> Formulas:
    """Of probabilities of class 1, and of the classes they give at a threshold.

    Args:
        y: (n,) 0 or 1.
        p: (n,) probability of 1.
        threshold: predicted 1 is `p >= threshold`, one for all or (n,); None makes the metrics that need it NaN.
    """
    named: Formulas = {
        "auc": lambda draws: roc.auc(y, p, draws),
        "average_precision": lambda draws: (
            roc.average_precision(y, p, draws) if y.min() == 0 else np.full(len(draws), np.nan)
        ),
        "brier": lambda draws: _mean((p - y) ** 2, draws),
        "log_loss": lambda draws: _mean(_log_losses(y, np.stack([1 - p, p], axis=1)), draws),
        "calibration_slope": lambda draws: calibration_slope(y, p, draws),
        "calibration_intercept": lambda draws: calibration_intercept(y, p, draws),
        "expected_observed": lambda draws: _ratio(draws @ p, draws @ y),
    }
    called = np.full(len(y), np.nan) if threshold is None else (p >= threshold).astype(np.float64)

    def cells(draws: np.ndarray) -> tuple[np.ndarray, ...]:
        """True positives, false positives, false negatives, true negatives, each (R,)."""
        masks = (called * y, called * (1 - y), (1 - called) * y, (1 - called) * (1 - y))
        return tuple(draws @ mask for mask in masks)

    def rates(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tp, fp, fn, tn = cells(draws)
        return _ratio(tp, tp + fn), _ratio(tn, tn + fp)

    def f1(draws: np.ndarray) -> np.ndarray:
        tp, fp, fn, _ = cells(draws)
        return _ratio(2 * tp, 2 * tp + fp + fn)

    def mcc(draws: np.ndarray) -> np.ndarray:
        tp, fp, fn, tn = cells(draws)
        both = (tp + fn > 0) & (tn + fp > 0)
        margins = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        return np.where(both, np.nan_to_num(_ratio(tp * tn - fp * fn, margins)), np.nan)

    return named | {
        "accuracy": lambda draws: _mean(called * y + (1 - called) * (1 - y), draws),
        "balanced_accuracy": lambda draws: np.mean(rates(draws), axis=0),
        "sensitivity": lambda draws: rates(draws)[0],
        "specificity": lambda draws: rates(draws)[1],
        "f1": f1,
        "mcc": mcc,
    }


def multiclass(y: np.ndarray, p: np.ndarray) -> Formulas:
    """Of probabilities (n, K) of classes; balanced accuracy is over the classes that the sample holds.

    Args:
        y: (n,) 0 ... K - 1.
        p: (n, K).
    """
    right = (p.argmax(axis=1) == y).astype(np.float64)
    classes = range(p.shape[1])

    def recalls(draws: np.ndarray) -> np.ndarray:
        return np.stack([_ratio(draws @ (right * (y == k)), draws @ (y == k).astype(float)) for k in np.unique(y)])

    return {
        "auc": lambda draws: np.mean([roc.auc((y == k).astype(float), p[:, k], draws) for k in classes], axis=0),
        "accuracy": lambda draws: _mean(right, draws),
        "balanced_accuracy": lambda draws: recalls(draws).mean(axis=0),
        "log_loss": lambda draws: _mean(_log_losses(y, p), draws),
    }


def regression(y: np.ndarray, prediction: np.ndarray) -> Formulas:
    """Of predicted numbers, in the units of the label.

    Args:
        y: (n,).
        prediction: (n,).
    """
    error = prediction - y

    def covariance(a: np.ndarray, b: np.ndarray, draws: np.ndarray) -> np.ndarray:
        # Centred on the sample first: differences of large squares lose digits.
        a, b = a - a.mean(), b - b.mean()
        return _mean(a * b, draws) - _mean(a, draws) * _mean(b, draws)

    def variance(a: np.ndarray, draws: np.ndarray) -> np.ndarray:
        value = covariance(a, a, draws)
        return np.where(value > 1e-12 * max(1e-300, float(np.mean(a**2))), value, 0.0)

    return {
        "mae": lambda draws: _mean(np.abs(error), draws),
        "rmse": lambda draws: np.sqrt(_mean(error**2, draws)),
        "r2": lambda draws: 1 - _ratio(_mean(error**2, draws), variance(y, draws)),
        "pearson": lambda draws: _ratio(
            covariance(y, prediction, draws), np.sqrt(variance(y, draws) * variance(prediction, draws))
        ),
    }


def _mean(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    return (draws @ values) / draws.sum(axis=1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _log_losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Each person's -log of the probability given to the true class, clipped at the float's epsilon."""
    epsilon = np.finfo(np.float64).eps
    return -np.log(np.clip(p[np.arange(len(y)), y.astype(int)], epsilon, 1 - epsilon))
