"""Files of a device -> a study: every person's recording, in minutes, and an account of what was done to them."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import polars as pl

from pat_keras.data.epochs import describe_rule, to_minutes
from pat_keras.data.joining import SEVERAL_FILES, by_person, join_recordings
from pat_keras.data.readers.device_files import DeviceFile, find_device_files
from pat_keras.data.readers.devices import DEVICES, OPTIONS, Device
from pat_keras.data.readers.file_names import by_folder, check_pattern, id_in, in_path
from pat_keras.data.readers.raw_files import account_of
from pat_keras.data.readers.study import Study
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError


def read_devices(
    name: str,
    raw: str | os.PathLike[str],
    options: Mapping[str, str] | None = None,
    *,
    id_pattern: str | None = None,
) -> Study:
    """Opens the files of a device.

    Args:
        name: a key of `DEVICES`.
        raw: a file, a folder, a zip or a pattern, see `find_device_files`.
        options: of the reader; those that are not given have its defaults.
        id_pattern: regular expression of the participant_id in what the reader takes for it, which for most devices is
            the name of the file, or with a `/` in the path below `raw`, see `file_names.id_in`. Recordings of one
            person are then joined, once all are read.

    Returns:
        The study, without labels. Recordings are brought to minutes, see `to_minutes`; what was done to how many of
        them is written to `reading` as they are iterated.

    Raises:
        ConfigError: for an unknown device or option, or a pattern that is none.
        RecordingError: if there is no file. Errors in the files come when the recordings are iterated: of the reader,
            and if a person is there twice, or recordings of one can't be joined.
    """
    if name not in DEVICES:
        raise ConfigError(f"The source is {name!r}, expected one of {', '.join(DEVICES)}.")
    device, chosen = DEVICES[name], dict(options or {})
    unknown = [option for option in chosen if option not in device.options]
    if unknown:
        raise ConfigError(
            f"{name} has no option {unknown[0]!r}; it has {', '.join(device.options) or 'none'}. Leave it out."
        )
    if id_pattern is not None:
        check_pattern(id_pattern)
    files, left_out = find_device_files(raw, device.patterns)
    unit = chosen.get("measure", device.unit)
    usual = {option: OPTIONS[option].default for option in device.options}
    settings = {option: value for option, value in {**usual, **chosen}.items() if value is not None}
    reading = {"source": device.title, "files": account_of(len(files), left_out), **settings}
    if id_pattern is not None:
        what = "paths" if in_path(id_pattern) else "names"
        whose = f"the {what} of {_named_by(device)}" if device.names_people else "the column of ids"
        reading["ids"] = f"in {whose}, by {id_pattern}"
    recordings = _recordings(files, device, chosen, unit, reading, id_pattern)
    by_name = id_pattern is None and device.names_people
    return Study(
        name=device.title,
        people=pl.DataFrame(schema={"participant_id": pl.String}),
        recordings=recordings if id_pattern is None else _joined(recordings, reading),
        expected_people=len(files) if len(files) > 1 else None,  # one may hold many people
        labels={},
        missing_label=lambda label, _: f"no {label}",
        unit=unit,
        ceiling=None,
        start_is_known=device.start_is_known,
        citation="",
        terms="",
        reading=reading,
        folders={file.stem: file.folder for file in files} if by_name else {},
    )


def reader_of(device: Device) -> Callable[..., list[Recording]]:
    """The function that reads files of a device."""
    module, _, function = device.reader.partition(":")
    reader: Callable[..., list[Recording]] = getattr(
        importlib.import_module(f"pat_keras.data.readers.{module}"), function
    )
    return reader


def _recordings(
    files: list[DeviceFile],
    device: Device,
    options: Mapping[str, str],
    unit: str,
    reading: dict[str, str],
    id_pattern: str | None,
) -> Iterator[Recording]:
    reader = reader_of(device)
    seen: dict[str, str] = {}
    rules: dict[str, int] = {}
    for file in files:
        for recording in reader(file, **options):
            if id_pattern is not None:
                below = file.below if device.names_people else None
                person = id_in(recording.participant_id, id_pattern, file.where, below)
                recording = dataclasses.replace(recording, participant_id=person)
            person = recording.participant_id
            if person in seen and id_pattern is None:
                folders = by_folder([one.below for one in files]) if device.names_people else ""
                raise RecordingError(
                    f"{file.where}: the participant {person!r} was read already, from {seen[person]}. Rename one of "
                    f"the {_named_by(device)} if they are of two people{f'; {folders}' if folders else ''}. If both "
                    "are of one person, take one away, or give --id_pattern='.+': recordings of a person are joined."
                )
            if recording.unit != unit:
                raise RecordingError(f"{file.where}: the unit is {recording.unit}, but {unit} in the files before it.")
            seen[person] = file.where
            rule = describe_rule(recording)
            rules[rule] = rules.get(rule, 0) + 1
            what = "people" if id_pattern is None else "recordings"
            reading["minutes"] = "; ".join(f"{rule} ({number} {what})" for rule, number in sorted(rules.items()))
            yield to_minutes(recording)


def _named_by(device: Device) -> str:
    """By whose names people are called."""
    return "files" if any("*" in pattern for pattern in device.patterns) else "folders or zips"


def _joined(recordings: Iterable[Recording], reading: dict[str, str]) -> Iterator[Recording]:
    """Everybody once: recordings of a person as one, in order of time."""
    parts, shifted = by_person(recordings, reading), 0
    for person in list(parts):
        own = parts.pop(person)
        if len({part.start.replace(second=0, microsecond=0) - part.start for part in own}) > 1:
            # A device begins its minutes at any second.
            own = [dataclasses.replace(part, start=part.start.replace(second=0, microsecond=0)) for part in own]
            shifted += 1
        yield join_recordings(own)
    if shifted:
        reading[SEVERAL_FILES] += f"; of {shifted:,}, minutes begin up to 59 s earlier, on one grid"
