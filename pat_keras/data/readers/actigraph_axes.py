"""What the ActiGraph readers share: the axes of the counts, and the vector magnitude of them.

Axes: n epochs, m minutes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import numpy as np

from pat_keras.data.epochs import to_minutes
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

AXES = ("vertical", "vector_magnitude")
_COLUMNS = ("axis1", "axis2", "axis3")  # axis1 is the vertical one where the device is worn as intended


def check_axis(axis: str) -> None:
    if axis not in AXES:
        raise ConfigError(f"axis is {axis!r}, expected one of {', '.join(AXES)}.")


def needed_axes(axis: str, columns: list[str] | tuple[str, ...], where: str) -> tuple[str, ...]:
    needed = _COLUMNS[:1] if axis == "vertical" else _COLUMNS
    lacking = [name for name in needed if name not in columns]
    if lacking:
        raise RecordingError(
            f"{where}: there is no {', '.join(lacking)} for axis={axis}; found {', '.join(filter(None, columns))}. "
            "Choose another axis, or export the recording with its axes."
        )
    return needed


def combine_axes(axis: str, recordings: list[Recording]) -> Recording:
    if axis == "vertical":
        return recordings[0]
    axes = [to_minutes(one) for one in recordings]
    magnitude = np.sqrt(sum(one.activity.astype(np.float64) ** 2 for one in axes))  # (m,)
    first = axes[0]
    return Recording(first.participant_id, first.start, 60, magnitude, first.unit, first.source)


def recorder(file: DeviceFile, participant_id: str | None, epoch_length: int) -> Callable[..., Recording]:
    """A function (start or times, counts, table or None) -> Recording of this file."""
    person = participant_id or file.stem

    def made(clock: datetime.datetime | np.ndarray, counts: np.ndarray, table: TextTable | None) -> Recording:
        if isinstance(clock, datetime.datetime):
            return Recording(person, clock, epoch_length, counts, "counts", file.where)
        return Recording.from_timestamps(
            clock,
            counts,
            participant_id=person,
            epoch_length=epoch_length,
            unit="counts",
            source=file.where,
            first_line=1 if table is None else int(table.lines[0]),
        )

    return made
