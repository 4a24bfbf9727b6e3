"""The folder of a run: whether it is free, and a finished run read back, for a report or a comparison of runs."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.config import TASKS
from pat_keras.data.value_names import value_name
from pat_keras.errors import RunError
from pat_keras.evaluation.metrics import People, by_participant

_COLUMNS = ("participant_id", "window", "part", "label")


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run directory holds.

    Attributes:
        folder: of the run.
        metrics: metrics.json: task, test, and where they were computed validation, baseline, difference, folds,
            synthetic.
        predictions: predictions.csv, one row a window.
        history: rows of history.csv, empty without one.
        config: config.json, empty without one.
        data: data.json, empty without one.
        flags: text of flags.txt, empty without one.
    """

    folder: pathlib.Path
    metrics: dict[str, Any]
    predictions: pl.DataFrame
    history: list[dict[str, Any]]
    config: dict[str, Any]
    data: dict[str, Any]
    flags: str

    @property
    def task(self) -> str:
        """One of `config.TASKS`."""
        return self.metrics["task"]

    @property
    def synthetic(self) -> bool:
        """True if any file of the run says that its people were simulated."""
        return bool(self.metrics.get("synthetic")) or bool(self.data.get("synthetic"))

    @property
    def committee(self) -> int:
        """Models that learned in place of one; 1 in a run older than committees, too."""
        return self.config.get("committee") or 1

    @property
    def solved(self) -> bool:
        """Whether the head was solved and not trained by steps: there is no course of training to show."""
        if not self.history:  # an ensemble, of which the config tells how its members were trained
            return self.config.get("mode") == "logistic_probe"
        return all(row.get("stage") == "probe" for row in self.history)

    @property
    def class_names(self) -> list[str]:
        """Classes of a multi-class run, in the order of the probabilities."""
        return [name.removeprefix("probability_") for name in score_columns(self.predictions, "multiclass")]

    def people(self, part: str = "test") -> People:
        """The predictions of a part, one row a person; labels of classes as 0 ... K - 1.

        Raises:
            RunError: if the part has no rows.
            LabelError: if the windows of one person have different labels.
        """
        rows = self.predictions.filter(pl.col("part") == part)
        if rows.is_empty():
            raise RunError(
                f"{self.folder / 'predictions.csv'}: no row has the part {part!r}; expected at least one. "
                "Run the evaluation again, or choose another run directory."
            )
        score = rows.select(score_columns(rows, self.task)).to_numpy().astype(np.float64)
        labels = self.labels(rows)
        return by_participant(
            rows["participant_id"].to_numpy(), labels, score if self.task == "multiclass" else score[:, 0]
        )

    def labels(self, rows: pl.DataFrame) -> np.ndarray:
        """(n,) float64 labels of rows of the predictions; classes as 0 ... K - 1.

        Raises:
            RunError: for text that names none of the classes.
        """
        if self.task == "multiclass":
            # A class is written by its name, or by its number, which a spreadsheet may have turned into 1.0.
            names = {name: place for place, name in enumerate(self.class_names)}
            written = [str(label).removesuffix(".0") for label in rows["label"]]
            if set(written) <= set(names):
                return np.array([names[label] for label in written], dtype=np.float64)
        try:
            return rows["label"].cast(pl.Float64).to_numpy()
        except pl.exceptions.InvalidOperationError as error:
            raise RunError(
                f"{self.folder / 'predictions.csv'}: the column label holds text that names none of the predicted "
                "classes; expected numbers, or the names after probability_ in the header. Run the evaluation again."
            ) from error


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Reads the files of a run directory.

    Raises:
        RunError: if metrics.json or predictions.csv is missing, or a file is not what it should be.

    Example:
        >>> run = read_run("runs/mine")
        >>> run.task, run.predictions.columns[:4]
        ('binary', ['participant_id', 'window', 'part', 'fold'])
        >>> run.people("test").score.shape == run.people("test").y.shape
        True
    """
    folder = pathlib.Path(folder)
    results = _json(folder / "metrics.json", required=True)
    if results.get("task") == "pretraining":
        raise RunError(
            f"{folder / 'metrics.json'}: found a run of pat-pretrain, which has learned no label; expected one of "
            f"pat-finetune. Start from it: pat-finetune --weights={folder}."
        )
    if results.get("task") not in TASKS or not isinstance(results.get("test"), dict):
        raise RunError(
            f"{folder / 'metrics.json'}: found the task {results.get('task')!r} and the results "
            f"{', '.join(results) or 'none'}; expected a task of {', '.join(TASKS)} and a result named test. Is this "
            "the folder of a finished run?"
        )
    predictions = _csv(folder / "predictions.csv", required=True, text=("participant_id", "part"))
    missing = [name for name in _COLUMNS if name not in predictions.columns]
    if missing or not score_columns(predictions, results["task"]):
        wanted = {"binary": "probability", "multiclass": "probability_<class>"}.get(results["task"], "prediction")
        raise RunError(
            f"{folder / 'predictions.csv'}: found the columns {', '.join(predictions.columns)}; expected "
            f"{', '.join(_COLUMNS)} and {wanted}. Run the evaluation again."
        )
    flags = folder / "flags.txt"
    return Run(
        folder=folder,
        metrics=results,
        predictions=predictions,
        history=_csv(folder / "history.csv").to_dicts(),
        config=_json(folder / "config.json"),
        data=_json(folder / "data.json"),
        flags=flags.read_text(encoding="utf-8", errors="replace") if flags.is_file() else "",
    )


def check_free(folder: pathlib.Path) -> None:
    """See that a run may be written to this folder.

    Raises:
        RunError: if it is a file, or not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: found a file, expected a new folder for the run. Choose another --out.")
    if folder.exists() and any(folder.iterdir()):
        raise RunError(
            f"{folder}: found a folder that is not empty, expected a new one for the run; nothing in it was changed. "
            "Choose another --out, or, if it holds a run that was stopped, go on with it by --resume."
        )


def named_scores(scores: np.ndarray, classes: Sequence[float], task: str) -> dict[str, np.ndarray]:
    """Scores, (n, C) or (n, 1), by the columns of predictions.csv that hold them, see `score_columns`."""
    if task == "regression":
        return {"prediction": scores[:, 0]}
    if task == "binary":
        return {"probability": scores[:, 1]}
    return {f"probability_{value_name(value)}": scores[:, k] for k, value in enumerate(classes)}


def score_columns(rows: pl.DataFrame, task: str) -> list[str]:
    """Names of the columns of predictions.csv that hold what was predicted; empty if they are not there."""
    if task == "multiclass":
        return [name for name in rows.columns if name.startswith("probability_")]
    name = "probability" if task == "binary" else "prediction"
    return [name] if name in rows.columns else []


def _absent(path: pathlib.Path) -> RunError:
    return RunError(
        f"{path}: there is no such file; expected one of a finished run. Give the folder that pat-finetune printed at "
        "its end, or finish the run with --resume."
    )


def _json(path: pathlib.Path, required: bool = False) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise _absent(path)
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not JSON ({error}); expected what the run wrote. Run it again.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path}: found JSON of a {type(value).__name__}, expected an object. Run it again.")
    return value


def _csv(path: pathlib.Path, required: bool = False, text: tuple[str, ...] = ()) -> pl.DataFrame:
    if not path.is_file():
        if required:
            raise _absent(path)
        return pl.DataFrame()
    try:
        return pl.read_csv(path, schema_overrides=dict.fromkeys(text, pl.String), infer_schema_length=None)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        # What polars says may quote a row, and rows are people's.
        raise RunError(f"{path}: not a table in CSV; expected what the run wrote there. Run it again.") from None
