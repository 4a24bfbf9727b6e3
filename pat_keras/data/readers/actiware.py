"""Philips Actiware (Respironics) exports: a long preamble, then a table `Epoch-by-Epoch Data`, in the user's language.

Titles are known in English, French, German and Dutch; numbers may have decimal commas. What the device found off the
wrist is missing.

Axes: n epochs.
"""

from __future__ import annotations

import pathlib

import numpy as np

from pat_keras.data.readers.clock import read_clock, usual_step
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import read_table, split_line
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_DATE = ("date", "datum")
_TIME = ("time", "heure", "zeit", "tijd")
_ACTIVITY = ("activity", "activité", "aktivität", "activiteit")
_OFF_WRIST = ("wrist", "poignet", "handgelenk", "pols")  # words of the title
_EPOCH_LENGTH = ("epoch length", "longueur de la période", "epochenlänge", "periodelengte")
_MISSING = ("NaN", "kZ", "")  # kZ: keine Zahl
_SEPARATORS = (",", ";", "\t")


def read_actiware(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, date_order: str | None = None
) -> list[Recording]:
    """Reads the epochs of an Actiware export.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        date_order: "day_first", "month_first" or "year_first" where the dates do not tell; None reads it off.

    Returns:
        One recording. `wear` is the device's off-wrist status, if the export has it; off the wrist, activity is NaN.

    Raises:
        RecordingError: if it is no such file, is in another language, or is damaged.
    """
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    header, separator, titles = _find_titles(lines, file.where)
    body = lines[header + 1 :]
    end = next((at for at, line in enumerate(body) if line.lstrip('"').startswith("---")), len(body))
    table = read_table(body[:end], header + 2, separator, titles, file.where)
    (date,), (time,), (activity,) = (_matching(titles, names) for names in (_DATE, _TIME, _ACTIVITY))
    times = read_clock(table.text(date) + " " + table.text(time), table, date_order)
    values = table.number(activity, missing=_MISSING, decimal_comma=True)
    wear = None
    off_wrist = [title for title in titles if any(word in title for word in _OFF_WRIST)]
    if off_wrist:
        off = table.number(off_wrist[0], missing=_MISSING, decimal_comma=True)
        strange = np.flatnonzero(~np.isin(off, (0.0, 1.0)) & ~np.isnan(off))
        if strange.size:
            raise RecordingError(
                f"{file.where}, line {table.lines[strange[0]]}: {off_wrist[0]} is {off[strange[0]]:g}, expected 0 or 1 "
                f"({strange.size} such lines). Export the file again."
            )
        wear = off == 0
        values[~wear] = np.nan
    epoch_length = _epoch_length(lines[:header], separator, times, file.where)
    return [
        Recording.from_timestamps(
            times,
            values,
            participant_id=participant_id or file.stem,
            epoch_length=epoch_length,
            unit="counts",
            source=file.where,
            wear=wear,
            first_line=int(table.lines[0]),
        )
    ]


def _matching(titles: list[str], names: tuple[str, ...]) -> list[str]:
    return [title for title in titles if title in names]


def _find_titles(lines: list[str], where: str) -> tuple[int, str, list[str]]:
    """Number (from 0) of the line with the titles of the epochs' table, its separator, the titles in small letters.

    The table of markers above it has date and time too, but no activity.
    """
    for at, line in enumerate(lines):
        if not any(name in line.lower() for name in _ACTIVITY):
            continue
        for separator in _SEPARATORS:
            titles = [title.lower() for title in split_line(line, separator)]
            if all(len(_matching(titles, names)) == 1 for names in (_DATE, _TIME, _ACTIVITY)):
                return at, separator, titles
    raise RecordingError(
        f"{where}: there is no line with the titles Date, Time and Activity (or the same in French, German, Dutch) in "
        f"its {len(lines)} lines; it begins with {lines[0][:40]!r}. Export the epoch-by-epoch data from Actiware, in "
        "one of these languages, or choose another source."
    )


def _epoch_length(preamble: list[str], separator: str, times: np.ndarray, where: str) -> int:
    """Seconds of an epoch: the preamble's, which the times must confirm; the times' alone if it says nothing."""
    usual = usual_step(times, where)
    for at, line in enumerate(preamble):
        fields = split_line(line, separator)
        if fields[0].lower().rstrip(" :") in _EPOCH_LENGTH and len(fields) > 1:
            if fields[1] != str(usual):
                raise RecordingError(
                    f"{where}, line {at + 1}: the epoch length is {fields[1]!r}, but the epochs below are {usual} s "
                    "apart. Export the file again."
                )
            return usual
    return usual
