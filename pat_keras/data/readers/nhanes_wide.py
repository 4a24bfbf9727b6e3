"""PhysioNet's minute-level files of NHANES 2011-2014: a row for each day of a person, a column for each minute.

`nhanes_1440_PAXMTSM.csv.xz` (MIMS) has SEQN, PAXDAYM (day 1-9), PAXDAYWM (1 = Sunday), min_1 ... min_1440 from
midnight; `nhanes_1440_PAXPREDM.csv.xz` beside it, with the same rows, tells wear (3 = non-wear). Both are streamed,
packed or not.

Axes: r rows (days), n minutes of a person.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import itertools
import lzma
import pathlib
from collections.abc import Iterator
from typing import IO, cast

import numpy as np
import polars as pl

from pat_keras.data.readers.nhanes_minutes import MinutesConfig
from pat_keras.data.readers.study import Rejection
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

SEQN_OF_CYCLE = {"G": (62161, 71916), "H": (73557, 83731)}  # both cycles are in one file
_KEYS = ("SEQN", "PAXDAYM", "PAXDAYWM")
_MINUTES = tuple(f"min_{minute}" for minute in range(1, 1441))
_ROWS_AT_ONCE = 512

# NCHS withholds the dates: a Sunday that stands for every Sunday, far from the clock changes of spring and autumn.
_SUNDAY = datetime.datetime(2012, 1, 1)


def find_wide(folder: pathlib.Path, variable: str) -> pathlib.Path | None:
    """The file of a variable such as PAXMTSM, packed or not, or None.

    Raises:
        RecordingError: if both are there.
    """
    found = [path for suffix in (".csv", ".csv.xz") if (path := folder / f"nhanes_1440_{variable}{suffix}").is_file()]
    if len(found) > 1:
        raise RecordingError(f"{folder}: {found[0].name} and {found[1].name} are both there. Take one of them away.")
    return found[0] if found else None


def open_wide(
    folder: pathlib.Path, path: pathlib.Path, cycle: str, config: MinutesConfig
) -> Iterator[Recording | Rejection]:
    """The people of a cycle, one at a time.

    Args:
        folder: where PAXPREDM may lie; without it, recordings have no `wear`.
        path: of PAXMTSM.
        cycle: "G" or "H".
        config: which days are taken. These files have no quality flags of single samples.

    Raises:
        RecordingError: while iterating: for damaged files, rows of a person that do not stand together, or files whose
            rows differ.
    """
    if config.flagged == "missing":
        raise RecordingError(f"{path}: has no PAXQFM, so that flagged minutes can't be told. Use PAXMIN, or keep them.")
    worn = find_wide(folder, "PAXPREDM")
    low, high = SEQN_OF_CYCLE[cycle]
    seen: set[float] = set()
    days = _days(path, worn)
    for seqn, group in itertools.groupby(days, key=lambda day: day[1][0]):
        rows = list(group)
        if seqn in seen:
            raise RecordingError(
                f"{path}, line {rows[0][0]}: SEQN {seqn:.0f} is back after rows of others. The rows of a person must "
                "stand together: restore the published file."
            )
        seen.add(seqn)
        if low <= seqn <= high:
            yield _person(rows, path, config)


# Number of the line, the three keys, (1440,) MIMS, (1440,) PAXPREDM or None.
_Day = tuple[int, np.ndarray, np.ndarray, np.ndarray | None]


def _days(path: pathlib.Path, worn: pathlib.Path | None) -> Iterator[_Day]:
    if worn is None:
        for line, keys, values in _rows(path):
            yield line, keys, values, None
        return
    for first, second in itertools.zip_longest(_rows(path), _rows(worn)):
        if first is None or second is None or (first[1] != second[1]).any():
            line = (first or second)[0]
            raise RecordingError(
                f"{worn}, line {line}: its rows are not those of {path.name} (SEQN, PAXDAYM, PAXDAYWM differ, or one "
                "file is longer). Both must be of one release: download them again."
            )
        yield first[0], first[1], first[2], second[2]


def _person(rows: list[_Day], path: pathlib.Path, config: MinutesConfig) -> Recording | Rejection:
    seqn = f"{rows[0][1][0]:.0f}"
    for line, keys, values, _ in rows:
        if not (np.isin(keys[1], range(1, 10)) and np.isin(keys[2], range(1, 8))) or (values < -0.0101).any():
            raise RecordingError(
                f"{path}, line {line}: PAXDAYM {keys[1]:g}, PAXDAYWM {keys[2]:g}, smallest MIMS {np.nanmin(values):g}; "
                "expected 1 to 9, 1 to 7, and 0 or more, or -0.01. Restore the published file."
            )
    number = np.array([keys[1] for _, keys, _, _ in rows], dtype=np.int64)
    weekday = np.array([keys[2] for _, keys, _, _ in rows], dtype=np.int64)
    if (np.diff(number) <= 0).any():
        raise RecordingError(
            f"{path}, line {rows[0][0]}: the days of SEQN {seqn} (PAXDAYM) do not increase. Restore the published file."
        )
    if ((weekday - weekday[0] - (number - number[0])) % 7 != 0).any():
        return Rejection(seqn, "clock can't be told (PAXDAYM and PAXDAYWM do not fit)")
    taken = [at for at in range(len(rows)) if config.first_day <= number[at] <= config.last_day]
    if not taken:
        return Rejection(seqn, f"no minute on days {config.first_day} to {config.last_day}")
    first = number[taken[0]]
    activity = np.full((number[taken[-1]] - first + 1, 1440), np.nan)
    wear = np.zeros(activity.shape, dtype=np.bool_)
    for at in taken:
        _, _, values, state = rows[at]
        activity[number[at] - first] = np.where(values < 0, np.nan, values)
        wear[number[at] - first] = ~np.isnan(values) if state is None else (state != 3) & ~np.isnan(state)
    present = np.flatnonzero(~np.isnan(activity.reshape(-1)))
    if not present.size:
        return Rejection(seqn, f"no minute on days {config.first_day} to {config.last_day}")
    begin, end = int(present[0]), int(present[-1]) + 1  # days 1 and 9 are parts of days
    start = _SUNDAY + datetime.timedelta(days=int(weekday[taken[0]]) - 1, minutes=begin)
    worn = None if rows[0][3] is None else wear.reshape(-1)[begin:end]
    return Recording(seqn, start, 60, activity.reshape(-1)[begin:end], "MIMS", str(path), worn)


def _rows(path: pathlib.Path) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number of the line, (3,) keys and (1440,) values of each row."""
    line = 2
    try:
        with _opened(path) as file:
            header = file.readline()
            titles = header.decode("utf-8", "replace").replace('"', "").strip().split(",")
            lacking = [name for name in (*_KEYS, *_MINUTES) if name not in titles]
            if lacking:
                raise RecordingError(
                    f"{path}, line 1: there is no column {', '.join(lacking[:3])} ({len(lacking)} such); found "
                    f"{', '.join(titles)[:60]!r}. Expected a file of PhysioNet's minute-level-step-count-nhanes."
                )
            while lines := list(itertools.islice(file, _ROWS_AT_ONCE)):
                numbers = _parse(header + b"".join(lines), path, line)
                for row in numbers:
                    yield line, row[:3], row[3:]
                    line += 1
    except (lzma.LZMAError, EOFError) as error:
        raise RecordingError(
            f"{path}, near line {line}: can't be unpacked ({error or 'it ends too early'}). Download it again."
        ) from error


def _parse(text: bytes, path: pathlib.Path, line: int) -> np.ndarray:
    """(r, 1443) numbers; blanks and NA are NaN in the minutes, and an error in the keys."""
    try:
        frame = pl.read_csv(io.BytesIO(text), infer_schema=False, null_values=["", "NA", "NaN"])
        table = frame.select(pl.col(*_KEYS, *_MINUTES).cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        detail = str(error).split("\n")[0]
        raise RecordingError(
            f"{path}, lines {line} to {line + _ROWS_AT_ONCE - 1}: not all of {len(_KEYS) + len(_MINUTES)} fields are "
            f"numbers ({detail}). It may be cut short: download it again."
        ) from error
    keys = table.select(_KEYS).to_numpy()
    bad = np.flatnonzero(np.isnan(keys).any(axis=1))
    if bad.size:
        raise RecordingError(f"{path}, line {line + bad[0]}: SEQN, PAXDAYM or PAXDAYWM is missing. Download it again.")
    return table.to_numpy()


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".xz":
        with lzma.open(path, "rb") as file:
            yield cast(IO[bytes], file)
    else:
        with path.open("rb") as plain:
            yield plain
