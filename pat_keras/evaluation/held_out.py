"""What several runs predict of the people whom all of them held out, and the proof that all of them did.

Axes: K runs, n windows, C columns of scores (the classes of a multi-class task, otherwise 1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.measurement import VARIOUS
from pat_keras.errors import RunError
from pat_keras.evaluation.metrics import People, by_participant
from pat_keras.evaluation.run_folder import Run, score_columns

_KEY = ("fold", "participant_id", "window")
_SETTINGS = ("label", "minutes", "unit", "epoch_length")  # of data.json, that runs of one ensemble must share
_WHERE_KNOWN = ("window_start", "axis")  # likewise; older runs, and data without times or axes, have none


@dataclasses.dataclass(frozen=True)
class SharedWindows:
    """Windows of one part of one fold, which all runs held out.

    Attributes:
        rows: fold, participant_id, window and label; sorted.
        y: (n,) labels as numbers, classes as 0 ... C - 1.
        scores: (K, n, C) of each run: probabilities of the classes, of 1, or values.
        task: of the runs.
    """

    rows: pl.DataFrame
    y: np.ndarray
    scores: np.ndarray
    task: str

    def people(self, weights: np.ndarray) -> People:
        """One row a person, of the members mixed by weights (K,)."""
        scores = self.mixed(weights)
        return by_participant(
            self.rows["participant_id"].to_numpy(), self.y, scores if self.task == "multiclass" else scores[:, 0]
        )

    def mixed(self, weights: np.ndarray) -> np.ndarray:
        """(n, C) the weighted mean of the runs' scores."""
        return np.tensordot(weights, self.scores, axes=1)

    def by_person(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels (people,) and scores (K, people) or (K, people, C)."""
        members = [self.people(row) for row in np.eye(len(self.scores))]
        return members[0].y, np.stack([people.score for people in members])


def check_alike(runs: Sequence[Run]) -> None:
    """See that models of these runs predict the same thing from the same kind of window.

    Raises:
        RunError: if they differ in task, classes, label, length, unit or epoch length of the windows, or one doesn't
            say; if windows begin at other times of day, or counts are of another axis; or if two are the same run.
    """
    first = runs[0]
    for number, run in enumerate(runs):
        absent = [name for name in (*_SETTINGS, "content_hash") if name not in run.data]
        if absent:
            raise RunError(
                f"{run.folder / 'data.json'}: found no {', '.join(absent)}, expected the account of the data of a "
                "finished run. Run it again."
            )
        found, expected = _described(run), _described(first)
        for name, value in found.items():
            if value != expected[name]:
                raise _differ(name, run, value, first, expected[name])
        twin = next((other for other in runs[:number] if other.predictions.equals(run.predictions)), None)
        if twin is not None:
            raise RunError(
                f"{run.folder}: predicts the same as {twin.folder} to the last digit: it is a copy of that run, or was "
                "made with the same settings and seed, and its model would count twice. Leave one of them out."
            )
    for name in _WHERE_KNOWN:
        known = [run for run in runs if run.data.get(name) not in (None, VARIOUS)]
        for run in known[1:]:
            if run.data[name] != known[0].data[name]:
                raise _differ(name, run, run.data[name], known[0], known[0].data[name])


def _differ(name: str, run: Run, found: Any, first: Run, expected: Any) -> RunError:
    return RunError(
        f"{run.folder}: the {name} is {found!r}, and that of {first.folder} {expected!r}; members of an ensemble must "
        "predict the same from the same. Leave one of these runs out."
    )


def _described(run: Run) -> dict[str, Any]:
    classes = run.class_names if run.task == "multiclass" else []
    return {"task": run.task, "classes": classes, **{name: run.data[name] for name in _SETTINGS}}


def held_out_together(runs: Sequence[Run]) -> dict[int, dict[str, SharedWindows]]:
    """By fold (1 for a hold-out), the "validation" and "test" windows that every one of the runs held out there.

    Nobody in "test" was trained on, or stopped a training, in any of the runs: they are of the same data, and their
    test people are the same, fold by fold. Of validation people, those of all runs are taken.

    Args:
        runs: alike, see `check_alike`.

    Raises:
        RunError: if a run tested people whom another one used otherwise, or if that can't be known because their data
            are not the same.
    """
    first = runs[0]
    tables = [_table(run) for run in runs]
    for run, table in zip(runs[1:], tables[1:], strict=True):
        if run.data["content_hash"] != first.data["content_hash"]:
            raise RunError(
                f"{run.folder}: was made with other data than {first.folder} (their content hashes differ), so it "
                "can't be known whether one was trained on people whom the other tested. Make both runs from the same "
                "cohort file."
            )
        _check_same_test(first, tables[0], run, table)
    common = tables[0].select(*_KEY, "part", "label", pl.col("score").alias("score_0"))
    for number, table in enumerate(tables[1:], 1):
        own = table.select(*_KEY, "part", pl.col("label").alias("own"), pl.col("score").alias(f"score_{number}"))
        common = common.join(own, on=[*_KEY, "part"], how="inner")
        if (common["label"] != common["own"]).any():
            raise RunError(
                f"{runs[number].folder}: gives people other labels than {first.folder}, expected the same. Make both "
                "runs from the same cohort file."
            )
        common = common.drop("own")
    common = common.sort(_KEY)
    folds = common["fold"].unique().sort().to_list()
    return {
        fold: {
            part: _held_out(common.filter((pl.col("fold") == fold) & (pl.col("part") == part)), len(runs), first)
            for part in ("validation", "test")
        }
        for fold in folds
    }


def _table(run: Run) -> pl.DataFrame:
    """The run's predictions: key, part, label as a number, and all scores of a window as one list.

    Raises:
        RunError: if the file has no folds, or somebody in two parts of one.
    """
    rows = run.predictions
    if "fold" not in rows.columns:
        raise RunError(
            f"{run.folder / 'predictions.csv'}: found no column fold, expected that of a run of pat-finetune. Run it "
            "again."
        )
    parts = rows.group_by("fold", "participant_id").agg(pl.col("part").n_unique().alias("parts"))
    torn = parts.filter(pl.col("parts") > 1).height
    if torn:
        raise RunError(
            f"{run.folder / 'predictions.csv'}: {torn} people are in two parts of one fold, expected each in one. Run "
            "it again."
        )
    scores = pl.concat_list([pl.col(name).cast(pl.Float64) for name in score_columns(rows, run.task)]).alias("score")
    labels = pl.Series("label", run.labels(rows))
    return rows.select(*_KEY, "part", scores).with_columns(labels)


def _check_same_test(first: Run, expected: pl.DataFrame, run: Run, found: pl.DataFrame) -> None:
    """See that both runs tested the same windows, fold by fold."""
    test = pl.col("part") == "test"
    sides = ((first, expected, run, found), (run, found, first, expected))
    for tester, tested, other, others in sides:
        missing = tested.filter(test).join(others.filter(test), on=_KEY, how="anti")
        if missing.is_empty():
            continue
        people = missing.select("fold", "participant_id").unique()
        stopped = people.join(others.filter(pl.col("part") == "validation"), on=["fold", "participant_id"], how="semi")
        raise RunError(
            f"{other.folder}: of the people whom {tester.folder} tested, {people.height} were not tested here in the "
            f"same fold: {stopped.height} were in validation, the others trained on or left out. An ensemble of both "
            "has seen them, and can't be scored on them. Make the runs with the same --split, and the same "
            "--split_seed where their --seed differs."
        )


def _held_out(rows: pl.DataFrame, members: int, run: Run) -> SharedWindows:
    scores = [np.array(rows[f"score_{number}"].to_list(), dtype=np.float64) for number in range(members)]
    shape = (members, rows.height, len(score_columns(run.predictions, run.task)))
    key = rows.select(*_KEY, "label")
    return SharedWindows(key, rows["label"].to_numpy(), np.stack(scores).reshape(shape), run.task)
