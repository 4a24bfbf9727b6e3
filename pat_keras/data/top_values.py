"""The largest values of a cohort: one that is there far too often stands for something else than movement.

Exports mark what is missing by 9999 or the like, and devices stop counting at a ceiling; no file tells of either.

Axes: k windows of a person, T minutes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_NEXT = 10  # values below the largest, to compare with
_LEAST_MINUTES = 20
_TIMES = 10  # as often as any of the next


class TopValues:
    """Counts of the eleven largest values, as windows come."""

    def __init__(self) -> None:
        self._found: dict[float, tuple[int, int]] = {}  # minutes and people, by value

    def add(self, activity: np.ndarray) -> None:
        """Count the minutes (k, T) of a person; NaN = missing."""
        least = min(self._found) if len(self._found) > _NEXT else -np.inf
        for value, minutes in zip(*np.unique(activity[activity >= least], return_counts=True), strict=True):
            before, people = self._found.get(float(value), (0, 0))
            self._found[float(value)] = before + int(minutes), people + 1
        self._found = {value: self._found[value] for value in sorted(self._found)[-_NEXT - 1 :]}

    def too_often(self) -> dict[str, Any] | None:
        """value, minutes and people of the largest value if it is there too often, and the next value; else None.

        That is 20 minutes or more, and ten times as many as of any of the ten next values. With fewer different values
        than eleven, as of intensities from 0 to 3, nothing is too often.
        """
        *others, largest = sorted(self._found) or [0.0]
        minutes, people = self._found.get(largest, (0, 0))
        if len(others) < _NEXT or minutes < _LEAST_MINUTES:
            return None
        if minutes < _TIMES * max(self._found[value][0] for value in others):
            return None
        return {"value": largest, "minutes": minutes, "people": people, "next": others[-1]}


def words_of(found: dict[str, Any], unit: str) -> str:
    """A sentence about what `too_often` found."""
    return (
        f"{found['minutes']:,} minutes of {found['people']:,} people are {found['value']:,.10g} {unit}, the largest "
        f"value there is, and the next is {found['next']:,.10g}. If it stands for a missing value, it is not movement: "
        "name it by --missing_values, or take it out. If it is the most that the device can count, it is kept as it is."
    )
