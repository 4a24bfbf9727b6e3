"""Files of a device -> a study: every person's recording, in minutes, and an account of what was done to them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping

import polars as pl

from pat_keras.data.epochs import describe_rule, to_minutes
from pat_keras.data.readers.device_files import DeviceFile, find_device_files
from pat_keras.data.readers.devices import DEVICES, OPTIONS, Device
from pat_keras.data.readers.raw_files import account_of
from pat_keras.data.readers.study import Study
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError


def read_devices(name: str, raw: str | os.PathLike[str], options: Mapping[str, str] | None = None) -> Study:
    """Opens the files of a device.

    Args:
        name: a key of `DEVICES`.
        raw: a file, a folder, a zip or a pattern, see `find_device_files`.
        options: of the reader; those that are not given have its defaults.

    Returns:
        The study, without labels. Recordings are brought to minutes, see `to_minutes`; what was done to how many of
        them is written to `reading` as they are iterated.

    Raises:
        ConfigError: for an unknown device or option.
        RecordingError: if there is no file. Errors in the files come when the recordings are iterated: of the reader,
            and if a person is there twice.
    """
    if name not in DEVICES:
        raise ConfigError(f"The source is {name!r}, expected one of {', '.join(DEVICES)}.")
    device, chosen = DEVICES[name], dict(options or {})
    unknown = [option for option in chosen if option not in device.options]
    if unknown:
        raise ConfigError(
            f"{name} has no option {unknown[0]!r}; it has {', '.join(device.options) or 'none'}. Leave it out."
        )
    files, left_out = find_device_files(raw, device.patterns)
    unit = chosen.get("measure", device.unit)
    usual = {option: OPTIONS[option].default for option in device.options}
    settings = {option: value for option, value in {**usual, **chosen}.items() if value is not None}
    reading = {"source": device.title, "files": account_of(len(files), left_out), **settings}
    return Study(
        name=device.title,
        people=pl.DataFrame(schema={"participant_id": pl.String}),
        recordings=_recordings(files, device, chosen, unit, reading),
        expected_people=len(files) if len(files) > 1 else None,  # one may hold many people
        labels={},
        missing_label=lambda label, _: f"no {label}",
        unit=unit,
        ceiling=None,
        start_is_known=device.start_is_known,
        citation="",
        terms="",
        reading=reading,
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
) -> Iterator[Recording]:
    reader = reader_of(device)
    # By whose names people are called.
    named = "files" if any("*" in pattern for pattern in device.patterns) else "folders or zips"
    seen: dict[str, str] = {}
    rules: dict[str, int] = {}
    for file in files:
        for recording in reader(file, **options):
            person = recording.participant_id
            if person in seen:
                raise RecordingError(
                    f"{file.where}: the participant {person!r} was read already, from {seen[person]}. Rename one of "
                    f"the {named} if they are of two people; take one away if not."
                )
            if recording.unit != unit:
                raise RecordingError(f"{file.where}: the unit is {recording.unit}, but {unit} in the files before it.")
            seen[person] = file.where
            rule = describe_rule(recording)
            rules[rule] = rules.get(rule, 0) + 1
            reading["minutes"] = "; ".join(f"{what} ({people} people)" for what, people in sorted(rules.items()))
            yield to_minutes(recording)
