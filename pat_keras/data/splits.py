"""Splits into training, validation and test that never share a participant.

People are drawn, not windows: a person with several windows has all of them in one part. Which people a split takes
depends on the ids, the labels and the seed alone, not on the order of rows.

Axes: B windows, P people.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from pat_keras.data.people import PeopleList
from pat_keras.data.strata import (
    check_class_sizes,
    check_wanted,
    draw,
    is_classes,
    needed_for,
    people_and_labels,
    strata_of,
)
from pat_keras.errors import CohortError

PARTS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Numbers of windows (int64, sorted) of each part; `validation` and `test` may be empty.

    Attributes:
        train: what is learned from.
        validation: what the number of epochs, a threshold and the like are chosen by.
        test: what is scored, once.
        name: such as "holdout" or "fold 2 of 5".
        left_out: people who are in no part, by the reason why.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    name: str
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, np.sort(np.asarray(getattr(self, part), dtype=np.int64)))


def split_hash(split: Split) -> str:
    """SHA-256 of which windows, by their number, are in which part."""
    digest = hashlib.sha256()
    for part in PARTS:
        digest.update(part.encode() + np.ascontiguousarray(getattr(split, part), dtype="<i8").tobytes())
    return digest.hexdigest()


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
    people, label = people_and_labels(participant_id, y)
    for name, fraction in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 <= fraction < 1:
            raise CohortError(f"holdout: {name} is {fraction:g}, expected a number from 0 up to 1.")
    strata = strata_of(label, task) if stratify else np.zeros(len(people), dtype=np.int64)
    n_parts = 1 + (test_fraction > 0) + (validation_fraction > 0)
    each = is_classes(label, task) and stratify
    if each:
        check_class_sizes(label, n_parts, "holdout")
    rng = np.random.default_rng(seed)
    in_test = draw(strata, test_fraction, rng, each, leave=n_parts - 1)
    in_validation = np.zeros(len(people), dtype=bool)
    in_validation[~in_test] = draw(strata[~in_test], validation_fraction, rng, each, leave=1)
    check_wanted(in_test, test_fraction, "test", "holdout")
    check_wanted(in_validation, validation_fraction, "validation", "holdout")
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

    As many folds as people leave one participant out each time; `leave_one_out` does so and keeps the classes alike.

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
    people, label = people_and_labels(participant_id, y)
    if not 2 <= folds <= len(people):
        raise CohortError(f"kfold: {folds} folds of {len(people)} people, expected from 2 to {len(people)}.")
    if not 0 <= validation_fraction < 1:
        raise CohortError(f"kfold: validation_fraction is {validation_fraction:g}, expected a number from 0 up to 1.")
    strata = strata_of(label, task) if stratify else np.zeros(len(people), dtype=np.int64)
    each = is_classes(label, task) and stratify
    if each:
        needed = needed_for(folds, len(people), 1 + (validation_fraction > 0))
        check_class_sizes(label, needed, f"kfold, {folds} folds")
    rng = np.random.default_rng(seed)
    # Dealt like cards, class after class, so that folds are alike in size and in every class.
    dealt = np.concatenate([rng.permutation(np.flatnonzero(strata == stratum)) for stratum in np.unique(strata)])
    fold = np.empty(len(people), dtype=np.int64)
    fold[dealt] = np.arange(len(people)) % folds
    splits = []
    for number in range(folds):
        in_test = fold == number
        in_validation = np.zeros(len(people), dtype=bool)
        in_validation[~in_test] = draw(strata[~in_test], validation_fraction, rng, each, leave=1)
        check_wanted(in_validation, validation_fraction, "validation", f"kfold, {folds} folds")
        splits.append(_split(participant_id, people, in_validation, in_test, f"fold {number + 1} of {folds}"))
    return splits


def leave_one_out(
    participant_id: np.ndarray,
    y: np.ndarray,
    *,
    validation_fraction: float,
    seed: int,
    task: str | None = None,
) -> list[Split]:
    """One split a person, who is tested by a model of the others; validation people are drawn from these anew.

    Beside the tested person, one of each other class is left out, at random, so that training and validation hold the
    same numbers of each class whoever is tested. Without this the share of a class among the others tells which class
    the tested person is of, and a model that only learns that share scores its cases below its controls: an AUC near 0
    where nothing is to be learned (Austin, Pe'er and Korem, arXiv 2406.01652). Values to predict have no such remedy.

    Args:
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        validation_fraction: share of the people beside the tested one.
        seed: of the draws.
        task: as in `holdout`.

    Raises:
        LabelError: if a label is missing, there is one class only, or a class has too few people.
        CohortError: if the arguments don't fit each other, or there are too few people.
    """
    people, label = people_and_labels(participant_id, y)
    strata, each = strata_of(label, task), is_classes(label, task)
    if each:
        check_class_sizes(label, 2 + (validation_fraction > 0), "leave one out")
    rng = np.random.default_rng(seed)
    splits = []
    for number in range(len(people)):
        used = np.arange(len(people)) != number
        if each:
            for other in np.unique(strata[strata != strata[number]]):
                used[rng.choice(np.flatnonzero(strata == other))] = False
        in_validation = np.zeros(len(people), dtype=bool)
        in_validation[used] = draw(strata[used], validation_fraction, rng, each, leave=1)
        check_wanted(in_validation, validation_fraction, "validation", "leave one out")
        part = np.where(in_validation, 1, np.where(used, 0, -1))
        part[number] = 2
        left_out = int((part < 0).sum())
        reasons = {"left out so that the shares of the classes are always the same": left_out} if left_out else {}
        splits.append(_split_by_part(participant_id, people, part, f"person {number + 1} of {len(people)}", reasons))
    return splits


def from_list(
    participant_id: np.ndarray,
    y: np.ndarray,
    people: PeopleList,
    *,
    validation_fraction: float,
    seed: int,
    group: np.ndarray | None = None,
    known: Collection[str] = (),
    task: str | None = None,
) -> Split:
    """The people of a list are tested. Validation is that of the list, or drawn from the others if it names nobody.

    Args:
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        people: the list.
        validation_fraction: share of the people who are not on the list, if it names no validation people.
        seed: of that draw.
        group: (B,) who is kept together. People of the same group as somebody on the list, and not on it themselves,
            are left out and counted.
        known: ids that are right though they have no window here, such as people without the label.
        task: as in `holdout`.

    Raises:
        CohortError: if ids of the list are unknown (of a list that comes with the package they may be: it is for every
            cohort of a study), nobody on it is here, or nobody else is.
        LabelError: as `holdout`.
    """
    ids = np.asarray(participant_id)
    group = ids if group is None else np.asarray(group)
    here = set(ids.tolist())
    people = people.without_header({*here, *known})
    absent = [name for name in (*people.test, *people.validation) if name not in here]
    unknown = [name for name in absent if name not in set(known)]
    if not here.intersection(people.test):
        raise CohortError(
            f"{people.where}: nobody on the list is among the {len(here)} people with this label (listed are ids such "
            f"as {people.test[0]!r}, here are such as {str(ids[0])!r}). Give the list of this study, ids as in the "
            "cohort."
        )
    if unknown and not people.shipped:
        raise CohortError(
            f"{people.where}: {len(unknown)} of {len(people.test) + len(people.validation)} ids are of nobody in the "
            f"cohort (such as {unknown[0]!r}, where the cohort has such as {str(ids[0])!r}). Correct or remove them."
        )
    part = np.zeros(len(ids), dtype=np.int64)
    part[np.isin(ids, people.validation)] = 1
    part[np.isin(ids, people.test)] = 2
    part[_beside(part, group)] = -1
    rest = np.flatnonzero(part == 0)
    if not people.validation and rest.size:
        drawn = holdout(
            group[rest],
            np.asarray(y)[rest],
            validation_fraction=validation_fraction,
            test_fraction=0,
            seed=seed,
            task=task,
        )
        part[rest[drawn.validation]] = 1
    counts = {
        "on the list, without a window or a label here": len(absent),
        "share recordings with somebody on the list": np.unique(ids[part < 0]).size,
    }
    left_out = {reason: count for reason, count in counts.items() if count}
    return _by_part(participant_id, part, f"list {people.where}", left_out)


def from_column(
    participant_id: np.ndarray, values: Sequence[str | None] | np.ndarray, group: np.ndarray | None = None
) -> Split:
    """The split that a column of the cohort gives: "train", "validation" or "test" for each window.

    Args:
        participant_id: (B,) whose window it is.
        values: (B,) the column.
        group: (B,) who is kept together. People of the same group as somebody who is tested, and not tested themselves,
            are left out and counted; so are those to train on beside somebody who validates.

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
    ids, part = np.asarray(participant_id), np.array([PARTS.index(value) for value in column])
    _by_part(ids, part, "given", {})  # as it is given, before anybody is left out
    beside = _beside(part, ids if group is None else np.asarray(group))
    part[beside] = -1
    left_out = {"share recordings with somebody in another part": np.unique(ids[beside]).size} if beside.any() else {}
    return _by_part(ids, part, "given", left_out)


def _beside(part: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(B,) who is in the group of somebody of a later part, by the number in `PARTS`: not to be learned from."""
    beside_test = (part != 2) & np.isin(group, group[part == 2])
    return beside_test | ((part == 0) & np.isin(group, group[part == 1]))


def _split(
    participant_id: np.ndarray, people: np.ndarray, in_validation: np.ndarray, in_test: np.ndarray, name: str
) -> Split:
    """The windows of the people in each part."""
    return _split_by_part(participant_id, people, np.where(in_test, 2, np.where(in_validation, 1, 0)), name, {})


def _split_by_part(
    participant_id: np.ndarray, people: np.ndarray, part: np.ndarray, name: str, left_out: dict[str, int]
) -> Split:
    """The windows of the people (P,) whose part (P,) is a number in `PARTS`, or -1 for none."""
    return _by_part(participant_id, part[np.searchsorted(people, participant_id)], name, left_out)


def _by_part(participant_id: np.ndarray, part: np.ndarray, name: str, left_out: dict[str, int]) -> Split:
    """The windows whose part (B,) is a number in `PARTS`, or -1 for none; checked to be a split."""
    train, validation, test = (np.flatnonzero(part == number) for number in range(len(PARTS)))
    split = Split(train, validation, test, name, left_out)
    check_disjoint(split, participant_id)
    return split
