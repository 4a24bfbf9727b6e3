"""The file of a cell: predictions of the people held out, and everything that says how they came about.

Axes: n windows of a part, C classes (1 for a regression).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.config import FinetuneConfig
from pat_keras.errors import RunError
from pat_keras.evaluation.benchmark.plan import Cell
from pat_keras.evaluation.metrics import People, by_participant

HELD_OUT = ("validation", "test")
STATES = ("done", "missing", "stale", "damaged")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The windows of validation or of test, and what was predicted of them.

    Attributes:
        participant_id: (n,).
        window: (n,) number within the person.
        y: (n,) targets: 0 and 1, numbers of classes, values.
        score: (n, C) probabilities, or (n, 1) values.
    """

    participant_id: np.ndarray
    window: np.ndarray
    y: np.ndarray
    score: np.ndarray

    def people(self, kind: str) -> People:
        """One row a person; scores (n,) of class 1 or of the value, (n, C) for several classes."""
        return by_participant(self.participant_id, self.y, self.score if kind == "multiclass" else self.score[:, -1])


@dataclasses.dataclass(frozen=True)
class CellResult:
    """What a cell's file holds.

    Attributes:
        validation: people who decided when to stop.
        test: people who decided nothing.
        account: task, kind, model, train_size, seed, fold, folds, classes, seen_in_pretraining, threshold, seconds,
            process_peak_megabytes, versions, history, definition.
    """

    validation: HeldOut
    test: HeldOut
    account: dict[str, Any]

    @property
    def threshold(self) -> float | None:
        """The cut of a binary task that the validation people chose."""
        return self.account["threshold"]


def cell_path(folder: pathlib.Path, cell: Cell) -> pathlib.Path:
    """Where a benchmark keeps a cell."""
    return folder / "cells" / f"{cell.name}.npz"


def write_cell(path: pathlib.Path, result: CellResult) -> None:
    """Writes a cell, whole or not at all.

    Raises:
        RunError: if it can't be written.
    """
    arrays = {
        f"{part}/{field.name}": getattr(getattr(result, part), field.name)
        for part in HELD_OUT
        for field in dataclasses.fields(HeldOut)
    }
    save_state(path, arrays, {**result.account, "content": _content(arrays)})


def read_cell(path: pathlib.Path) -> CellResult:
    """Reads a cell.

    Raises:
        RunError: if it is not there, damaged, or not a cell.
    """
    arrays, account = load_state(path)
    expected = {f"{part}/{field.name}" for part in HELD_OUT for field in dataclasses.fields(HeldOut)}
    if set(arrays) != expected or "definition" not in account or account.pop("content", None) != _content(arrays):
        raise RunError(f"{path}: found no cell of a benchmark, or one that was changed. Remove it to compute it again.")
    parts = {
        part: HeldOut(**{field.name: arrays[f"{part}/{field.name}"] for field in dataclasses.fields(HeldOut)})
        for part in HELD_OUT
    }
    return CellResult(parts["validation"], parts["test"], account)


def cell_state(folder: pathlib.Path, cell: Cell) -> tuple[str, CellResult | None]:
    """One of `STATES`, and the result if it is done."""
    path = cell_path(folder, cell)
    if not path.exists():
        return "missing", None
    try:
        result = read_cell(path)
    except RunError:
        return "damaged", None
    return ("done", result) if same_definition(result.account["definition"], cell.definition) else ("stale", None)


def same_definition(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether two definitions ask for the same result.

    A setting that one of them does not have, because it was made by a version of this package without it, counts as its
    default: new settings do nothing unless asked.
    """
    old, new = found.get("settings"), wanted["settings"]
    if not isinstance(old, dict) or {**found, "settings": new} != wanted:
        return False
    old, new = _meant(old), _meant(new)
    defaults = _meant(FinetuneConfig().to_dict())
    return all(
        name in defaults and old.get(name, defaults[name]) == new.get(name, defaults[name]) for name in {**old, **new}
    )


def _meant(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with what "auto" stands for in place of it: random weights have the linear embedding."""
    if settings.get("embedding") == "auto" and not settings.get("weights"):
        return {**settings, "embedding": "linear"}
    return settings


def set_aside(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Moves a cell of an earlier definition out of the way, so that nothing computed is lost."""
    with contextlib.suppress(FileNotFoundError):  # another process in this folder has just moved it
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        target = folder / "stale" / f"{path.stem}.{digest}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _content(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode() + array.tobytes())
    return digest.hexdigest()
