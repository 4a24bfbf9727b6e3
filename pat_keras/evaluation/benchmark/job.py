"""A benchmark from its file to its results: what is there is kept, what is missing is computed, all is summed up."""

from __future__ import annotations

import collections
import pathlib
import statistics
from typing import Any

import polars as pl

from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError
from pat_keras.evaluation.benchmark import page, tables
from pat_keras.evaluation.benchmark.cells import HELD_OUT, CellResult, cell_path, cell_state, set_aside
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Cell
from pat_keras.evaluation.benchmark.summary import Found, summarize
from pat_keras.evaluation.run_files import write_csv, write_json, write_text
from pat_keras.evaluation.run_folder import named_scores

# What `Job.results` writes into the folder of the benchmark, in place of what has these names there.
RESULTS = ("results.json", "results.md", "results.html", "results.csv", "predictions.parquet")


class Job:
    """The cells of a benchmark and the state of each in its folder.

    Args:
        config: of the benchmark.
        cells: all that are planned.
        folder: of the benchmark; made when something is written.

    Attributes:
        states: of each cell, by its name; one of `cells.STATES`.
        failed: why, by the names of cells that failed in this call.
    """

    def __init__(self, config: BenchmarkConfig, cells: list[Cell], folder: pathlib.Path) -> None:
        self.config, self.cells, self.folder = config, cells, folder
        self.states: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self._seconds: dict[str, float] = {}  # of cells that are done
        for cell in cells:
            state, result = cell_state(folder, cell)
            self.states[cell.name] = state
            if result is not None:
                self._seconds[cell.name] = result.account["seconds"]

    def any_done(self) -> bool:
        """Whether there is anything to sum up."""
        return "done" in self.states.values()

    def prepare(self, cells: list[Cell]) -> list[Cell]:
        """Those of the cells that are to be computed; results of earlier settings are moved to the folder "stale"."""
        todo = [cell for cell in cells if self.states[cell.name] != "done"]
        for cell in todo:
            if self.states[cell.name] == "stale":
                set_aside(self.folder, cell_path(self.folder, cell))
        return todo

    def told(self, cell: Cell, seconds: float | None, reason: str) -> None:
        """Keeps what a worker says of a cell."""
        if seconds is None:
            self.failed[cell.name] = reason
        else:
            self.states[cell.name] = "done"
            self._seconds[cell.name] = seconds

    def seconds_left(self, cells: list[Cell], workers: int) -> float | None:
        """An estimate for those of the cells that are neither done nor failed; None before any cell of any is known.

        A cell takes as long as those of its group did, or else as those of its model, or else as all.
        """
        known: dict[Any, list[float]] = collections.defaultdict(list)
        for cell in self.cells:
            if cell.name in self._seconds:
                for key in (cell.group, cell.model.name, None):
                    known[key].append(self._seconds[cell.name])
        if not known:
            return None
        total = 0.0
        for cell in cells:
            if self.states[cell.name] != "done" and cell.name not in self.failed:
                values = known.get(cell.group) or known.get(cell.model.name) or known[None]
                total += statistics.median(values)  # the first cell compiles for the others
        return total / max(1, workers)

    def results(self) -> dict[str, Any]:
        """Reads every cell that is done, sums up, and writes results.json, .csv, .md, .html and predictions.parquet.

        Raises:
            RunError: if no seed of any model is whole.
        """
        found = self._found()
        results = summarize(self.config, self.cells, found)
        if not results["tasks"]:
            raise RunError(f"{self.folder}: no cell is done, so there is nothing to sum up; expected some.")
        write_json(self.folder / "results.json", results)
        write_text(self.folder / "results.md", tables.markdown(results))
        write_text(self.folder / "results.html", page.render(results))
        write_csv(self.folder / "results.csv", tables.flat(results))
        with atomic_write(self.folder / "predictions.parquet", overwrite=True, error=RunError) as path:
            predictions(found).write_parquet(path)
        return results

    def _found(self) -> Found:
        found = []
        for cell in self.cells:
            result = cell_state(self.folder, cell)[1]
            if result is not None:
                found.append((cell, result))
        return found


def predictions(found: Found) -> pl.DataFrame:
    """Every prediction: one row a window held out, by cell."""
    parts = []
    for cell, result in found:
        for part in HELD_OUT:
            parts.append(_rows(cell, result, part))
    return pl.concat(parts, how="diagonal")


def _rows(cell: Cell, result: CellResult, part: str) -> pl.DataFrame:
    held, classes = getattr(result, part), result.account["classes"]
    scores = named_scores(held.score, classes, cell.task.kind)
    constants = {
        "task": cell.task.name,
        "model": cell.model.name,
        "train_size": result.account["train_size"],
        "seed": cell.seed,
        "fold": cell.fold,
        "part": part,
    }
    columns = {"participant_id": held.participant_id.tolist(), "window": held.window, "label": held.y, **scores}
    return pl.DataFrame(columns).select(*(pl.lit(value).alias(name) for name, value in constants.items()), pl.all())
