"""Recordings of a study in, one cohort (Parquet) out, with an account of everybody who was read.

  pat-prepare --source=depresjon --raw=depresjon.zip --out=depresjon.parquet
  pat-prepare --source=nhanes --cycle=D --raw=FOLDER --label=depression --out=nhanes_d.parquet
  pat-prepare --source=csv --raw=FOLDER --labels=phq.csv --positive='phq9>=10' --label=depressed --out=mine.parquet
  pat-prepare --source=actiwatch --raw=FOLDER --out=mine.parquet

Beside the cohort lie NAME.rejected.csv (everybody who was read and not kept, and why) and NAME.html (a report).
"""

from __future__ import annotations

import pathlib
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from pat_keras.apps import cli
from pat_keras.apps.device_flags import define_devices, device_options
from pat_keras.apps.flags import define_output
from pat_keras.apps.inputs import given
from pat_keras.apps.nhanes_flags import NHANES_FLAGS, check_nhanes, define_nhanes, open_nhanes
from pat_keras.apps.table_flags import check_tables, define_tables, label_config, table_config
from pat_keras.apps.window_flags import define_windows, limited, window_config
from pat_keras.data.files import check_apart
from pat_keras.data.readers.devices import DEVICES, OPTIONS, devices_with
from pat_keras.errors import CohortError, ConfigError, LabelError

if TYPE_CHECKING:  # polars and the rest are imported when the flags are known to be right
    from pat_keras.data.assembly import Assembly
    from pat_keras.data.readers.study import Study

_STUDIES = ("depresjon", "psykose", "nhanes")
_ONLY_FOR = {
    **dict.fromkeys(NHANES_FLAGS, ("nhanes",)),
    "trim": ("depresjon", "psykose"),
    **{name: devices_with(name) for name in OPTIONS},
}


def define_flags() -> flags.FlagValues:
    """The flags of pat-prepare."""
    values = flags.FlagValues()
    devices = "; ".join(f"{name}: {device.title}" for name, device in DEVICES.items())
    flags.DEFINE_enum(
        "source",
        None,
        [*_STUDIES, "csv", *DEVICES],
        f"The study or device; csv: plain tables (CSV, TSV, TXT, Parquet) with a timestamp and a value. {devices}.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_string(
        "raw",
        None,
        "Where its files are. depresjon, psykose: the published zip or its unpacked folder. nhanes: the folder with "
        "PAXRAW_C.xpt or PAXRAW_D.xpt, PAXMIN_G.xpt or PAXMIN_H.xpt (or PhysioNet's nhanes_1440_PAXMTSM.csv.xz), and "
        "DEMO, DPQ, SLQ, RXQ_RX and BMX of the same cycle for the labels. csv and devices: a file, a folder, a zip, or "
        "a pattern such as 'data/*.csv'; the name of a file, without its suffix, is the participant_id, or a part of "
        "it by --id_pattern.",
        required=True,
        flag_values=values,
    )
    define_output(values, "The cohort file to write, NAME.parquet.")
    flags.DEFINE_string(
        "label",
        None,
        "Keep only people with this label: depressed, madrs1, ... (depresjon); schizophrenia, ... (psykose); "
        "depression, benzodiazepine, ssri, sleep_disorder, sleep_abnormality, age, ... (nhanes); a column of --labels. "
        "All labels that the files give are written in any case.",
        flag_values=values,
    )
    define_nhanes(values)
    flags.DEFINE_boolean(
        "trim",
        True,
        "depresjon, psykose: leave out what was recorded after the days that the study says were worn.",
        flag_values=values,
    )
    define_tables(values)
    define_devices(values)
    define_windows(values)
    flags.DEFINE_boolean(
        "report",
        True,
        "Write NAME.html beside the cohort: who was rejected for what, worn time, average days, labels, choices.",
        flag_values=values,
    )
    return values


def prepare(values: flags.FlagValues) -> None:
    """Reads, cuts, writes, reads back and reports.

    Raises:
        PATError: for anything wrong with the flags or the files.
    """
    for name, sources in _ONLY_FOR.items():
        if values[name].present and values.source not in sources:
            raise ConfigError(
                f"--{name} is for --source={' or '.join(sources)}, but --source is {values.source}. Leave it out."
            )
    check_tables(values)
    if values.source == "nhanes":
        check_nhanes(values)
    config = window_config(values)
    out = pathlib.Path(values.out)
    rejected, report = out.with_suffix(".rejected.csv"), out.with_suffix(".html")
    stale = not values.report and _is_report(report)  # of the cohort that is replaced, or was taken away
    beside = (rejected, *([report] if values.report or stale else []))
    if any(path.exists() for path in (out, *beside)):
        check_apart((out, *beside), _sources(values), error=CohortError)
    _check_free(out, beside, values.overwrite)

    from tqdm import tqdm

    from pat_keras.data.assembly import assemble

    study = limited(_open_study(values), values)
    before = dict(study.reading)
    _print_reading(before)
    assembly = assemble(
        study,
        config,
        values.label,
        lambda items: tqdm(
            items,
            desc=study.name,
            unit=" people",
            total=study.expected_people,
            file=sys.stderr,
            mininterval=cli.bar_interval(),
        ),
    )
    _write(assembly, out, rejected, values.overwrite)
    if stale:
        report.unlink()
    if values.report:
        from pat_keras.evaluation.cohort_report import write_cohort_report

        write_cohort_report(report, assembly, rejected.name, values.overwrite)
    _print_reading({name: text for name, text in study.reading.items() if before.get(name) != text})
    print(_summary(study, assembly, out, rejected))
    if values.report:
        print(f"report:   {report}")
    elif stale:
        print(f"report:   none (--noreport); {report}, which was of an earlier cohort, is removed")
    elif report.exists():
        print(f"report:   none (--noreport); {report} is no report of pat-prepare, and stays as it is")


def _is_report(path: pathlib.Path) -> bool:
    """Whether a file is a page that this command wrote: nothing that somebody made by hand is removed."""
    if not path.is_file():
        return False
    from pat_keras.evaluation.cohort_report import CLOSING

    return CLOSING.encode() in path.read_bytes()


def _check_free(out: pathlib.Path, beside: tuple[pathlib.Path, ...], overwrite: bool) -> None:
    """Refuses a wrong or taken --out before minutes are spent on reading."""
    if out.suffix != ".parquet":
        raise CohortError(f"--out is {out}, expected the name of a file that ends in .parquet.")
    for path in (out, *beside):
        if path.is_dir():
            raise CohortError(f"{path}: is a folder, expected the name of a file to write. Choose another --out.")
        if path.exists() and not overwrite:
            raise CohortError(f"{path}: is already there. Choose another --out, or give --overwrite to replace it.")


def _sources(values: flags.FlagValues) -> dict[str, list[str]]:
    """The files that are read, by the flag that names them."""
    from pat_keras.data.readers.device_files import find_device_files
    from pat_keras.data.readers.raw_files import find_files
    from pat_keras.data.readers.table import SUFFIXES

    raw = [values.raw] if pathlib.Path(values.raw).is_file() else []  # of a folder, only what is read
    if values.source == "csv":
        raw += [file.where for file in find_files(values.raw, SUFFIXES, values.files)[0]]
    elif values.source in DEVICES:
        raw += [file.where for file in find_device_files(values.raw, DEVICES[values.source].patterns)[0]]
    return {"--raw": raw, "--labels": given(values.labels), "--days_table": given(values.days_table)}


def _open_study(values: flags.FlagValues) -> Study:
    study = _open_source(values)
    labels = label_config(values)
    if labels is None:
        return study
    from pat_keras.data.labels import join_labels, read_label_table

    table = read_label_table(labels)
    if values.label in table.left_out and values.label not in study.people.columns:
        raise LabelError(
            f"{values.labels}: --label={values.label}: the column holds text, expected numbers. Make numbers of it by "
            f"--map=yes=1,no=0, or a label of 0 and 1 with another name by --positive='{values.label} in {{a, b}}'."
        )
    return join_labels(study, table)


def _open_source(values: flags.FlagValues) -> Study:
    if values.source == "depresjon":
        from pat_keras.data.readers.depresjon import read_depresjon

        return read_depresjon(values.raw, trim=values.trim)
    if values.source == "psykose":
        from pat_keras.data.readers.psykose import read_psykose

        return read_psykose(values.raw, trim=values.trim)
    if values.source == "csv":
        from pat_keras.data.readers.table import read_tables

        others = {f"--{name}": values[name].value for name in ("labels", "days_table") if values[name].value}
        return read_tables(values.raw, table_config(values), files=values.files, others=others)
    if values.source in DEVICES:
        from pat_keras.data.readers.device_study import read_devices

        return read_devices(
            values.source, values.raw, device_options(values, values.source), id_pattern=values.id_pattern
        )
    return open_nhanes(values)


def _print_reading(reading: dict[str, str]) -> None:
    """How the files are read, one finding a line."""
    for name, text in reading.items():
        print("\n".join(textwrap.wrap(f"{name}: {text}", 110, subsequent_indent=" " * 4)))


def _write(assembly: Assembly, out: pathlib.Path, rejected: pathlib.Path, overwrite: bool) -> None:
    """Writes both files, then reads the cohort back: status 0 means that it is there and whole."""
    import polars as pl

    from pat_keras.data.cohort import Cohort
    from pat_keras.data.files import atomic_write

    rows = [(one.participant_id, one.reason, one.detail) for one in assembly.rejections]
    schema = dict.fromkeys(("participant_id", "reason", "detail"), pl.String)
    with atomic_write(rejected, overwrite=overwrite, error=CohortError) as temporary:
        pl.DataFrame(rows, schema=schema, orient="row").write_csv(temporary)
    assembly.cohort.write(out, overwrite=overwrite)
    if Cohort.read(out).content_hash() != assembly.cohort.content_hash():
        raise CohortError(f"{out}: what was read back is not what was written. Check the disk, and run again.")


def _summary(study: Study, assembly: Assembly, out: pathlib.Path, rejected: pathlib.Path) -> str:
    cohort = assembly.cohort
    windows = cohort.metadata["windows"]
    lines = ["", f"{study.name:<72}{'people':>8}"]
    for step in cohort.metadata["funnel"]:
        name = f"{step['step']}: {step['reason']}" if step["reason"] else step["step"]
        lines.append(f"  {name:<70}{step['people']:>8,}")
    where = {"midnight": "from midnight", "first_sample": "from the first sample"}[windows["start"]]
    lines += ["", f"{cohort.n_windows:,} windows of {windows['days']} days {where}"]
    for reason, places in windows["passed_over"].items():
        lines.append(f"{places:,} places for a window passed over: {reason}")
    if windows["filled_minutes"]:
        lines.append(
            f"{windows['filled_minutes']:,} missing minutes of {windows['filled_people']:,} people filled "
            f"(--fill_gaps={windows['fill_gaps']})"
        )
    if windows["nonwear_minutes"]:
        lines.append(
            f"{windows['nonwear_minutes']:,} minutes ({windows['nonwear_minutes'] / cohort.activity.size:.1%}) are "
            f"non-wear and missing (--nonwear={windows['nonwear']})"
        )
    same = cohort.metadata.get("same_recordings")
    if same:
        lines.append(
            f"{same['people']:,} people in {same['pairs']:,} pairs share identical days of recording; the column "
            "same_recording_group names them, for splits to keep together"
        )
    ceiling = cohort.metadata["at_ceiling"]
    if ceiling["minutes"]:
        lines.append(
            f"{ceiling['minutes']:,} minutes of {ceiling['people']:,} people are at the device's ceiling of "
            f"{ceiling['value']:,} {study.unit}; they are kept as they are"
        )
    for words in _warnings(cohort.metadata):
        lines += textwrap.wrap(f"warning: {words}", 110, subsequent_indent=" " * 4)
    lines += ["", *_label_lines(assembly), ""]
    lines += [f"cohort:   {out} ({out.stat().st_size / 1e6:.1f} MB)", f"rejected: {rejected}"]
    for name, text in (("terms:", study.terms), ("cite:", study.citation)):
        lines += textwrap.wrap(text, 110, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)
    return "\n".join(lines)


def _warnings(metadata: dict[str, Any]) -> list[str]:
    """What may be wrong with ids, values and labels, though they can be read."""
    from pat_keras.data import mixed_units, top_values
    from pat_keras.data.readers import file_names

    names = metadata["names_of_one_person"]
    words = {"largest_too_often": top_values.words_of, "mixed_units": mixed_units.words_of}
    found = [say(metadata[name], metadata["unit"]) for name, say in words.items() if metadata[name]]
    return [*([file_names.words_of(names)] if names else []), *found, *metadata["label_warnings"]]


def _label_lines(assembly: Assembly) -> list[str]:
    """One line a label, counting people, not windows."""
    from pat_keras.data.account import label_counts

    lines = [f"{'label':<20}{'people':>8}{'missing':>9}  values"]
    for one in label_counts(assembly.cohort):
        lines.append(f"{one.name:<20}{one.people:>8,}{one.missing:>9,}  {one.values}  ({one.meaning})")
    return lines


def main(argv: Sequence[str]) -> int:
    """The command: returns the exit status."""
    return cli.execute(argv, define_flags(), __doc__ or "", prepare)


def run() -> None:
    """Entry point of `pat-prepare`."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    run()
