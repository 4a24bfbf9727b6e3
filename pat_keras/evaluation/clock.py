"""Clock time of the samples of windows: which hour of the day, which hour and which day of the window each is in.

Axes: B windows, T samples of a window (minutes, where `epoch_length` is 60).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pat_keras.data.cohort import Cohort
from pat_keras.errors import CohortError

DAY_HOURS = 24
_HOUR_SECONDS = 3600
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclasses.dataclass(frozen=True)
class Clock:
    """When windows begin, which is at one time of day for all windows of a cohort.

    Attributes:
        length: T.
        epoch_length: seconds of a sample; an hour must be a whole number of them.
        first: samples from midnight to the first one.
        known: false if the time of day was not recorded and midnight is assumed, where windows of whole days begin.

    Raises:
        CohortError: if an hour is not a whole number of samples.
    """

    length: int
    epoch_length: int = 60
    first: int = 0
    known: bool = True

    def __post_init__(self) -> None:
        if self.epoch_length < 1 or _HOUR_SECONDS % self.epoch_length:
            raise CohortError(
                f"The samples are {self.epoch_length} s apart, so that an hour is not a whole number of them; expected "
                "60 s, or another divisor of 3600. Prepare the recordings again by the minute."
            )

    @classmethod
    def of(cls, cohort: Cohort) -> Clock:
        """The clock of a cohort's windows. Where no window has a start, midnight.

        Raises:
            CohortError: if windows begin at different times of day, or some of them at a time that is not known; or are
            shorter than a day.
        """
        epoch_length = int(cohort.metadata["epoch_length"])
        if cohort.length * epoch_length < DAY_HOURS * _HOUR_SECONDS:
            raise CohortError(
                f"{cohort.metadata['source']}: the windows have {cohort.length} samples of {epoch_length} s, less than "
                "the day that explanations go round; expected at least a day. Prepare longer windows."
            )
        begins = {None if at is None else (at.hour, at.minute, at.second) for at in cohort.table["start"].to_list()}
        if len(begins) > 1:
            raise CohortError(
                f"{cohort.metadata['source']}: windows begin at {len(begins)} different times of day (unknown counts "
                "as one), expected one, so that their hours can be compared. pat-prepare makes windows from midnight."
            )
        (at,) = begins
        seconds = 0 if at is None else 3600 * at[0] + 60 * at[1] + at[2]
        return cls(cohort.length, epoch_length, seconds // epoch_length, at is not None)

    @property
    def per_hour(self) -> int:
        """Samples of an hour."""
        return _HOUR_SECONDS // self.epoch_length

    @property
    def hour(self) -> np.ndarray:
        """(T,) number of the clock hour in the window, from 0. The first and the last may be cut."""
        return self._since_midnight // self.per_hour - self.first // self.per_hour

    @property
    def hour_of_day(self) -> np.ndarray:
        """(T,) from 0 to 23."""
        return self._since_midnight // self.per_hour % DAY_HOURS

    @property
    def day(self) -> np.ndarray:
        """(T,) number of the calendar day in the window, from 0."""
        return self._since_midnight // (self.per_hour * DAY_HOURS)

    @property
    def n_hours(self) -> int:
        """Clock hours that the window touches."""
        return int(self.hour[-1]) + 1

    @property
    def n_days(self) -> int:
        """Calendar days that the window touches."""
        return int(self.day[-1]) + 1

    @property
    def _since_midnight(self) -> np.ndarray:
        return self.first + np.arange(self.length)

    def day_names(self, first_weekday: int | None) -> list[str]:
        """Names of the window's days: weekdays if the first one's number (1 = Monday) is known, else "day 1", ..."""
        if first_weekday is None:
            return [f"day {number}" for number in range(1, self.n_days + 1)]
        return [_WEEKDAYS[(first_weekday - 1 + number) % 7] for number in range(self.n_days)]


def total_by(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sums of the samples of each group, such as `Clock.hour`: (B, T) and (T,) -> (B, groups) float64."""
    totals = np.zeros((int(group.max()) + 1, len(values)))
    np.add.at(totals, group, values.T.astype(np.float64))
    return totals.T


def mean_by(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means of the known samples of each group, NaN where there is none: (B, T) and (T,) -> (B, groups) float64."""
    known = ~np.isnan(values)
    count = total_by(known, group)
    total = total_by(np.where(known, values, 0.0), group)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
