"""pat-export: a finished run as a file that programs without pat_keras compute with.

  pat-export --run=runs/mine --out=exported                          ONNX
  pat-export --run=runs/mine --out=exported --format=saved_model     TensorFlow

Writes a folder: the model, which takes raw minutes and gives probabilities (or values); card.json and README.md, which
say what goes in and comes out; and example.csv with example_output.csv, to see that another program computes the same.
What was written is run in its own runtime before the command ends, and must give the run's numbers. The models of a
cross-validation, and the members of an ensemble, become one model that averages them. ONNX needs: pip install
'pat_keras[export]'.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from absl import flags

from pat_keras.apps import cli
from pat_keras.config import EXPORTS


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "run", None, "Directory of a finished run, or of an ensemble.", required=True, flag_values=values
    )
    flags.DEFINE_string("out", None, "Directory to write; new.", required=True, flag_values=values)
    flags.DEFINE_enum("format", "onnx", EXPORTS, "Of the model.", flag_values=values)
    return values


def export(values: flags.FlagValues) -> None:
    """Exports the run and says what was written."""
    cli.import_quietly()
    from pat_keras.evaluation.export import export_run

    card = export_run(values.run, values.out, values["format"].value)
    given, output, check = card["input"], card["output"], card["check"]
    if card["synthetic"]:
        print("SYNTHETIC DATA.")
    print(f"in:    {given['name']} ({', '.join(map(str, given['shape']))}) {given['what']}, {given['unit']}")
    print(f"out:   {output['name']} ({', '.join(map(str, output['shape']))})")
    print(f"check: {check['windows']} simulated windows, largest difference {check['largest_difference']:.1e}")
    print(f"model: {values.out}/{card['model']}")


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", export)


def run() -> None:
    """Entry point of `pat-export`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
