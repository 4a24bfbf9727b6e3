"""pat-finetune: fine-tune PAT on a cohort and score it on people it has not seen.

    pat-finetune                                              the synthetic demonstration: no data, no download
    pat-finetune --data=cohort.parquet --label=depressed      a cohort made by pat-prepare
    pat-finetune --data=X.npy --labels=y.npy                  arrays, as the original program uses them
    pat-finetune --data=cohort.parquet --recipe=two_rates     with settings that come with the package
    pat-finetune --resume --out=runs/mine                     go on with a run that was killed

Ends with a table, a ROC curve and the run directory, which holds the model, every prediction and a report.
"""

from __future__ import annotations

import datetime
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.flags import define_finetune, finetune_config
from pat_keras.apps.inputs import is_array, naming, read_cohort, warn
from pat_keras.errors import ConfigError, RunError
from pat_keras.recipes import about, recipe_names, recipe_path

if TYPE_CHECKING:
    from pat_keras.data.cohort import Cohort
    from pat_keras.evaluation.experiment import Result

_NOT_KEPT = ("out", "resume", "recipe", "flagfile", "undefok")  # of flags.txt: those of one call, not of the experiment
_SHOWN = {
    "binary": ("auc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "brier"),
    "multiclass": ("auc", "accuracy", "balanced_accuracy", "log_loss"),
    "regression": ("mae", "rmse", "r2", "pearson"),
}


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "data",
        None,
        "Cohort (.parquet), or weeks as an array (.npy, .npz). None: a synthetic cohort.",
        flag_values=values,
    )
    flags.DEFINE_string("labels", None, "Labels of --data=X.npy, one a row (.npy, .npz).", flag_values=values)
    flags.DEFINE_string(
        "participants",
        None,
        "Whose row it is, for --data=X.npy (.npy, .npz); each row another person if not given.",
        flag_values=values,
    )
    flags.DEFINE_string("label", "label", "Column of the cohort to predict.", flag_values=values)
    flags.DEFINE_string(
        "out", None, "Run directory to write; new or empty. None: runs/ and the label and time.", flag_values=values
    )
    flags.DEFINE_boolean("resume", False, "Go on with the run in --out, with its own flags.", flag_values=values)
    flags.DEFINE_string(
        "recipe",
        None,
        "Settings that come with the package, such as small_cohort; list shows all. Flags given beside it win.",
        flag_values=values,
    )
    define_finetune(values)
    return values


def finetune(values: flags.FlagValues) -> None:
    """Runs the experiment that the flags describe and prints what it found."""
    config = finetune_config(values)
    if values.out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        values.out = str(pathlib.Path("runs", f"{values.label if values.data else 'synthetic'}-{now}"))
    out = pathlib.Path(values.out)
    if not values.resume:  # seen to again later, but nobody should wait for an error that is known now
        from pat_keras.evaluation.run_folder import check_free

        check_free(out)
    cohort = _read(values)
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
            flags=_kept_flags(values),
            watcher=watcher,
            say=warn,
        )
    print(_summary(result))


def _read(values: flags.FlagValues) -> Cohort:
    """The cohort that --data names; the synthetic one if none does."""
    if values.data is None:
        if values.labels or values.participants:
            raise ConfigError("--labels and --participants go with arrays: expected --data=X.npy with them.")
        from pat_keras.data.simulate import simulate_cohort

        # A demonstration that learns something, and ends within minutes on two cores.
        return simulate_cohort(n_people=240, effect=2.0)
    if is_array(values.data) and not values.labels:
        raise ConfigError(f"--data={values.data} is an array; expected --labels=y.npy with it.")
    return read_cohort(values.data, values.labels, values.participants, values.label)


def _kept_flags(values: flags.FlagValues) -> str:
    """Text of flags.txt: what runs the same experiment again with --flagfile."""
    lines = [values[name].serialize() for name in values if name not in _NOT_KEPT and values[name].value is not None]
    return "".join(f"{line}\n" for line in lines if line)


def _summary(result: Result) -> str:
    """The end of the command: a table, a ROC curve, the run directory."""
    import polars as pl

    from pat_keras.evaluation.metrics import by_participant
    from pat_keras.evaluation.report import TITLES
    from pat_keras.evaluation.terminal import terminal_roc

    metrics, task = result.metrics, result.metrics["task"]
    columns = {"PAT": metrics["test"]}
    if "baseline" in metrics:
        columns["simple features"] = metrics["baseline"]
    people = f"{metrics['test']['n']} test people" + (
        "" if metrics["split"] != "kfold" else ", each by a model that never saw them"
    )
    lines = [
        "",
        f"{'SYNTHETIC DATA. ' if metrics['synthetic'] else ''}{metrics['label']}: {people}; 95 % intervals",
        "",
    ]
    lines.append(f"{'':<34}" + "".join(f"{name:<24}" for name in columns).rstrip())
    for name in _SHOWN[task]:
        lines.append(
            f"{TITLES[task][name]:<34}" + "".join(f"{_with_interval(c, name):<24}" for c in columns.values()).rstrip()
        )
    if "difference" in metrics:
        lines += ["", f"PAT minus simple features: {_difference(metrics['difference'])}"]
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
        if values.recipe == "list":
            width = max(map(len, recipe_names()))
            print("\n".join(f"{name:<{width}}  {about(name)}" for name in recipe_names()))
            return
        if values.resume:
            values = _resumed(argv)
        elif values.recipe is not None:
            values = _parsed([argv[0], f"--flagfile={recipe_path(values.recipe)}", *argv[1:]])
        finetune(values)

    return cli.execute(argv, define_flags(), __doc__ or "", command)


def _parsed(argv: Sequence[str]) -> flags.FlagValues:
    """Fresh flags with these arguments; of two that set the same, the later one wins."""
    values = define_flags()
    values(list(argv))
    return values


def _resumed(argv: Sequence[str]) -> flags.FlagValues:
    """The flags of the run in --out, with those of this call over them."""
    asked = _parsed(argv)
    if asked.recipe is not None:
        raise ConfigError("--resume goes on with the settings that the run was started with; leave --recipe out.")
    if asked.out is None:
        raise ConfigError("--resume: expected --out=RUN, the directory of the run to go on with.")
    kept = pathlib.Path(asked.out, "flags.txt")
    if not kept.is_file():
        raise RunError(f"{kept}: found no such file, so there is no run to resume. Check --out, or leave --resume out.")
    return _parsed([argv[0], f"--flagfile={kept}", *argv[1:]])


def run() -> None:
    """Entry point of `pat-finetune`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
