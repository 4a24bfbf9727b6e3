"""Fitbit minutes as Fitabase exports them: narrow (one line a minute) and wide (one line an hour), steps or intensity.

Intensity is Fitbit's class: 0 sedentary, 1 light, 2 fair, 3 very active. A Fitbit that is not worn writes zeros;
nothing in the files tells them from rest, but a whole day of zeros is nobody's day of wear.

Axes: n minutes of a person.
"""

from __future__ import annotations

import datetime
import itertools
import pathlib

import numpy as np

from pat_keras.data.readers.clock import read_clock
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import TextTable, read_table, split_line
from pat_keras.data.recording import Recording
from pat_keras.data.windows import DAY_MINUTES, minutes_to_midnight
from pat_keras.errors import RecordingError

_TITLES = {"steps": "Steps", "intensity": "Intensity"}  # unit -> title
_ID, _MINUTE, _HOUR = "Id", "ActivityMinute", "ActivityHour"


def read_fitbit_steps(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, date_order: str | None = None
) -> list[Recording]:
    """Reads the steps of one person or many.

    Args:
        source: the file.
        participant_id: who, if it is one person's file; `Id` if not given.
        date_order: "day_first", "month_first" or "year_first" where the dates do not tell; None reads it off.

    Returns:
        A recording for each `Id`. Its `wear` is False on days, midnight to midnight, of zeros alone; the zeros stay.
        Minutes without a line, or whose field is empty, are NaN.

    Raises:
        RecordingError: if it is no such file, holds another measure, or is damaged.
    """
    return _read(source, participant_id, "steps", date_order)


def read_fitbit_intensity(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, date_order: str | None = None
) -> list[Recording]:
    """Reads intensities, 0 to 3, as `read_fitbit_steps` reads steps.

    Raises:
        RecordingError: if it is no such file, holds another measure, or is damaged.
    """
    return _read(source, participant_id, "intensity", date_order)


def _read(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None, unit: str, date_order: str | None
) -> list[Recording]:
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    titles = split_line(lines[0], ",")
    title = _TITLES[unit]
    wide = [f"{title}{minute:02}" for minute in range(60)]
    if {_ID, _MINUTE, title} <= set(titles):
        clock, columns = _MINUTE, [title]
    elif {_ID, _HOUR, *wide} <= set(titles):
        clock, columns = _HOUR, wide
    else:
        raise RecordingError(
            f"{file.where}, line 1: found the columns {', '.join(titles)[:100]!r}; expected {_ID}, {_MINUTE}, {title} "
            f"or {_ID}, {_HOUR}, {wide[0]} ... {wide[-1]} of a Fitabase export. Choose another file or source."
        )
    table = read_table(lines[1:], 2, ",", titles, file.where)
    times = read_clock(table.text(clock), table, date_order, increasing=False)
    values = np.stack([table.number(name, missing=("",)) for name in columns], axis=1)  # (rows, 1 or 60)
    people = table.text(_ID).to_numpy()
    first = [0, *(np.flatnonzero(people[1:] != people[:-1]) + 1), len(table)]
    if len(set(people)) != len(first) - 1 or (participant_id and len(first) > 2):
        raise RecordingError(
            f"{file.where}: the lines of an {_ID} do not stand together, or there are several people and one name. "
            f"Sort the file by {_ID} and time, and leave participant_id out."
        )
    return [
        _person(table, times[rows], values[rows], rows.start, participant_id or str(people[rows.start]), unit)
        for rows in (slice(int(begin), int(end)) for begin, end in itertools.pairwise(first))
    ]


def _person(
    table: TextTable, times: np.ndarray, values: np.ndarray, row: int, participant_id: str, unit: str
) -> Recording:
    if values.shape[1] > 1:  # every row is an hour: its minutes follow each other
        hours = Recording.from_timestamps(
            times,
            np.zeros(len(times)),
            participant_id=participant_id,
            epoch_length=3600,
            unit=unit,
            source=table.where,
            first_line=int(table.lines[row]),
        )
        activity = np.full((len(hours), 60), np.nan)
        activity[~np.isnan(hours.activity)] = values
        start, minutes = hours.start, activity.reshape(-1)
    else:
        narrow = Recording.from_timestamps(
            times,
            values[:, 0],
            participant_id=participant_id,
            epoch_length=60,
            unit=unit,
            source=table.where,
            first_line=int(table.lines[row]),
        )
        start, minutes = narrow.start, narrow.activity
    return Recording(participant_id, start, 60, minutes, unit, table.where, _wear(start, minutes))


def _wear(start: datetime.datetime, activity: np.ndarray) -> np.ndarray:
    """False on whole days, midnight to midnight, on which every minute is zero."""
    wear = np.ones(activity.size, dtype=np.bool_)
    first = minutes_to_midnight(start)
    days = max(0, activity.size - first) // DAY_MINUTES
    whole = slice(first, first + days * DAY_MINUTES)
    still = (activity[whole].reshape(days, DAY_MINUTES) == 0).all(axis=1)
    wear[whole] = np.repeat(~still, DAY_MINUTES)
    return wear
