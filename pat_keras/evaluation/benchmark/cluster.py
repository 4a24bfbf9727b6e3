"""Cells computed by a Ray cluster: actors train, this process writes the files.

The cohorts travel through Ray, so that nodes need no common file system; files of weights must lie at the same path on
every node.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

from pat_keras.data.cohort import Cohort
from pat_keras.errors import ConfigError
from pat_keras.evaluation.benchmark.plan import Cell, Source
from pat_keras.evaluation.benchmark.pool import CellQueue, Told, computed, kept

_PASSED_ON = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")  # of the environment


class _Actor:
    """The cohorts on a node, and the cells it computes one after the other."""

    def __init__(self, cohorts: dict[pathlib.Path, Any]) -> None:
        import ray

        self._source = Source(cohorts={path: ray.get(cohort) for path, cohort in cohorts.items()})

    def compute(self, cell: Cell) -> Any:
        """A CellResult, or what went wrong."""
        return computed(cell, self._source)


def run_on_ray(cells: list[Cell], folder: pathlib.Path, workers: int, told: Told) -> None:
    """Computes cells on the cluster at RAY_ADDRESS, or on a local one, and writes their files.

    Args:
        cells: in the order in which they are wanted.
        folder: of the benchmark.
        workers: actors at once; each has a GPU to itself if the cluster has any.
        told: told of every cell that ends.

    Raises:
        ConfigError: if Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "--cluster=ray: Ray is not installed. Install it with pip install 'pat_keras[cluster]', or leave --cluster "
            "out to compute on this machine."
        ) from None
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    ray.init(runtime_env={"env_vars": environment}, log_to_driver=False, ignore_reinit_error=True)
    try:
        cohorts = {path: ray.put(Cohort.read(path)) for path in {cell.task.data for cell in cells}}
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        actor = ray.remote(num_cpus=1, num_gpus=gpus)(_Actor)
        queue, busy = CellQueue(cells), dict[Any, tuple[Any, Cell]]()

        def give(own: Any, group: str) -> None:
            cell = queue.take(group, {other.group for _, other in busy.values()})
            if cell is not None:
                busy[own.compute.remote(cell)] = (own, cell)

        for _ in range(min(workers, len(cells))):
            give(actor.remote(cohorts), "")
        while busy:
            (done,), _ = ray.wait(list(busy))
            own, cell = busy.pop(done)
            try:
                found = ray.get(done)
            except ray.exceptions.RayError as error:  # the actor, or its node, has died
                own, found = actor.remote(cohorts), f"its actor died ({type(error).__name__})"
            told(cell, *((None, found) if isinstance(found, str) else kept(cell, found, folder)))
            give(own, cell.group)
    finally:
        ray.shutdown()
