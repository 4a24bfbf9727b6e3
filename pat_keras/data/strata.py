"""People by strata: those of a class, or of a fifth of a value to predict; and draws that take a share of each.

Axes: B windows, P people.
"""

from __future__ import annotations

import numpy as np

from pat_keras.config import TASKS
from pat_keras.data.value_names import value_name
from pat_keras.errors import CohortError, LabelError

_QUANTILE_BINS = 5  # strata of a value to predict
_MOST_CLASSES = 20  # whole numbers with more different values than this are values to predict, if no task is given


def people_and_labels(participant_id: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted ids (P,), and each person's largest label (P,).

    Raises:
        CohortError: if ids and labels are not one each for every window.
        LabelError: if a label is missing or infinite.
    """
    ids, y = np.asarray(participant_id), np.asarray(y, dtype=np.float64)
    if ids.ndim != 1 or ids.shape != y.shape or not ids.size:
        raise CohortError(
            f"split: ids of shape {ids.shape} and labels of shape {y.shape}, expected one of each a window."
        )
    if not np.isfinite(y).all():
        raise LabelError(
            f"split: {int((~np.isfinite(y)).sum())} of {y.size} labels are missing or infinite. Drop these windows "
            "first."
        )
    people, person = np.unique(ids, return_inverse=True)
    label = np.full(len(people), -np.inf)
    np.maximum.at(label, person, y)
    return people, label


def is_classes(label: np.ndarray, task: str | None) -> bool:
    """Whether labels are classes; if no task is given, they are if they are few whole numbers.

    Raises:
        CohortError: for a task that does not exist.
    """
    if task is not None and task not in TASKS:
        raise CohortError(f"split: the task is {task!r}, expected one of {', '.join(TASKS)}.")
    if task is not None:
        return task != "regression"
    return bool((label == np.rint(label)).all()) and np.unique(label).size <= _MOST_CLASSES


def strata_of(label: np.ndarray, task: str | None) -> np.ndarray:
    """(P,) the number of each person's class, or of the fifth of the values that theirs is in."""
    if is_classes(label, task):
        return np.unique(label, return_inverse=True)[1].astype(np.int64)
    bins = min(_QUANTILE_BINS, max(1, len(label) // 10))
    edges = np.quantile(label, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, label, side="right").astype(np.int64)


def needed_for(folds: int, n_people: int, n_training_parts: int) -> int:
    """People of a class that cross-validation needs: one in each test part, and one in each other part beside them."""
    if folds == n_people:  # a test part is one person, of one class
        return 1 + n_training_parts
    needed = folds
    while needed - -(-needed // folds) < n_training_parts:
        needed += 1
    return needed


def check_class_sizes(label: np.ndarray, needed: int, what: str) -> None:
    """Raise a LabelError unless there are two classes, and `needed` people of each."""
    classes, counts = np.unique(label, return_counts=True)
    found = ", ".join(f"{count} people with {value_name(value)}" for value, count in zip(classes, counts, strict=True))
    if len(classes) < 2:
        raise LabelError(f"{what}: the label has one class only ({found}), expected two or more. Check its rule.")
    if counts.min() < needed:
        raise LabelError(
            f"{what}: there are {found}; expected at least {needed} people of each class, so that every part has one. "
            "Use fewer parts, join classes, or add people."
        )


def check_wanted(drawn: np.ndarray, fraction: float, part: str, what: str) -> None:
    """Raise a CohortError if a part that was asked for got nobody."""
    if fraction > 0 and not drawn.any():
        raise CohortError(
            f"{what}: {fraction:g} of {len(drawn)} people leaves nobody for {part}. Use a larger fraction, or more "
            "people."
        )


def draw(strata: np.ndarray, fraction: float, rng: np.random.Generator, each: bool, leave: int) -> np.ndarray:
    """(P,) true for a random `fraction` of the people: of each stratum as nearly as whole people allow.

    With `each`, at least one of each stratum is drawn, and `leave` of each are left.
    """
    drawn = np.zeros(len(strata), dtype=bool)
    if fraction == 0:
        return drawn
    numbers, sizes = np.unique(strata, return_counts=True)
    most = np.maximum(sizes - leave, 0) if each else sizes
    exact = fraction * sizes
    take = np.minimum(np.maximum(np.floor(exact).astype(np.int64), int(each)), most)
    # The largest remainders get the people that rounding down has left over; equal ones in random order.
    order = rng.permutation(len(numbers))
    for index in order[np.argsort((take - exact)[order], kind="stable")]:
        if take.sum() < round(fraction * len(strata)) and take[index] < most[index]:
            take[index] += 1
    for number, count in zip(numbers, take, strict=True):
        drawn[rng.permutation(np.flatnonzero(strata == number))[:count]] = True
    return drawn
