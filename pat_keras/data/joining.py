"""Recordings of one person -> one recording: several visits, or one recording that was exported in parts.

Axes: n samples of the whole.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import itertools
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from pat_keras.data.readers.study import Rejection
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_T = TypeVar("_T", bound=Recording | Rejection)

SEVERAL_FILES = "several files of a person"  # key of `Study.reading`, see `by_person`
# Visits may be years apart, which within one file would be a wrong date; a clock that fell back to 1970 or 2000 is one.
MAX_APART = datetime.timedelta(days=10 * 366)


def by_person(items: Iterable[_T], reading: dict[str, str]) -> dict[str, list[_T]]:
    """What was read of each person, in the order of first appearance; says in `reading` how many have several.

    Args:
        items: recordings, or what stands for one, with a participant_id; all are read.
        reading: of the study, to which `SEVERAL_FILES` is added if anybody has several.
    """
    parts: dict[str, list[_T]] = collections.defaultdict(list)
    for item in items:
        parts[item.participant_id].append(item)
    several = sum(len(of_person) > 1 for of_person in parts.values())
    if several:
        reading[SEVERAL_FILES] = f"{several:,} people; their recordings are joined in order of time"
    return parts


def join_recordings(parts: Sequence[Recording]) -> Recording:
    """The recordings of one person, in order of time, as one; samples between them are NaN, and not worn.

    Args:
        parts: at least one, of one participant, in any order.

    Returns:
        (n,) samples from the first start to the last end. `wear` is kept if all parts have it.

    Raises:
        RecordingError: if two overlap, are more than ten years apart, or differ in unit, epoch length or in the second
            at which their epochs begin. Both files are named.
    """
    parts = sorted(parts, key=lambda part: (part.start, part.source))
    for before, part in itertools.pairwise(parts):
        _check_pair(before, part)
    first = parts[0]
    places = [(part.start - first.start) // datetime.timedelta(seconds=first.epoch_length) for part in parts]
    activity = np.full(places[-1] + len(parts[-1]), np.nan, dtype=np.float32)  # (n,)
    wear = None if any(part.wear is None for part in parts) else np.zeros(activity.shape, dtype=np.bool_)
    for place, part in zip(places, parts, strict=True):
        activity[place : place + len(part)] = part.activity
        if wear is not None:
            wear[place : place + len(part)] = part.wear
    sources = ", ".join(dict.fromkeys(part.source for part in parts))
    return dataclasses.replace(first, activity=activity, wear=wear, source=sources)


def _check_pair(before: Recording, part: Recording) -> None:
    """See that two recordings, the second of which begins later or at once, fit onto one grid."""
    place = f"{part.source}: recording of {part.participant_id!r}"
    for name in ("unit", "epoch_length"):
        found, expected = getattr(part, name), getattr(before, name)
        if found != expected:
            raise RecordingError(
                f"{place}: its {name} is {found!r}, that of the same person in {before.source} {expected!r}; "
                "recordings that are joined have one kind. Export both alike."
            )
    if part.start < before.end:
        until = min(part.end, before.end)
        minutes = (until - part.start) / datetime.timedelta(minutes=1)
        raise RecordingError(
            f"{place}: overlaps with the one in {before.source}: both hold {part.start} to {until} ({minutes:,.10g} "
            "min); expected recordings of a person one after the other. Take the doubled part out of one file, "
            "correct its dates, or, if they are of different people, give these different ids."
        )
    if (part.start - before.start) % datetime.timedelta(seconds=before.epoch_length):
        raise RecordingError(
            f"{place}: begins at {part.start}, the one in {before.source} at {before.start}; expected a whole number "
            f"of {before.epoch_length} s between them, for one grid of time. Write the times of both as whole minutes, "
            "with the seconds cut off."
        )
    if part.start - before.end > MAX_APART:
        years = (part.start - before.end).days / 365.25
        raise RecordingError(
            f"{place}: begins at {part.start}, {years:.0f} years after the end of the one in {before.source}, "
            f"{before.end}; more than ten are taken for a wrong date. Correct it."
        )
