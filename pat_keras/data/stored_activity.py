"""Activity that need not be in memory: that of a cohort file, read by blocks of windows.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.cohort_checks import BLOCK, check_activity
from pat_keras.errors import CohortError


class StoredActivity:
    """The column `activity` of a Parquet file as something that can be sliced, `stored[a:b]` -> (b - a, T) float32.

    It serves where only slices of consecutive windows are looked at, as in `Standardizer.fit` and `detect_scaling`. One
    block of 1,024 windows is kept, so that reading a file from its start to its end reads each of its parts once.

    Args:
        path: of the file.
        dtype: of its column `activity`.
        n_windows: rows of the file.

    Raises:
        CohortError: if the column has no numbers, or windows differ in length; and when something is read that is
            damaged, missing or infinite.
    """

    ndim = 2

    def __init__(self, path: pathlib.Path, dtype: pl.DataType, n_windows: int) -> None:
        inner = getattr(dtype, "inner", None)
        if not isinstance(dtype, (pl.Array, pl.List)) or inner is None or not inner.is_numeric():
            raise CohortError(
                f"{path}: column activity has the type {dtype}, expected a list of numbers in each row (float32, NaN "
                "or null for missing minutes). Write it so."
            )
        self._path, self._block, self._first = path, np.empty((0, 0), np.float32), -1
        self._column = pl.scan_parquet(path).select("activity")
        self.shape = (n_windows, self._length(dtype))
        self._fixed = self._column.cast(pl.Array(pl.Float32, self.shape[1]))

    def _length(self, dtype: pl.DataType) -> int:
        """T, the same in every row."""
        if isinstance(dtype, pl.Array):
            return dtype.shape[0]
        with reading(self._path):
            minutes = pl.col("activity").list.len()
            lengths = self._column.select(low=minutes.min(), high=minutes.max()).collect()
        low, high = (value or 0 for value in lengths.row(0))
        if low != high:
            raise CohortError(
                f"{self._path}: the lists in column activity have from {low} to {high} minutes, expected the same "
                "length in every row. Cut the recordings to windows of equal length."
            )
        return low

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        low, high, step = part.indices(len(self))
        if step != 1:
            raise IndexError(f"StoredActivity: {part} is read, expected consecutive windows.")
        high = max(low, high)
        result = np.empty((high - low, self.shape[1]), np.float32)
        for first in range(low - low % BLOCK, high, BLOCK):
            start, stop = max(low, first), min(high, first + BLOCK)
            result[start - low : stop - low] = self._read(first)[start - first : stop - first]
        return result

    def _read(self, first: int) -> np.ndarray:
        """The block of windows from `first` on."""
        if self._first != first:
            with reading(self._path):
                block = self._fixed.slice(first, BLOCK).collect().to_series()
            if block.null_count():
                raise self._absent()
            self._block = check_activity(block.to_numpy(), f"{self._path}, windows from {first} on")
            self._first = first
        return self._block

    def _absent(self) -> CohortError:
        with reading(self._path):
            absent = self._column.select(pl.col("activity").null_count()).collect().item()
        return CohortError(
            f"{self._path}: {absent} of {len(self)} rows have no activity, expected {self.shape[1]} minutes in each. "
            "Drop them."
        )


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Says which file it is that can't be read."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as problem:
        advice = "The file is of another kind, cut off or damaged: make it again."
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            advice = "Make a cohort of tables by pat-prepare --source=csv."
        raise CohortError(
            f"{path}: can't be read as Parquet ({str(problem).splitlines()[0]}), expected a cohort. {advice}"
        ) from None


class Changed:
    """Activity of which each slice goes through a function of windows, (b, T) -> (b, T), when it is taken."""

    ndim = 2

    def __init__(self, activity: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._activity, self._change = activity, change
        self.shape: tuple[int, int] = activity.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        return self._change(self._activity[part])
