"""Whose days a run learned from, kept in its folder, so that it is known later whom its models have seen.

People are found by what they did, not by their ids, which mean other people in another study, and which not every run
directory may hold. Of a day eight bytes of a hash are kept, from which no movement can be read.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable

import numpy as np

from pat_keras.data.cohort_join import day_hashes
from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError

FILE = "learned_days.npz"
_MODEL_FOLDERS = ("models", "members")  # of a run with several models


@dataclasses.dataclass(frozen=True)
class LearnedDays:
    """Days that a run learned from.

    Attributes:
        own: its own days.
        before: those of the runs whose weights it started from, as far as they tell.
        presets: names of presets that these started from.
    """

    own: frozenset[int] = frozenset()
    before: frozenset[int] = frozenset()
    presets: tuple[str, ...] = ()

    @classmethod
    def of(cls, activity: np.ndarray, rows: Iterable[int], weights: str, presets: Iterable[str]) -> LearnedDays:
        """Of a run that begins.

        Args:
            activity: (B, T) raw minutes.
            rows: windows that are learned from.
            weights: what the run starts from.
            presets: all there are.
        """
        own = frozenset(day for row in rows for day in _days(activity[row]))
        if weights in presets:
            return cls(own, presets=(weights,))
        started = beside(weights) or cls()
        return cls(own, started.own | started.before, started.presets)

    @classmethod
    def together(cls, parts: Iterable[LearnedDays]) -> LearnedDays:
        """Of models that predict as one."""
        own, before, presets = frozenset[int](), frozenset[int](), set[str]()
        for part in parts:
            own, before, presets = own | part.own, before | part.before, presets | {*part.presets}
        return cls(own, before, tuple(sorted(presets)))

    @classmethod
    def read(cls, folder: pathlib.Path) -> LearnedDays | None:
        """What a folder keeps; None for one that was written before there was such a file.

        Raises:
            RunError: if the file is damaged.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                own, before = (frozenset(kept[name].tolist()) for name in ("own", "before"))
                return cls(own, before, tuple(kept["presets"].tolist()))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise RunError(f"{path}: found a damaged file ({error}). Copy the whole folder again.") from None

    def write(self, folder: pathlib.Path) -> None:
        """Keep it in a folder."""
        own, before = (np.array(sorted(days), dtype=np.uint64) for days in (self.own, self.before))
        with atomic_write(folder / FILE, overwrite=True, error=RunError) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, own=own, before=before, presets=np.array(self.presets, dtype=np.str_))


def beside(weights: str | os.PathLike[str]) -> LearnedDays | None:
    """Of the run that weights, its folder or a file in it, come from; None where nothing is known."""
    if not str(weights):
        return None
    path = pathlib.Path(weights)
    folder = path if path.is_dir() else path.parent
    return LearnedDays.read(folder.parent if folder.name in _MODEL_FOLDERS else folder)


def people_with(
    days: frozenset[int], activity: np.ndarray, participant_id: np.ndarray, rows: Iterable[int] | None = None
) -> set[str]:
    """The people of (B, T) raw minutes, or of some rows of them, of whom one of these days is."""
    if not days:
        return set()
    rows = range(len(activity)) if rows is None else rows
    return {str(participant_id[row]) for row in rows if not days.isdisjoint(_days(activity[row]))}


def window_means(activity: np.ndarray, rows: Iterable[int] | None = None) -> list[float]:
    """Means of the windows (B, T), or of some rows of them, without those of which no minute is known."""
    windows = (activity[row] for row in (range(len(activity)) if rows is None else rows))
    return [float(np.nanmean(window, dtype=np.float64)) for window in windows if not np.isnan(window).all()]


def _days(window: np.ndarray) -> list[int]:
    return [int.from_bytes(digest[:8], "big") for digest in day_hashes(window)]
