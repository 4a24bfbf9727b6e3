"""pat-predict: apply a run of pat-finetune to new people.

  pat-predict --run=runs/mine --data=new.parquet --out=predictions.csv

Writes one row a window to --out, and one row a person (the mean over the person's windows) to NAME.people.csv beside
it. The cohort must be measured as the run's data were: the same length of windows, time of day that they begin at,
unit, axis and epoch length. The models of a cross-validation are averaged. No labels are needed.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.flags import define_output, define_participants, define_repair, repair_scaling
from pat_keras.apps.inputs import given, naming, read_cohort, warn
from pat_keras.data.files import check_apart
from pat_keras.errors import RunError


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_string("run", None, "Directory of a finished run.", required=True, flag_values=values)
    flags.DEFINE_string(
        "data",
        None,
        "Cohort (.parquet), or weeks as an array (.npy, .npz).",
        required=True,
        flag_values=values,
    )
    define_participants(values)
    define_output(values, "The file to write, NAME.csv.")
    define_repair(values)
    return values


def predict(values: flags.FlagValues) -> None:
    """Reads the cohort and the run, predicts, writes and says what it wrote."""
    repair = repair_scaling(values)
    out = pathlib.Path(values.out)
    of_run = [pathlib.Path(values.run, name) for name in ("predictions.csv", "history.csv", "trials.csv")]
    sources = {"--data": [values.data], "--participants": given(values.participants), "--run": of_run}
    check_apart((out, out.with_suffix(".people.csv")), sources, error=RunError)
    _check_free(out, values.overwrite)
    cohort = read_cohort(values.data, participants=values.participants)
    cli.import_quietly()
    from pat_keras.evaluation import predict as work

    with naming(values.data):
        predictions = work.predict(values.run, cohort, repair_fixed_scaling=repair, say=warn)
    people = work.write_predictions(predictions, out, values.overwrite)
    print(cohort.describe())
    means = predictions.people.drop("participant_id", "windows").mean().row(0, named=True)
    print("\n".join(["", *(f"mean over people of {name}: {value:.4g}" for name, value in means.items())]))
    print(f"\nwindows: {out} ({predictions.windows.height:,})\npeople:  {people} ({predictions.people.height:,})")
    print("For research: a prediction for one person is not a finding about that person.")


def _check_free(out: pathlib.Path, overwrite: bool) -> None:
    """Refuses a wrong or taken --out before anything is read."""
    if out.suffix != ".csv":
        raise RunError(f"--out is {out}, expected the name of a file that ends in .csv.")
    for path in (out, out.with_suffix(".people.csv")):
        if path.exists() and not overwrite:
            raise RunError(f"{path}: is already there. Choose another --out, or give --overwrite to replace it.")


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", predict)


def run() -> None:
    """Entry point of `pat-predict`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
