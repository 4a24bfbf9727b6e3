"""Psykose: two weeks of wrist actigraphy of 22 people with schizophrenia and 32 controls (Jakobsen et al. 2020).

Published as a zip: `patient/*.csv` and `control/*.csv` as in Depresjon, `patients_info.csv` with one row a patient and
`days.csv` with the days worn of everybody. The 32 controls are Depresjon's, in identical files: `Cohort.concatenate`
finds them if both are put together.
"""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterator

import polars as pl

from pat_keras.data.days_table import keep_days
from pat_keras.data.readers.numbers import read_numbers
from pat_keras.data.readers.raw_files import RawFile, find_files
from pat_keras.data.readers.sniff import read_rows
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.table import recordings_of
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.data.readers.table_samples import read_samples
from pat_keras.data.readers.text_lines import decode, split_lines
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

CITATION = (
    "Jakobsen P, Garcia-Ceja E, Stabell LA, Oedegaard KJ, Berle JO, Thambawita V, Hicks SA, Halvorsen P, Fasmer OB, "
    "Riegler MA. PSYKOSE: a motor activity database of patients with schizophrenia. IEEE 33rd International Symposium "
    "on Computer-Based Medical Systems (CBMS), 2020. doi:10.1109/CBMS49503.2020.00064"
)
TERMS = (
    "CC BY-NC 4.0; every paper that reports results on Psykose has to cite it (terms of use at "
    "datasets.simula.no/psykose). The controls are those of Depresjon."
)

_GROUPS = {"patient": 1.0, "control": 0.0}  # folder -> schizophrenia
# The recordings are from Bergen, with clocks that follow summer time: the hour of 2003-10-26 is there twice.
_CONFIG = TableConfig(timestamp_column=("timestamp",), value_column="activity", timezone="Europe/Oslo")
# Column of patients_info.csv -> its texts as numbers, our name, and what the numbers mean.
_CODES: dict[str, tuple[dict[str, float], str, str]] = {
    "gender": ({"male": 0.0, "female": 1.0}, "sex", "0 male, 1 female"),
    "schtype": ({"paranoid": 1.0, "non-paranoid": 0.0}, "paranoid", "1 paranoid schizophrenia, 0 another type"),
    "migraine": (
        {"schizophrenia + migraine": 1.0, "schizophrenia not migraine": 0.0},
        "migraine",
        "1 with migraine, 0 without",
    ),
    "cloz": ({"clozapine": 1.0, "not clozapine": 0.0}, "clozapine", "1 takes clozapine, 0 not"),
    "moodst": ({"mood stabilizer": 1.0, "not mood stabilizer": 0.0}, "mood_stabilizer", "1 takes one, 0 not"),
}
_NUMBERS = {"bprs": "Brief Psychiatric Rating Scale", "agehosp": "age when first in hospital, years"}
_MISSING = ("NA",)


def read_psykose(raw: str | pathlib.Path, *, trim: bool = True) -> Study:
    """Opens the Psykose data set.

    Args:
        raw: the published zip, or a folder it was unpacked to.
        trim: cut what lies after the `days` of days.csv, counted from the first midnight as in Depresjon.

    Returns:
        The study; label `schizophrenia`. Of the hour that clocks showed twice on 2003-10-26 the first is kept.

    Raises:
        RecordingError: if the files are not there, or not as published. Errors of a recording come when it is iterated.
    """
    files, _ = find_files(raw, (".csv",))
    tables = {file.stem: file for file in files if file.stem in ("days", "patients_info")}
    for name in ("days", "patients_info"):
        if name not in tables:
            raise RecordingError(
                f"{raw}: there is no {name}.csv in it. Expected the folders patient and control beside days.csv and "
                "patients_info.csv, as published by Simula."
            )
    recorded = {file.stem: file for file in files if file.folder.rpartition("/")[2] in _GROUPS}
    people = _read_people(tables["days"], tables["patients_info"])
    ids = people["participant_id"].to_list()
    for without, what in ((set(recorded) - set(ids), "row in days.csv"), (set(ids) - set(recorded), "file")):
        if without:
            raise RecordingError(
                f"{raw}: {min(without)} has no {what} ({len(without)} such people). Restore the published files."
            )
    meanings = {
        "schizophrenia": "1 patient, 0 control (of Depresjon)",
        "days": "whole days, midnight to midnight, that days.csv says were worn",
        "age": "middle of the published age group, years; patients only",
        **{name: f"{meaning}; patients only" for _, name, meaning in _CODES.values()},
        **{name: f"{meaning}; patients only" for name, meaning in _NUMBERS.items()},
    }
    reading: dict[str, str] = {}
    return Study(
        name="Psykose",
        people=people,
        recordings=_recordings(people, recorded, trim, reading),
        expected_people=len(people),
        labels=meanings,
        missing_label=lambda label, person: (
            f"no {label}: controls have none" if person.startswith("control") else f"no {label} in patients_info.csv"
        ),
        unit="counts",
        ceiling=8000,
        start_is_known=True,
        citation=CITATION,
        terms=TERMS,
        reading=reading,
    )


def _read_people(days_file: RawFile, info_file: RawFile) -> pl.DataFrame:
    days, lines = _table(days_file, ("id", "days"))
    group = days["id"].str.split("_").list.first()
    unknown = (~group.is_in(list(_GROUPS))).arg_true()
    if len(unknown):
        at = int(unknown[0])
        raise RecordingError(
            f"{days_file.where}, line {lines[at]}: id is {days['id'][at]!r}, expected patient_N or control_N. "
            "Restore it."
        )
    people = pl.DataFrame(
        {
            "participant_id": days["id"],
            "schizophrenia": group.replace_strict(_GROUPS, return_dtype=pl.Float64),
            "days": _number(days, lines, "days", days_file),
        }
    )
    if people["days"].null_count() or (people["days"] < 1).any():
        raise RecordingError(f"{days_file.where}: somebody has no days, expected 1 or more of everybody. Restore it.")
    info, lines = _table(info_file, ("number", "age", *_CODES, *_NUMBERS))
    band = info["age"].str.extract_groups(r"^(\d+)-(\d+)$")
    ages = (band.struct.field("1").cast(pl.Float64) + band.struct.field("2").cast(pl.Float64)) / 2
    columns = {"participant_id": info["number"], "age": ages}
    for column, (codes, name, _) in _CODES.items():
        columns[name] = info[column].replace_strict(codes, default=None, return_dtype=pl.Float64)
        wrong = (columns[name].is_null() & ~info[column].is_in([*_MISSING, ""])).arg_true()
        if len(wrong):
            at = int(wrong[0])
            raise RecordingError(
                f"{info_file.where}, line {lines[at]}: {column} is {info[column][at]!r}, expected one of "
                f"{', '.join(map(repr, codes))}. Restore the published file."
            )
    columns.update({name: _number(info, lines, name, info_file) for name in _NUMBERS})
    return people.join(pl.DataFrame(columns), on="participant_id", how="left", maintain_order="left", validate="1:1")


def _table(file: RawFile, columns: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    text, _ = decode(file.read(), None, file.where)
    table, lines, _ = read_rows(split_lines(text, file.where), file.where)
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise RecordingError(
            f"{file.where}, line 1: the header has no column {', '.join(lacking)}; found {', '.join(table.columns)}. "
            "Restore the published file."
        )
    doubled = table[columns[0]].is_duplicated().arg_true()
    if len(doubled):
        raise RecordingError(
            f"{file.where}, line {lines[int(doubled[-1])]}: {table[columns[0]][int(doubled[-1])]} has more than one "
            "row. Keep one."
        )
    return table, lines


def _number(table: pl.DataFrame, lines: pl.Series, column: str, file: RawFile) -> pl.Series:
    return read_numbers(table[column], lines, "point", _MISSING, f"{file.where}, line {{line}}: {column}")[0]


def _recordings(
    people: pl.DataFrame, files: dict[str, RawFile], trim: bool, reading: dict[str, str]
) -> Iterator[Recording | Rejection]:
    done: collections.Counter[str] = collections.Counter()
    for person, days in people.select("participant_id", "days").iter_rows():
        for item in recordings_of(read_samples(files[person], _CONFIG, (), {}), _CONFIG, done):
            yield keep_days(item, int(days)) if trim and isinstance(item, Recording) else item
    reading.update({f"samples {what}": f"{number:,}" for what, number in done.items()})
