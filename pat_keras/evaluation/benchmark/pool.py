"""Cells computed by processes of this machine, one cell at a time each.

A process that dies, for want of memory for instance, takes only its cell with it: the cell is marked as failed, and a
new process goes on with the rest. When the command dies, its processes end themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from pat_keras.errors import PATError, RunError
from pat_keras.evaluation.benchmark.cells import CellResult, cell_path, write_cell
from pat_keras.evaluation.benchmark.plan import Cell, Source

_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang

# Told of every cell: its seconds if it is done, otherwise what went wrong.
Told = Callable[[Cell, float | None, str], None]


def run_locally(cells: list[Cell], folder: pathlib.Path, workers: int, told: Told) -> None:
    """Computes cells and writes their files.

    Args:
        cells: in the order in which they are wanted.
        folder: of the benchmark.
        workers: processes at once.
        told: told of every cell that ends.

    Raises:
        RunError: if a process ends before it has taken up any cell.
    """
    queue = CellQueue(cells)
    devices = visible_devices()
    running: list[_Worker] = []
    try:
        for number in range(min(workers, len(cells))):
            device = devices[number % len(devices)] if len(devices) > 1 else None
            running.append(_Worker(folder, device, shares=workers > max(1, len(devices))))
        while running:
            _wait(running, queue, told)
    finally:
        for worker in running:
            worker.stop()


class CellQueue:
    """Cells not yet given out; a process is given one of the group it was busy with, if there is one left."""

    def __init__(self, cells: list[Cell]) -> None:
        self._cells = list(cells)

    def take(self, group: str, busy: set[str]) -> Cell | None:
        """The next cell for a process whose last group this was, while others are busy with theirs."""
        for fits in (lambda cell: cell.group == group, lambda cell: cell.group not in busy, lambda cell: True):
            for place, cell in enumerate(self._cells):
                if fits(cell):
                    return self._cells.pop(place)
        return None


class _Worker:
    """A process and the cell it is busy with."""

    def __init__(self, folder: pathlib.Path, device: str | None, shares: bool) -> None:
        self._make = (folder, device, shares)
        self.cell: Cell | None = None
        self.group = ""
        self.ready = False
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs, folder, device, shares), daemon=True)
        self.process.start()
        theirs.close()

    def again(self) -> _Worker:
        """A new process in place of one that has died."""
        return _Worker(*self._make)

    def give(self, cell: Cell | None) -> None:
        """Gives it a cell; none ends it."""
        self.cell = cell
        self.group = cell.group if cell else self.group
        with contextlib.suppress(BrokenPipeError):  # it has died; the next look at its connection finds that out
            self.connection.send(cell)

    def why_dead(self) -> str:
        """How the process ended, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its process ended with status {code}"
        name = signal.Signals(-code).name
        hint = "; the system's memory may have run out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"

    def stop(self) -> None:
        """Ends the process now."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _wait(running: list[_Worker], queue: CellQueue, told: Told) -> None:
    """Waits until a process has something to tell, and gives it the next cell."""
    multiprocessing.connection.wait([worker.connection for worker in running])
    for place, worker in enumerate(list(running)):
        if not worker.connection.poll():
            continue
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            running[place] = _died(worker, told)
            continue
        worker.ready = True
        if worker.cell is not None:
            told(worker.cell, *message)
        busy = {other.group for other in running if other is not worker and other.cell is not None}
        worker.give(queue.take(worker.group, busy))
    for worker in [worker for worker in running if worker.ready and worker.cell is None]:
        worker.process.join()
        worker.connection.close()
        running.remove(worker)


def _died(worker: _Worker, told: Told) -> _Worker:
    reason = worker.why_dead()
    worker.connection.close()
    if worker.cell is None:
        raise RunError(f"A worker could not start: {reason}. See what it printed above, or use fewer --workers.")
    told(worker.cell, None, reason)
    return worker.again()


def visible_devices() -> list[str]:
    """The GPUs that processes are spread over: those of CUDA_VISIBLE_DEVICES, or of this machine."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name not in ("", "-1")]
    found = [re.fullmatch(r"nvidia(\d+)", path.name) for path in pathlib.Path("/dev").glob("nvidia*")]
    return sorted((match[1] for match in found if match), key=int)


def _serve(connection: Any, folder: pathlib.Path, device: str | None, shares: bool) -> None:
    """The life of a process: cells in, files and words out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard is for the command, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    if shares:  # otherwise the first process takes nearly all of the GPU's memory
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        # Keras imports it wherever it finds it, which costs seconds and memory, and on a GPU a quarrel over that.
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
    # Programs of equal shapes are compiled once for all cells and processes.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
    source = Source()
    connection.send(None)
    while (cell := connection.recv()) is not None:
        connection.send(attempt(cell, source, folder))


def attempt(cell: Cell, source: Source, folder: pathlib.Path) -> tuple[float | None, str]:
    """Computes a cell and writes it: its seconds and "", or None and what went wrong."""
    found = computed(cell, source)
    return (None, found) if isinstance(found, str) else kept(cell, found, folder)


def kept(cell: Cell, result: CellResult, folder: pathlib.Path) -> tuple[float | None, str]:
    """Writes a cell: as `attempt`."""
    try:
        write_cell(cell_path(folder, cell), result)
    except PATError as error:
        return None, " ".join(str(error).split())
    return result.account["seconds"], ""


def computed(cell: Cell, source: Source) -> CellResult | str:
    """The result of a cell, or what went wrong."""
    from pat_keras.evaluation.benchmark.compute import compute_cell

    try:
        return compute_cell(cell, source)
    except PATError as error:
        return " ".join(str(error).split())
    except Exception as error:  # a bug, or a device out of memory: the other cells are still worth having
        traceback.print_exc()
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
