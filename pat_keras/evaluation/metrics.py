"""How good predictions are, by participant: every number with its n and an interval over people.

Legend: n people, K classes, R resamples. `draws` (R, n) says how often each person was drawn (see `bootstrap`); the
estimate is the same formula with every person drawn once.

Intervals are the 2.5th and 97.5th percentiles of 2,000 bootstrap resamples of people, drawn within each class, so that
every resample keeps the sample's numbers of cases and controls: nothing is ever undefined for want of a class, and the
AUC does not depend on how common the class is. (In simulations the plain bootstrap covers the true AUC equally often.)
Where a class has one person, who is then in every resample, there is no interval; nor where it would have no width.
Calibration is about how many people are of class 1, so its resamples are drawn of everybody.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import Any

import numpy as np
import scipy.stats

from pat_keras.config import TASKS
from pat_keras.errors import LabelError
from pat_keras.evaluation import auc as roc
from pat_keras.evaluation import bootstrap, formulas

# The one number of a task by which two models are compared.
PRIMARY = {"binary": "auc", "multiclass": "auc", "regression": "mae"}

_ONE_PERSON = "one of the classes has one person"
_WIDENED = ", {:.2f} times as wide since folds share the people they train on"

# What metrics without bounds of their own can be is not here.
_RANGES = {
    **dict.fromkeys(("auc", "average_precision", "brier", "accuracy", "balanced_accuracy"), (0.0, 1.0)),
    **dict.fromkeys(("sensitivity", "specificity", "f1"), (0.0, 1.0)),
    **dict.fromkeys(("mcc", "pearson"), (-1.0, 1.0)),
    **dict.fromkeys(("log_loss", "mae", "rmse", "expected_observed"), (0.0, math.inf)),
    "r2": (-math.inf, 1.0),
}

_METHOD = {
    "binary": "percentile bootstrap over participants, within each class (of calibration: over all of them)",
    "multiclass": "percentile bootstrap over participants, within each class",
    "regression": "percentile bootstrap over participants",
}


@dataclasses.dataclass(frozen=True)
class People:
    """Predictions with one row a person, sorted by `participant_id`.

    Attributes:
        participant_id: (n,) str.
        y: (n,) float64 labels.
        score: (n,) or (n, K) float64, the mean over the person's windows.
        n_windows: (n,) int64, windows averaged.
    """

    participant_id: np.ndarray
    y: np.ndarray
    score: np.ndarray
    n_windows: np.ndarray


def by_participant(participant_id: np.ndarray, y: np.ndarray, score: np.ndarray) -> People:
    """One row a person: the mean of the windows' scores, and the label they share.

    Args:
        participant_id: (windows,).
        y: (windows,) labels.
        score: (windows,) or (windows, K).

    Raises:
        LabelError: if the windows of one person carry different labels: which of them is the person's is not for us
            to guess.
        ValueError: if the lengths differ.
    """
    participant_id, y = np.asarray(participant_id), np.asarray(y, dtype=np.float64)
    score = np.asarray(score, dtype=np.float64)
    if not len(participant_id) == len(y) == len(score):
        raise ValueError(f"by_participant: {len(participant_id)} ids, {len(y)} labels and {len(score)} scores.")
    people, first, place = np.unique(participant_id, return_index=True, return_inverse=True)
    differs = y != y[first][place]
    if differs.any():
        torn = np.unique(place[differs])
        raise LabelError(
            f"Labels: {len(torn)} of {len(people)} participants (the first is {str(people[torn[0]])!r}) have windows "
            "with different labels; expected one label a participant, since results are by participant. Correct the "
            "labels, or, if each window is a case of its own, say so by giving it its own participant_id."
        )
    n_windows = np.bincount(place, minlength=len(people))
    total = np.zeros((len(people), *score.shape[1:]))
    np.add.at(total, place, score)
    mean = total / n_windows.reshape(-1, *[1] * (score.ndim - 1))
    return People(people, y[first], mean, n_windows.astype(np.int64))


def choose_threshold(y: np.ndarray, score: np.ndarray) -> float:
    """The cut with the highest Youden's J = sensitivity + specificity - 1 (Youden 1950, Cancer 3:32).

    To be called on validation people, never on those the result is reported for. Cuts are the middles between
    neighbouring distinct scores. Among cuts of equal J, the one whose sensitivity and specificity are closest to each
    other; among those, the lowest (the most sensitive). Scores that are all equal give that score: everybody is
    predicted 1.

    Args:
        y: (n,) labels 0 or 1, one a person.
        score: (n,).

    Returns:
        The threshold; predicted 1 is `score >= threshold`.

    Raises:
        LabelError: if one of the classes is absent.
    """
    y, score = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
    _check_classes(y, 2)
    if len(np.unique(y)) < 2:
        raise LabelError(
            f"Threshold: the {len(y)} people it is chosen on are all of class {int(y[0])}; expected both classes. "
            "Enlarge the validation part or use another seed."
        )
    false_rate, sensitivity, thresholds = roc.roc_points(y, score)
    if len(thresholds) == 2:
        return float(thresholds[1])
    cuts = (thresholds[1:-1] + thresholds[2:]) / 2  # from high to low
    sensitivity, specificity = sensitivity[1:-1], 1 - false_rate[1:-1]
    # Rates are fractions of at most n: rounding makes equal J equal whatever the order of the additions.
    j, gap = np.round(sensitivity + specificity - 1, 12), np.round(np.abs(sensitivity - specificity), 12)
    return float(cuts[np.lexsort((cuts, gap, -j))[0]])


def evaluate(
    task: str,
    y: np.ndarray,
    prediction: np.ndarray,
    threshold: float | np.ndarray | None = None,
    seed: int = 0,
    folds: int = 1,
) -> dict[str, Any]:
    """All metrics of a task, each with its interval, as plain numbers for JSON.

    A metric `m` comes as `m`, `m_low`, `m_high`. What is undefined is None (never NaN), and `reasons` says why.

    binary: auc (also by DeLong: auc_standard_error, auc_delong_low, auc_delong_high, the interval on the logit scale),
    average_precision, brier, log_loss, calibration_slope and calibration_intercept (see `calibration`),
    expected_observed (predicted number of class 1 over the true one), and at the threshold accuracy, balanced_accuracy,
    sensitivity, specificity, f1, mcc (0 where everybody is predicted to be of one class, as in scikit-learn), confusion
    [[tn, fp], [fn, tp]]; n, n_positive, threshold (None where folds differ; `thresholds` lists them).
    multiclass: auc (macro mean of one class against the rest), accuracy, balanced_accuracy, log_loss; confusion (rows
    the truth), n, n_by_class.
    regression: mae, rmse, r2, pearson; n.

    Args:
        task: one of `TASKS`.
        y: (n,) labels, one a person: 0 or 1; 0 ... K - 1; any finite number.
        prediction: (n,) probability of 1; (n, K) probabilities; (n,) values.
        threshold: of a binary task, chosen on other people by `choose_threshold`; (n,) where people were scored by
            models of different folds, each with its own threshold; None leaves its metrics None.
        seed: of the bootstrap.
        folds: of the cross-validation in which these people were scored, whose intervals are wider: see
            `bootstrap.widening`.

    Raises:
        LabelError: for labels that are not of the task.
        ValueError: for an unknown task, predictions of the wrong shape, or predictions that are not finite.
    """
    y, prediction = checked(task, y, prediction)
    resampled = _resampled(task, y, prediction, threshold, seed)
    result: dict[str, Any] = {"n": len(y)}
    reasons: dict[str, str] = {}
    one_of_class = has_one_of_class(task, y)
    for name, value in estimate(task, y, prediction, threshold).items():
        stuck = one_of_class and name not in formulas.OF_ALL_PEOPLE
        limits = None if value is None or stuck else bootstrap.interval(resampled[name])
        limits = None if value is None else widened(name, value, limits, folds)
        result[name] = value
        result[f"{name}_low"], result[f"{name}_high"] = limits or (None, None)
        if result[name] is None:
            reasons[name] = _why_undefined(task, y, prediction, name, threshold)
        elif limits is None:
            reasons[f"{name}_low"] = _ONE_PERSON if stuck else _why_no_interval(resampled[name])
    if task == "binary":
        result["n_positive"] = int(y.sum())
        result |= _threshold_summary(threshold, reasons)
        result |= _delong_interval(y, prediction, reasons, bootstrap.widening(folds))
        if threshold is not None:
            result["confusion"] = _confusion(y, prediction >= threshold, 2)
    elif task == "multiclass":
        classes = prediction.shape[1]
        result["n_by_class"] = np.bincount(y.astype(int), minlength=classes).tolist()
        result["confusion"] = _confusion(y, prediction.argmax(axis=1), classes)
    result["interval"] = {
        "level": bootstrap.LEVEL,
        "method": _METHOD[task] + (_WIDENED.format(bootstrap.widening(folds)) if folds > 1 else ""),
        "resamples": bootstrap.RESAMPLES,
        "seed": seed,
        "widening": bootstrap.widening(folds),
    }
    result["reasons"] = reasons
    return result


def _resampled(
    task: str, y: np.ndarray, prediction: np.ndarray, threshold: float | np.ndarray | None, seed: int
) -> dict[str, np.ndarray]:
    """Every metric of every resample; those of calibration of resamples whose classes are drawn as they come."""
    names = list(statistics(task, y, prediction, threshold)(np.ones((1, len(y)), dtype=np.int32)))
    within = [name for name in names if name not in formulas.OF_ALL_PEOPLE]
    chosen = statistics(task, y, prediction, threshold, only=within)
    resampled = bootstrap.distribution(chosen, strata(task, y), seed=seed)
    if len(within) < len(names):
        chosen = statistics(task, y, prediction, threshold, only=formulas.OF_ALL_PEOPLE)
        resampled |= bootstrap.distribution(chosen, np.zeros(len(y)), seed=seed)
    return resampled


def widened(name: str, value: float, limits: tuple[float, float] | None, folds: int) -> tuple[float, float] | None:
    """The interval of a metric, wider for cross-validation, within what the metric can be.

    It holds the metric itself: at an extreme ranking all resamples can lie to one side of an average precision.
    """
    if limits is None:
        return None
    limits = min(limits[0], value), max(limits[1], value)
    if folds == 1:
        return limits
    least, most = _RANGES.get(name, (-math.inf, math.inf))
    low, high = (value + bootstrap.widening(folds) * (limit - value) for limit in limits)
    return max(low, least), min(high, most)


def within_folds(y: np.ndarray, score: np.ndarray, fold: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """The AUC over pairs of people of the same fold, beside the pooled one of `evaluate`; see `auc.auc_within`.

    Args:
        y: (n,) labels 0 or 1, one a person.
        score: (n,), each by the model of the person's fold.
        fold: (n,).
        seed: of the bootstrap, which draws people within each class of each fold.

    Returns:
        "auc_within_folds" with "_low" and "_high"; None where no fold has both classes.
    """
    y, score = checked("binary", y, score)
    fold = np.unique(fold, return_inverse=True)[1]

    def statistic(draws: np.ndarray) -> dict[str, np.ndarray]:
        return {"auc": roc.auc_within(y, score, fold, draws)}

    name = "auc_within_folds"
    both = [np.unique(y[fold == number]).size == 2 for number in range(int(fold.max()) + 1)]
    if not any(both):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    value = float(statistic(np.ones((1, len(y)), dtype=np.int32))["auc"][0])
    limits = bootstrap.interval(bootstrap.distribution(statistic, 2 * fold + y, seed=seed)["auc"])
    low, high = widened("auc", value, limits, len(both)) or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def estimate(
    task: str, y: np.ndarray, prediction: np.ndarray, threshold: float | np.ndarray | None = None
) -> dict[str, float | None]:
    """The metrics of `evaluate` without intervals: for a fold, whose few people would give none worth reading.

    Args:
        task: one of `TASKS`.
        y: as for `evaluate`.
        prediction: as for `evaluate`.
        threshold: as for `evaluate`.

    Raises:
        LabelError, ValueError: as `evaluate`.
    """
    y, prediction = checked(task, y, prediction)
    values = statistics(task, y, prediction, threshold)(np.ones((1, len(y)), dtype=np.int32))
    return {name: float(value[0]) if math.isfinite(value[0]) else None for name, value in values.items()}


def statistics(
    task: str,
    y: np.ndarray,
    prediction: np.ndarray,
    threshold: float | np.ndarray | None,
    only: Collection[str] | None = None,
) -> bootstrap.Statistics:
    """The function from draws (R, n) to the task's metrics, or to those named in `only`."""
    named = {
        "binary": lambda: formulas.binary(y, prediction, threshold),
        "multiclass": lambda: formulas.multiclass(y, prediction),
        "regression": lambda: formulas.regression(y, prediction),
    }[task]()
    chosen = named if only is None else {name: named[name] for name in only}
    return lambda draws: {name: statistic(draws) for name, statistic in chosen.items()}


def checked(task: str, y: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions as float64, seen to be what `evaluate` takes; its errors otherwise."""
    if task not in TASKS:
        raise ValueError(f"evaluate: task is {task!r}, expected one of {', '.join(TASKS)}.")
    y, prediction = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    dimensions = 2 if task == "multiclass" else 1
    if y.ndim != 1 or len(y) == 0 or prediction.ndim != dimensions or len(prediction) != len(y):
        raise ValueError(f"evaluate: y has the shape {y.shape} and the {task} prediction {prediction.shape}.")
    if not np.isfinite(prediction).all():
        raise ValueError(f"evaluate: {int((~np.isfinite(prediction)).sum())} predictions are not finite.")
    if task == "regression":
        if not np.isfinite(y).all():
            raise LabelError(f"Labels: {int((~np.isfinite(y)).sum())} of {len(y)} are missing or infinite; drop them.")
    else:
        _check_classes(y, 2 if task == "binary" else prediction.shape[1])
    return y, prediction


def _check_classes(y: np.ndarray, classes: int) -> None:
    strange = ~np.isin(y, np.arange(classes))
    if strange.any():
        raise LabelError(
            f"Labels: {int(strange.sum())} of {len(y)} are none of the whole numbers 0 to {classes - 1}; expected one "
            "of them for every person. Drop people without a label, and number the classes from 0."
        )


def strata(task: str, y: np.ndarray) -> np.ndarray:
    """(n,) the group within which a person is drawn by the bootstrap: the class, or one for all."""
    return np.zeros(len(y)) if task == "regression" else y


def has_one_of_class(task: str, y: np.ndarray) -> bool:
    """Whether some class has one person, whom resampling within classes can't vary."""
    return task != "regression" and 1 in np.unique(y, return_counts=True)[1]


def _why_no_interval(resampled: np.ndarray) -> str:
    if np.isfinite(resampled).mean() < 0.95:
        return "undefined in more than one in twenty resamples"
    return "no interval: nearly all resamples agree, which is no certainty"


def _threshold_summary(threshold: float | np.ndarray | None, reasons: dict[str, str]) -> dict[str, Any]:
    distinct = [] if threshold is None else [float(value) for value in np.unique(threshold)]
    if len(distinct) == 1:
        return {"threshold": distinct[0]}
    reasons["threshold"] = "each fold chose its own, see thresholds" if distinct else "no threshold was given"
    return {"threshold": None, "thresholds": distinct} if distinct else {"threshold": None}


def _confusion(y: np.ndarray, predicted: np.ndarray, classes: int) -> list[list[int]]:
    """People by true class (rows) and predicted class (columns)."""
    cell = y.astype(int) * classes + np.asarray(predicted).astype(int)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes).tolist()


def _delong_interval(y: np.ndarray, p: np.ndarray, reasons: dict[str, str], widen: float) -> dict[str, float | None]:
    names = ("auc_standard_error", "auc_delong_low", "auc_delong_high")
    if len(np.unique(y)) < 2:
        return dict.fromkeys(names)
    (value,), ((variance,),) = roc.delong(y, p[None])
    if not math.isfinite(variance):
        reasons[names[0]] = _ONE_PERSON
        return dict.fromkeys(names)
    error = widen * math.sqrt(max(variance, 0.0))
    if error == 0 or not 0 < value < 1:
        reasons[names[1]] = (
            "the scores separate the classes perfectly" if value in (0, 1) else "the scores of a class are all equal"
        ) + ", so neither interval of the AUC has a width; it says nothing about the uncertainty"
        return {names[0]: error, names[1]: None, names[2]: None}
    # On the logit scale (Pepe 2003, section 5.2) the interval stays within 0 and 1 and covers better near 1.
    middle, half = math.log(value / (1 - value)), scipy.stats.norm.ppf((1 + bootstrap.LEVEL) / 2) * error
    half /= value * (1 - value)
    low, high = (1 / (1 + math.exp(-(middle + side * half))) for side in (-1, 1))
    return {names[0]: error, names[1]: low, names[2]: high}


def _why_undefined(
    task: str, y: np.ndarray, prediction: np.ndarray, name: str, threshold: float | np.ndarray | None
) -> str:
    if task == "regression":
        return "the values, or the predictions, are all equal"
    if task == "multiclass":
        return "a class has no people, or all people are of one class"
    if name == "calibration_slope" and len(np.unique(y)) == 2:
        same = np.ptp(prediction) < 1e-9
        return "the predictions are all equal" if same else "the predictions separate the classes, or nearly so"
    if threshold is None and name not in ("auc", "average_precision", *formulas.OF_ALL_PEOPLE):
        return "no threshold was given"
    return f"all {len(y)} people are of class {int(y[0])}"
