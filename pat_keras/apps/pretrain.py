"""pat-pretrain: pretrain an encoder as a masked autoencoder, on one cohort or several.

    pat-pretrain                                              the synthetic demonstration, in a minute or two
    pat-pretrain --data=cohort.parquet --out=runs/medium --size=medium --epochs=400
    pat-pretrain --data=nhanes.parquet,mine.parquet --shares=1,1 --exclude_people=nhanes_2005_2006_pretraining
    pat-pretrain --resume --out=runs/medium                   go on with a run that was killed

As the authors' notebooks have it, but that they halve the rate when the loss no longer falls:
--order=original --permutation=batch --loss=all --person_loss=0 --output=tanh --decoder_start=random --mask_ratio=0.9
--noaugment_days --augment_minutes=0 --standardize=per_minute --batch_size=128 --schedule=constant --warmup_epochs=0
--clip_norm=0 --ema_decay=0 --epochs=10000, for S and M --learning_rate=1e-3 --patience=250, for L 1e-4 and 500.
On GPUs: KERAS_BACKEND=jax and --precision=mixed_bfloat16.
Ends with a table of losses and the run directory, which holds the encoder: pat-finetune --weights=RUN.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from pat_keras import config as choices
from pat_keras.apps import cli
from pat_keras.apps.inputs import read_cohort, warn
from pat_keras.apps.training_flags import kept_flags, listed, resumed
from pat_keras.config import PretrainConfig
from pat_keras.config.pretrain import PERSON_LOSS
from pat_keras.errors import ConfigError

if TYPE_CHECKING:
    from pat_keras.data.cohort import Cohort
    from pat_keras.evaluation.pretraining import PretrainResult

# Help of the flags, by the attribute of PretrainConfig that each sets.
_HELP = {
    "size": "Size of the encoder; with --weights, theirs.",
    "embedding": "Its patch embedding; with --weights, theirs.",
    "patch_size": "Minutes in one patch; the size's own if not given.",
    "weights": "File, run or preset (list shows all) to go on from, an encoder or a whole autoencoder. Empty: random "
    "weights.",
    "mask_ratio": "Share of patches masked.",
    "order": "Where the decoder sees tokens. restored: at their own places. original: misplaced, as with the authors.",
    "permutation": "Draw what is masked for each person, or once for the batch (as the authors do).",
    "loss": "Squared error of masked minutes, or of all.",
    "person_loss": "Weight of a second loss: whose days are these, of the people of the batch? Not given: "
    f"{PERSON_LOSS} for windows of two whole days or more, one a person; otherwise 0, none.",
    "output": "Of the decoder: tanh (2 tanh, as the authors have it) or linear; with --weights of a whole autoencoder, "
    "theirs.",
    "decoder_start": "Of a new decoder's attention. mimetic: keys as queries, so that places look at what is near "
    "them; larger sizes learn sooner. random: as the authors have it.",
    "dropout": "Dropout rate in the blocks.",
    "augment_days": "Training weeks begin with a random day of theirs. Not given: if they are whole days.",
    "augment_minutes": "Training weeks are shifted by up to so many minutes, earlier or later. Not given: 30, if they "
    "are whole days.",
    "smoothing": "Of raw minutes: savitzky_golay (window 51, order 3), or none.",
    "standardize": "Scaling, fitted on the training people of each cohort by itself.",
    "learning_rate": "Learning rate; that of the size if not given: "
    + ", ".join(f"{size} {rate:g}" for size, rate in choices.PRETRAIN_RATES.items())
    + ".",
    "schedule": "constant, or cosine: the rate falls to zero at the end.",
    "warmup_epochs": "Training epochs over which the rate rises from zero.",
    "weight_decay": "Decay of kernels, times the learning rate, decoupled from the gradient.",
    "clip_norm": "Longest gradient of all weights together. 0: no limit.",
    "ema_decay": "Of an exponential average of the weights, which is validated and kept. 0: none.",
    "batch_size": "Windows in a training step.",
    "epochs": "Training epochs at most.",
    "patience": "Stop after so many training epochs without a better validation loss. Not given: never.",
    "validation_fraction": "Share of a cohort's people held out, where no list names validation people.",
    "seed": "Of the people drawn for validation, random weights, order of windows, masks and dropout.",
    "precision": "Of the arithmetic. mixed_bfloat16 is faster on recent hardware.",
    "jit": "Compile with XLA: auto (where it was measured faster), on, off. JAX always does.",
    "data_parallel": "Share each batch among all GPUs of this machine (KERAS_BACKEND=jax).",
}
_CHOICES = {
    "size": choices.SIZES,
    "embedding": choices.EMBEDDINGS,
    "order": choices.ORDERS,
    "permutation": choices.PERMUTATIONS,
    "loss": choices.LOSSES,
    "output": choices.OUTPUTS,
    "decoder_start": choices.DECODER_STARTS,
    "smoothing": choices.SMOOTHING,
    "standardize": choices.KINDS,
    "schedule": choices.SCHEDULES,
    "precision": choices.PRECISIONS,
    "jit": choices.JIT,
}
# Of the demonstration alone: what shows something on days of synthetic people within two minutes of two busy cores.
_DEMO_PEOPLE = 400
_DEMO = {
    "epochs": 15,
    "warmup_epochs": 2,
    "batch_size": 16,
    "ema_decay": 0.95,
    "mask_ratio": 0.5,
    "smoothing": "savitzky_golay",
    "standardize": "cohort",
    "plots": 3,
}
_OR_NONE = {
    "patch_size": int,
    "patience": int,
    "learning_rate": float,
    "augment_days": bool,
    "augment_minutes": int,
    "person_loss": float,
}
_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_list("data", [], "Cohorts (.parquet, or .npy of weeks). None: synthetic people.", flag_values=values)
    flags.DEFINE_list("shares", None, "Of a training epoch, a number for each cohort.", flag_values=values)
    flags.DEFINE_list(
        "exclude_people",
        [],
        "Lists of people never learned from: files of participant ids, or names of lists that come with the package. "
        "Those whose part is validation are held out to see how training goes.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "out", None, "Run directory to write; new or empty. None: runs/pretrain-TIME.", flag_values=values
    )
    flags.DEFINE_boolean("resume", False, "Go on with the run in --out, with its own flags.", flag_values=values)
    flags.DEFINE_integer("plots", 10, "Pictures of reconstructions drawn over the training.", 1, flag_values=values)
    default = PretrainConfig()
    for name, help_text in _HELP.items():
        value = getattr(default, name)
        if name in _CHOICES:
            flags.DEFINE_enum(name, value, _CHOICES[name], help_text, flag_values=values)
        else:
            _DEFINE[_OR_NONE.get(name, type(value))](name, value, help_text, flag_values=values)
    return values


def run_command(values: flags.FlagValues) -> None:
    """Runs the pretraining that the flags describe and prints what it found."""
    if not values.data:
        _demonstrate(values)
    config = PretrainConfig(**{field.name: getattr(values, field.name) for field in dataclasses.fields(PretrainConfig)})
    if values.out is None:
        values.out = str(pathlib.Path("runs", f"pretrain-{datetime.datetime.now().strftime('%Y%m%d-%H%M%S')}"))
    out = pathlib.Path(values.out)
    if not values.resume:
        from pat_keras.evaluation.run_folder import check_free

        check_free(out)
    cohorts, shares = _read(values)
    cli.import_quietly()
    from pat_keras.apps.progress import TrainingProgress
    from pat_keras.evaluation.pretraining import run_pretraining
    from pat_keras.training.pretrain import PretrainWatcher

    class Progress(TrainingProgress, PretrainWatcher):
        """A progress bar and event files."""

    for name, cohort in cohorts.items():
        print(f"{name}: {cohort.describe()}", flush=True)
    watcher = Progress(out / "tensorboard")
    with watcher:
        result = run_pretraining(
            cohorts,
            config,
            shares=shares,
            exclude_people=values.exclude_people,
            out=out,
            resume=values.resume,
            flags=kept_flags(values),
            watcher=watcher,
            say=warn,
            plots=values.plots,
        )
    print(_summary(result))


def _demonstrate(values: flags.FlagValues) -> None:
    """Set what was not given to what the demonstration takes, and say so."""
    taken = {name: value for name, value in _DEMO.items() if not values[name].present}
    for name, value in taken.items():
        values[name].value = value
    settings = " ".join(f"--{name}={value}" for name, value in taken.items())
    print(
        "No --data: a demonstration on days of synthetic people"
        + (f", quick by {settings}; --data is pretrained on by other defaults (--help)." if taken else "."),
        flush=True,
    )


def _read(values: flags.FlagValues) -> tuple[dict[str, Cohort], list[float] | None]:
    """The cohorts by the names of their files, and their shares."""
    cohorts = {}
    for path in values.data:
        name = pathlib.Path(path).stem
        if name in cohorts:
            raise ConfigError(f"--data={path}: another cohort is named {name}, expected files of different names.")
        cohorts[name] = read_cohort(path)
    if not cohorts:
        from pat_keras.data.simulate import simulate_cohort

        cohorts = {"synthetic": simulate_cohort(n_people=_DEMO_PEOPLE, days=1)}
    if values.shares is None:
        return cohorts, None
    try:
        shares = [float(share) for share in values.shares]
    except ValueError:
        shares = []
    if len(shares) != len(cohorts):
        raise ConfigError(f"--shares={','.join(values.shares)}: expected {len(cohorts)} numbers, one for each cohort.")
    return cohorts, shares


def _summary(result: PretrainResult) -> str:
    """The end of the command: losses beside those of the simple predictors, the run directory."""
    found = result.metrics["validation"]
    lines = [
        "",
        f"{'SYNTHETIC DATA. ' if result.metrics['synthetic'] else ''}mean squared error on people held out",
        "",
        f"{'model, after epoch ' + str(found['best_epoch']):<42}{found['loss']:.4f}",
        f"{'mean of the visible minutes of the person':<42}{found['person_mean']:.4f}",
        f"{'mean day of the training people':<42}{found['mean_day']:.4f}",
        *(
            [f"{'half weeks nearest to their other half':<42}{found['people_told_apart']:.1%}"]
            if "people_told_apart" in found
            else []
        ),
        "",
        f"encoder: {pathlib.Path(str(result.folder), 'encoder.keras')}",
        f"report:  {pathlib.Path(str(result.folder), 'report.html')}",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""

    def command(values: flags.FlagValues) -> None:
        if not listed(values):
            run_command(resumed(argv, values, define_flags) if values.resume else values)

    return cli.execute(argv, define_flags(), __doc__ or "", command)


def run() -> None:
    """Entry point of `pat-pretrain`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
