"""A cohort: windows of activity, one row each of ids, times, labels and covariates, and where all of it comes from.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data import cohort_checks, cohort_files, cohort_join, cohort_summary
from pat_keras.data.cohort_checks import BLOCK, KEY_COLUMNS
from pat_keras.errors import CohortError, LabelError


class Cohort:
    """Windows of activity of some people, with labels. Nothing in it changes: methods return a new cohort.

    A file is Parquet: the table's columns, a fixed-size list column `activity` (float32; NaN or null = missing), and
    the metadata as JSON under the key `pat_keras` of the file's key-value metadata. polars, pandas, Spark and Ray read
    it.

    Args:
        activity: (B, T) numbers, NaN = missing; kept as float32.
        table: one row a window: `participant_id` (text) first, then `window` (number within the person, from 0; counted
            in the order of rows if absent), `start` (local clock time of the first minute; null if absent or unknown),
            then labels and covariates (null = missing).
        metadata: JSON-able: `source`, `unit`, `epoch_length` (seconds), `synthetic`, `citation`, `funnel`, ...

    Attributes:
        activity: (B, T) float32, read-only.
        table: polars.DataFrame of B rows.
        metadata: dict.

    Raises:
        CohortError: if something is not as above: see `pat_keras.data.cohort_checks`.

    Example:
        >>> cohort = Cohort.from_arrays(np.ones((2, 1440)), labels=[0, 1], participant_id=["a", "b"])
        >>> cohort.n_people, cohort.length, cohort.label("label").tolist()
        (2, 1440, [0.0, 1.0])
    """

    def __init__(
        self,
        activity: np.ndarray,
        table: pl.DataFrame,
        metadata: Mapping[str, Any] | None = None,
        *,
        where: str = "cohort",
    ) -> None:
        self.activity = cohort_checks.check_activity(activity, where)
        self.table = cohort_checks.check_table(table, len(self.activity), where)
        self.metadata = cohort_checks.check_metadata(metadata, where)

    # In and out

    @classmethod
    def from_arrays(
        cls,
        activity: np.ndarray,
        labels: np.ndarray | Sequence[float] | None = None,
        label: str = "label",
        participant_id: np.ndarray | Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Cohort:
        """A cohort of arrays in memory.

        Args:
            activity: (B, T), NaN = missing.
            labels: (B,) numbers, NaN = missing; none if None.
            label: the name of their column.
            participant_id: (B,) text. If None, every row is taken as another person, named by its number.
            metadata: as for the class.

        Raises:
            CohortError: as the class, and if the lengths differ.
            LabelError: if the labels are not numbers.
        """
        columns: dict[str, Any] = {}
        n_windows = len(activity)
        if participant_id is None:
            columns["participant_id"] = [f"{row:06d}" for row in range(n_windows)]
        else:
            columns["participant_id"] = np.asarray(participant_id).tolist()
        if labels is not None:
            if label in cohort_checks.RESERVED:
                raise LabelError(f"cohort: a label can't be called {label!r}, which is another column. Choose a name.")
            values = np.asarray(labels)
            if values.dtype.kind not in "fiub" or values.ndim != 1:
                raise LabelError(
                    f"cohort: the labels have the type {values.dtype} and the shape {values.shape}, expected one "
                    f"number for each of the {n_windows} windows. Give 0 and 1, class numbers, or values to predict."
                )
            columns[label] = pl.Series(values.astype(np.float64), nan_to_null=True)
        lengths = {name: len(column) for name, column in columns.items()}
        if set(lengths.values()) != {n_windows}:
            found = ", ".join(f"{count} of {name}" for name, count in lengths.items())
            raise CohortError(f"cohort: {n_windows} windows of activity but {found}; expected one for each window.")
        return cls(activity, pl.DataFrame(columns), metadata)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Cohort:
        """Reads a Parquet file, written by `write` or by any program that keeps to the layout.

        Activity may also be a variable-size list, and of another type of number (rounded to float32).

        Raises:
            CohortError: if there is no such file, it is not Parquet or damaged, a column is missing or of a wrong type,
                windows differ in length, or anything else is not as the class expects.
        """
        activity, table, metadata = cohort_files.read_parquet(path)
        return cls(activity, table, metadata, where=str(path))

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Writes the Parquet file, whole or not at all.

        Raises:
            CohortError: if the file is there and `overwrite` is off, or it can't be written.
        """
        cohort_files.write_parquet(path, self.activity, self.table, self.metadata, overwrite)

    # What is in it

    @property
    def n_windows(self) -> int:
        """Windows (B)."""
        return len(self.activity)

    @property
    def n_people(self) -> int:
        """Different participants."""
        return self.table["participant_id"].n_unique()

    @property
    def length(self) -> int:
        """Minutes of a window (T); samples, where `epoch_length` is not 60."""
        return int(self.activity.shape[1])

    @property
    def participant_id(self) -> np.ndarray:
        """(B,) text: whose window it is."""
        return np.array(self.table["participant_id"].to_list(), dtype=np.str_)

    @property
    def columns(self) -> list[str]:
        """The labels and covariates there are."""
        return [name for name in self.table.columns if name not in KEY_COLUMNS]

    def columns_in_words(self) -> str:
        """The labels and covariates there are, for messages."""
        return ", ".join(self.columns) or "none"

    def label(self, name: str) -> np.ndarray:
        """(B,) float64 of a numeric or true/false column, NaN = missing.

        Raises:
            LabelError: if there is no such column, it holds text or dates, or infinite values.
        """
        if name not in self.columns:
            there = self.columns_in_words()
            raise LabelError(f"cohort: there is no label {name!r}; the labels and covariates are: {there}. Choose one.")
        column = self.table[name]
        if column.dtype != pl.Boolean and not column.dtype.is_numeric() and column.dtype != pl.Null:
            examples = ", ".join(repr(value) for value in column.drop_nulls().unique(maintain_order=True).head(5))
            raise LabelError(
                f"cohort: label {name!r} has the type {column.dtype} with values such as {examples}; expected numbers. "
                "Map it to numbers first, for instance 0 and 1."
            )
        values = column.cast(pl.Float64).to_numpy().copy()
        if np.isinf(values).any():
            raise LabelError(
                f"cohort: label {name!r} has {int(np.isinf(values).sum())} infinite values, expected finite numbers or "
                "missing. Replace them."
            )
        return values

    def content_hash(self) -> str:
        """SHA-256 (hex) of what a model can see: two cohorts with the same hash are the same data.

        Covered are the recordings, ids, windows, starts, every label and covariate, the unit and the epoch length. The
        order of rows and of columns is not, nor how numbers and missing values are stored (1 = 1.0, null = NaN), nor
        the other metadata. Windows are taken in the order of (participant_id, window).
        """
        order = self.table.select(pl.arg_sort_by("participant_id", "window")).to_series().to_numpy()
        digest = hashlib.sha256()
        digest.update(json.dumps([self.activity.shape, self.metadata["unit"], self.metadata["epoch_length"]]).encode())
        for name in sorted(self.table.columns):
            column = self.table[name].gather(order)
            digest.update(json.dumps([name]).encode())
            if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
                digest.update(cohort_checks.canonical_bytes(column.cast(pl.Float64).to_numpy()))
            else:
                digest.update(json.dumps(column.cast(pl.String).to_list()).encode())
        for first in range(0, self.n_windows, BLOCK):
            digest.update(cohort_checks.canonical_bytes(self.activity[order[first : first + BLOCK]]))
        return digest.hexdigest()

    def same_people(self) -> list[tuple[str, str]]:
        """Pairs of ids that share an identical day of recording: one person under two ids, or a device's old data.

        A split puts such a pair into two parts as any two people. Days that hardly change are not looked at: see
        `pat_keras.data.cohort_join.find_same_people`.
        """
        pairs = cohort_join.find_same_people([(self.activity, self.table["participant_id"].to_list())])
        return [(first[1], second[1]) for first, second in pairs]

    def describe(self) -> str:
        """A few lines of counts: people, windows, missing minutes, every label, and the funnel of what was kept."""
        return cohort_summary.describe(self.activity, self.table, self.metadata)

    # Parts and wholes

    def select(self, indices: np.ndarray | Sequence[int]) -> Cohort:
        """The windows at `indices` (numbers of rows, or one true/false a row), in that order.

        Raises:
            CohortError: if an index is out of range or twice there, or nothing is selected.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == np.bool_ and chosen.shape == (self.n_windows,):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise CohortError(
                f"cohort: the selection has the type {chosen.dtype} and the shape {chosen.shape}, expected numbers of "
                f"windows, or {self.n_windows} true/false values."
            )
        chosen = chosen.astype(np.int64)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < self.n_windows):
            raise CohortError(
                f"cohort: the selection asks for windows {chosen.min()} to {chosen.max()}, there are 0 to "
                f"{self.n_windows - 1}."
            )
        return Cohort(self.activity[chosen], self.table[chosen], self.metadata, where="the selected part of the cohort")

    def filter(self, *predicates: pl.Expr) -> Cohort:
        """The windows for which all `predicates` (polars expressions over the table) are true.

        Raises:
            CohortError: if an expression can't be computed, or no window is left.
        """
        try:
            kept = self.table.with_row_index("row of the cohort").filter(*predicates)["row of the cohort"]
        except pl.exceptions.PolarsError as problem:
            raise self._expression_error(problem) from None
        return self.select(kept.to_numpy())

    def with_columns(self, *expressions: pl.Expr | pl.Series, **named: pl.Expr | pl.Series) -> Cohort:
        """The cohort with columns added to its table or replaced, as `polars.DataFrame.with_columns` does.

        Raises:
            CohortError: if an expression can't be computed, or the table would no longer be that of a cohort.
        """
        try:
            table = self.table.with_columns(*expressions, **named)
        except pl.exceptions.PolarsError as problem:
            raise self._expression_error(problem) from None
        return Cohort(self.activity, table, self.metadata)

    def _expression_error(self, problem: Exception) -> CohortError:
        reason, there = str(problem).splitlines()[0], ", ".join(self.table.columns)
        return CohortError(f"cohort: the expression can't be computed ({reason}). The columns are {there}.")

    @staticmethod
    def concatenate(cohorts: Sequence[Cohort], same_people: str = "refuse") -> Cohort:
        """All windows of several cohorts, one after the other. A column that a cohort does not have is null there.

        Args:
            cohorts: at least one, of equal length, unit, axis and epoch length.
            same_people: "refuse", or "allow" people who are in two of them under different ids, found by their
                recordings. Splits are by id: a person with two ids can land in both training and test.

        Raises:
            CohortError: if the cohorts differ in length, unit, axis, epoch length or the kind of a column; a
                (participant_id, window) is there twice; or the same person has two ids.
        """
        return Cohort(*cohort_join.join([(part.activity, part.table, part.metadata) for part in cohorts], same_people))


def read_arrays(
    data_path: str | os.PathLike[str],
    labels_path: str | os.PathLike[str] | None = None,
    label: str = "label",
    participants_path: str | os.PathLike[str] | None = None,
) -> Cohort:
    """A cohort of arrays in .npy or .npz files, as the original program uses them. Pickled objects are never loaded.

    Args:
        data_path: `X`, (B, T) numbers without missing values.
        labels_path: `y`, (B,) or (B, 1) numbers, NaN = missing; no label if None.
        label: the name the labels get.
        participants_path: (B,) text or whole numbers, whose window it is. If None, every row is taken as another
            person.

    Raises:
        CohortError: if a file can't be read as an array of numbers, the shapes don't fit, or X has NaN or infinite
            values.
        LabelError: if y is not numbers, one for each row of X, or has infinite values.
    """
    activity, labels, participant_id = cohort_files.read_numpy(data_path, labels_path, participants_path)
    return Cohort.from_arrays(activity, labels, label, participant_id, {"source": pathlib.Path(data_path).name})


def check_is_cohort(given: object) -> None:
    """Refuses what is no cohort, such as the path of one.

    Raises:
        CohortError: if so.
    """
    if not isinstance(given, Cohort):
        found = repr(given) if isinstance(given, str | os.PathLike) else f"a {type(given).__name__}"
        raise CohortError(f"found {found}; expected a Cohort. Read a file of pat-prepare by Cohort.read(path).")
