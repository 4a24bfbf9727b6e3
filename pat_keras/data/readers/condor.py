"""Condor Instruments ActTrust and ActLumus .txt logs: a header, then lines of fields between semicolons."""

from __future__ import annotations

import pathlib

import numpy as np

from pat_keras.data.readers.clock import read_clock, usual_step
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import read_table
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

MEASURES = ("PIM", "TAT", "ZCM")  # area under the signal, time above a threshold, crossings of zero; an epoch's total
_TITLE = "DATE/TIME"
_EVENT = "EVENT"
_MARK = "Condor Instruments Report"


def read_condor(
    source: DeviceFile | str | pathlib.Path,
    participant_id: str | None = None,
    *,
    measure: str = "PIM",
    date_order: str | None = None,
) -> list[Recording]:
    """Reads a log. An epoch in which the button was pressed bears the time of that; it is set back to its beginning.

    The column STATE (of the wearer) is not used, since its codes are documented nowhere.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        measure: "PIM", "TAT" or "ZCM", which is also the unit.
        date_order: "day_first", "month_first" or "year_first" where the dates do not tell; None reads it off.

    Raises:
        RecordingError: if it is no such file, lacks the measure, or is damaged.
        ConfigError: for another measure.
    """
    if measure not in MEASURES:
        raise ConfigError(f"measure is {measure!r}, expected one of {', '.join(MEASURES)}.")
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    header = next((at for at, line in enumerate(lines) if line.startswith(_TITLE)), None)
    if header is None or not any(_MARK in line for line in lines[:header]):
        raise RecordingError(
            f"{file.where}: there is no '{_MARK}' with a line of titles that begins with {_TITLE} in its {len(lines)} "
            f"lines; it begins with {lines[0][:40]!r}. Is it a log of another device, or cut short?"
        )
    titles = [title.strip() for title in lines[header].split(";")]
    if measure not in titles:
        raise RecordingError(
            f"{file.where}, line {header + 1}: there is no column {measure}; found {', '.join(titles)}. Choose another "
            "measure."
        )
    table = read_table(lines[header + 1 :], header + 2, ";", titles, file.where)
    times = read_clock(table.text(_TITLE), table, date_order)
    epoch_length = usual_step(times, file.where)
    if _EVENT in titles:
        times = _set_back(times, table.number(_EVENT) != 0, epoch_length)
    return [
        Recording.from_timestamps(
            times,
            table.number(measure),
            participant_id=participant_id or file.stem,
            epoch_length=epoch_length,
            unit=measure,
            source=file.where,
            first_line=int(table.lines[0]),
        )
    ]


def _set_back(times: np.ndarray, event: np.ndarray, epoch_length: int) -> np.ndarray:
    """Times of epochs with an event, moved to the beginning of the epoch that they fall into."""
    epoch = np.timedelta64(epoch_length, "s")
    return np.where(event, times - (times - times[0]) % epoch, times)
