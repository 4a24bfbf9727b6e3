"""Splits into training, validation and test that never share a participant.

People are drawn, not windows: a person with several windows has all of them in one part. Which people a split takes
depends on the ids, the labels and the seed alone, not on the order of rows.

Axes: B windows, P people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pat_keras.config import TASKS
from pat_keras.errors import CohortError, LabelError

PARTS = ("train", "validation", "test")

_QUANTILE_BINS = 5  # strata of a value to predict
_MOST_CLASSES = 20  # whole numbers with more different values than this are values to predict, if no task is given


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Numbers of windows (int64, sorted) of each part; `validation` and `test` may be empty.

    Attributes:
        train: what is learned from.
        validation: what the number of epochs, a threshold and the like are chosen by.
        test: what is scored, once.
        name: such as "holdout" or "fold 2 of 5".
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    name: str

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, np.sort(np.asarray(getattr(self, part), dtype=np.int64)))


def check_disjoint(split: Split, participant_id: np.ndarray) -> None:
    """Checks that no window and no participant is in two parts, and that there is something to train on.

    Raises:
        CohortError: if not.
    """
    people: dict[str, set[str]] = {}
    for part in PARTS:
        windows = getattr(split, part)
        if windows.size and not (windows[0] >= 0 and windows[-1] < len(participant_id)):
            raise CohortError(
                f"{split.name}: {part} has windows that are not among the {len(participant_id)} there are."
            )
        if np.unique(windows).size != windows.size:
            raise CohortError(f"{split.name}: {part} has the same window twice, expected each once.")
        people[part] = set(np.asarray(participant_id)[windows].tolist())
    if not people["train"]:
        raise CohortError(f"{split.name}: there is nobody in train. Make the other parts smaller.")
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = people[first] & people[second]
        if shared:
            examples = ", ".join(sorted(shared)[:3])
            raise CohortError(
                f"{split.name}: {len(shared)} people are in both {first} and {second} (such as {examples}), expected "
                "each person in one part. Put all windows of a person into the same part."
            )


def holdout(
    participant_id: np.ndarray,
    y: np.ndarray,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    stratify: bool = True,
    task: str | None = None,
) -> Split:
    """One random split of the people.

    Args:
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        validation_fraction: share of the people who are not in test, as in the paper; may be 0.
        test_fraction: share of all people; may be 0.
        seed: of the draw.
        stratify: give each part the same share of each class, or of each fifth of a value to predict. A person whose
            windows have different labels counts as the largest of them (ever depressed = depressed).
        task: "binary", "multiclass" or "regression"; if None, labels are classes if they are at most 20 whole numbers.

    Raises:
        LabelError: if a label is missing, there is one class only, or a class has too few people for the parts.
        CohortError: if the arguments don't fit each other, or there are too few people.
    """
    people, label = _people(participant_id, y)
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise CohortError(f"holdout: {name} is {fraction:g}, expected a number from 0 up to 1.")
    strata = _strata(label, task) if stratify else np.zeros(len(people), dtype=np.int64)
    n_parts = 1 + (test_fraction > 0) + (validation_fraction > 0)
    each = _is_classes(label, task) and stratify
    if each:
        _check_class_sizes(label, n_parts, "holdout")
    rng = np.random.default_rng(seed)
    in_test = _draw(strata, test_fraction, rng, each, leave=n_parts - 1)
    in_validation = np.zeros(len(people), dtype=bool)
    in_validation[~in_test] = _draw(strata[~in_test], validation_fraction, rng, each, leave=1)
    _check_wanted(in_test, test_fraction, "test", "holdout")
    _check_wanted(in_validation, validation_fraction, "validation", "holdout")
    return _split(participant_id, people, in_validation, in_test, "holdout")


def kfold(
    participant_id: np.ndarray,
    y: np.ndarray,
    *,
    folds: int,
    validation_fraction: float,
    seed: int,
    stratify: bool = True,
    task: str | None = None,
) -> list[Split]:
    """Grouped cross-validation: each person is in the test part of one split, in `folds` parts of nearly equal size.

    As many folds as people leave one participant out each time.

    Args:
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        folds: at least 2, at most the number of people.
        validation_fraction: share of the people who are not in the test part of the split, drawn anew for each.
        seed: of the draws.
        stratify: as in `holdout`.
        task: as in `holdout`.

    Raises:
        LabelError: if a label is missing, there is one class only, or a class has too few people for the parts: as many
            as folds, and one for each other part beside those in test.
        CohortError: if the arguments don't fit each other, or there are too few people.
    """
    people, label = _people(participant_id, y)
    if not 2 <= folds <= len(people):
        raise CohortError(f"kfold: {folds} folds of {len(people)} people, expected from 2 to {len(people)}.")
    if not 0 <= validation_fraction < 1:
        raise CohortError(f"kfold: validation_fraction is {validation_fraction:g}, expected a number from 0 up to 1.")
    strata = _strata(label, task) if stratify else np.zeros(len(people), dtype=np.int64)
    each = _is_classes(label, task) and stratify
    if each:
        needed = _needed_for(folds, len(people), 1 + (validation_fraction > 0))
        _check_class_sizes(label, needed, f"kfold, {folds} folds")
    rng = np.random.default_rng(seed)
    # Dealt like cards, class after class, so that folds are alike in size and in every class.
    dealt = np.concatenate([rng.permutation(np.flatnonzero(strata == stratum)) for stratum in np.unique(strata)])
    fold = np.empty(len(people), dtype=np.int64)
    fold[dealt] = np.arange(len(people)) % folds
    splits = []
    for number in range(folds):
        in_test = fold == number
        in_validation = np.zeros(len(people), dtype=bool)
        in_validation[~in_test] = _draw(strata[~in_test], validation_fraction, rng, each, leave=1)
        _check_wanted(in_validation, validation_fraction, "validation", f"kfold, {folds} folds")
        splits.append(_split(participant_id, people, in_validation, in_test, f"fold {number + 1} of {folds}"))
    return splits


def from_column(participant_id: np.ndarray, values: Sequence[str | None] | np.ndarray) -> Split:
    """The split that a column of the cohort gives: "train", "validation" or "test" for each window.

    Raises:
        CohortError: if another value is in it, nobody is in train, or a participant is in two parts.
    """
    column = np.asarray(values, dtype=object)
    if column.shape != np.asarray(participant_id).shape:
        raise CohortError(f"split: {column.size} values for {len(participant_id)} windows, expected one for each.")
    others = sorted({repr(value) for value in column.tolist() if value not in PARTS})
    if others:
        raise CohortError(
            f"split: the column has the values {', '.join(others[:5])}, expected {', '.join(PARTS)}. Rename them, or "
            "drop these windows."
        )
    train, validation, test = (np.flatnonzero(column == part) for part in PARTS)
    split = Split(train, validation, test, "given")
    check_disjoint(split, participant_id)
    return split


def _people(participant_id: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted ids (P,), and each person's largest label (P,)."""
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


def _is_classes(label: np.ndarray, task: str | None) -> bool:
    if task is not None and task not in TASKS:
        raise CohortError(f"split: the task is {task!r}, expected one of {', '.join(TASKS)}.")
    if task is not None:
        return task != "regression"
    return bool((label == np.rint(label)).all()) and np.unique(label).size <= _MOST_CLASSES


def _strata(label: np.ndarray, task: str | None) -> np.ndarray:
    """(P,) the number of each person's class, or of the fifth of the values that theirs is in."""
    if _is_classes(label, task):
        return np.unique(label, return_inverse=True)[1].astype(np.int64)
    bins = min(_QUANTILE_BINS, max(1, len(label) // 10))
    edges = np.quantile(label, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, label, side="right").astype(np.int64)


def _needed_for(folds: int, n_people: int, n_training_parts: int) -> int:
    """People of a class that cross-validation needs: one in each test part, and one in each other part beside them."""
    if folds == n_people:  # a test part is one person, of one class
        return 1 + n_training_parts
    needed = folds
    while needed - -(-needed // folds) < n_training_parts:
        needed += 1
    return needed


def _check_class_sizes(label: np.ndarray, needed: int, what: str) -> None:
    classes, counts = np.unique(label, return_counts=True)
    found = ", ".join(f"{count} people with {value:g}" for value, count in zip(classes, counts, strict=True))
    if len(classes) < 2:
        raise LabelError(f"{what}: the label has one class only ({found}), expected two or more. Check its rule.")
    if counts.min() < needed:
        raise LabelError(
            f"{what}: there are {found}; expected at least {needed} people of each class, so that every part has one. "
            "Use fewer parts, join classes, or add people."
        )


def _check_wanted(drawn: np.ndarray, fraction: float, part: str, what: str) -> None:
    if fraction > 0 and not drawn.any():
        raise CohortError(
            f"{what}: {fraction:g} of {len(drawn)} people leaves nobody for {part}. Use a larger fraction, or more "
            "people."
        )


def _draw(strata: np.ndarray, fraction: float, rng: np.random.Generator, each: bool, leave: int) -> np.ndarray:
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


def _split(
    participant_id: np.ndarray, people: np.ndarray, in_validation: np.ndarray, in_test: np.ndarray, name: str
) -> Split:
    """The windows of the people in each part."""
    part = np.where(in_test, 2, np.where(in_validation, 1, 0))[np.searchsorted(people, participant_id)]
    train, validation, test = (np.flatnonzero(part == number) for number in range(len(PARTS)))
    split = Split(train, validation, test, name)
    check_disjoint(split, participant_id)
    return split
