"""Whom an experiment is about, and who is in which part: a cohort's labelled windows, checked, and their splits.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.checkpoints.seen import seen_by_weights, seen_note
from pat_keras.config import CROSS_VALIDATION, FinetuneConfig
from pat_keras.data import splits
from pat_keras.data.assembly import recording_groups
from pat_keras.data.cohort import Cohort, check_is_cohort
from pat_keras.data.measurement import axis_of, values_of, window_start
from pat_keras.data.people import read_people
from pat_keras.data.split_parts import committee_splits, take_people
from pat_keras.data.splits import PARTS, Split
from pat_keras.data.standardize import detect_scaling, undo_fixed_scaling
from pat_keras.data.value_names import value_name
from pat_keras.errors import CohortError, LabelError
from pat_keras.evaluation.metrics import by_participant
from pat_keras.training.score_targets import ScoreTargets

_MOST_CLASSES = 50


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """The labelled windows of a cohort, in the order of (participant_id, window).

    Attributes:
        cohort: of these windows alone.
        activity: (B, T) float32 raw minutes, NaN = missing (none unless the config masks them), a fixed scaling undone
            if that was asked.
        y: (B,) targets: 0 and 1, the number of the class in `classes`, or values.
        participant_id: (B,) whose window it is.
        group: (B,) who is kept together by a random split: the participant, or the people who share recordings (see
            `pat_keras.data.assembly`).
        classes: the labels of the classes as the cohort has them; none for a regression.
        account: for data.json.
        without_label: ids of the people of the cohort who were left out for want of the label.
        score: (B,) that the label is a cut of, higher where it is 1; None unless it is learned in the label's place.
    """

    cohort: Cohort
    activity: np.ndarray
    y: np.ndarray
    participant_id: np.ndarray
    group: np.ndarray
    classes: list[float]
    account: dict[str, Any]
    without_label: frozenset[str] = frozenset()
    score: np.ndarray | None = None


def labelled_data(cohort: Cohort, label: str, config: FinetuneConfig, say: Callable[[str], None]) -> LabelledData:
    """The windows that have the label, checked, and repaired if asked.

    Args:
        cohort: windows with labels; those without this one are left out and counted.
        label: the column to predict.
        config: its task, learn_score, standardize and repair_fixed_scaling are looked at.
        say: told about data that look wrongly scaled.

    Raises:
        LabelError: for a label that is absent, missing everywhere, not of the task, of one class, or that differs
            between the windows of one person; or for a score to learn of which the label is no cut.
        CohortError: if it is no cohort, minutes are missing, or the fixed scaling to undo is not that of the data.
    """
    check_is_cohort(cohort)
    values = cohort.label(label)
    known = ~np.isnan(values)
    if not known.any():
        raise LabelError(f"label {label!r}: missing in all {len(values)} windows. Choose another label.")
    everybody = frozenset(cohort.table["participant_id"].to_list())
    # Sorted, so that results don't depend on the order of the rows in the file.
    order = cohort.table.select(pl.arg_sort_by("participant_id", "window")).to_series().to_numpy()
    rows = order[known[order]]
    if not np.array_equal(rows, np.arange(len(values))):
        cohort, values = cohort.select(rows), values[rows]
    y, classes = _targets(values, label, config.task)
    people = by_participant(cohort.participant_id, y, y)
    score = _score_behind(cohort, label, y, config.learn_score) if config.learn_score else None
    without_label = everybody.difference(people.participant_id.tolist())
    activity = _complete(cohort, config)
    finding = detect_scaling(activity)
    # Scaled once and taken as it is: what was asked for. One mean and deviation for everybody is never that.
    if finding is not None and (config.standardize != "none" or finding.kind == "fixed"):
        say(finding.message)
    account = {
        "label": label,
        "windows": cohort.n_windows,
        "people": cohort.n_people,
        "people_without_label": len(without_label),
        "minutes": cohort.length,
        "content_hash": cohort.content_hash(),
        "synthetic": bool(cohort.metadata.get("synthetic")),
        "scaling_finding": finding.message if finding is not None else None,
        **{key: cohort.metadata.get(key) for key in ("source", "unit", "epoch_length", "citation", "terms", "funnel")},
        "window_start": window_start(cohort.table, cohort.metadata),
        "axis": axis_of(cohort.metadata),
        "values": values_of(cohort.metadata),
    }
    if classes:
        account["people_by_class"] = _people_by_class(people.y, classes)
    groups = recording_groups(cohort)
    return LabelledData(cohort, activity, y, cohort.participant_id, groups, classes, account, without_label, score)


def _score_behind(cohort: Cohort, label: str, y: np.ndarray, column: str) -> np.ndarray:
    """(B,) the score that a label is a cut of, turned so that higher ones are of label 1."""
    score = cohort.label(column)
    missing = np.isnan(score)
    if missing.any():
        raise LabelError(
            f"score {column!r}: missing in {int(missing.sum())} of {len(score)} windows that have the label {label!r}, "
            "expected one for each. Leave these people out of the cohort, or learn the label."
        )
    try:
        by_participant(cohort.participant_id, score, score)
    except LabelError as error:
        raise LabelError(f"score {column!r}: {error}") from None
    zeros, ones = score[y == 0], score[y == 1]
    if zeros.max() < ones.min():
        return score
    if ones.max() < zeros.min():
        return -score
    raise LabelError(
        f"score {column!r}: label {label!r} is no cut of it: the scores of label 0 go from {value_name(zeros.min())} "
        f"to {value_name(zeros.max())} and those of label 1 from {value_name(ones.min())} to {value_name(ones.max())}, "
        "expected all of one above all of the other. Choose the score that the label was made from, or learn the label."
    )


def _complete(cohort: Cohort, config: FinetuneConfig) -> np.ndarray:
    """The activity, a fixed scaling undone if asked, nothing missing unless it is to be masked."""
    activity = cohort.activity
    if config.repair_fixed_scaling is not None:
        activity = undo_fixed_scaling(activity, *config.repair_fixed_scaling)
    missing = np.isnan(activity).sum(axis=1)
    if missing.any() and config.missing == "refuse":
        raise CohortError(
            f"{cohort.metadata['source']}: {int((missing > 0).sum())} of {len(activity)} labelled windows have "
            f"missing minutes ({int(missing.sum())} in all), expected none. Mask them with --missing=mask, or prepare "
            "the cohort with complete windows (pat-prepare leaves incomplete ones out by default)."
        )
    return activity


def _targets(values: np.ndarray, label: str, task: str) -> tuple[np.ndarray, list[float]]:
    """Labels as the network takes them, and the classes' own values."""
    if task == "regression":
        if np.ptp(values) == 0:
            raise LabelError(f"label {label!r}: all values are {value_name(values[0])}, expected values that differ.")
        return values, []
    classes = np.unique(values)
    shown = ", ".join(map(value_name, classes[:6])) + (", ..." if len(classes) > 6 else "")
    if task == "binary" and not np.isin(classes, (0.0, 1.0)).all():
        raise LabelError(
            f"label {label!r}: found the values {shown}, expected 0 and 1. Map them to 0 and 1, or use "
            "--task=multiclass or --task=regression."
        )
    if len(classes) < 2:
        raise LabelError(
            f"label {label!r}: all labelled people have the value {shown}, expected two classes or more. Check its "
            "rule, or choose another label."
        )
    if (classes != np.rint(classes)).any() or len(classes) > _MOST_CLASSES:
        raise LabelError(
            f"label {label!r}: found {len(classes)} values ({shown}), expected at most {_MOST_CLASSES} whole numbers "
            "for a multi-class task. Use --task=regression, or map them to classes."
        )
    return np.searchsorted(classes, values).astype(np.float64), classes.tolist()


def _people_by_class(y: np.ndarray, classes: list[float]) -> dict[str, int]:
    """People of each class, by its label, given the targets of one row a person."""
    counts = np.bincount(y.astype(int), minlength=len(classes))
    return {value_name(value): int(n) for value, n in zip(classes, counts, strict=True)}


def make_splits(data: LabelledData, config: FinetuneConfig) -> list[Split]:
    """The split, or the folds, that the config asks for, each with people of every class where they are needed.

    Raises:
        CohortError, LabelError: if a part would be empty or lack a class, or somebody would be in two parts.
    """
    seed = split_seed(config)
    parts = _drawn(data, config, seed)
    if config.train_size is not None:
        parts = [
            # A draw of its own for each fold, so that what is left out is not the same everywhere.
            take_people(split, data.participant_id, data.y, config.train_size, seed + number, config.task)
            for number, split in enumerate(parts)
        ]
    for split in parts:
        splits.check_disjoint(split, data.participant_id)
        _check_parts(data, split, config)
        for member in committee_of(data, split, config):
            if data.score is not None:
                _check_score(data.score[member.train], data.participant_id[member.train], member.name)
    return parts


def committee_of(data: LabelledData, split: Split, config: FinetuneConfig) -> list[Split]:
    """The splits of the members of a committee, or the split alone: whether there are people enough is known by it.

    Raises:
        CohortError, LabelError: if there are not.
    """
    count, seed, task = config.committee, config.seed, config.task
    return committee_splits(split, data.participant_id, _named(data, config), count, seed, task, data.group)


def split_seed(config: FinetuneConfig) -> int:
    """The seed that draws the people."""
    return config.seed if config.split_seed is None else config.split_seed


def _drawn(data: LabelledData, config: FinetuneConfig, seed: int) -> list[Split]:
    """The splits of everybody."""
    y = _named(data, config)
    fraction, task = config.validation_fraction, config.task
    if config.split == "kfold":
        return splits.kfold(data.group, y, folds=config.folds, validation_fraction=fraction, seed=seed, task=task)
    if config.split == "leave_one_out":
        return splits.leave_one_out(data.group, y, validation_fraction=fraction, seed=seed, task=task)
    if config.split == "holdout":
        return [
            splits.holdout(
                data.group, y, validation_fraction=fraction, test_fraction=config.test_fraction, seed=seed, task=task
            )
        ]
    if config.split == "list":
        return [
            splits.from_list(
                data.participant_id,
                y,
                read_people(config.test_people),
                validation_fraction=fraction,
                seed=seed,
                group=data.group,
                known=data.without_label,
                task=task,
            )
        ]
    table = data.cohort.table
    if config.split_column not in table.columns:
        there = data.cohort.columns_in_words()
        raise CohortError(
            f"split: found no column {config.split_column!r}, expected one of the cohort's: {there}. Name it by "
            "--split_column."
        )
    return [splits.from_column(data.participant_id, table[config.split_column].to_list(), data.group)]


def _named(data: LabelledData, config: FinetuneConfig) -> np.ndarray:
    """(B,) the classes' own labels, which errors then name; the values of a regression."""
    return data.y if config.task == "regression" else np.asarray(data.classes)[data.y.astype(int)]


def tested_and_seen(data: LabelledData, parts: Sequence[Split], config: FinetuneConfig) -> tuple[int, int]:
    """How many people are tested, and how many of them the pretraining of the weights saw."""
    rows = np.unique(np.concatenate([part.test for part in parts]))
    people, source = data.participant_id, data.cohort.metadata.get("source")
    # Minutes as the cohort has them, as pretraining saw them: a repaired scaling is no other person.
    seen = seen_by_weights(config.weights, source, data.cohort.activity, people, rows)
    return len(np.unique(people[rows])), seen


def say_if_seen(data: LabelledData, parts: Sequence[Split], config: FinetuneConfig, say: Callable[[str], None]) -> None:
    """Warn where the pretraining of the weights saw some of those who are tested."""
    tested, seen = tested_and_seen(data, parts, config)
    if seen:
        say(seen_note(config.weights, seen, tested))


def _check_parts(data: LabelledData, split: Split, config: FinetuneConfig) -> None:
    """Every part needs people, and of every class where that class is learned from or scored.

    A fold's test part may lack a class, since the folds are scored together. The inner cross-validations of the
    baseline and of a solved probe need two people of each class.
    """
    for name in PARTS:
        rows = getattr(split, name)
        if not len(rows):
            raise CohortError(f"{split.name}: nobody is in {name}, expected some people in every part.")
        if config.task == "regression" or (name == "test" and config.split in CROSS_VALIDATION):
            continue
        least = 2 if name == "train" and (config.baseline or config.mode == "logistic_probe") else 1
        counts = count_part(data, rows)["people_by_class"]
        few = [value for value, n in counts.items() if n < least]
        if few:
            found = ", ".join(f"{n} of class {value}" for value, n in counts.items())
            without = least == 2 and 0 not in counts.values() and config.mode != "logistic_probe"
            raise LabelError(
                f"{split.name}: {name} has {found}; expected at least {least} of each. Use larger fractions, fewer "
                f"folds, or more people{', or --nobaseline' if without else ''}."
            )


def _check_score(score: np.ndarray, participant_id: np.ndarray, name: str) -> None:
    """Training people's scores have to differ, which is to be known now, not after the training of other folds."""
    try:
        ScoreTargets.fit(score, participant_id)
    except LabelError as error:
        raise LabelError(f"{name}: {error}") from None


def count_part(data: LabelledData, rows: np.ndarray) -> dict[str, Any]:
    """How many people, windows, and people of each class (none for a regression) these windows are of."""
    people = by_participant(data.participant_id[rows], data.y[rows], data.y[rows])
    counts: dict[str, Any] = {"people": len(people.y), "windows": len(rows)}
    if data.classes:
        counts["people_by_class"] = _people_by_class(people.y, data.classes)
    return counts
