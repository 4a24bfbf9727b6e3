"""How many days of each recording were worn, by somebody's table: what comes after them is left out."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Iterator

import polars as pl

from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.text_lines import blank_hint, decode, split_lines
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_ID_COLUMNS = ("participant_id", "id")


def read_days_table(path: str | os.PathLike[str]) -> dict[str, int | None]:
    """Reads a table separated by commas, semicolons or tabs, with a column `participant_id` or `id`, and one of `days`.

    Returns:
        Days of each participant, ids as they are written; None where the table leaves them blank.

    Raises:
        RecordingError: if there is no such file, a column is missing, an id is blank or there twice, or days is not a
            whole number, 1 or more.
    """
    where = str(path)
    if not pathlib.Path(path).is_file():
        raise RecordingError(f"{where}: there is no such file. Give a CSV with the columns participant_id and days.")
    try:
        text, _ = decode(pathlib.Path(path).read_bytes(), None, where)
        lines = blank_hint(split_lines(text, where))
        header = int((lines.str.strip_chars() != "").arg_true()[0])  # a file without one is refused by `split_lines`
        mark = max(",;\t", key=lines[header].count)
        table = pl.read_csv("\n".join(lines[header:]).encode(), separator=mark, infer_schema=False)
    except pl.exceptions.PolarsError as problem:
        detail = str(problem).splitlines()[0]
        raise RecordingError(
            f"{where}: no table can be read in it ({detail}). Expected the columns participant_id and days."
        ) from None
    ids = [name for name in _ID_COLUMNS if name in table.columns]
    if len(ids) != 1 or "days" not in table.columns:
        raise RecordingError(
            f"{where}, line {header + 1}: found the columns {', '.join(table.columns)}; expected participant_id (or "
            "id) and days, separated by commas, semicolons or tabs. Rename them."
        )
    days: dict[str, int | None] = {}
    for row, (participant_id, text) in enumerate(table.select(ids[0], "days").iter_rows()):
        line = f"{where}, line {header + row + 2}"
        person, number = unicodedata.normalize("NFC", (participant_id or "").strip()), (text or "").strip()
        if not person:
            raise RecordingError(f"{line}: {ids[0]} is blank, expected whose days these are. Fill it or drop the line.")
        if person in days:
            raise RecordingError(f"{line}: participant {person} is there a second time, expected one line each.")
        if number and not (number.isascii() and number.isdigit() and int(number)):
            raise RecordingError(
                f"{line}: days of participant {person} is {number!r}, expected a whole number, 1 or more. A blank "
                "rejects the recording."
            )
        days[person] = int(number) if number else None
    return days


def limit_days(study: Study, days: dict[str, int | None]) -> Study:
    """The study with each recording cut after its days; one that the table says nothing about becomes a rejection."""
    return dataclasses.replace(study, recordings=_limited(study, days))


def _limited(study: Study, days: dict[str, int | None]) -> Iterator[Recording | Rejection]:
    for item in study.recordings:
        if isinstance(item, Rejection):
            yield item
        elif (number := days.get(item.participant_id)) is None:
            yield Rejection(item.participant_id, "no number of days in the table of days")
        else:
            yield keep_days(item, number)


def keep_days(recording: Recording, days: int) -> Recording:
    """The recording up to the end of `days` whole days, counted from its first midnight.

    A day begins with its first epoch, which may be some seconds after midnight.
    """
    start, per_day = recording.start, 86400 // recording.epoch_length
    epoch_of_day = (start.hour * 3600 + start.minute * 60 + start.second) // recording.epoch_length
    return recording.slice(0, min(len(recording), -epoch_of_day % per_day + days * per_day))
