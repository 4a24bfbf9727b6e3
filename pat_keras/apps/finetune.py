"""pat-finetune: fine-tune PAT on a cohort and score it on people it has not seen.

    pat-finetune                                              the synthetic demonstration: no data, no download
    pat-finetune --data=cohort.parquet --label=depressed      a cohort made by pat-prepare
    pat-finetune --data=X.npy --labels=y.npy                  arrays, as the original program uses them
    pat-finetune --data=cohort.parquet --recipe=two_rates     with settings that come with the package
    pat-finetune --resume --out=runs/mine                     go on with a run that was killed

Ends with a table, a ROC curve and the run directory, which holds the model, every prediction and a report.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.flags import finetune_config
from pat_keras.apps.inputs import naming, warn
from pat_keras.apps.training_flags import (
    define_training,
    kept_flags,
    listed,
    read_data,
    run_directory,
    with_files,
)
from pat_keras.config import CROSS_VALIDATION, MODEL_TITLES, FinetuneConfig

if TYPE_CHECKING:
    from pat_keras.evaluation.experiment import Result

_SHOWN = {
    "binary": ("auc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "brier"),
    "multiclass": ("auc", "accuracy", "balanced_accuracy", "log_loss"),
    "regression": ("mae", "rmse", "r2", "pearson"),
}


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    define_training(values)
    return values


def finetune(values: flags.FlagValues) -> None:
    """Runs the experiment that the flags describe and prints what it found."""
    config = finetune_config(values)
    out = run_directory(values)
    cohort = read_data(values)
    cli.import_quietly()
    from pat_keras.apps.progress import TrainingProgress
    from pat_keras.evaluation import experiment

    print(cohort.describe(), flush=True)
    with TrainingProgress(out / "tensorboard") as watcher, naming(values.data):
        result = experiment.finetune(
            cohort,
            values.label,
            config,
            out=out,
            resume=values.resume,
            flags=kept_flags(values),
            watcher=watcher,
            say=warn,
            report_people=values.report_people,
            report_columns=values.report_columns,
        )
    print(_summary(result, config))


def _summary(result: Result, config: FinetuneConfig) -> str:
    """The end of the command: a table, a ROC curve, the run directory."""
    import polars as pl

    from pat_keras.evaluation.metrics import by_participant
    from pat_keras.evaluation.report import TITLES
    from pat_keras.evaluation.terminal import terminal_roc

    metrics, task = result.metrics, result.metrics["task"]
    title = MODEL_TITLES[config.model]
    label = metrics["label"] + (f" (learned from {config.learn_score})" if config.learn_score else "")
    columns = {title: metrics["test"]}
    if "baseline" in metrics:
        columns["simple features"] = metrics["baseline"]
    seen = metrics.get("seen_in_pretraining")
    unseen = "did not learn from them in fine-tuning" if seen else "never saw them"
    people = f"{metrics['test']['n']} test people" + (
        "" if metrics["split"] not in CROSS_VALIDATION else f", each by a model that {unseen}"
    )
    lines = [
        "",
        f"{'SYNTHETIC DATA. ' if metrics['synthetic'] else ''}{label}: {people}; 95 % intervals",
        "",
    ]
    table = [["", *(TITLES[task][name] for name in _SHOWN[task])]]
    table += [[title, *(_with_interval(scores, name) for name in _SHOWN[task])] for title, scores in columns.items()]
    widths = [max(24 if number else 34, *(len(cell) + 2 for cell in column)) for number, column in enumerate(table)]
    for row in zip(*table, strict=True):
        lines.append("".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip())
    if "difference" in metrics:
        lines += ["", f"{title} minus simple features: {_difference(metrics['difference'])}"]
    if seen:
        lines += ["", f"{seen} of the test people were in the training of the weights: not held out from that."]
    lines += _subgroups(metrics)
    if task == "binary" and result.folder is not None:
        rows = result.predictions.filter(pl.col("part") == "test")
        tested = by_participant(*(rows[name].to_numpy() for name in ("participant_id", "label", "probability")))
        lines += ["", terminal_roc(tested.y, tested.score, unicode=_speaks_unicode())]
    if metrics["synthetic"]:
        lines += [
            "",
            "These people were simulated: the figures show that the program works, and nothing about anybody.",
        ]
    lines += ["", f"run:    {result.folder}", f"report: {pathlib.Path(str(result.folder), 'report.html')}"]
    return "\n".join(lines)


def _subgroups(metrics: dict[str, Any]) -> list[str]:
    """The task's first metric in each group of people that was asked for."""
    name = _SHOWN[metrics["task"]][0]
    lines: list[str] = []
    for column, groups in metrics.get("subgroups", {}).items():
        lines.append("")
        for group in groups:
            people = f"{column} {group['group']}, {group['n']} people"
            why = group["reasons"].get(name)
            lines.append(f"{people:<34}{_with_interval(group, name)}{f': {why}' if why else ''}")
    return lines


def _with_interval(scores: dict[str, Any], name: str) -> str:
    value, low, high = scores.get(name), scores.get(f"{name}_low"), scores.get(f"{name}_high")
    if value is None:
        return "undefined"
    return f"{value:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")


def _difference(difference: dict[str, Any]) -> str:
    name = next(iter(difference))
    value = difference[name]
    if value is None:
        return "undefined"
    limits = "" if difference["low"] is None else f" ({difference['low']:+.3f} to {difference['high']:+.3f})"
    return f"{name.upper()} {value:+.3f}{limits}"


def _speaks_unicode() -> bool:
    return "utf" in (sys.stdout.encoding or "").lower()


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""

    def command(values: flags.FlagValues) -> None:
        if not listed(values):
            finetune(with_files(argv, values, define_flags))

    return cli.execute(argv, define_flags(), __doc__ or "", command)


def run() -> None:
    """Entry point of `pat-finetune`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
