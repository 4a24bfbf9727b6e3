"""Cells by Ray are those of this machine, and an actor that dies takes one cell with it. Skipped without Ray."""

from __future__ import annotations

import numpy as np
import psutil
import pytest

from pat_keras.evaluation.benchmark import cluster, pool
from pat_keras.evaluation.benchmark.cells import cell_path, read_cell
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Cell, Source, plan_cells
from tests.evaluation.benchmark.generate import FAST, write_benchmark
from tests.small import small_cohort

pytest.importorskip("ray", reason="Ray is not installed (pip install 'pat_keras[cluster]')")


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_cells_by_ray(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    config = BenchmarkConfig.read(write_benchmark(tmp_path, FAST, small_cohort(40, windows=1)))
    source = Source()
    cells = [cell for cell in plan_cells(config, source) if cell.model.baseline]
    told: dict[str, str] = {}

    def remember(cell: Cell, seconds: float | None, reason: str) -> None:
        told[cell.name] = reason
        if len(told) == 1:
            _kill_actors()

    cluster.run_on_ray(cells, tmp_path, 1, remember)
    assert set(told) == {cell.name for cell in cells}
    (lost,) = [name for name, reason in told.items() if reason]
    assert "its actor died" in told[lost]
    for cell in cells:
        if cell.name != lost:
            here = pool.computed(cell, source)
            there = read_cell(cell_path(tmp_path, cell))
            np.testing.assert_array_equal(there.test.score, here.test.score)


def _kill_actors() -> None:
    """As the system does when memory runs out."""
    for process in psutil.Process().children(recursive=True):
        if any("ray::_Actor" in word for word in process.cmdline()):
            process.kill()
