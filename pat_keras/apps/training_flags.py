"""Flags of the commands that train (pat-finetune, pat-tune): data, label, run directory, a recipe, resuming."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from absl import flags

from pat_keras.apps.flags import define_finetune, define_participants
from pat_keras.apps.inputs import is_array, read_cohort
from pat_keras.errors import ConfigError, LabelError, RunError
from pat_keras.recipes import about, recipe_names, recipe_path

if TYPE_CHECKING:
    from pat_keras.data.cohort import Cohort

DATA = ("data", "labels", "participants", "label")
_NOT_KEPT = ("out", "resume", "recipe", "flagfile", "undefok")  # of flags.txt: those of one call, not of the experiment


def define_training(values: flags.FlagValues) -> None:
    """Defines the flags of data and run directory, and those of `define_finetune`."""
    flags.DEFINE_string(
        "data",
        None,
        "Cohort (.parquet), or weeks as an array (.npy, .npz). None: a synthetic cohort.",
        flag_values=values,
    )
    flags.DEFINE_string("labels", None, "Labels of --data=X.npy, one a row (.npy, .npz).", flag_values=values)
    define_participants(values)
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
    flags.DEFINE_integer(
        "report_people",
        3,
        "Weeks in the report of the people whom the model was most sure of, least sure of, and sure of and wrong, as "
        "many of each. 0: nothing of single people (no embeddings), for a report that others may see.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "report_columns",
        [],
        "Columns of the cohort by which the report colours embeddings, beside the label and --subgroups.",
        flag_values=values,
    )
    define_finetune(values)


def run_directory(values: flags.FlagValues, prefix: str = "") -> pathlib.Path:
    """--out, named by label and time if it was not given; free, unless it is to be resumed.

    Raises:
        RunError: if it is taken.
    """
    if values.out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        values.out = str(pathlib.Path("runs", f"{prefix}{values.label if values.data else 'synthetic'}-{now}"))
    out = pathlib.Path(values.out)
    if not values.resume:  # seen to again later, but nobody should wait for an error that is known now
        from pat_keras.evaluation.run_folder import check_free

        check_free(out)
    return out


def read_data(values: flags.FlagValues) -> Cohort:
    """The cohort that --data names; the synthetic one if none does."""
    if values.data is None:
        if values.labels or values.participants:
            raise ConfigError("--labels and --participants go with arrays: expected --data=X.npy with them.")
        from pat_keras.data.simulate import simulate_cohort

        # A demonstration that learns something, and ends within minutes on two cores.
        return simulate_cohort(n_people=240, effect=2.0)
    if is_array(values.data) and not values.labels:
        raise ConfigError(f"--data={values.data} is an array; expected --labels=y.npy with it.")
    cohort = read_cohort(values.data, values.labels, values.participants, values.label)
    if values.label not in cohort.columns:
        there = cohort.columns_in_words()
        raise LabelError(
            f"{values.data}: --label={values.label}: there is no such label; the labels and covariates are: {there}. "
            "Choose one by --label=NAME."
        )
    return cohort


def kept_flags(values: flags.FlagValues) -> str:
    """Text of flags.txt: what runs the same experiment again with --flagfile."""
    lines = [values[name].serialize() for name in values if name not in _NOT_KEPT and values[name].value is not None]
    return "".join(f"{line}\n" for line in lines if line)


def listed(values: flags.FlagValues) -> bool:
    """Prints the presets or the recipes if --weights=list or --recipe=list asks for them; whether one does."""
    if values.weights == "list":
        from pat_keras.checkpoints.presets import preset_lines

        lines = preset_lines()
    elif "recipe" in values and values.recipe == "list":
        width = max(map(len, recipe_names()))
        lines = [f"{name:<{width}}  {about(name)}" for name in recipe_names()]
    else:
        return False
    print("\n".join(lines))
    return True


def with_files(
    argv: Sequence[str], values: flags.FlagValues, define: Callable[[], flags.FlagValues]
) -> flags.FlagValues:
    """The flags, with those of the recipe, or of the run in --out that is resumed, under them.

    Args:
        argv: of the command.
        values: parsed from it.
        define: fresh flags of the command.

    Raises:
        ConfigError, RunError: if there is no run to resume, or no such recipe.
    """

    if not values.resume:
        return values if values.recipe is None else _parsed(argv, recipe_path(values.recipe), define)
    if values.recipe is not None:
        raise ConfigError("--resume goes on with the settings that the run was started with; leave --recipe out.")
    return resumed(argv, values, define)


def resumed(argv: Sequence[str], values: flags.FlagValues, define: Callable[[], flags.FlagValues]) -> flags.FlagValues:
    """The flags of the run in --out, with those of this call over them; arguments as for `with_files`.

    Raises:
        ConfigError, RunError: if there is no run to resume.
    """
    if values.out is None:
        raise ConfigError("--resume: expected --out=RUN, the directory of the run to go on with.")
    kept = pathlib.Path(values.out, "flags.txt")
    if not kept.is_file():
        raise RunError(f"{kept}: found no such file, so there is no run to resume. Check --out, or leave --resume out.")
    fresh = _parsed(argv, kept, define)
    data = [fresh.data] if isinstance(fresh.data, str) else fresh.data or []
    missing = [path for path in data if not pathlib.Path(path).exists()]
    if missing and not values["data"].present:
        raise RunError(
            f"{kept}: --data={missing[0]}: there is no such file, seen from {pathlib.Path.cwd()}; a path there starts "
            "from the folder where the run began. Go on from that folder, or give --data=PATH anew."
        )
    return fresh


def _parsed(argv: Sequence[str], path: pathlib.Path, define: Callable[[], flags.FlagValues]) -> flags.FlagValues:
    """Fresh flags, from a file and then from the command; of two that set the same, the later one wins."""
    fresh = define()
    fresh([argv[0], f"--flagfile={path}", *argv[1:]])
    own = define()
    own(argv)
    for name in own:
        if isinstance(own[name], flags.MultiFlag) and own[name].present:  # which would hold those of both
            fresh[name].value = own[name].value
    return fresh
