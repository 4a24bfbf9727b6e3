"""What must hold of a cohort's activity, table and metadata.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from pat_keras.errors import CohortError

KEY_COLUMNS = ("participant_id", "window", "start")
RESERVED = (*KEY_COLUMNS, "activity")
BLOCK = 1024  # windows handled at once: 41 MB of float32 weeks


def check_activity(activity: Any, where: str) -> np.ndarray:
    """`activity` as a read-only float32 array (B, T), NaN = missing.

    Raises:
        CohortError: if it is not two-dimensional, empty, not numeric, or has infinite values.
    """
    try:
        array = np.asarray(activity)
    except ValueError:
        raise CohortError(
            f"{where}: the windows of activity have different lengths, expected the same number of minutes in each. "
            "Cut them to windows of equal length first."
        ) from None
    if array.dtype.kind not in "fiu":
        raise CohortError(
            f"{where}: activity has the type {array.dtype}, expected numbers (float32). "
            "Convert it, with NaN for missing minutes."
        )
    if array.ndim != 2:
        raise CohortError(
            f"{where}: activity has the shape {array.shape}, expected (windows, minutes). "
            "Give one row of minutes for each window."
        )
    if 0 in array.shape:
        raise CohortError(f"{where}: there is no window in it (activity: {array.shape}). Check what was kept.")
    checked = np.empty(array.shape, np.float32) if array.dtype != np.float32 else array.view()
    for first in range(0, len(array), BLOCK):
        block = slice(first, first + BLOCK)
        if checked.base is None:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
                checked[block] = array[block]
        bad = np.isinf(checked[block])
        if bad.any():
            row, minute = np.argwhere(bad)[0]
            raise CohortError(
                f"{where}: activity has infinite values (the first in window {first + row}, minute {minute}), expected "
                "finite numbers, or NaN for missing minutes. Replace them."
            )
    checked.flags.writeable = False
    return checked


def check_table(table: pl.DataFrame, n_windows: int, where: str) -> pl.DataFrame:
    """The table with its key columns first, in their types; `window` and `start` are added where absent.

    An absent `window` is the number of the row within its person; an absent `start` is null.

    Raises:
        CohortError: for a missing or ill-typed column, a row count other than `n_windows`, an empty id, or two rows of
            the same person and window.
    """
    if table.height != n_windows:
        raise CohortError(
            f"{where}: {n_windows} windows of activity, but {table.height} rows in the table; expected one row for "
            "each."
        )
    if "participant_id" not in table.columns:
        raise CohortError(
            f"{where}: there is no column participant_id (the columns are {', '.join(table.columns) or 'none'}). "
            "Add it, as text: who wore the device."
        )
    if "activity" in table.columns:
        raise CohortError(f"{where}: the name activity is that of the recordings. Rename this column of the table.")
    table = _check_ids(table, where)
    if "window" not in table.columns:
        table = table.with_columns(pl.int_range(pl.len()).over("participant_id").alias("window"))
    if "start" not in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias("start"))
    table = _check_window(table, where)
    table = _check_start(table, where)
    for name, dtype in table.schema.items():
        if not (dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean, pl.Null)):
            if dtype not in (pl.Categorical, pl.Enum):
                raise CohortError(
                    f"{where}: column {name} has the type {dtype}, expected numbers, text, dates or true/false. "
                    "Convert or drop it."
                )
            table = table.with_columns(pl.col(name).cast(pl.String))
    twice = int(table.select("participant_id", "window").is_duplicated().sum())
    if twice:
        raise CohortError(
            f"{where}: {twice} rows share their participant_id and window with another row, expected each pair once. "
            "Number the windows of a person 0, 1, 2, ..., or drop what is there twice."
        )
    return table.select(*KEY_COLUMNS, pl.exclude(*KEY_COLUMNS))


def _check_ids(table: pl.DataFrame, where: str) -> pl.DataFrame:
    dtype = table.schema["participant_id"]
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise CohortError(
            f"{where}: participant_id has the type {dtype}, expected text (as a number, 0012 becomes 12). Read the ids "
            "as text, or cast them: pl.col('participant_id').cast(pl.String)."
        )
    table = table.with_columns(pl.col("participant_id").cast(pl.String))
    blank = int((table["participant_id"].fill_null("").str.strip_chars() == "").sum())
    if blank:
        raise CohortError(f"{where}: {blank} rows have no participant_id, expected one in each. Fill or drop them.")
    return table


def _check_window(table: pl.DataFrame, where: str) -> pl.DataFrame:
    window = table["window"]
    if not window.dtype.is_integer() or window.null_count() or int(window.min()) < 0:  # type: ignore[arg-type]
        raise CohortError(
            f"{where}: column window has the type {window.dtype}, {window.null_count()} nulls and the minimum "
            f"{window.min()!r}; expected whole numbers from 0, the number of the window within its person."
        )
    return table.with_columns(pl.col("window").cast(pl.Int32))


def _check_start(table: pl.DataFrame, where: str) -> pl.DataFrame:
    dtype = table.schema["start"]
    if dtype == pl.Null:
        return table.with_columns(pl.col("start").cast(pl.Datetime("us")))
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is not None:
        raise CohortError(
            f"{where}: column start has the type {dtype}, expected a date and time without time zone (the local clock "
            "at the window's first minute). Convert it, for instance by dt.replace_time_zone(None)."
        )
    return table.with_columns(pl.col("start").cast(pl.Datetime("us")))


def check_metadata(metadata: Mapping[str, Any] | None, where: str) -> dict[str, Any]:
    """A copy of `metadata` as JSON would give it back, with `source`, `unit`, `epoch_length` and `synthetic` present.

    Raises:
        CohortError: if JSON can't hold it, or the epoch length is not a positive number of seconds.
    """
    values = {"source": "unknown", "unit": "unknown", "epoch_length": 60, "synthetic": False, **(metadata or {})}
    try:
        checked: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError) as problem:
        raise CohortError(f"{where}: the metadata can't be written as JSON ({problem}). Use plain values.") from None
    epoch_length = checked["epoch_length"]
    if isinstance(epoch_length, bool) or not isinstance(epoch_length, int) or epoch_length < 1:
        raise CohortError(f"{where}: epoch_length is {epoch_length!r}, expected seconds between samples, such as 60.")
    return checked


def canonical_bytes(values: np.ndarray) -> bytes:
    """The bytes of an array of floats, with one NaN and one zero (IEEE 754 has many NaNs and two zeros)."""
    values = values + values.dtype.type(0)  # a copy in which -0.0 is 0.0
    values[np.isnan(values)] = np.nan
    return values.tobytes()
