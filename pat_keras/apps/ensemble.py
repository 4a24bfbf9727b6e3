"""pat-ensemble: several finished runs as one model, scored on the people whom all of them tested.

    pat-ensemble --runs=runs/seed0,runs/seed1,runs/large --out=runs/together
    pat-ensemble --runs=runs/seed0,runs/seed1,runs/large --combine=stack --out=runs/stacked
    pat-predict --run=runs/together --data=new.parquet --out=predictions.csv

The runs are made by pat-finetune from the same cohort with the same split; where their seeds differ, give them all
one --split_seed. Runs of which one was trained on people whom another tested can't be scored together, and are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from pat_keras.apps import cli

if TYPE_CHECKING:
    from pat_keras.evaluation.ensemble_run import EnsembleResult

_COMBINATIONS = ("average", "stack")


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_list("runs", None, "Directories of the runs, with commas.", required=True, flag_values=values)
    flags.DEFINE_enum(
        "combine",
        "average",
        _COMBINATIONS,
        "average: all runs count the same. stack: as much as predicts the validation people best (weights at least 0, "
        "with the sum 1, by log loss or squared error); worth it for many validation people and runs that "
        "differ; not for runs with --committee.",
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "Directory to write; new or empty.", required=True, flag_values=values)
    return values


def ensemble(values: flags.FlagValues) -> None:
    """Combines the runs, writes the ensemble and says how good it is."""
    cli.import_quietly()
    from pat_keras.apps.inputs import warn
    from pat_keras.checkpoints.seen import seen_note
    from pat_keras.evaluation.ensemble_run import combine_runs

    kept = "".join(f"{values[name].serialize()}\n" for name in ("runs", "combine"))
    result = combine_runs(values.runs, values.out, values.combine, flags=kept)
    if seen := result.metrics["seen_in_pretraining"]:
        warn(seen_note(result.metrics["seen_by"], seen, result.metrics["test"]["n"]))
    print(_summary(result))


def _summary(result: EnsembleResult) -> str:
    """The members, the ensemble, and the difference to the best of them."""
    from pat_keras.evaluation.metrics import PRIMARY
    from pat_keras.evaluation.plot_style import with_interval

    metrics = result.metrics
    name = PRIMARY[metrics["task"]]
    lines = ["SYNTHETIC DATA." if metrics["synthetic"] else "", f"{'':<32}{'weight':>8}{'validation':>12}{'test':>8}"]
    for member in metrics["members"]:
        shown = "".join(_number(value) for value in (member["validation"], member["test"][name]))
        lines.append(f"{member['name']:<32}{member['weight']:>8.3f}{shown}")
    lines += [
        "",
        f"ensemble ({metrics['combine']}): {name.upper()} {with_interval(metrics['test'], name, 3)} on "
        f"{metrics['test']['n']} people whom no member was trained on",
    ]
    difference = metrics["difference"]
    if difference["low"] is not None:
        lines.append(
            f"difference to {metrics['baseline']['name'].rstrip(',')}: {difference[name]:+.3f} "
            f"({difference['low']:+.3f} to {difference['high']:+.3f})"
        )
    lines += ["", f"ensemble: {result.folder}", f"report:   {result.folder / 'report.html'}"]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{'undefined' if value is None else format(value, '.3f'):>10}"


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", ensemble)


def run() -> None:
    """Entry point of `pat-ensemble`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
