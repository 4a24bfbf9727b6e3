"""MESA Sleep (National Sleep Research Resource): 30 s epochs of a wrist Actiwatch as .csv, without dates."""

from __future__ import annotations

import datetime
import itertools
import pathlib

import numpy as np
import polars as pl

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import TextTable, read_table, split_line
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

EPOCH_LENGTH = 30  # seconds
_COLUMNS = ("mesaid", "line", "linetime", "offwrist", "activity", "dayofweek")

# The dates are withheld: a Sunday that stands for every Sunday, far from the clock changes of spring and autumn.
_SUNDAY = datetime.datetime(2012, 1, 1)


def read_mesa(source: DeviceFile | str | pathlib.Path, participant_id: str | None = None) -> list[Recording]:
    """Reads a file of epochs, of one person or several.

    Args:
        source: the file.
        participant_id: who, if it is one person's file; `mesaid` if not given.

    Returns:
        A recording for each `mesaid`, in a made-up week that begins on the right day of the week (1 = Sunday). `wear`
        is the device's off-wrist status; off the wrist, activity is NaN.

    Raises:
        RecordingError: if it is no such file or is damaged.
    """
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    titles = [title.lower() for title in split_line(lines[0], ",")]
    lacking = [name for name in _COLUMNS if name not in titles]
    if lacking:
        raise RecordingError(
            f"{file.where}, line 1: there is no column {', '.join(lacking)}; found {', '.join(titles)[:80]!r}. "
            "Expected an actigraphy file of MESA as the National Sleep Research Resource gives it."
        )
    table = read_table(lines[1:], 2, ",", titles, file.where)
    people = table.text("mesaid")
    changes = np.flatnonzero(people.to_numpy()[1:] != people.to_numpy()[:-1]) + 1
    first = np.concatenate([[0], changes, [len(table)]])
    if people.n_unique() != len(first) - 1:
        raise RecordingError(
            f"{file.where}: the rows of a mesaid do not stand together. Sort the file by mesaid and line."
        )
    if participant_id and len(first) > 2:
        raise RecordingError(
            f"{file.where}: {len(first) - 1} people are in it, so that {participant_id!r} can't name them all. "
            "Leave participant_id out."
        )
    values = _numbers(table)
    return [
        _person(table, values, slice(int(begin), int(end)), participant_id or people[int(begin)])
        for begin, end in itertools.pairwise(first)
    ]


def _numbers(table: TextTable) -> dict[str, np.ndarray]:
    values = {name: table.number(name, missing=("",)) for name in ("line", "offwrist", "activity", "dayofweek")}
    clock = table.text("linetime").str.to_time("%H:%M:%S", strict=False)
    values["second"] = (clock.cast(pl.Int64) // 1_000_000_000).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    for name, good in (
        ("linetime", ~np.isnan(values["second"])),
        ("line", values["line"] == np.floor(values["line"])),
        ("offwrist", np.isin(values["offwrist"], (0.0, 1.0))),
        ("dayofweek", np.isin(values["dayofweek"], range(1, 8))),
    ):
        bad = np.flatnonzero(~good)
        if bad.size:
            raise RecordingError(
                f"{table.where}, line {table.lines[bad[0]]}: {name} is {table.text(name)[int(bad[0])]!r}, which can't "
                f"be ({bad.size} such lines). Restore the published file."
            )
    return values


def _person(table: TextTable, values: dict[str, np.ndarray], rows: slice, participant_id: str) -> Recording:
    epoch = values["line"][rows] - values["line"][rows][0]
    second = values["second"][rows]
    clock = (second[0] + epoch * EPOCH_LENGTH) % 86_400
    bad = np.flatnonzero((clock != second) | (np.diff(epoch, prepend=-1) <= 0))
    if bad.size:
        line = table.lines[rows][bad[0]]
        raise RecordingError(
            f"{table.where}, line {line} (participant {participant_id!r}): line and linetime do not go on by "
            f"{EPOCH_LENGTH} s from the row above ({bad.size} such lines). Restore the published file."
        )
    start = _SUNDAY + datetime.timedelta(days=values["dayofweek"][rows][0] - 1, seconds=second[0])
    at = epoch.astype(np.int64)
    activity = np.full(at[-1] + 1, np.nan)
    wear = np.zeros(at[-1] + 1, dtype=np.bool_)
    wear[at] = values["offwrist"][rows] == 0
    activity[at] = np.where(wear[at], values["activity"][rows], np.nan)
    return Recording(participant_id, start, EPOCH_LENGTH, activity, "counts", table.where, wear)
