"""One person's recording on a regular grid of time, validated once, on the way in.

Axes: n samples (one every `epoch_length` seconds).
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import numpy as np

from pat_keras.errors import RecordingError

# A longer hole between two samples is a wrong date (1970, a swapped day and month), not a pause of a wearer.
MAX_GAP = datetime.timedelta(days=366)


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """What one device recorded of one person, without holes in its clock: a sample that is not there is NaN.

    The arrays are stored read-only, as float32 and bool.

    Attributes:
        participant_id: who; text, kept as it is (`0012` stays `0012`).
        start: local clock time of the first sample, without a time zone.
        epoch_length: sampling interval in seconds.
        activity: (n,) float32 in `unit`, never negative; NaN where nothing was recorded.
        unit: "counts", "MIMS", "steps", ...
        source: the file it came from, for messages.
        wear: (n,) bool, the device's own finding of wear, or None if it has none.

    Raises:
        RecordingError: for anything else.
    """

    participant_id: str
    start: datetime.datetime
    epoch_length: int
    activity: np.ndarray = dataclasses.field(repr=False)  # rows of health data stay out of logs
    unit: str
    source: str
    wear: np.ndarray | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.participant_id, str) or self.participant_id.strip() != self.participant_id:
            raise self._error(f"participant_id is {self.participant_id!r}, expected text without blanks around it")
        if not self.participant_id:
            raise self._error("participant_id is empty; every recording needs the name of its person")
        if not isinstance(self.start, datetime.datetime) or self.start.tzinfo is not None:
            raise self._error(f"start is {self.start!r}, expected a datetime in local clock time, without a time zone")
        if isinstance(self.epoch_length, bool) or not isinstance(self.epoch_length, int) or self.epoch_length < 1:
            raise self._error(f"epoch_length is {self.epoch_length!r}, expected whole seconds, 1 or more")
        object.__setattr__(self, "activity", _read_only(self._checked_activity()))
        if self.wear is not None:
            wear = np.asarray(self.wear)
            if wear.dtype != np.bool_ or wear.shape != self.activity.shape:
                raise self._error(
                    f"wear is {wear.dtype} of shape {wear.shape}, expected bool of the activity's shape "
                    f"{self.activity.shape}"
                )
            object.__setattr__(self, "wear", _read_only(wear.copy()))

    def _checked_activity(self) -> np.ndarray:
        activity = np.asarray(self.activity)
        if activity.ndim != 1 or not activity.size or activity.dtype.kind not in "fiu":
            raise self._error(
                f"activity is {activity.dtype} of shape {activity.shape}, expected a row of numbers with at least one"
            )
        with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf, reported below
            activity = activity.astype(np.float32)
        bad = np.flatnonzero(np.isinf(activity) | (activity < 0))
        if bad.size:
            raise self._error(
                f"sample {bad[0] + 1} of {activity.size} is {activity[bad[0]]} {self.unit} ({bad.size} such samples); "
                "activity is finite and never negative. Mark samples that could not be measured as missing (NaN)"
            )
        return activity

    def _error(self, message: str) -> RecordingError:
        return RecordingError(f"{self.source}: recording of {self.participant_id!r}: {message}.")

    def __len__(self) -> int:
        return self.activity.size

    @property
    def end(self) -> datetime.datetime:
        """Local clock time at which the last sample ends."""
        return self.start + datetime.timedelta(seconds=len(self) * self.epoch_length)

    @property
    def n_missing(self) -> int:
        """Samples without a value."""
        return int(np.isnan(self.activity).sum())

    def slice(self, first: int, last: int) -> Recording:
        """The samples from number `first` (0 is the first sample) up to, not including, `last`.

        Raises:
            RecordingError: if no sample is left, or the numbers lie outside the recording.
        """
        if not 0 <= first < last <= len(self):
            raise self._error(f"samples {first} to {last} asked for, but it has samples 0 to {len(self)}")
        return dataclasses.replace(
            self,
            start=self.start + datetime.timedelta(seconds=first * self.epoch_length),
            activity=self.activity[first:last],
            wear=None if self.wear is None else self.wear[first:last],
        )

    @classmethod
    def from_timestamps(
        cls,
        timestamps: Any,
        values: Any,
        *,
        participant_id: str,
        epoch_length: int,
        unit: str,
        source: str,
        wear: Any = None,
        first_line: int = 1,
    ) -> Recording:
        """Lays samples onto the regular grid that begins at the first of them; samples between them become NaN.

        Args:
            timestamps: (m,) naive local clock times (datetimes, or anything NumPy reads as datetime64), increasing.
            values: (m,) numbers, NaN = missing.
            participant_id: who.
            epoch_length: seconds between grid points.
            unit: of the values.
            source: the file, for messages.
            wear: (m,) bool or None. Samples between those given count as not worn.
            first_line: line of the file that holds the first sample, for messages.

        Raises:
            RecordingError: for times that are missing, out of order, doubled, off the grid, or more than a year apart.
        """

        def error(at: int, message: str) -> RecordingError:
            return RecordingError(f"{source}, line {first_line + at} (participant {participant_id!r}): {message}")

        times = np.asarray(timestamps, dtype="datetime64[us]")
        given = np.asarray(values, dtype=np.float64)
        given_wear = np.ones(given.shape, dtype=np.bool_) if wear is None else np.asarray(wear, dtype=np.bool_)
        if times.ndim != 1 or not times.size or not times.shape == given.shape == given_wear.shape:
            raise error(0, f"{times.size} times and {given.size} values; expected as many of both, and at least one.")
        missing = np.flatnonzero(np.isnat(times))
        if missing.size:
            raise error(int(missing[0]), f"the time is missing ({missing.size} such lines). Remove or repair them.")
        if times.size > 1:
            _check_order(times, error)
        interval = np.timedelta64(epoch_length, "s")
        position, off_grid = np.divmod(times - times[0], interval)
        beside = np.flatnonzero(off_grid != np.timedelta64(0, "us"))
        if beside.size:
            at = int(beside[0])
            raise error(
                at,
                f"{times[at].item()} is not a whole number of {epoch_length} s after the first sample at "
                f"{times[0].item()} ({beside.size} such lines). Check the epoch length, or put the samples on a grid.",
            )
        activity = np.full(int(position[-1]) + 1, np.nan, dtype=np.float64)
        activity[position] = given
        worn = None
        if wear is not None:
            worn = np.zeros(activity.size, dtype=np.bool_)
            worn[position] = given_wear
        start: datetime.datetime = times[0].item()
        return cls(participant_id, start, epoch_length, activity, unit, source, worn)


def _check_order(times: np.ndarray, error: Any) -> None:
    """Raises `error` at the first time that does not come after the one before it, or comes over a year later."""
    step = np.diff(times)
    back = np.flatnonzero(step <= np.timedelta64(0, "us"))
    if back.size:
        at = int(back[0]) + 1
        found = "is the same time as" if step[at - 1] == np.timedelta64(0, "us") else "comes before"
        raise error(
            at,
            f"{times[at].item()} {found} the line above it, {times[at - 1].item()} ({back.size} such lines); times "
            "must increase. A clock set back in autumn or two joined files do this: sort, or remove doubled samples.",
        )
    far = np.flatnonzero(step > np.timedelta64(MAX_GAP))
    if far.size:
        at = int(far[0]) + 1
        raise error(
            at,
            f"{times[at].item()} comes {step[at - 1].item().days} days after the line above it, "
            f"{times[at - 1].item()}; a hole of more than a year is taken for a wrong date. Correct it.",
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.view()
    array.flags.writeable = False
    return array
