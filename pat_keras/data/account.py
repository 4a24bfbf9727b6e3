"""What is told of the recordings in a report, gathered while they go by one at a time.

Axes: n minutes of a recording, k windows of a person, T minutes of a window, D days of all windows, P people kept, Q
quarters of an hour of a day.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from pat_keras.data.cohort import Cohort
from pat_keras.data.recording import Recording
from pat_keras.data.windows import DAY_MINUTES, Windows

QUARTERS = 96
NOT_LABELS = ("start_weekday", "same_recording_group")


@dataclasses.dataclass(frozen=True)
class Example:
    """One recording to look at.

    Attributes:
        recording: the part of it to show.
        nonwear: (n,) bool, minutes of that part that have a value but were not worn.
        reason: why it was rejected; "" if it was kept.
    """

    recording: Recording
    nonwear: np.ndarray = dataclasses.field(repr=False)
    reason: str


@dataclasses.dataclass(frozen=True)
class Account:
    """Numbers of the kept windows, and two examples; without ids.

    Attributes:
        worn: (D,) worn minutes of each day of the kept windows; a day of overlapping windows is there more than once.
        moving: (D,) worn minutes above zero.
        average_days: (P, Q) float32, mean activity of each kept person by the clock; NaN where never worn.
        kept: the first recording that was kept, its first window; None if there is none.
        rejected: the first recording whose windows were all refused, from its start; None if there is none.
    """

    worn: np.ndarray
    moving: np.ndarray
    average_days: np.ndarray
    kept: Example | None
    rejected: Example | None


class Accountant:
    """Gathers an `Account`."""

    def __init__(self) -> None:
        self._worn: list[np.ndarray] = []
        self._moving: list[np.ndarray] = []
        self._average_days: list[np.ndarray] = []
        self._kept: Example | None = None
        self._rejected: Example | None = None

    def keep(self, recording: Recording, windows: Windows) -> None:
        """Adds a person with windows."""
        days = windows.activity.reshape(-1, DAY_MINUTES)  # of all windows, one below the other
        self._worn.append(np.count_nonzero(~np.isnan(days), axis=1))
        self._moving.append(np.count_nonzero(days > 0, axis=1))
        self._average_days.append(_average_day(days, windows.starts[0].hour * 60 + windows.starts[0].minute))
        if self._kept is None:
            first = windows.first_minutes[0]
            last = first + windows.activity.shape[1]
            self._kept = Example(recording.slice(first, last), windows.nonwear[first:last], "")

    def reject(self, recording: Recording, windows: Windows) -> None:
        """Adds a person of whom no window can be used."""
        if self._rejected is None:
            self._rejected = Example(recording, windows.nonwear, windows.reason)

    def account(self) -> Account:
        """Everything so far."""
        none = [np.empty(0, dtype=np.int64)]
        return Account(
            worn=np.concatenate(self._worn or none),
            moving=np.concatenate(self._moving or none),
            average_days=np.array(self._average_days, dtype=np.float32).reshape(-1, QUARTERS),
            kept=self._kept,
            rejected=self._rejected,
        )


def _average_day(days: np.ndarray, first_minute: int) -> np.ndarray:
    """Mean activity (Q,) by quarter of an hour of days (d, 1440) that all begin at minute `first_minute` of the day."""
    worn = ~np.isnan(days)
    total = np.roll(np.where(worn, days, 0).sum(axis=0, dtype=np.float64), first_minute).reshape(QUARTERS, -1)
    n_worn = np.roll(worn.sum(axis=0), first_minute).reshape(QUARTERS, -1).sum(axis=1)  # (Q,)
    mean = np.full(QUARTERS, np.nan)
    return np.divide(total.sum(axis=1), n_worn, out=mean, where=n_worn > 0)


@dataclasses.dataclass(frozen=True)
class LabelCount:
    """How many people have which value of a label or covariate.

    Attributes:
        name: of the column.
        people: with a value.
        missing: people without.
        values: in words: people by value of a column of 0 and 1, else range and median.
        meaning: what its numbers mean.
    """

    name: str
    people: int
    missing: int
    values: str
    meaning: str


def label_counts(cohort: Cohort) -> list[LabelCount]:
    """The labels and covariates of a cohort that `assemble` made, counting people, not windows."""
    people = cohort.table.unique("participant_id", keep="first", maintain_order=True)
    return [
        LabelCount(name, people[name].count(), people[name].null_count(), _values(people[name].drop_nulls()), meaning)
        for name, meaning in cohort.metadata["columns"].items()
        if name in people.columns and name not in NOT_LABELS
    ]


def _values(values: pl.Series) -> str:
    if values.is_empty():
        return "none"
    if not values.dtype.is_numeric():
        return f"{values.n_unique()} different values"
    numbers = values.cast(pl.Float64).to_numpy()
    if np.isin(numbers, (0, 1)).all():
        return f"1: {np.count_nonzero(numbers == 1):,}, 0: {np.count_nonzero(numbers == 0):,}"
    return f"{numbers.min():g} to {numbers.max():g}, median {np.median(numbers):g}"
