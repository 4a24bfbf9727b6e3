"""What the ActiGraph readers share: the axes of the counts, and their vector magnitude.

Axes: n epochs, m minutes.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from pat_keras.data.epochs import to_minutes
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

AXES = ("vertical", "vector_magnitude")
_COLUMNS = ("axis1", "axis2", "axis3")  # axis1 is the vertical one where the device is worn as intended


def check_axis(axis: str) -> None:
    """Raises ConfigError for another axis than those of `AXES`."""
    if axis not in AXES:
        raise ConfigError(f"axis is {axis!r}, expected one of {', '.join(AXES)}.")


def needed_axes(axis: str, columns: Sequence[str], where: str) -> tuple[str, ...]:
    """The columns that `axis` needs.

    Raises:
        RecordingError: if one of them is not among `columns`.
    """
    needed = _COLUMNS[:1] if axis == "vertical" else _COLUMNS
    lacking = [name for name in needed if name not in columns]
    if lacking:
        raise RecordingError(
            f"{where}: there is no {', '.join(lacking)} for axis={axis}; found {', '.join(filter(None, columns))}. "
            "Choose another axis, or export the recording with its axes."
        )
    return needed


def record_axes(
    file: DeviceFile,
    participant_id: str | None,
    clock: datetime.datetime | np.ndarray,
    epoch_length: int,
    counts: Sequence[np.ndarray],
    first_line: int = 1,
) -> Recording:
    """One axis as it is, or several as vector magnitude.

    For the magnitude the axes are summed to minutes, then the root of the sum of their squares is taken, as ActiLife
    does for epochs of a minute; the magnitudes of shorter epochs would add up to more.

    Args:
        file: that they come from.
        participant_id: who; the file's name without its suffix if not given.
        clock: of the first epoch, or (n,) of all.
        epoch_length: seconds.
        counts: (n,) for each axis.
        first_line: line of the first epoch in the file, for messages.

    Raises:
        RecordingError: for times or counts that make no recording.
    """
    person = participant_id or file.stem
    axes: list[Recording] = []
    for values in counts:
        if isinstance(clock, datetime.datetime):
            axes.append(Recording(person, clock, epoch_length, values, "counts", file.where))
        else:
            axes.append(
                Recording.from_timestamps(
                    clock,
                    values,
                    participant_id=person,
                    epoch_length=epoch_length,
                    unit="counts",
                    source=file.where,
                    first_line=first_line,
                )
            )
    if len(axes) == 1:
        return axes[0]
    minutes = [to_minutes(one) for one in axes]
    magnitude = np.sqrt(np.sum([one.activity.astype(np.float64) ** 2 for one in minutes], axis=0))  # (m,)
    return Recording(person, minutes[0].start, 60, magnitude, "counts", file.where)
