"""pat-tune: search the settings of a fine-tuning, and score the winner on people who had no part in the choice.

    pat-tune --data=cohort.parquet --label=depressed --out=runs/tuned
    pat-tune --data=cohort.parquet --label=depressed --split=kfold --out=runs/tuned \\
             --search=head_learning_rate=log:1e-5:1e-2 --search=batch_size=choice:8,16,32
    pat-tune --resume --out=runs/tuned                        go on with a search that was killed
    pat-finetune --flagfile=runs/tuned/best.flags             train with what it found

Takes every flag of pat-finetune as what is not searched. For each outer split (--split), the search sees its training
and validation people alone and scores settings on inner splits of them (--inner_folds); the winner is then trained and
scored once on the outer test people. Only that score is honest: the inner value of the winner is the best of many.
Needs Optuna: pip install 'pat_keras[tune]'.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.flags import finetune_config
from pat_keras.apps.inputs import naming, warn
from pat_keras.apps.training_flags import (
    DATA,
    define_training,
    kept_flags,
    listed,
    read_data,
    run_directory,
    with_files,
)

if TYPE_CHECKING:
    from pat_keras.evaluation.tuning import TuneResult


def define_flags() -> flags.FlagValues:
    """The flags of this command: those of pat-finetune, and how to search."""
    values = flags.FlagValues()
    define_training(values)
    flags.DEFINE_multi_string(
        "search",
        None,
        "A setting of pat-finetune to search, given again for each: NAME=float:LOW:HIGH, NAME=log:LOW:HIGH (even on a "
        "logarithmic scale), NAME=int:LOW:HIGH, NAME=choice:A,B,C. None: rates, dropout, decay and batch size",
        flag_values=values,
    )
    flags.DEFINE_integer("trials", 30, "Trials of each search, pruned ones among them.", flag_values=values)
    flags.DEFINE_integer(
        "inner_folds",
        3,
        "Folds within the training and validation people of an outer split, on which settings are scored. 1: a single "
        "inner split, scored on the outer validation people.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "objective",
        "auto",
        "Inner value to choose by: auc, average_precision, log_loss or brier; mae, rmse or r2 of a regression; auto: "
        "auc or mae.",
        flag_values=values,
    )
    flags.DEFINE_enum("sampler", "tpe", ("tpe", "random"), "How new settings are drawn.", flag_values=values)
    flags.DEFINE_enum(
        "pruner",
        "median",
        ("median", "halving", "none"),
        "Which trials are stopped early: those below the median of others at the same training epoch of the first "
        "inner split, by successive halving, or none.",
        flag_values=values,
    )
    return values


def tune(values: flags.FlagValues) -> None:
    """Searches, scores the winner and says both values."""
    config = finetune_config(values)
    out = run_directory(values, "tune-")
    cohort = read_data(values)
    cli.import_quietly()
    from pat_keras.apps.progress import TrainingProgress
    from pat_keras.evaluation import tuning
    from pat_keras.evaluation.searcher import TuneSettings

    settings = TuneSettings(
        search=tuple(values.search or ()),
        trials=values.trials,
        inner_folds=values.inner_folds,
        objective=values.objective,
        sampler=values.sampler,
        pruner=values.pruner,
    )
    print(cohort.describe(), flush=True)
    data_flags = [f"{values[name].serialize()}\n" for name in DATA if values[name].value is not None]
    with TrainingProgress(out / "tensorboard") as watcher, naming(values.data):
        result = tuning.tune(
            cohort,
            values.label,
            config,
            settings,
            out=out,
            resume=values.resume,
            flags=kept_flags(values),
            data_flags="".join(data_flags),
            watcher=watcher,
            say=warn,
            report_people=values.report_people,
            report_columns=values.report_columns,
        )
    print(_summary(result))


def _summary(result: TuneResult) -> str:
    """The end of the command: the winners, the honest value, the flattering one."""
    from pat_keras.evaluation.tuning_report import honest_and_flattering

    metrics = result.metrics
    lines = ["", f"{'SYNTHETIC DATA. ' if metrics['synthetic'] else ''}{metrics['label']}", ""]
    for search in metrics["tuning"]["searches"]:
        settings = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in search["settings"].items()
        )
        lines.append(
            f"{search['people']}: {search['trials']} trials ({search['pruned']} pruned, {search['failed']} failed), "
            f"inner {search['inner']:.3f}: {settings}"
        )
    honest, flattering = honest_and_flattering(metrics)
    lines += ["", honest, flattering, ""]
    lines += [f"run:    {result.folder}", f"report: {result.folder / 'tuning.html'}"]
    lines += [f"again:  pat-finetune --flagfile={result.folder / 'best.flags'}"]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""

    def command(values: flags.FlagValues) -> None:
        if not listed(values):
            tune(with_files(argv, values, define_flags))

    return cli.execute(argv, define_flags(), __doc__ or "", command)


def run() -> None:
    """Entry point of `pat-tune`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
