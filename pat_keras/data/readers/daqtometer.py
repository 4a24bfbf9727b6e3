"""Daqtix Daqtometer .csv files: a header that describes the channels, then times in GMT and the channels' values."""

from __future__ import annotations

import pathlib
import zoneinfo

import numpy as np

from pat_keras.data.readers.clock import read_clock, usual_step
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import TextTable, read_table, split_line
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError


def read_daqtometer(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, gmt_to: str | None = None
) -> list[Recording]:
    """Reads the acceleration channel, a sum of counts over each interval.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        gmt_to: where the device was worn, such as "Europe/Berlin". The file's times are in GMT; the zone's offset at
            the start is added to all of them, so that no hour is doubled or left out. "UTC" leaves them.

    Raises:
        RecordingError: if it is no such file or is damaged, or if no zone is given: days could not be told.
        ConfigError: for an unknown zone.
    """
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    names = next((at for at, line in enumerate(lines[:40]) if line.startswith("Name:")), None)
    first = next((at for at, line in enumerate(lines) if line[:4].isdigit()), None)
    if names is None or first is None or not lines[0].startswith("Start:"):
        raise RecordingError(
            f"{file.where}: expected a first line 'Start: ...', a line 'Name:' with the channels and lines that begin "
            f"with a date; found {lines[0][:40]!r}. Is it a file of another device, or cut short?"
        )
    channels = split_line(lines[names], ",")[1:]
    motion = [name for name in channels if name.lower().startswith("acc")]
    if len(motion) != 1:
        raise RecordingError(
            f"{file.where}, line {names + 1}: {len(motion)} channels are named for acceleration (channels: "
            f"{', '.join(channels)}), expected one. Export one of them alone."
        )
    table = read_table(lines[first:], first + 1, ",", ["time", *channels], file.where)
    times = _local(read_clock(table.text("time"), table), lines[0], gmt_to, table)
    return [
        Recording.from_timestamps(
            times,
            table.number(motion[0]),
            participant_id=participant_id or file.stem,
            epoch_length=usual_step(times, file.where),
            unit="counts",
            source=file.where,
            first_line=int(table.lines[0]),
        )
    ]


def _local(times: np.ndarray, start_line: str, gmt_to: str | None, table: TextTable) -> np.ndarray:
    if not start_line.rstrip(" ,").endswith("GMT"):
        return times
    if gmt_to is None:
        raise RecordingError(
            f"{table.where}, line 1: the times are in GMT ({start_line.strip()!r}), and nothing tells where the device "
            "was worn. Say gmt_to=Europe/Berlin or another zone; gmt_to=UTC leaves them as they are."
        )
    try:
        zone = zoneinfo.ZoneInfo(gmt_to)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"gmt_to is {gmt_to!r}, expected a zone such as Europe/Berlin or UTC ({error}).") from error
    offset = zone.utcoffset(times[0].item().replace(tzinfo=zoneinfo.ZoneInfo("UTC")).astimezone(zone))
    return times + np.timedelta64(offset)
