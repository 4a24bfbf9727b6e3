"""A trained run applied to people it has not seen.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable

import numpy as np
import polars as pl

from pat_keras.checkpoints.saved import load_classifier
from pat_keras.config import CROSS_VALIDATION
from pat_keras.data.cohort import Cohort
from pat_keras.data.files import atomic_write
from pat_keras.data.standardize import detect_scaling, undo_fixed_scaling
from pat_keras.errors import CohortError, RunError
from pat_keras.evaluation.run_folder import Run, read_run, score_columns
from pat_keras.models.classifier import PATClassifier


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a run's models predict of a cohort.

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
    """Predict a cohort, of which no labels are needed, by a finished run of `pat-finetune`.

    The models of a cross-validation are averaged.

    Args:
        run_folder: of the run.
        cohort: windows of raw minutes, of the length, unit and epoch length of those the run was trained on.
        repair_fixed_scaling: (mean, std) of a scaling of the cohort to undo first.
        say: told what may be wrong though it can be computed.

    Raises:
        RunError, CheckpointError: if the run is not finished, or its files are damaged.
        CohortError: if minutes are missing that the run does not mask, or the cohort is of another length, unit or
            epoch length.

    Example:
        >>> import pat_keras as pat
        >>> config = pat.FinetuneConfig(epochs=1, baseline=False)
        >>> people = pat.simulate_cohort(n_people=40, days=1)
        >>> run = pat.finetune(people, "label", config, out=tmp_path / "run").folder
        >>> pat.predict(run, pat.simulate_cohort(n_people=4, days=1, seed=1)).people.columns
        ['participant_id', 'windows', 'probability']
    """
    run = read_run(run_folder)
    _check_alike(run, cohort, say)
    activity = cohort.activity
    if repair_fixed_scaling is not None:
        activity = undo_fixed_scaling(activity, *repair_fixed_scaling)
    missing = int(np.isnan(activity).any(axis=1).sum())
    if missing and run.config.get("missing") != "mask":
        raise CohortError(
            f"{cohort.metadata['source']}: {missing} of {len(activity)} windows have missing minutes, expected none. "
            "Prepare the cohort with complete windows, or train with --missing=mask."
        )
    finding = detect_scaling(activity)
    if finding is not None and (run.config.get("standardize") != "none" or finding.kind == "fixed"):
        say(finding.message)
    scores = np.mean([_scores(model, activity) for model in load_models(run)], axis=0)
    names = score_columns(run.predictions, run.task)
    columns = {name: scores[:, k] for k, name in enumerate(names)}
    windows = cohort.table.select("participant_id", "window", "start").with_columns(**columns)
    grouped = windows.group_by("participant_id", maintain_order=True)
    people = grouped.agg(pl.len().alias("windows"), *(pl.col(name).mean() for name in names))
    return Predictions(windows, people)


def load_models(run: Run) -> list[PATClassifier]:
    """The models of a run, one a fold; each takes raw minutes.

    Raises:
        CheckpointError: if one is absent or damaged.
    """
    if run.metrics.get("split") not in CROSS_VALIDATION:
        return [load_classifier(run.folder / "model.keras")]
    folds = len(run.metrics["folds"])
    return [load_classifier(run.folder / "models" / f"fold_{number}.keras") for number in range(1, folds + 1)]


def _scores(model: PATClassifier, activity: np.ndarray) -> np.ndarray:
    """(B, 1) of the probability of 1 or the value, or (B, C)."""
    if model.task == "regression":
        return model.predict_logits(activity)
    probabilities = model.predict_proba(activity)
    return probabilities[:, 1:] if model.task == "binary" else probabilities


def _check_alike(run: Run, cohort: Cohort, say: Callable[[str], None]) -> None:
    """The cohort must be measured as the run's data were."""
    trained = run.data
    if not trained:
        raise RunError(f"{run.folder / 'data.json'}: found no such file, expected that of a finished run.")
    if cohort.length != trained["minutes"]:
        raise CohortError(
            f"{cohort.metadata['source']}: the windows have {cohort.length} minutes, the run in {run.folder} was "
            f"trained on windows of {trained['minutes']}. Cut the recordings to windows of that length."
        )
    for name, unknown in (("unit", "unknown"), ("epoch_length", None)):
        found, expected = cohort.metadata[name], trained[name]
        if unknown in (found, expected) and found != expected:
            say(f"the {name} is {found!r}, and that of the run's data {expected!r}: make sure that they are the same.")
        elif found != expected:
            raise CohortError(
                f"{cohort.metadata['source']}: the {name} is {found!r}, that of the data of the run in {run.folder} "
                f"{expected!r}. A model only knows what it was trained on: convert the recordings, or train on these."
            )
    if cohort.content_hash() == trained["content_hash"]:
        say("these are the data that the run was trained on: what it predicts of people it has seen is no test of it.")


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
