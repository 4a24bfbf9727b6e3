"""pat-embed: the embeddings of a cohort's windows by a PAT encoder, as a table.

  pat-embed --data=cohort.parquet --weights=pat_medium_29k --out=embeddings.parquet
  pat-embed --data=cohort.parquet --weights=runs/mine --out=embeddings.parquet --pooling=mean_std
  pat-embed --resume ...                                      the same call, after it was stopped

Writes one row a window: participant_id, window, start, and pat_00 ... pat_95, the mean of the window's tokens; with
--pooling=mean_std also pat_std_00 ... pat_std_95, their standard deviations. The cohort may be larger than memory. The
file's metadata (key pat_keras_embeddings) say what it was made of: weights with SHA-256, scaling, settings, versions.
The cohort must be measured as the data of a run of pat-finetune were (see pat-predict); of other weights it is said if
they learned from another unit. No labels are needed, and none are looked at.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.flags import define_output, define_participants, define_repair, repair_scaling
from pat_keras.apps.inputs import given, is_array, naming, read_cohort, warn
from pat_keras.config import POOLING
from pat_keras.config.embed import GAPS, SCALINGS, EmbedConfig
from pat_keras.data.files import check_apart
from pat_keras.errors import ConfigError, RunError


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values, default = flags.FlagValues(), EmbedConfig()
    flags.DEFINE_string(
        "data",
        None,
        "Cohort (.parquet), read by parts; or weeks as an array (.npy, .npz).",
        required=True,
        flag_values=values,
    )
    define_participants(values)
    flags.DEFINE_string(
        "weights",
        None,
        "A preset such as pat_medium_29k, an official .h5 file, a .keras file, or a run of pat-finetune (one model) or "
        "pat-pretrain.",
        required=True,
        flag_values=values,
    )
    define_output(values, "The file to write, NAME.parquet.")
    flags.DEFINE_boolean("resume", False, "Go on with the same call where it was stopped.", flag_values=values)
    flags.DEFINE_enum(
        "pooling", default.pooling, POOLING, "Of tokens: mean, or mean and standard deviation.", flag_values=values
    )
    flags.DEFINE_enum(
        "standardize",
        default.standardize,
        SCALINGS,
        "Scaling. auto: that of the weights if their file holds it, as a fine-tuned model's does, else the kind under "
        "which they were pretrained (presets and runs of pat-pretrain tell; other files: per_minute), fitted on this "
        "cohort. per_minute, cohort: fitted on this cohort. per_recording; none.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "missing",
        default.missing,
        GAPS,
        "Windows with missing minutes: refuse them with an error, or mask: patches known less than --min_worn_share "
        "are not looked at, other gaps count as the mean. auto: as the weights' model was trained, else refuse.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "min_worn_share",
        default.min_worn_share,
        "Share of a patch's minutes that must be known, for --missing=mask.",
        flag_values=values,
    )
    flags.DEFINE_integer("batch_size", default.batch_size, "Windows in a step.", flag_values=values)
    define_repair(values)
    return values


def embed(values: flags.FlagValues) -> None:
    """Embeds the cohort and says what was written."""
    settings = ("pooling", "standardize", "missing", "min_worn_share", "batch_size")
    config = EmbedConfig(**{name: values[name].value for name in settings})
    repair = repair_scaling(values)
    if values.participants and not is_array(values.data):
        raise ConfigError("--participants goes with arrays (--data=X.npy); a cohort holds them itself.")
    check_apart((pathlib.Path(values.out),), {"--participants": given(values.participants)}, error=RunError)
    cli.import_quietly()
    from pat_keras.evaluation.embed import write_embeddings

    data = read_cohort(values.data, participants=values.participants) if is_array(values.data) else values.data
    with naming(values.data):
        about = write_embeddings(
            data,
            values.weights,
            values.out,
            config,
            repair_fixed_scaling=repair,
            resume=values.resume,
            overwrite=values.overwrite,
            say=warn,
            progress=_bar,
        )
    weights, scaling = about["weights"], about["scaling"]
    print(f"weights: {weights['name']} (SHA-256 {weights['sha256']})")
    print(f"scaling: {scaling['kind']}, of {scaling['fitted_on']}")
    print(f"{'SYNTHETIC DATA. ' if about['data']['synthetic'] else ''}{about['data']['windows']:,} windows, ", end="")
    print(f"{len(about['columns'])} features each: {values.out}")


def _bar(left: range, done: int) -> Iterable[int]:
    """A progress bar over blocks, in windows."""
    from tqdm import tqdm

    def blocks() -> Iterator[int]:
        with tqdm(
            total=left.stop, initial=done, unit="window", dynamic_ncols=True, mininterval=cli.bar_interval()
        ) as bar:
            for first in left:
                yield first
                bar.update(min(left.step, left.stop - first))

    return blocks()


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", embed)


def run() -> None:
    """Entry point of `pat-embed`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
