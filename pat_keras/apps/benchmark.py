"""pat-benchmark: models x training sizes x seeds x folds as one job that can be killed and goes on where it was.

    pat-benchmark --config=bench.toml --out=runs/bench                 all of it, one cell after the other
    pat-benchmark --config=bench.toml --out=runs/bench --workers=4     four at once
    pat-benchmark --config=bench.toml --out=runs/bench --dry_run       what there is to do
    pat-benchmark --config=bench.toml --out=runs/bench --only='depression--pat-*'     a part of it

Every cell is one file in DIR/cells with the predictions of validation and test people. Cells may be computed on several
machines and copied together: called again, the command computes what is missing and sums up what is there, into
results.html, results.md, results.csv, results.json and predictions.parquet.
"""

from __future__ import annotations

import collections
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.inputs import warn
from pat_keras.data.files import check_apart
from pat_keras.errors import RunError

if TYPE_CHECKING:
    from pat_keras.evaluation.benchmark.job import Job
    from pat_keras.evaluation.benchmark.plan import Cell


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_string("config", None, "The benchmark, a file in TOML.", required=True, flag_values=values)
    flags.DEFINE_string("data", None, "Cohort (.parquet), in place of the one the file names.", flag_values=values)
    flags.DEFINE_string(
        "out", None, "Folder of the benchmark; what is there is kept and gone on with.", required=True,
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_integer(
        "workers", 1, "Processes that compute cells at once. With several GPUs, they are spread over them.",
        lower_bound=1, flag_values=values,
    )  # fmt: skip
    flags.DEFINE_string(
        "only", None, "Compute only cells whose name matches this pattern, or one of several with commas between.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_enum(
        "cluster", None, ["ray"], "Compute by --workers actors of a Ray cluster: that of RAY_ADDRESS, or a local one.",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_boolean("dry_run", False, "Print what there is to do, and do nothing.", flag_values=values)
    flags.DEFINE_boolean("report_only", False, "Compute nothing; sum up the cells that are there.", flag_values=values)
    return values


def benchmark(values: flags.FlagValues) -> None:
    """Plans, computes what is missing, and sums up."""
    cli.check_backend()
    from pat_keras.evaluation.benchmark import plan, tables
    from pat_keras.evaluation.benchmark.config import BenchmarkConfig
    from pat_keras.evaluation.benchmark.job import RESULTS, Job

    config = BenchmarkConfig.read(values.config, values.data)
    written = [pathlib.Path(values.out, name) for name in RESULTS]
    check_apart(written, {"--config": [values.config], "--data": {task.data for task in config.tasks}}, error=RunError)
    cells = plan.plan_cells(config, plan.Source(say=warn))
    asked = plan.chosen(cells, values.only) if values.only else cells
    job = Job(config, cells, pathlib.Path(values.out))
    if values.dry_run:
        print(_account(job, asked, names=True))
        return
    print(_account(job, asked), flush=True)
    if not values.report_only:
        todo = job.prepare(asked)
        if todo:
            _compute(job, todo, values.workers, values.cluster)
    if not job.any_done():
        raise RunError(_missing(job, asked))
    results = job.results()
    print("\n" + tables.terminal(results))
    print(f"\nreport: {job.folder / 'results.html'}", flush=True)
    if any(job.states[cell.name] != "done" for cell in asked):
        raise RunError(_missing(job, asked))


def _compute(job: Job, todo: list[Cell], workers: int, cluster: str | None) -> None:
    """Computes cells, saying of each how long it took and how long the rest will."""
    if cluster:
        from pat_keras.evaluation.benchmark.cluster import run_on_ray as compute
    else:
        from pat_keras.evaluation.benchmark.pool import run_locally as compute

    started, seen = time.monotonic(), 0

    def told(cell: Cell, seconds: float | None, reason: str) -> None:
        nonlocal seen
        seen += 1
        job.told(cell, seconds, reason)
        left = job.seconds_left(todo, min(workers, len(todo)))
        ends = "" if left is None or seen == len(todo) else f"; about {_time(left)} left"
        took = f"failed: {reason}" if seconds is None else f"{seconds:.1f} s"
        print(
            f"[{seen}/{len(todo)}] {cell.name}: {took} ({_time(time.monotonic() - started)} so far{ends})",
            file=sys.stderr,
            flush=True,
        )

    compute(todo, job.folder, workers, told)


def _account(job: Job, asked: list[Cell], names: bool = False) -> str:
    """How many cells there are of each kind and state."""
    config = job.config
    counts = {"task": config.tasks, "model": config.models, "training size": config.train_sizes, "seed": config.seeds}
    words = ", ".join(f"{len(items)} {name}{'s' if len(items) > 1 else ''}" for name, items in counts.items())
    lines = [
        f"{config.name}: {words}: {len(job.cells)} cells"
        + ("" if len(asked) == len(job.cells) else f", {len(asked)} of them asked for")
    ]
    states = collections.Counter(job.states[cell.name] for cell in asked)
    meaning = {
        "done": "done",
        "missing": "to compute",
        "stale": "of earlier settings or data, to compute again",
        "damaged": "damaged, to compute again",
    }
    lines += [f"  {states[state]} {words}" for state, words in meaning.items() if states[state]]
    if names:
        lines += [f"{job.states[cell.name]:<8} {cell.name}" for cell in asked]
    return "\n".join(lines)


def _missing(job: Job, asked: list[Cell]) -> str:
    missing = [cell.name for cell in asked if job.states[cell.name] != "done"]
    failed = [name for name in missing if name in job.failed]
    why = f" {len(failed)} failed; the first, {failed[0]}: {job.failed[failed[0]].rstrip('.')}." if failed else ""
    return (
        f"{job.folder}: {len(missing)} of {len(asked)} cells are not there, expected all.{why} What is done is kept: "
        "correct what is wrong, and start the same command again."
    )


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", benchmark)


def run() -> None:
    """Entry point of `pat-benchmark`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
