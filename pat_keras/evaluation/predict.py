"""A trained run, or an ensemble, applied to people it has not seen.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.cohort import Cohort, check_is_cohort
from pat_keras.data.files import atomic_write
from pat_keras.data.learned_days import people_with, window_means
from pat_keras.data.measurement import MIDNIGHT, VARIOUS, axis_of, is_unknown, values_of, window_start
from pat_keras.data.standardize import detect_scaling, undo_fixed_scaling
from pat_keras.errors import CohortError, RunError
from pat_keras.evaluation.ensemble import MANIFEST, PATEnsemble, TrainedOn


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What the models of a run, or of an ensemble, predict of a cohort.

    Attributes:
        windows: one row a window: participant_id, window, start, and `probability` (of 1), or `probability_<class>` of
            each class, or `prediction` of a regression, as in the run's predictions.csv.
        people: one row a person: participant_id, windows (how many), and the mean of these over the person's windows,
            as the run's metrics are computed.
    """

    windows: pl.DataFrame
    people: pl.DataFrame


def predict(
    run_folder: str | os.PathLike[str],
    cohort: Cohort,
    *,
    repair_fixed_scaling: tuple[float, float] | None = None,
    say: Callable[[str], None] = warnings.warn,
) -> Predictions:
    """Predict a cohort, of which no labels are needed, by a finished run of `pat-finetune` or an ensemble.

    The models of a cross-validation are averaged.

    Args:
        run_folder: of the run, or of an ensemble (`pat-ensemble`, `PATEnsemble.save`).
        cohort: windows of raw minutes, of the length, unit, axis and epoch length of those the run was trained on, and
            from the same time of day.
        repair_fixed_scaling: (mean, std) of a scaling of the cohort to undo first.
        say: told what may be wrong though it can be computed.

    Raises:
        RunError, CheckpointError: if the run is not finished, or its files are damaged.
        CohortError: if minutes are missing that the run does not mask, or the cohort is of another length, unit, axis
            or epoch length, or its windows begin at another time of day.

    Example:
        >>> import pat_keras as pat
        >>> new = pat.simulate_cohort(n_people=4, days=1, seed=1)
        >>> pat.predict("runs/mine", new).people.columns
        ['participant_id', 'windows', 'probability']
    """
    check_is_cohort(cohort)
    folder = pathlib.Path(run_folder)
    ensemble, trained_on = load_models_of(folder)
    if cohort.content_hash() in trained_on.content_hashes:
        say("these are the data that the run was trained on: what it predicts of people it has seen is no test of it.")
    else:
        check_measured_alike(folder, trained_on, cohort.length, cohort.table, cohort.metadata, say)
        _say_who_was_seen(trained_on, cohort, say)
    if trained_on.synthetic and not cohort.metadata.get("synthetic"):
        say("the run was trained on simulated people: what it predicts of real ones means nothing.")
    activity = cohort.activity
    if repair_fixed_scaling is not None:
        activity = undo_fixed_scaling(activity, *repair_fixed_scaling)
    missing = int(np.isnan(activity).any(axis=1).sum())
    if missing and not trained_on.masks:
        raise CohortError(
            f"{cohort.metadata['source']}: {missing} of {len(activity)} windows have missing minutes, expected none. "
            "Prepare the cohort with complete windows, or train with --missing=mask."
        )
    finding = detect_scaling(activity)
    if finding is not None and (trained_on.scales or finding.kind == "fixed"):
        say(finding.message)
    else:
        _say_if_out_of_range(trained_on, activity, say)
    columns = _scores(ensemble, trained_on.class_names, activity)
    windows = cohort.table.select("participant_id", "window", "start").with_columns(**columns)
    grouped = windows.group_by("participant_id", maintain_order=True)
    people = grouped.agg(pl.len().alias("windows"), *(pl.col(name).mean() for name in columns))
    return Predictions(windows, people)


def load_models_of(folder: pathlib.Path) -> tuple[PATEnsemble, TrainedOn]:
    """The models of a finished run or of an ensemble as one, and what they were trained on.

    Raises:
        RunError, CheckpointError: if the run is not finished, its files are damaged, or nobody knows the latter.
    """
    ensemble = PATEnsemble.load(folder) if (folder / MANIFEST).exists() else PATEnsemble.from_runs([folder])
    if ensemble.trained_on is None:
        raise RunError(
            f"{folder}: the ensemble does not say what its models were trained on, expected one that was made from "
            "runs (pat-ensemble, PATEnsemble.from_runs). Call its own predict_proba, or make it again."
        )
    return ensemble, ensemble.trained_on


def _say_who_was_seen(trained: TrainedOn, cohort: Cohort, say: Callable[[str], None]) -> None:
    """Say how many people the models learned from, or were stopped by, in this run."""
    if trained.days is None:
        return
    seen = people_with(trained.days.own, cohort.activity, cohort.participant_id)
    if seen:
        say(
            f"{len(seen)} of {cohort.n_people} people are among those whom the run was trained on or validated by "
            "(days of theirs are identical): what it predicts of them is no test of it."
        )


def _say_if_out_of_range(trained: TrainedOn, activity: np.ndarray, say: Callable[[str], None]) -> None:
    """Say if most windows are less, or more, active than any that was learned from, as another device would have it."""
    if trained.activity_range is None or not trained.scales:
        return
    least, most = trained.activity_range
    means = window_means(activity)
    usual = float(np.median(means)) if means else least
    if not least <= usual <= most:
        say(
            f"the mean of a usual window is {usual:.4g} {trained.unit} a minute, outside of the {least:.4g} to "
            f"{most:.4g} of those that the run was trained on. Are they of another device, or in another unit? Then "
            "the predictions mean nothing."
        )


def _scores(ensemble: PATEnsemble, class_names: tuple[str, ...], activity: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of predictions.csv, each (B,)."""
    if ensemble.task == "regression":
        return {"prediction": ensemble.predict(activity)}
    probabilities = ensemble.predict_proba(activity)
    if ensemble.task == "binary":
        return {"probability": probabilities[:, 1]}
    return {f"probability_{name}": probabilities[:, k] for k, name in enumerate(class_names)}


def check_measured_alike(
    run: str | os.PathLike[str],
    trained: TrainedOn,
    length: int,
    table: pl.DataFrame,
    metadata: Mapping[str, Any],
    say: Callable[[str], None],
) -> None:
    """See that a cohort is measured as a run's data were.

    Args:
        run: for messages.
        trained: what the run says of its data.
        length: minutes of the cohort's windows.
        table: of the cohort, with the start of each window.
        metadata: of the cohort.
        say: told what can't be known.

    Raises:
        CohortError: if the length, the unit, the axis, the epoch length, or the time of day that windows begin at is
            another one.
    """
    if length != trained.minutes:
        raise CohortError(
            f"{metadata['source']}: the windows have {length} minutes, the run in {run} was "
            f"trained on windows of {trained.minutes}. Cut the recordings to windows of that length."
        )
    own_axis, own_values = axis_of(metadata), values_of(metadata)
    unit_unknown = is_unknown(metadata["unit"]) or is_unknown(trained.unit)
    for name, found, expected, unknown in (
        ("unit", metadata["unit"], trained.unit, unit_unknown),
        ("epoch_length", metadata["epoch_length"], trained.epoch_length, False),
        ("axis", own_axis, trained.axis, None in (own_axis, trained.axis)),
    ):
        if found != expected and not unknown:
            raise CohortError(
                f"{metadata['source']}: the {name} is {found!r}, that of the data of the run in {run} "
                f"{expected!r}. A model only knows what it was trained on: convert the recordings, or train on these."
            )
    if unit_unknown:
        columns = [f" (of {values})" if values else "" for values in (own_values, trained.values)]
        say(
            f"the unit is {metadata['unit']!r}{columns[0]}, and that of the run's data {trained.unit!r}{columns[1]}: "
            "make sure that they are the same."
        )
    elif None not in (own_values, trained.values) and own_values != trained.values:
        say(f"the column is {own_values}, that of the run's data {trained.values}: make sure that both are the same.")
    _check_start(run, trained, window_start(table, metadata), metadata["source"], say)


def _check_start(
    run: str | os.PathLike[str], trained: TrainedOn, found: str | None, source: str, say: Callable[[str], None]
) -> None:
    """See that windows begin at the run's time of day, which a model tells by the place in the window."""
    expected = trained.window_start
    if expected == VARIOUS or found == expected:
        return
    if None not in (found, expected):
        how = " (pat-prepare --window_start=midnight)" if expected == MIDNIGHT else ""
        raise CohortError(
            f"{source}: the windows begin at {found}, those of the data of the run in {run} at {expected}. A model "
            f"tells the time of day by the place in the window: prepare the recordings again, from {expected}{how}, or "
            "train on these."
        )
    if found != MIDNIGHT:  # as nearly all windows do: of older runs, which don't tell, it is taken for granted
        say(
            f"the windows begin at {found or 'a time of day that is not known'}, those of the run's data at "
            f"{expected or 'one that is not known'}: make sure that they begin alike."
        )


def write_predictions(predictions: Predictions, path: pathlib.Path, overwrite: bool = False) -> pathlib.Path:
    """Write NAME.csv, one row a window, and NAME.people.csv beside it.

    Args:
        predictions: to write.
        path: NAME.csv.
        overwrite: replace what is there.

    Returns:
        The path of NAME.people.csv.

    Raises:
        RunError: if one of them is there and `overwrite` is off, or can't be written.
    """
    people = people_path(path)
    for target, table in ((path, predictions.windows), (people, predictions.people)):
        with atomic_write(target, overwrite=overwrite, error=RunError) as temporary:
            table.write_csv(temporary)
    return people


def people_path(path: pathlib.Path) -> pathlib.Path:
    """NAME.people.csv of NAME.csv."""
    return path.with_suffix(".people.csv")
