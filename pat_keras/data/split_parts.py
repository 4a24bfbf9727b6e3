"""Splits made of a split: fewer people to learn from, and inner splits for choosing settings.

Neither ever looks at the test part.

Axes: B windows, P people.
"""

from __future__ import annotations

import numpy as np

from pat_keras.data.splits import Split, check_disjoint, holdout, kfold
from pat_keras.data.strata import is_classes, people_and_labels, strata_of
from pat_keras.errors import CohortError, LabelError

_LEARNED = ("train", "validation")


def take_people(
    split: Split, participant_id: np.ndarray, y: np.ndarray, size: int, seed: int, task: str | None = None
) -> Split:
    """The same split with `size` people in training and validation together.

    Everybody keeps their part. Each part and each class (or fifth of a value to predict) gives its share, one person
    at least of a class in a part. Draws are nested: of one seed, the 500 are among the 1,000.

    Args:
        split: whose training and validation people are drawn from; its test part is kept as it is.
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        size: people, at most as many as there are.
        seed: of the draw.
        task: "binary", "multiclass" or "regression"; if None, as `pat_keras.data.splits.holdout` tells it.

    Raises:
        CohortError: if there are fewer people than `size`.
    """
    rows = np.concatenate([split.train, split.validation])
    ids = np.asarray(participant_id)
    people, label = people_and_labels(ids[rows], np.asarray(y)[rows])
    if size > len(people):
        raise CohortError(
            f"{split.name}: {len(people)} people are not tested, expected at least the {size} of train_size. Lower it, "
            "or test fewer people."
        )
    in_validation = np.isin(people, ids[split.validation])
    strata = 2 * strata_of(label, task) + in_validation
    chosen = people[np.argsort(_places(strata, np.random.default_rng(seed), is_classes(label, task)))[:size]]
    kept = {part: own[np.isin(ids[own], chosen)] for part in _LEARNED for own in [getattr(split, part)]}
    left_out = split.left_out | ({"beyond train_size": len(people) - size} if size < len(people) else {})
    reduced = Split(**kept, test=split.test, name=split.name, left_out=left_out)
    check_disjoint(reduced, participant_id)
    return reduced


def _places(strata: np.ndarray, rng: np.random.Generator, each: bool) -> np.ndarray:
    """(P,) numbers whose order is a random one in which every beginning holds its share of each stratum.

    With `each`, one of every stratum comes before all others.
    """
    place = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        # The k-th of n people stands where a share of (k + 1/2) / n of everybody is drawn; random where that is equal.
        place[members] = (np.arange(len(members)) + 0.5) / len(members) + 1e-9 * rng.random(len(members))
        if each:
            place[members[0]] -= 1
    return place


def committee_splits(
    split: Split,
    participant_id: np.ndarray,
    y: np.ndarray,
    count: int,
    seed: int,
    task: str | None = None,
    group: np.ndarray | None = None,
) -> list[Split]:
    """The split itself, and others of the same people in which others of them decide when to stop.

    Nobody is among the validation people of two. These are about as many in each as in the split, where people of
    every class are enough for that, or else in as many parts as they are enough for. The test part is kept as it is.

    Args:
        split: whose training people are validation people in turn; it must have validation people.
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        count: of splits.
        seed: of the draw.
        task: as in `holdout`.
        group: (B,) who is kept together; the participant if None.

    Raises:
        LabelError, CohortError: if there are too few people, or too few of a class.
    """
    if count == 1:
        return [split]
    ids, y = np.asarray(participant_id), np.asarray(y)
    kept = (ids if group is None else np.asarray(group))[split.train]
    alike = round(len(np.unique(ids[split.train])) / max(1, len(np.unique(ids[split.validation]))))
    least = max(count - 1, 2)
    for parts in range(max(least, alike), least - 1, -1):
        try:
            dealt = kfold(kept, y[split.train], folds=parts, validation_fraction=0, seed=seed, task=task)
            break
        except (CohortError, LabelError) as error:
            problem = error
    else:
        raise type(problem)(
            f"{split.name}: for a committee of {count} its training people are dealt into {least} parts, expected "
            f"people of every class in each. {problem} Ask for {'a smaller' if count > 2 else 'no'} committee, or for "
            "more people."
        ) from problem
    others = []
    for number, fold in enumerate(dealt[: count - 1], 2):
        train = np.concatenate([split.train[fold.train], split.validation])
        others.append(
            Split(train, split.train[fold.test], split.test, f"{split.name}, member {number}", split.left_out)
        )
    for other in others:
        check_disjoint(other, ids)
    return [split, *others]


def inner_splits(
    split: Split,
    participant_id: np.ndarray,
    y: np.ndarray,
    *,
    folds: int,
    seed: int,
    validation_fraction: float = 0.2,
    group: np.ndarray | None = None,
    task: str | None = None,
) -> list[Split]:
    """Splits of a split's training and validation people, for choosing settings: nested cross-validation's inner loop.

    Numbers of windows are those of the outer split, of whose test part none is in them. In each inner split, `test`
    scores a setting, and `validation` does within it what validation people always do.

    Args:
        split: the outer one.
        participant_id: (B,) whose window it is.
        y: (B,) labels, none missing.
        folds: of the inner cross-validation; 1 for a single split, scored on the outer validation people.
        seed: of the draws.
        validation_fraction: share of the people that an inner split does not score.
        group: (B,) who is kept together; the participant if None.
        task: as in `holdout`.

    Raises:
        LabelError, CohortError: as `kfold` and `holdout`.
    """
    group, y = np.asarray(participant_id if group is None else group), np.asarray(y)
    rows = split.train if folds == 1 else np.sort(np.concatenate([split.train, split.validation]))
    if folds == 1:
        one = holdout(
            group[rows], y[rows], validation_fraction=validation_fraction, test_fraction=0, seed=seed, task=task
        )
        inner = [Split(rows[one.train], rows[one.validation], split.validation, f"{split.name}, inner")]
    else:
        inner = [
            Split(rows[one.train], rows[one.validation], rows[one.test], f"{split.name}, inner {one.name}")
            for one in kfold(
                group[rows], y[rows], folds=folds, validation_fraction=validation_fraction, seed=seed, task=task
            )
        ]
    for one in inner:
        check_disjoint(one, participant_id)
    return inner
