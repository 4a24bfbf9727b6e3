"""NHANES 2011-2012 (G) and 2013-2014 (H): MIMS units a minute of a wrist ActiGraph GT3X+.

PAXMIN has one row a minute: SEQN (person), PAXDAYM (day 1-9), PAXDAYWM (1 = Sunday), PAXSSNMP (sample number, 80 a
second), PAXMTSM (MIMS; -0.01 = can't be computed), PAXPREDM (1 wake, 2 sleep, 3 non-wear, 4 unknown), PAXQFM (quality
flags in the minute). It has no clock: the day changes at midnight, and PAXHD says when the first sample was taken.
Days 1 and 9 are parts of days. It is streamed: one person is in memory at a time.

Axes: m rows of one person, n minutes of the recording.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from pat_keras.data.readers.study import Rejection
from pat_keras.data.readers.xpt import check_xpt, find_xpt, read_xpt, stream_xpt, xpt_columns
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

FLAGGED = ("keep", "missing")
SAMPLES = 4800  # of PAXSSNMP in a minute
LONGEST = 9 * 1440  # minutes of a person

_NUMBERS = ("SEQN", "PAXSSNMP", "PAXMTSM", "PAXQFM")
_TEXTS = ("PAXDAYWM", "PAXPREDM")  # numbers that NCHS stores as text; so is the day
_DAY_NAMES = ("PAXDAYM", "PAXDAY")

# Rows as read below: the columns, and the numbers each may hold. Nobody moves by 10,000 MIMS in a minute.
_RANGES = {
    "SEQN": (1.0, 999_999.0),
    "PAXSSNMP": (0.0, 80.0 * 86_400 * 10),
    "PAXMTSM": (-0.0101, 10_000.0),
    "PAXQFM": (0.0, 100_000.0),
    "PAXDAYM": (1.0, 9.0),
    "PAXDAYWM": (1.0, 7.0),
    "PAXPREDM": (1.0, 4.0),
}
_LOW, _HIGH = np.array(list(_RANGES.values())).T
_WHOLE = np.array([name != "PAXMTSM" for name in _RANGES])
_MAY_BE_MISSING = np.array([name in ("PAXMTSM", "PAXQFM", "PAXPREDM") for name in _RANGES])

# NCHS withholds the dates: a Sunday that stands for every Sunday, far from the clock changes of spring and autumn.
_SUNDAY = datetime.datetime(2012, 1, 1)


@dataclasses.dataclass(frozen=True)
class MinutesConfig:
    """What is taken of a person's minutes.

    Attributes:
        first_day, last_day: of the nine (PAXDAYM); 2 to 8 are the seven whole days.
        flagged: "keep" minutes with quality flags (PAXQFM above 0), or make them "missing".

    Raises:
        ConfigError: for anything else.
    """

    first_day: int = 2
    last_day: int = 8
    flagged: str = "keep"

    def __post_init__(self) -> None:
        if not 1 <= self.first_day <= self.last_day <= 9:
            raise ConfigError(f"The days are {self.first_day} to {self.last_day}, expected days from 1 to 9 in order.")
        if self.flagged not in FLAGGED:
            raise ConfigError(f"flagged is {self.flagged!r}, expected one of {', '.join(FLAGGED)}.")


def open_minutes(
    folder: pathlib.Path, path: pathlib.Path, cycle: str, config: MinutesConfig
) -> tuple[Iterator[Recording | Rejection], int]:
    """The people of PAXMIN, and about how many will come.

    Args:
        folder: where PAXHD may lie; if it does, the time of the first sample is checked against it.
        path: of PAXMIN.
        cycle: "G" or "H".
        config: what is taken.

    Raises:
        RecordingError: if the file is of another kind or damaged. Errors in its rows come when people are iterated.
    """
    names = xpt_columns(path)
    day = next((name for name in _DAY_NAMES if name in names), _DAY_NAMES[0])
    rows = check_xpt(path, _NUMBERS, (day, *_TEXTS))
    starts = _first_times(folder, cycle)
    batches = (_numbers(batch, day) for batch in stream_xpt(path, _NUMBERS, (day, *_TEXTS)))
    return _recordings(batches, path, config, starts), max(1, rows // LONGEST)


def _numbers(batch: pl.DataFrame, day: str) -> np.ndarray:
    texts = [pl.col(name).cast(pl.Float64, strict=False) for name in (day, *_TEXTS)]
    return batch.select(*_NUMBERS, *texts).to_numpy()


def _first_times(folder: pathlib.Path, cycle: str) -> dict[str, str]:
    """Person -> clock time of the first sample (PAXFTIME), if PAXHD is there."""
    path = find_xpt(folder, f"PAXHD_{cycle}")
    if path is None:
        return {}
    table = read_xpt(path, ["SEQN"], ["PAXFTIME"]).drop_nulls()
    return {f"{seqn:.0f}": time for seqn, time in table.iter_rows()}


def _recordings(
    batches: Iterable[np.ndarray], path: pathlib.Path, config: MinutesConfig, starts: dict[str, str]
) -> Iterator[Recording | Rejection]:
    seen: dict[float, int] = {}
    for first_row, rows in _people(batches, path):
        seqn = rows[0, 0]
        if seqn in seen:
            raise RecordingError(
                f"{path}, row {first_row}: SEQN {seqn:.0f} is back after rows of others; its first row is "
                f"{seen[seqn]}. The rows of a person must stand together: sort the file by SEQN and PAXSSNMP, or "
                "remove the copy."
            )
        seen[seqn] = first_row
        yield _person(rows, f"{path}", first_row, config, starts)


def _people(batches: Iterable[np.ndarray], path: pathlib.Path) -> Iterator[tuple[int, np.ndarray]]:
    """Cuts batches of rows where SEQN changes: the number of a person's first row (from 1), and the (m, 7) rows."""
    rest, first_row = np.empty((0, len(_RANGES))), 1
    for batch in batches:
        rows = np.concatenate([rest, batch])
        begin = 0
        for end in np.flatnonzero(np.diff(rows[:, 0])) + 1:
            yield first_row + begin, rows[begin:end]
            begin = int(end)
        first_row += begin
        rest = rows[begin:].copy()
        if len(rest) > LONGEST + 1440:
            raise RecordingError(
                f"{path}, row {first_row}: SEQN {rest[0, 0]:.0f} has more than {LONGEST + 1440:,} rows; nine days have "
                "fewer minutes. Restore NCHS's file."
            )
    if len(rest):
        yield first_row, rest


def _person(
    rows: np.ndarray, source: str, first_row: int, config: MinutesConfig, starts: dict[str, str]
) -> Recording | Rejection:
    """One person's rows, checked, as a recording; or why they can't be used."""
    _check_ranges(rows, source, first_row)
    column = dict(zip(_RANGES, rows.T, strict=True))
    person = f"{rows[0, 0]:.0f}"
    minute, off = np.divmod(column["PAXSSNMP"] - column["PAXSSNMP"][0], SAMPLES)
    bad = np.flatnonzero((off != 0) | (np.diff(minute, prepend=-1) <= 0))
    if bad.size:
        at = int(bad[0])
        raise RecordingError(
            f"{source}, row {first_row + at}: PAXSSNMP {column['PAXSSNMP'][at]:.0f} of SEQN {person} is not a whole "
            f"number of minutes ({SAMPLES} samples) after the row above ({bad.size} such rows). Sort the file by SEQN "
            "and PAXSSNMP, and remove doubled rows."
        )
    at_minute = minute.astype(np.int64)
    clock = _clock(column["PAXDAYM"], column["PAXDAYWM"], at_minute)
    if clock is None:
        return Rejection(person, "clock can't be told (PAXDAYM and PAXDAYWM do not change every 1440 minutes)")
    if person in starts and starts[person][:5] != f"{clock:%H:%M}":
        return Rejection(person, "clock at odds with PAXHD", f"{clock:%H:%M}, PAXFTIME {starts[person]}")
    taken = (column["PAXDAYM"] >= config.first_day) & (column["PAXDAYM"] <= config.last_day)
    if not taken.any():
        return Rejection(person, f"no minute on days {config.first_day} to {config.last_day}")
    first = int(at_minute[taken][0])
    place = at_minute[taken] - first
    activity = np.full(place[-1] + 1, np.nan)
    wear = np.zeros(place[-1] + 1, dtype=np.bool_)
    values = np.where(column["PAXMTSM"][taken] < 0, np.nan, column["PAXMTSM"][taken])
    if config.flagged == "missing":
        values[column["PAXQFM"][taken] > 0] = np.nan
    activity[place] = values
    wear[place] = column["PAXPREDM"][taken] != 3
    start = clock + datetime.timedelta(minutes=first)
    return Recording(person, start, 60, activity, "MIMS", source, wear)


def _clock(day: np.ndarray, weekday: np.ndarray, minute: np.ndarray) -> datetime.datetime | None:
    """Clock time of minute 0, in a made-up week: days and weekdays change at midnight. None if they do not fit."""
    changes = np.flatnonzero(np.diff(day)) + 1
    if not changes.size:
        return None
    # A missing row at midnight would hide it; then the first change is not at a midnight of the others.
    midnight = int(minute[changes[0]]) - 1440 * int(day[changes[0]] - day[0] - 1)
    expected = day[0] + np.where(minute < midnight, 0, 1 + (minute - midnight) // 1440)
    days = int(day[0]) + 1
    weekday_of_midnight = weekday[0] % 7 + 1  # of the first midnight, day `days`
    if (day != expected).any() or midnight > 1440:
        return None
    if (weekday != (weekday_of_midnight - 1 + day - days) % 7 + 1).any():
        return None
    return _SUNDAY + datetime.timedelta(days=7 + weekday_of_midnight - 1, minutes=-midnight)


def _check_ranges(rows: np.ndarray, source: str, first_row: int) -> None:
    good = (rows >= _LOW) & (rows <= _HIGH) & ((rows == np.floor(rows)) | ~_WHOLE) | np.isnan(rows) & _MAY_BE_MISSING
    # -0.01 is the only negative number
    good[:, 2] &= (rows[:, 2] >= 0) | np.isclose(rows[:, 2], -0.01) | np.isnan(rows[:, 2])
    if good.all():
        return
    at, number = (int(index[0]) for index in np.nonzero(~good))
    name = list(_RANGES)[number]
    found = "missing" if np.isnan(rows[at, number]) else f"{rows[at, number]:g}"
    expected = "0 or more, or -0.01" if name == "PAXMTSM" else f"from {_RANGES[name][0]:g} to {_RANGES[name][1]:g}"
    raise RecordingError(
        f"{source}, row {first_row + at}: {name} is {found}, expected a number {expected}. Restore NCHS's file."
    )
