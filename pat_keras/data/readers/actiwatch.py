"""Actiwatch .AWD text files: seven lines of header, then one line an epoch (AW4, AW7, L, P, S, T, Insomnia, Mini).

An epoch's line is its counts, in some models with a second number (light, temperature), and an M where the marker
button was pressed: `95`, `4 M`, `0 , 0.00`, `498 , 0,00 M`.
"""

from __future__ import annotations

import datetime
import pathlib
import re

import numpy as np
import polars as pl

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_HEADER_LINES = 7  # name, date, time, code of the epoch length, age, serial number, sex

# Quarters of a minute, but for the last three; the codes are those that other readers of the format agree on.
_EPOCHS = {"1": 15, "2": 30, "4": 60, "8": 120, "20": 300, "81": 2, "C1": 5, "C2": 10}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EPOCH = r"^\s*(\d+)\s*(?:,\s*-?\d[\d.,]*\s*)?(?:M\s*)?$"


def read_awd(source: DeviceFile | str | pathlib.Path, participant_id: str | None = None) -> list[Recording]:
    """Reads an .AWD file. Marks are not kept.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.

    Raises:
        RecordingError: if it is no such file or is damaged.
    """
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    if len(lines) <= _HEADER_LINES:
        raise RecordingError(
            f"{file.where}: {len(lines)} lines, expected a header of {_HEADER_LINES} and one line an epoch. Is the "
            "file cut short, or of another device?"
        )
    start = _start(lines[1], lines[2], file.where)
    code = lines[3].strip().upper()
    if code not in _EPOCHS:
        raise RecordingError(
            f"{file.where}, line 4: the code of the epoch length is {lines[3].strip()!r}, expected one of "
            f"{', '.join(_EPOCHS)}. Is it an .AWD file of an Actiwatch?"
        )
    return [Recording(participant_id or file.stem, start, _EPOCHS[code], _counts(lines, file), "counts", file.where)]


def _start(date: str, time: str, where: str) -> datetime.datetime:
    """The clock of the header, such as `23-Jan-1918` and `13:58`, `18:11:00` or `09:38:00 AM`."""
    day = re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", date.strip())
    if not day or day[2].lower() not in _MONTHS:
        raise RecordingError(
            f"{where}, line 2: {date.strip()!r} is no date, expected one such as 23-Jan-2018, with an English month. "
            "Is it an .AWD file of an Actiwatch?"
        )
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AP]M)?", time.strip(), re.IGNORECASE)
    try:
        if not clock:
            raise ValueError
        hour = int(clock[1])
        if clock[4]:
            hour = hour % 12 + 12 * (clock[4].upper() == "PM")
        month = _MONTHS.index(day[2].lower()) + 1
        return datetime.datetime(int(day[3]), month, int(day[1]), hour, int(clock[2]), int(clock[3] or 0))
    except ValueError:
        raise RecordingError(
            f"{where}, lines 2 and 3: {date.strip()!r} and {time.strip()!r} are no date and time, expected such as "
            "23-Jan-2018 and 13:58. Correct them, or export the file again."
        ) from None


def _counts(lines: list[str], file: DeviceFile) -> np.ndarray:
    epochs = pl.Series(lines[_HEADER_LINES:], dtype=pl.String)
    filled = (epochs.str.strip_chars() != "").arg_true()
    if not len(filled):
        raise RecordingError(f"{file.where}: there is no epoch below the header. Export the recording again.")
    epochs = epochs.head(int(filled[-1]) + 1)  # blank lines at the end; one in between is a lost epoch
    counts = epochs.str.extract(_EPOCH, 1).cast(pl.Float64)
    bad = counts.is_null().arg_true()
    if len(bad):
        at = int(bad[0])
        raise RecordingError(
            f"{file.where}, line {at + _HEADER_LINES + 1}: {epochs[at]!r} is no epoch, expected counts such as '95', "
            f"'4 M' or '498 , 0.00 M' ({len(bad)} such lines). Correct the line, or export the file again."
        )
    return counts.to_numpy()
