"""ActiGraph counts as ActiLife exports them to text: a header block, then the epochs, of 1 s to 60 s.

The unit is counts, along one axis or as vector magnitude.
"""

from __future__ import annotations

import datetime
import pathlib
import re

import numpy as np

from pat_keras.data.readers.actigraph_axes import check_axis, needed_axes, record_axes
from pat_keras.data.readers.clock import one_table, read_clock, read_duration, usual_step
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import TextTable, read_table
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

# The mode of the header says which columns a file without titles has; axis1 is always the first.
_MODE_COLUMNS = ((4, ("axis2",)), (8, ("axis3",)), (1, ("steps",)), (2, ("hr",)), (16, ("lux",)))
_MODE_INCLINE = (32, ("incline off", "incline standing", "incline sitting", "incline lying"))


def read_actigraph_csv(
    source: DeviceFile | str | pathlib.Path,
    participant_id: str | None = None,
    *,
    axis: str = "vertical",
    date_order: str | None = None,
) -> list[Recording]:
    """Reads a count export: ActiLife's header block (or none, if there are titles with a time column), then the epochs.

    Where lines have times, these count; otherwise the clock is that of the header's start and epoch. A `Z` behind a
    time is not read as UTC, since ActiLife writes the device's local clock so.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        axis: "vertical" (axis 1), or "vector_magnitude", see `record_axes`.
        date_order: "day_first", "month_first" or "year_first" where the file does not tell; None reads it off.

    Raises:
        RecordingError: if it is no such file, is damaged, or lacks the axes.
        ConfigError: for an unknown axis or order.
    """
    file = DeviceFile.of(source)
    check_axis(axis)
    lines = file.text().splitlines()
    header, first = _read_header(lines, file.where)
    separator = _separator(lines, first, file.where)
    titles = [field.strip().strip('"').lower().replace(" ", "") for field in lines[first].split(separator)]
    if any(character.isalpha() for character in titles[0]):
        table = read_table(lines[first + 1 :], first + 2, separator, titles, file.where)
    else:
        titles = _titles_of_mode(header, lines[first], separator, first + 1, file.where)
        table = read_table(lines[first:], first + 1, separator, titles, file.where)
    needed = needed_axes(axis, table.columns, file.where)
    counts = [table.number(name) for name in needed]
    times = _row_times(table, header, date_order)
    if times is None:
        start, epoch_length = _header_clock(header, date_order, file.where)
        return [record_axes(file, participant_id, start, epoch_length, counts)]
    epoch_length = int(header["epoch"]) if "epoch" in header else usual_step(times, file.where)
    return [record_axes(file, participant_id, times, epoch_length, counts, int(table.lines[0]))]


def _read_header(lines: list[str], where: str) -> tuple[dict[str, str | int], int]:
    """What the block says, and the number (from 0) of the line after it. A file may begin with titles and have none."""
    if not lines[0].lstrip('-" ').lower().startswith("data "):
        if "axis1" in lines[0].lower().replace(" ", ""):
            return {}, 0
        raise RecordingError(
            f"{where}, line 1: it begins with {lines[0][:60]!r}; expected '---- Data File Created By ActiGraph' or "
            "titles with axis1. Export counts from ActiLife as text, or choose another source."
        )
    end = next((at for at, line in enumerate(lines[1:30], 1) if line.startswith("-----")), None)
    if end is None:
        raise RecordingError(
            f"{where}: the header block has no closing line of dashes in its first 30 lines. The file may be cut short."
        )
    text = "\n".join(line.rstrip(',;\t "') for line in lines[:end])
    header: dict[str, str | int] = {}
    for name, pattern in (
        ("time", r"Start Time[,;\t ]*([\d:]+ ?[AaPp]?[Mm]?)"),
        ("date", r"Start Date[,;\t ]*([\d./-]+)"),
        ("length", r"Epoch Period \(hh:mm:ss\)[,;\t ]*([\d:]+)"),
        ("mode", r"Mode = (\d+)"),
        ("format", r"date format (\S+)"),
    ):
        if match := re.search(pattern, text):
            header[name] = match[1].strip()
    if "length" in header:
        header["epoch"] = read_duration(str(header["length"]), "Epoch Period", f"{where}, header")
        if header["epoch"] == 0:
            raise RecordingError(
                f"{where}, header: the epoch period is 00:00:00, which marks raw acceleration, not counts. Export "
                "counts (epochs) from ActiLife, or give the .gt3x file with its own source."
            )
    first = next((at for at, line in enumerate(lines[end + 1 :], end + 1) if line.strip(',;\t "')), None)
    if first is None:
        raise RecordingError(f"{where}: there is nothing below the header block. Export the recording again.")
    return header, first


def _separator(lines: list[str], first: int, where: str) -> str:
    found = [mark for mark in ("\t", ";", ",") if mark in lines[first]]
    if not found and not lines[first].strip().isdigit():  # one axis alone needs none
        raise RecordingError(
            f"{where}, line {first + 1}: {lines[first][:60]!r} has no comma, semicolon or tab between its fields. "
            "Expected counts of each epoch."
        )
    return found[0] if found else ","


def _titles_of_mode(header: dict[str, str | int], line: str, separator: str, number: int, where: str) -> list[str]:
    """Titles of a file without any, from the mode in its header."""
    if "mode" not in header:
        raise RecordingError(
            f"{where}, line {number}: the columns have no titles and the header no mode, so that nobody can tell what "
            "they are. Export the file with column titles."
        )
    mode = int(header["mode"])
    titles = ["axis1"]
    for bit, names in (*_MODE_COLUMNS, _MODE_INCLINE):
        if mode & bit:
            titles += names
    found = len(line.rstrip(separator).split(separator))
    if found != len(titles):
        raise RecordingError(
            f"{where}, line {number}: there are {found} fields; mode {mode} of the header has {len(titles)} "
            f"({', '.join(titles)}). Export the file with column titles."
        )
    return titles


def _row_times(table: TextTable, header: dict[str, str | int], date_order: str | None) -> np.ndarray | None:
    """Times of the rows, or None if they have none."""
    stamp = next((name for name in ("timestamp", "datetime") if name in table.columns), None)
    if stamp:
        texts = table.text(stamp)
    elif {"date", "time"} <= set(table.columns):
        texts = table.text("date") + " " + table.text("time")
    elif header:
        return None
    else:
        raise RecordingError(
            f"{table.where}, line 1: no title is timestamp, or date and time, and there is no header block with a "
            f"start. Found {', '.join(table.columns)}. Export the recording with its header."
        )
    return read_clock(texts, table, date_order or _order_of_format(header))


def _order_of_format(header: dict[str, str | int]) -> str | None:
    letters = str(header.get("format", "")).lower()
    return {"m": "month_first", "d": "day_first", "y": "year_first"}.get(letters[:1])


def _header_clock(header: dict[str, str | int], date_order: str | None, where: str) -> tuple[datetime.datetime, int]:
    lacking = [name for name in ("date", "time", "epoch") if name not in header]
    if lacking:
        titles = {"date": "Start Date", "time": "Start Time", "epoch": "Epoch Period (hh:mm:ss)"}
        raise RecordingError(
            f"{where}, header: there is no {titles[lacking[0]]}, and the rows have no times. Export the recording "
            "again."
        )
    texts, table = one_table([f"{header['date']} {header['time']}"], 1, f"{where}, header")
    start = read_clock(texts, table, date_order or _order_of_format(header))[0].item()
    return start, int(header["epoch"])
