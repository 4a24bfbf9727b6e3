"""NHANES: 2003-2004 (C) and 2005-2006 (D), a week of minute counts of a hip ActiGraph 7164; 2011-2014 (G, H), wrists.

Of C and D, this file reads PAXRAW, which has one row a minute: SEQN (person), PAXSTAT and PAXCAL (1 = reliable, in
calibration), PAXDAY (1 = Sunday), PAXN (minute 1-10080), PAXHOUR, PAXMINUT, PAXINTEN (counts, 0-32767). It is
streamed: one person is in memory at a time.

Axes: m rows of one person.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from pat_keras.data.readers.nhanes_labels import YEARS, missing_reason, read_labels
from pat_keras.data.readers.nhanes_minutes import MinutesConfig, open_minutes
from pat_keras.data.readers.nhanes_wide import find_wide, open_wide
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.xpt import check_xpt, find_xpt, stream_xpt
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

CITATION = (
    "Centers for Disease Control and Prevention, National Center for Health Statistics. National Health and Nutrition "
    "Examination Survey (NHANES) {years}: physical activity monitor data. Hyattsville, MD: U.S. Department of Health "
    "and Human Services."
)
TERMS = "NCHS data user agreement: for statistics only; nobody may be identified, or linked with other data to do so."
WEEK = 10080
_HIP = ("C", "D")
# The ActiGraph 7164 has one axis, along the body; MIMS is made of the GT3X+'s three. Words as `actigraph_axes.AXES`.
AXIS_OF_HIP, AXES_OF_MIMS = "vertical", "three_axes"

# The columns as they are read, and the whole numbers each may hold.
_RANGES = {
    "SEQN": (1, 999_999),
    "PAXSTAT": (1, 2),
    "PAXCAL": (1, 2),
    "PAXDAY": (1, 7),
    "PAXN": (1, WEEK),
    "PAXHOUR": (0, 23),
    "PAXMINUT": (0, 59),
    "PAXINTEN": (0, 32767),
}
_COLUMNS = tuple(_RANGES)
_LOW, _HIGH = np.array(list(_RANGES.values()), dtype=np.float64).T
_MAY_BE_MISSING = np.array([name in ("PAXSTAT", "PAXCAL", "PAXINTEN") for name in _COLUMNS])

# NCHS withholds the dates: a Sunday that stands for every Sunday, far from the clock changes of spring and autumn.
_SUNDAY = datetime.datetime(2006, 1, 1)


def read_nhanes(
    raw: str | pathlib.Path, cycle: str, label: str | None = None, minutes: MinutesConfig | None = None
) -> Study:
    """Opens a cycle of NHANES.

    Args:
        raw: folder with PAXRAW_C.xpt or PAXRAW_D.xpt; with PAXMIN_G.xpt, PAXMIN_H.xpt or PhysioNet's
            nhanes_1440_PAXMTSM.csv.xz; and the questionnaire files beside it, DEMO_D.xpt, DPQ_D.xpt, ...
        cycle: "C", "D", "G" or "H".
        label: one of `nhanes_labels.RULES` that must be there; None if none must. All that are there are returned.
        minutes: what is taken of a person in G and H; None for the defaults.

    Returns:
        The study. C and D: people whose data NCHS calls unreliable (PAXSTAT), or whose device came back out of
        calibration (PAXCAL), come as rejections; a recording begins at its first row. G and H: see `nhanes_minutes`.
        Minutes whose row is not there are NaN.

    Raises:
        RecordingError: if the files are not there or damaged. Errors of single rows come when recordings are iterated:
            doubled, unsorted or scattered rows of a person, and numbers out of their range.
        LabelError: if the label can't be had, see `nhanes_labels.read_labels`.
    """
    folder = pathlib.Path(raw)
    if cycle not in YEARS:
        raise RecordingError(f"NHANES: cycle is {cycle!r}, expected one of {', '.join(YEARS)}.")
    if not folder.is_dir():
        raise RecordingError(
            f"{folder}: no such folder. Give the folder that holds the files of NHANES {YEARS[cycle]}."
        )
    hip = cycle in _HIP
    recordings, expected_people = _open_counts(folder, cycle) if hip else _open_mims(folder, cycle, minutes)
    people, meanings = read_labels(folder, cycle, label)
    ages = dict(people.select("participant_id", "age").iter_rows()) if "age" in people.columns else {}
    return Study(
        name=f"NHANES {YEARS[cycle]}",
        people=people,
        recordings=recordings,
        expected_people=expected_people,
        labels=meanings,
        missing_label=lambda name, participant_id: missing_reason(name, ages.get(participant_id)),
        unit="counts" if hip else "MIMS",
        ceiling=_RANGES["PAXINTEN"][1] if hip else None,
        start_is_known=False,
        citation=CITATION.format(years=YEARS[cycle]),
        terms=TERMS,
        reading={"axis": AXIS_OF_HIP}
        if hip
        else {
            "axis": AXES_OF_MIMS,
            **{key: str(value) for key, value in dataclasses.asdict(minutes or MinutesConfig()).items()},
        },
    )


def _open_counts(folder: pathlib.Path, cycle: str) -> tuple[Iterator[Recording | Rejection], int]:
    path = find_xpt(folder, f"PAXRAW_{cycle}")
    if path is None:
        raise _not_there(folder, f"PAXRAW_{cycle}.xpt", f"PAXRAW_{cycle}.zip: unzip it into this folder", cycle)
    n_rows = check_xpt(path, _COLUMNS)
    return _recordings(path), max(1, n_rows // WEEK)


def _open_mims(
    folder: pathlib.Path, cycle: str, minutes: MinutesConfig | None
) -> tuple[Iterator[Recording | Rejection], int | None]:
    config = minutes or MinutesConfig()
    path, wide = find_xpt(folder, f"PAXMIN_{cycle}"), find_wide(folder, "PAXMTSM")
    if path and wide:
        raise RecordingError(f"{folder}: {path.name} and {wide.name} hold the same minutes. Take one of them away.")
    if path:
        return open_minutes(folder, path, cycle, config)
    if wide:
        return open_wide(folder, wide, cycle, config), None
    name = f"PAXMIN_{cycle}.xpt"
    raise _not_there(folder, name, f"{name}; PhysioNet's nhanes_1440_PAXMTSM.csv.xz will do as well", cycle)


def _not_there(folder: pathlib.Path, name: str, published: str, cycle: str) -> RecordingError:
    there = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
    return RecordingError(
        f"{folder}: there is no {name} in it; found {there}. NCHS publishes it with NHANES {YEARS[cycle]} as "
        f"{published}."
    )


def _recordings(path: pathlib.Path) -> Iterator[Recording | Rejection]:
    seen: dict[float, int] = {}
    for first_row, rows in _people((batch.to_numpy() for batch in stream_xpt(path, _COLUMNS)), path):
        seqn = rows[0, 0]
        if seqn in seen:
            raise RecordingError(
                f"{path}, row {first_row}: SEQN {seqn:.0f} is back after rows of others; its first row is "
                f"{seen[seqn]}. The rows of a person must stand together, once: sort the file by SEQN and PAXN, or "
                "remove the copy."
            )
        seen[seqn] = first_row
        yield _person(rows, f"{path}", first_row)


def _people(batches: Iterable[np.ndarray], path: pathlib.Path) -> Iterator[tuple[int, np.ndarray]]:
    """Cuts batches of rows where SEQN changes: the number of a person's first row (from 1), and the (m, 8) rows."""
    rest = np.empty((0, len(_COLUMNS)))
    first_row = 1
    for batch in batches:
        rows = np.concatenate([rest, batch])
        cuts = np.flatnonzero(np.diff(rows[:, 0])) + 1
        begin = 0
        for end in cuts:
            yield first_row + begin, rows[begin:end]
            begin = int(end)
        first_row += begin
        rest = rows[begin:].copy()
        if len(rest) > WEEK:
            raise RecordingError(
                f"{path}, row {first_row}: SEQN {rest[0, 0]:.0f} has more than {WEEK:,} rows, one for each minute of a "
                "week. Restore NCHS's file."
            )
    if len(rest):
        yield first_row, rest


def _person(rows: np.ndarray, source: str, first_row: int) -> Recording | Rejection:
    """One person's rows, checked, as a recording; or why they can't be used."""
    _check_ranges(rows, source, first_row)
    column = dict(zip(_COLUMNS, rows.T, strict=True))
    participant_id = f"{rows[0, 0]:.0f}"
    step = np.diff(column["PAXN"])
    if (step <= 0).any():
        at = int(np.flatnonzero(step <= 0)[0]) + 1
        found = "twice" if step[at - 1] == 0 else f"after {column['PAXN'][at - 1]:.0f}"
        raise RecordingError(
            f"{source}, row {first_row + at}: PAXN {column['PAXN'][at]:.0f} of SEQN {participant_id} comes {found}; "
            "PAXN must increase from row to row. Sort the file by SEQN and PAXN, and remove doubled rows."
        )
    if (column["PAXSTAT"] != 1).any():
        return Rejection(participant_id, "not reliable (PAXSTAT is not 1)")
    if (column["PAXCAL"] != 1).any():
        return Rejection(participant_id, "device out of calibration (PAXCAL is not 1)")
    minute = (column["PAXN"] - column["PAXN"][0]).astype(np.int64)
    of_week = (column["PAXDAY"] - 1) * 1440 + column["PAXHOUR"] * 60 + column["PAXMINUT"]
    if ((of_week[0] + minute) % WEEK != of_week).any():
        at = int(np.flatnonzero((of_week[0] + minute) % WEEK != of_week)[0])
        return Rejection(participant_id, "clock (PAXDAY, PAXHOUR, PAXMINUT) at odds with PAXN", f"row {first_row + at}")
    activity = np.full(minute[-1] + 1, np.nan, dtype=np.float32)
    activity[minute] = column["PAXINTEN"]
    return Recording(
        participant_id=participant_id,
        start=_SUNDAY + datetime.timedelta(minutes=int(of_week[0])),
        epoch_length=60,
        activity=activity,
        unit="counts",
        source=source,
    )


def _check_ranges(rows: np.ndarray, source: str, first_row: int) -> None:
    good = (rows >= _LOW) & (rows <= _HIGH) & (rows == np.floor(rows)) | np.isnan(rows) & _MAY_BE_MISSING
    if good.all():
        return
    at, number = (int(index[0]) for index in np.nonzero(~good))
    name = _COLUMNS[number]
    found = "missing" if np.isnan(rows[at, number]) else f"{rows[at, number]:g}"
    raise RecordingError(
        f"{source}, row {first_row + at}: {name} is {found}, expected a whole number from {_RANGES[name][0]} to "
        f"{_RANGES[name][1]}. Restore NCHS's file."
    )
