"""pat-explain: why a run predicts what it predicts, in pictures, with the numbers behind them.

    pat-explain --run=runs/mine --data=cohort.parquet --people=held_out --out=explained
    pat-explain --run=runs/mine --data=cohort.parquet --people=id_1,id_7 --methods=attention,occlusion --out=two
    pat-explain --run=runs/mine --data=others.parquet --people=random:50 --group=sex --out=others

Methods: attention (received by each patch, last block), rollout (attention through all blocks), input_x_gradient,
integrated_gradients, occlusion (hours of the day and days hidden). Each has a deletion test: does hiding the hours that
it names change the prediction more than hiding random ones? Its number goes with every picture. Groups of people are
compared over the day with a permutation test, corrected for looking at every hour.

In a cross-validation everybody is explained by the model that was not trained on them; new people by all models.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.flags import define_participants, define_repair, repair_scaling
from pat_keras.apps.inputs import naming, read_cohort, warn

if TYPE_CHECKING:
    from pat_keras.evaluation.explanation import Explanation

_METHODS = ("attention", "rollout", "input_x_gradient", "integrated_gradients", "occlusion")


def define_flags() -> flags.FlagValues:
    """The flags of this command."""
    values = flags.FlagValues()
    flags.DEFINE_string("run", None, "Directory of a finished run.", required=True, flag_values=values)
    flags.DEFINE_string(
        "data", None, "Cohort (.parquet), or weeks as an array (.npy, .npz); not only that of the run.", required=True,
        flag_values=values,
    )  # fmt: skip
    define_participants(values)
    flags.DEFINE_string("out", None, "Directory to write; new or empty.", required=True, flag_values=values)
    flags.DEFINE_string(
        "people",
        "random:100",
        "Who is explained: ids with commas, a file of ids, all, held_out (those whom the run tested), or random:N (N "
        "of those, or of everybody where the run tested nobody of the cohort).",
        flag_values=values,
    )
    flags.DEFINE_list("methods", None, f"Some of {', '.join(_METHODS)}; all if not given.", flag_values=values)
    for name, (kind, default, text) in _SETTINGS.items():
        kind(name, default, text, flag_values=values)
    define_repair(values)
    return values


_SETTINGS = {
    "block": (flags.DEFINE_integer, -1, "Block of --methods=attention, from 0; -1: the last."),
    "target_class": (flags.DEFINE_string, "", "Class to explain, of a multi-class run; else each one's most probable."),
    "reference": (
        flags.DEFINE_string,
        "auto",
        "What an hour is compared with. mean: of scaled minutes. average_day: of the cohort's people. auto: mean for "
        "a model scaled per minute (it is the training people's average week), otherwise average_day.",
    ),
    "hide": (
        flags.DEFINE_string,
        "auto",
        "What hidden hours are. missing: left out, as a model trained with --missing=mask can. reference: what they "
        "are compared with. auto: missing where the model can.",
    ),
    "steps": (flags.DEFINE_integer, 16, "Of integrated gradients."),
    "share": (flags.DEFINE_float, 0.1, "Of the hours, to be hidden in the deletion test."),
    "draws": (flags.DEFINE_integer, 20, "Of random hours in the deletion test."),
    "group": (flags.DEFINE_string, "", "Column by which people are compared; the run's label if not given."),
    "permutations": (flags.DEFINE_integer, 2000, "Of the comparison of groups."),
    "pictures": (flags.DEFINE_integer, 3, "People who get pictures of their own."),
    "seed": (flags.DEFINE_integer, 0, "Of everything that is drawn."),
}


def explain(values: flags.FlagValues) -> None:
    """Reads the run and the cohort, explains, writes and says what was found."""
    repair = repair_scaling(values)
    cohort = read_cohort(values.data, participants=values.participants)
    cli.import_quietly()
    from tqdm import tqdm

    from pat_keras.evaluation.explanation import ExplainSettings
    from pat_keras.evaluation.explanation_run import explain as work

    settings = ExplainSettings(tuple(values.methods or ()), **{name: values[name].value for name in _SETTINGS})
    with naming(values.data), tqdm(unit="window", dynamic_ncols=True, mininterval=cli.bar_interval()) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found = work(
            values.run, cohort, values.people, settings, out=values.out, repair_fixed_scaling=repair, say=warn,
            progress=show,
        )  # fmt: skip
    print(_summary(found))


def _summary(found: Explanation) -> str:
    """Who was explained, the deletion tests, where groups differ, the folder."""
    from pat_keras.evaluation.explanation import TITLES

    about, held = found.about, found.windows.group_by("participant_id").first()["held_out"]
    tested = int((held == "test").sum())
    lines = [
        "SYNTHETIC DATA." if about["synthetic"] else "",
        f"{about['explains']}: {len(found.people)} people ({tested} tested by the run), {found.windows.height} windows",
        f"compared with: {about['reference']}; hidden hours: {about['hidden']}",
    ]
    if not found.clock.known:
        lines.append("The time of day was not recorded: windows are taken to begin at midnight.")
    if "gap" in found.windows.columns:
        gap = max(abs(gap) for gap in found.windows["gap"])
        lines.append(f"integrated gradients sum to the score, but for {gap:.2g} at most (--steps makes it smaller)")
    lines += ["", f"{'deletion test':<26}{'times random hours':<24}{'people':>8}"]
    for name, each in found.deletion.items():
        limits = "" if each.ratio_low is None else f" ({each.ratio_low:.2f} to {each.ratio_high:.2f})"
        ratio = "no change" if each.ratio is None else f"{each.ratio:.2f}{limits}"
        lines.append(f"{TITLES[name]:<26}{ratio:<24}{each.n:>8}{'' if each.passed else f'  {each.verdict}'}")
    lines += [""] + [f"{TITLES[name]}: {each.words()}" for name, each in found.comparison.items()]
    if found.no_comparison:
        lines.append(f"Groups were not compared: {found.no_comparison}")
    lines += ["", f"explanation: {found.folder}"]
    return "\n".join([*lines, "For research: what a model looks at is not what is wrong with a person."])


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", explain)


def run() -> None:
    """Entry point of `pat-explain`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
