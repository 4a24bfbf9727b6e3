"""A run directory, written so that a killed run leaves either the old state or the new one."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import polars as pl

from pat_keras.checkpoints.presets import PRESETS, hash_of_weights
from pat_keras.checkpoints.saved import load_classifier, save_model
from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.config import CROSS_VALIDATION, FinetuneConfig
from pat_keras.data.learned_days import LearnedDays, window_means
from pat_keras.data.splits import PARTS, Split, split_hash
from pat_keras.errors import RunError
from pat_keras.evaluation.protocols import LabelledData, count_part
from pat_keras.evaluation.run_files import versions, write_csv, write_json, write_text
from pat_keras.evaluation.run_folder import check_free
from pat_keras.models.predictor import Predictor
from pat_keras.training.loop import Row


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a split gave: predictions of model and baseline by part, (n, classes) or (n, 1), and the history."""

    predictions: dict[str, np.ndarray]
    baseline: dict[str, np.ndarray]
    history: list[Row]


class RunWriter:
    """Writes a run directory; with `resume`, goes on with the one that is there.

    Args:
        folder: the run directory.
        config: of the run, written to config.json.
        data: whose account, with the counts of the parts, is written to data.json.
        parts: the splits.
        flags: text of flags.txt; no such file if empty.
        resume: whether a run is expected in the folder, of the same data, label and config.

    Raises:
        RunError: if the folder is not empty without `resume`, or holds no run or another one with it.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        config: FinetuneConfig,
        data: LabelledData,
        parts: list[Split],
        flags: str,
        resume: bool,
    ) -> None:
        self.folder, self._single = folder, config.split not in CROSS_VALIDATION
        stated = {"label": data.account["label"], **config.to_dict()}
        weights = hash_of_weights(config.weights)
        if resume:
            self._check_same(stated, data.account, parts, weights)
            return
        check_free(folder)
        counts = [
            {
                "name": split.name,
                **{part: count_part(data, getattr(split, part)) for part in PARTS},
                "left_out": split.left_out,
                "split_hash": split_hash(split),
            }
            for split in parts
        ]
        learned = np.unique(np.concatenate([rows for split in parts for rows in (split.train, split.validation)]))
        # Minutes as the cohort has them, which others are compared with.
        days = LearnedDays.of(data.cohort.activity, learned, config.weights, PRESETS)
        # Made beside its place and moved there whole: a folder that exists is a run that can be resumed.
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            new = pathlib.Path(temporary, folder.name)
            write_json(new / "data.json", {**data.account, "parts": counts, "activity_range": _range(data, learned)})
            made_with = {**versions(), "backend": keras.backend.backend()}
            write_json(new / "config.json", {**stated, "weights_content": weights, "versions": made_with})
            days.write(new)
            if flags:
                write_text(new / "flags.txt", flags)
            if folder.exists():
                folder.rmdir()  # empty, as was checked; if it no longer is, this fails and nothing is lost
            new.rename(folder)

    def _check_same(self, stated: dict[str, Any], account: dict[str, Any], parts: list[Split], weights: str) -> None:
        config, data = (_read_json(self.folder / name) for name in ("config.json", "data.json"))
        config = {**FinetuneConfig().to_dict(), **config}  # what is newer than the run was as it is by default
        for name, value in json.loads(json.dumps(stated)).items():
            if config.get(name) != value:
                raise RunError(
                    f"{self.folder}: the run has {name} {config.get(name)!r}, resuming was asked with {value!r}. "
                    "Resume it with its own settings, or start a new run under another --out."
                )
        if config.get("weights_content", weights) != weights:  # older runs don't have it
            raise RunError(
                f"{self.folder}: the weights {stated['weights']} are another file than when the run was started (their "
                "SHA-256 differs), so its splits would start from different weights. Put the earlier file there, or "
                "start a new run under another --out."
            )
        if data.get("content_hash") != account["content_hash"]:
            raise RunError(
                f"{self.folder}: the run was started on other data (their content hash differs), so it can't be "
                "resumed on these. Give the data of the run, or start a new run under another --out."
            )
        # A list of people is a file, which may have been changed: what learned from them must not be tested on them.
        kept = [part.get("split_hash") for part in data.get("parts", [])]
        if None not in kept and kept != [split_hash(split) for split in parts]:
            raise RunError(
                f"{self.folder}: other people are in training, validation or test than when the run was started, as "
                "after a change of the list of test people. Give the list of the run, or start a new run under another "
                "--out."
            )

    def checkpoints(self, number: int) -> pathlib.Path:
        """Folder of the training state of a split."""
        folder = self.folder / "checkpoints"
        return folder if self._single else folder / f"fold_{number}"

    def model_path(self, number: int) -> pathlib.Path:
        """Where a split's model is saved."""
        return self.folder / "model.keras" if self._single else self.folder / "models" / f"fold_{number}.keras"

    def finished(self, number: int) -> tuple[Outcome, Predictor] | None:
        """What an earlier run finished of a split, or None.

        Raises:
            RunError, CheckpointError: if the files of a finished split are damaged.
        """
        path = self.checkpoints(number) / "outcome.npz"
        if not path.exists():
            return None
        arrays, meta = load_state(path)
        parts: dict[str, dict[str, np.ndarray]] = {"predictions": {}, "baseline": {}}
        for name, array in arrays.items():
            kind, part = name.split("/")
            parts[kind][part] = array
        outcome = Outcome(parts["predictions"], parts["baseline"], meta["history"])
        return outcome, load_classifier(self.model_path(number))

    def finish_split(self, number: int, outcome: Outcome, model: Predictor) -> None:
        """Save a split's model, then what it predicted: the second file says that both are there.

        Raises:
            RunError: if the split's test people were scored before.
        """
        if (self.checkpoints(number) / "outcome.npz").exists():
            raise RunError(
                f"{self.folder}: the test people of split {number} were scored already, and are scored once a run. "
                "Start a new run under another --out."
            )
        save_model(model, self.model_path(number))
        arrays = {f"predictions/{part}": values for part, values in outcome.predictions.items()}
        arrays |= {f"baseline/{part}": values for part, values in outcome.baseline.items()}
        save_state(self.checkpoints(number) / "outcome.npz", arrays, {"history": outcome.history})

    def finish(self, metrics: dict[str, Any], predictions: pl.DataFrame, history: list[Row]) -> None:
        """Write the results; metrics.json comes last and says that the run is whole."""
        write_csv(self.folder / "history.csv", pl.DataFrame(history, infer_schema_length=None))
        write_csv(self.folder / "predictions.csv", predictions)
        write_json(self.folder / "metrics.json", metrics)


def _range(data: LabelledData, rows: np.ndarray) -> list[float]:
    """The least and the largest mean of a window that is learned from, as the model is given it."""
    means = window_means(data.activity, rows)
    return [min(means), max(means)]


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: found no such file, so there is no run to resume. Leave --resume out.") from None
    except ValueError as error:
        raise RunError(f"{path}: found no readable JSON ({error}). Start a new run under another --out.") from None
