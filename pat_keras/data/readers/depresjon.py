"""Depresjon: a week or two of wrist actigraphy of 23 depressed people and 32 controls (Garcia-Ceja et al. 2018).

Published as a zip: `condition/*.csv` and `control/*.csv` with the columns timestamp, date, activity (counts of an
Actiwatch AW4, one a minute), and `scores.csv` with one row a person.
"""

from __future__ import annotations

import io
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator

import polars as pl

from pat_keras.data.days_table import keep_days
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

CITATION = (
    "Garcia-Ceja E, Riegler M, Jakobsen P, Torresen J, Nordgreen T, Oedegaard KJ, Fasmer OB. Depresjon: a motor "
    "activity database of depression episodes in unipolar and bipolar patients. Proc. 9th ACM Multimedia Systems "
    "Conference (MMSys'18), 2018. doi:10.1145/3204949.3208125"
)
TERMS = "Every paper that reports results on Depresjon has to cite it (terms of use at datasets.simula.no/depresjon)."

_GROUPS = {"condition": 1, "control": 0}  # folder -> depressed
_SCORES = ("number", "days", "gender", "age", "afftype", "melanch", "inpatient", "madrs1", "madrs2")
_MISSING = ("", "NA")
_LABELS = {
    "depressed": "1 condition group (unipolar or bipolar depression), 0 control",
    "days": "whole days, midnight to midnight, that scores.csv says were worn",
    "sex": "0 male, 1 female",
    "age": "middle of the published age group, years",
    "age_low": "lower end of the published age group, years",
    "age_high": "upper end of the published age group, years",
    "madrs1": "MADRS when the recording began",
    "madrs2": "MADRS when the recording ended",
    "afftype": "1 bipolar II, 2 unipolar depressive, 3 bipolar I",
    "melanch": "1 melancholia, 2 none",
    "inpatient": "1 inpatient, 2 outpatient",
}


def read_depresjon(raw: str | pathlib.Path, *, trim: bool = True) -> Study:
    """Opens the Depresjon data set.

    Args:
        raw: the published zip, or a folder it was unpacked to (the folder with scores.csv, or the one above it).
        trim: cut what lies after the `days` of scores.csv: the files run on by up to 33 days of a device in a drawer.
            `days` are counted from the first midnight. So counted, they end where the file ends in the recordings that
            were stopped in time (such as condition_9, condition_21, control_27), and where wear ends in others.

    Returns:
        The study; label `depressed`. The clock of five controls jumps over the hour of 2003-03-30 02:00; it is NaN.

    Raises:
        RecordingError: if the files are not there, or not as published. Errors of a recording come when it is iterated.
    """
    path = pathlib.Path(raw)
    names, read, where = _open(path)
    scores_name = _find_scores(names, where)
    prefix = scores_name[: -len("scores.csv")]
    people = _read_scores(read(scores_name), f"{where}: {scores_name}")
    files: dict[str, str] = {}
    for name in names:
        group, _, file = name[len(prefix) :].partition("/") if name.startswith(prefix) else ("", "", "")
        if group in _GROUPS and file.endswith(".csv") and "/" not in file:
            files[file.removesuffix(".csv")] = name
    _check_same_people(people["participant_id"].to_list(), files, where, scores_name)
    return Study(
        name="Depresjon",
        people=people,
        recordings=_recordings(people, files, read, where, trim),
        expected_people=len(people),
        labels=_LABELS,
        missing_label=lambda label, _: f"no {label} in scores.csv",
        unit="counts",
        ceiling=8000,
        start_is_known=True,
        citation=CITATION,
        terms=TERMS,
    )


def _open(path: pathlib.Path) -> tuple[list[str], Callable[[str], bytes], str]:
    """Names of the files with forward slashes, a function that reads one, and what to call their place in messages.

    Zip members are read in memory: nothing is unpacked, so no name in the zip can lead to another place of the disk.
    """
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for depth in ("*", "*/*", "*/*/*") for p in path.glob(depth))
        return names, lambda name: (path / name).read_bytes(), str(path)
    if not path.exists():
        raise RecordingError(
            f"{path}: no such file or folder. Give the published depresjon.zip or its unpacked folder."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise RecordingError(
            f"{path}: not a readable zip file ({error}); it may be cut short. Download it again, or give a folder."
        ) from error

    def read(name: str) -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.read(name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:  # or encrypted
            raise RecordingError(f"{path}: {name} can't be unpacked ({error}). Download the zip again.") from error

    return names, read, str(path)


def _find_scores(names: list[str], where: str) -> str:
    found = [name for name in names if name.rpartition("/")[2] == "scores.csv" and not name.startswith("__MACOSX/")]
    if not found:
        raise RecordingError(
            f"{where}: there is no scores.csv in it. Expected the folders condition and control beside scores.csv, as "
            "published by Simula. Give the published zip, or the folder that holds these three."
        )
    if len(found) > 1:
        raise RecordingError(
            f"{where}: more than one scores.csv ({', '.join(found)}). Give the folder of one of the data sets."
        )
    return found[0]


def _read_table(data: bytes, columns: tuple[str, ...], where: str) -> pl.DataFrame:
    """A CSV as text columns; NA and blanks become null, blank lines at the end are left out."""
    try:
        table = pl.read_csv(io.BytesIO(data), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        detail = str(error).split("\n")[0]
        raise RecordingError(
            f"{where}: not a comma-separated table in UTF-8 ({detail}). Expected the columns {', '.join(columns)}."
        ) from error
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise RecordingError(
            f"{where}, line 1: the header has no column {', '.join(lacking)}; found {', '.join(table.columns)}, "
            f"expected {', '.join(columns)}. Restore the published file."
        )
    table = table.select(pl.col(columns).str.strip_chars())
    table = table.with_columns(pl.when(pl.all().is_in(_MISSING)).then(None).otherwise(pl.all()).name.keep())
    filled = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return table.head(int(filled[-1]) + 1 if len(filled) else 0)


def _number(table: pl.DataFrame, column: str, where: str) -> pl.Series:
    """A text column as float64; the first text that is no number is an error with its line."""
    values = table[column].cast(pl.Float64, strict=False)
    bad = (values.is_null() & table[column].is_not_null()).arg_true()
    if len(bad):
        at = int(bad[0])
        raise RecordingError(
            f"{where}, line {at + 2}: {column} is {table[column][at]!r}, expected a number, NA or a blank "
            f"({len(bad)} such lines). Correct the line."
        )
    return values


def _read_scores(data: bytes, where: str) -> pl.DataFrame:
    scores = _read_table(data, _SCORES, where)
    for column in ("number", "days", "gender", "age"):
        lacking = scores[column].is_null().arg_true()
        if len(lacking):
            raise RecordingError(f"{where}, line {int(lacking[0]) + 2}: {column} is missing; every person needs one.")
    doubled = scores["number"].is_duplicated().arg_true()
    if len(doubled):
        at = int(doubled[-1])
        raise RecordingError(f"{where}, line {at + 2}: {scores['number'][at]} has more than one row. Keep one.")
    group = scores["number"].str.split("_").list.first()
    for at, name in enumerate(group):
        if name not in _GROUPS:
            raise RecordingError(
                f"{where}, line {at + 2}: number is {scores['number'][at]!r}, expected condition_N or control_N."
            )
    band = scores["age"].str.extract_groups(r"^(\d+)-(\d+)$")
    ages = pl.DataFrame({"age_low": band.struct.field("1"), "age_high": band.struct.field("2")}).cast(pl.Float64)
    sex = _number(scores, "gender", where)
    days = _number(scores, "days", where)
    for column, bad, expected in (
        ("age", ages["age_low"].is_null(), "a group of years such as 35-39"),
        ("gender", ~sex.is_in([1.0, 2.0]), "1 (female) or 2 (male)"),
        ("days", (days < 1) | (days != days.round()), "a whole number of days"),
    ):
        if bad.any():
            at = int(bad.arg_true()[0])
            raise RecordingError(f"{where}, line {at + 2}: {column} is {scores[column][at]!r}, expected {expected}.")
    return pl.DataFrame(
        {
            "participant_id": scores["number"],
            "depressed": group.replace_strict(_GROUPS, return_dtype=pl.Float64),
            "days": days,
            "sex": 2.0 - sex,
            "age": (ages["age_low"] + ages["age_high"]) / 2,
            "age_low": ages["age_low"],
            "age_high": ages["age_high"],
            **{name: _number(scores, name, where) for name in ("madrs1", "madrs2", "afftype", "melanch", "inpatient")},
        }
    )


def _check_same_people(people: list[str], files: dict[str, str], where: str, scores_name: str) -> None:
    without_row = sorted(set(files) - set(people))
    if without_row:
        raise RecordingError(
            f"{where}: {files[without_row[0]]} has no row in {scores_name} ({len(without_row)} such files). Add its "
            "row or take the file away."
        )
    without_file = sorted(set(people) - set(files))
    if without_file:
        raise RecordingError(
            f"{where}: {scores_name} has a row for {without_file[0]}, but there is no {without_file[0]}.csv in "
            f"condition/ or control/ ({len(without_file)} such rows). Restore the file or take the row away."
        )
    for person, name in files.items():
        folder = name.split("/")[-2]
        if not person.startswith(f"{folder}_"):
            raise RecordingError(f"{where}: {name} lies in the folder {folder}, which is not its group. Move it.")


def _recordings(
    people: pl.DataFrame, files: dict[str, str], read: Callable[[str], bytes], where: str, trim: bool
) -> Iterator[Recording | Rejection]:
    for person, days in people.select("participant_id", "days").iter_rows():
        recording = _read_recording(read(files[person]), person, f"{where}: {files[person]}")
        yield keep_days(recording, int(days)) if trim else recording


def _read_recording(data: bytes, person: str, where: str) -> Recording:
    table = _read_table(data, ("timestamp", "activity"), where)
    if not len(table):
        raise RecordingError(f"{where}: no sample below the header. Restore the published file.")
    times = table["timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    bad = times.is_null().arg_true()
    if len(bad):
        at = int(bad[0])
        raise RecordingError(
            f"{where}, line {at + 2}: timestamp is {table['timestamp'][at]!r}, expected one such as 2003-05-07 "
            f"12:00:00 ({len(bad)} such lines). A spreadsheet may have rewritten the dates; restore the published file."
        )
    return Recording.from_timestamps(
        times.to_numpy(),
        _number(table, "activity", where).fill_null(float("nan")).to_numpy(),
        participant_id=person,
        epoch_length=60,
        unit="counts",
        source=where,
        first_line=2,
    )
