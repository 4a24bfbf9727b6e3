"""Processes that compute cells: one that dies takes its cell with it and no other."""

from __future__ import annotations

import multiprocessing

import pytest

from pat_keras.evaluation.benchmark import pool
from pat_keras.evaluation.benchmark.cells import cell_path, read_cell
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Cell, Source, plan_cells
from tests.evaluation.benchmark.generate import FAST, write_benchmark
from tests.small import small_cohort


def _cells(folder) -> list[Cell]:
    text = FAST.replace("seeds = [0, 1]", "seeds = [0, 1, 2]")
    config = BenchmarkConfig.read(write_benchmark(folder, text, small_cohort(40, windows=1)))
    return [cell for cell in plan_cells(config, Source()) if cell.model.baseline]


def test_a_process_that_dies_loses_one_cell(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    told = []

    def remember(cell: Cell, seconds: float | None, reason: str) -> None:
        told.append((cell.name, seconds, reason))
        if len(told) == 2:
            for process in multiprocessing.active_children():
                process.kill()  # as the system does when memory runs out

    cells = _cells(tmp_path)
    pool.run_locally(cells, tmp_path, 1, remember)
    assert sorted(name for name, _, _ in told) == sorted(cell.name for cell in cells)
    (lost,) = [(name, reason) for name, seconds, reason in told if seconds is None]
    assert "ended by SIGKILL; the system's memory may have run out" in lost[1]
    for cell in cells:
        if cell.name == lost[0]:
            assert not cell_path(tmp_path, cell).exists()
        else:
            assert read_cell(cell_path(tmp_path, cell)).account["definition"] == cell.definition
    assert not multiprocessing.active_children()


def test_cells_of_a_group_go_to_one_process(tmp_path) -> None:
    cells = _cells(tmp_path)
    queue = pool.CellQueue(cells)
    first = queue.take("", set())
    second = queue.take("", {first.group})
    assert first.group != second.group
    assert queue.take(first.group, {second.group}).group == first.group
    rest = [queue.take(first.group, {second.group}) for _ in range(3)]
    assert {cell.group for cell in rest} == {first.group, second.group}  # a free process helps with the other's
    assert queue.take("", set()) is None


@pytest.mark.parametrize(("given", "expected"), [("0,3", ["0", "3"]), ("", []), ("-1", []), ("GPU-abc", ["GPU-abc"])])
def test_devices_that_were_chosen(monkeypatch, given: str, expected: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert pool.visible_devices() == expected
