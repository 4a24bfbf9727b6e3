"""Apple Health export.xml: steps that a phone or a watch counted. They are steps, not activity counts.

Axes: n minutes.
"""

from __future__ import annotations

import datetime
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.safe_xml import parse_xml
from pat_keras.data.recording import MAX_GAP, Recording
from pat_keras.data.windows import DAY_MINUTES
from pat_keras.errors import RecordingError

_STEPS = "HKQuantityTypeIdentifierStepCount"
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)")
_GENERIC = ("export", "apple_health_export")  # names that every export has, in small letters
_LONGEST = 86_400  # seconds of a record; a longer one is no count of steps
_MINUTE = datetime.timedelta(minutes=1)
_TOLERANCE = 1  # seconds that records of one device may overlap, from rounding


class _Step(NamedTuple):
    """A record: the instant that it begins at (UTC), its beginning and end by the clock of then, and its steps."""

    instant: datetime.datetime
    begin: datetime.datetime
    end: datetime.datetime
    steps: float


def read_apple_health(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, recorded_by: str | None = None
) -> list[Recording]:
    """Reads the steps of one device. The file is streamed, whatever its size.

    Phone and watch count the same steps, so that only one of them is read. A record's steps are spread evenly over its
    time. Its clock time is the one that the export has: of the zone that the export was made in. A minute without a
    record has 0 steps, since devices write none while nobody walks; a day, midnight to midnight, without any record is
    missing. Of an hour that the clock showed twice, what the second pass had before the first one's last record counts
    no more.

    Args:
        source: the file.
        participant_id: who; the first name of the file, of its folder or zip, and of those around it, that is not one
            which every export has (export, apple_health_export).
        recorded_by: the device, as `sourceName` has it; may be left out if there is one only.

    Raises:
        RecordingError: if it is no such file or is damaged; if there are several devices and none is chosen, with a
            list of them; if records of the device overlap.
    """
    file = DeviceFile.of(source)
    found = _Found(file.where)
    parse_xml(file, found.element)
    if found.root != "HealthData":
        raise RecordingError(
            f"{file.where}: the XML is a <{found.root}>, expected a <HealthData> of Apple Health's export.xml. The "
            "file export_cda.xml beside it is another one."
        )
    steps = _chosen(found.steps, recorded_by, file.where)
    steps.sort()
    _check_times(steps, file.where)
    steps = list(_of_first_passes(steps))
    own = (name for name in (file.stem, *file.folders) if name.casefold() not in _GENERIC)
    person = participant_id or next(own, file.stem)
    midnight = datetime.datetime.combine(steps[0].begin.date(), datetime.time())
    activity = _spread(steps, midnight)
    first, last = _minutes(steps[0], midnight)[0], max(_minutes(step, midnight)[1] for step in steps)
    start = midnight + datetime.timedelta(minutes=first)
    return [Recording(person, start, 60, activity[first:last], "steps", file.where)]


class _Found:
    """Step records by device, as the elements come."""

    def __init__(self, where: str) -> None:
        self.root = ""
        self.steps: dict[str, list[_Step]] = {}
        self._where = where

    def element(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.root = self.root or tag
        if tag != "Record" or attributes.get("type") != _STEPS:
            return
        times = [_TIME.fullmatch(attributes.get(name, "")) for name in ("startDate", "endDate")]
        try:
            (instant, begin), (until, _) = (_moment(time) for time in times if time)
            value = float(attributes["value"])
        except (KeyError, ValueError):
            shown = {name: attributes.get(name) for name in ("startDate", "endDate", "value")}
            raise RecordingError(
                f"{self._where}: a record of steps has {shown}, expected two times such as 2019-01-31 08:00:00 +0100 "
                "and a number. Export the data again."
            ) from None
        name = attributes.get("sourceName", "").replace("\xa0", " ")
        # The end by the clock that showed the beginning: clocks may change within a record.
        self.steps.setdefault(name, []).append(_Step(instant, begin, begin + (until - instant), value))


def _moment(time: re.Match[str]) -> tuple[datetime.datetime, datetime.datetime]:
    """An instant in UTC, and what the clock showed."""
    clock = datetime.datetime.fromisoformat(time[1])
    minutes = int(time[2][0] + time[3])
    return clock - datetime.timedelta(hours=int(time[2]), minutes=minutes), clock


def _chosen(steps: dict[str, list[_Step]], recorded_by: str | None, where: str) -> list[_Step]:
    listed = ", ".join(f"{name!r} ({len(records):,} records)" for name, records in sorted(steps.items()))
    if not steps:
        raise RecordingError(f"{where}: there is no record of steps in it. Was Health allowed to count steps?")
    if recorded_by is None and len(steps) > 1:
        raise RecordingError(
            f"{where}: {len(steps)} devices or apps counted steps: {listed}. They count the same steps, so that adding "
            "them up would be wrong. Say recorded_by= one of these."
        )
    if recorded_by is None:
        return next(iter(steps.values()))
    if recorded_by not in steps:
        raise RecordingError(f"{where}: nothing was recorded_by {recorded_by!r}; expected one of {listed}.")
    return steps[recorded_by]


def _check_times(steps: list[_Step], where: str) -> None:
    previous: _Step | None = None
    for step in steps:
        instant, begin, end, value = step
        length = (end - begin).total_seconds()
        if not 0 <= length <= _LONGEST or not 0 <= value < 1e6:
            raise RecordingError(
                f"{where}: a record has {value:g} steps from {begin} to {end}; expected 0 or more, in a day at most. "
                "Export the data again, or remove the record in Health."
            )
        if previous and (previous.instant + (previous.end - previous.begin) - instant).total_seconds() > _TOLERANCE:
            raise RecordingError(
                f"{where}: the record from {begin} to {end} begins before the one from {previous.begin} to "
                f"{previous.end} has ended. Two devices of the same name, or steps entered by hand, do this: give them "
                "names of their own, or choose another one with recorded_by."
            )
        if previous and begin - previous.end > MAX_GAP:
            raise RecordingError(
                f"{where}: no record for more than a year, from {previous.end} to {begin}; a wrong date does this. "
                "Export a shorter time."
            )
        previous = step


def _of_first_passes(steps: Iterable[_Step]) -> Iterator[_Step]:
    """Without what lies, by the clock, before something earlier: the hour after the clocks went back."""
    latest = datetime.datetime.min
    for step in steps:
        if (latest - step.begin).total_seconds() <= _TOLERANCE:
            yield step
            latest = max(latest, step.end)


def _minutes(step: _Step, midnight: datetime.datetime) -> tuple[int, int]:
    """The first minute since `midnight` that a record touches, and the one after the last; at least one lies "
    "between."""
    first = (step.begin - midnight) // _MINUTE
    return first, max(first + 1, -((midnight - step.end) // _MINUTE))


def _spread(steps: list[_Step], midnight: datetime.datetime) -> np.ndarray:
    """Steps a minute from midnight of the first day to that after the last, NaN on days without a record."""
    days = -(-max(_minutes(step, midnight)[1] for step in steps) // DAY_MINUTES)
    activity = np.zeros(days * DAY_MINUTES)
    recorded = np.zeros(days, dtype=np.bool_)
    for step in steps:
        first, last = _minutes(step, midnight)
        recorded[first // DAY_MINUTES : (last - 1) // DAY_MINUTES + 1] = True
        if last == first + 1:
            activity[first] += step.steps
            continue
        since, until = ((time - midnight) / _MINUTE for time in (step.begin, step.end))
        edges = np.clip(np.arange(first, last + 1), since, until)  # minutes since midnight
        activity[first:last] += step.steps * np.diff(edges) / (until - since)
    activity[np.repeat(~recorded, DAY_MINUTES)] = np.nan
    return activity
