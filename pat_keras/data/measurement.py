"""How a cohort was measured, beside its unit and epoch length: where in the day windows begin, and what was measured.

Axes: B windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

MIDNIGHT, VARIOUS = "00:00", "various times of day"


def is_unknown(unit: Any) -> bool:
    """Whether nobody said what the unit is: "unknown" of arrays, "unknown unit" of tables."""
    return not isinstance(unit, str) or unit.startswith("unknown")


def window_start(table: pl.DataFrame, metadata: Mapping[str, Any]) -> str | None:
    """The clock time that all windows of a cohort begin at, such as "00:00".

    Args:
        table: of the cohort, (B,) rows with `start`.
        metadata: of the cohort; where dates are withheld, its `windows` may still say that they begin at midnight.

    Returns:
        `VARIOUS` if they begin at several, None if that is not known.
    """
    if table["start"].null_count():
        return MIDNIGHT if (metadata.get("windows") or {}).get("start") == "midnight" else None
    times = table["start"].dt.strftime("%H:%M").unique()
    return times[0] if len(times) == 1 else VARIOUS


def common_start(starts: Sequence[str | None]) -> str | None:
    """Where windows begin that all of several models can take, which agree as far as they are bound to a time."""
    bound = next((start for start in starts if start not in (None, VARIOUS)), None)
    return bound or (VARIOUS if VARIOUS in starts else None)


def axis_of(metadata: Mapping[str, Any]) -> str | None:
    """The axis of counts or MIMS ("vertical", "vector_magnitude", "three_axes"); None if the cohort does not say.

    Devices of one axis don't say it, and neither do tables, nor NHANES cohorts of older versions: an axis that is not
    known goes with every other.
    """
    return (metadata.get("reading") or {}).get("axis")


def values_of(metadata: Mapping[str, Any]) -> str | None:
    """Which column of plain tables the values are, in quotation marks; None for other sources."""
    found = (metadata.get("reading") or {}).get("values")  # 'COLUMN' in UNIT, decimal comma
    return found and found.partition(f" in {metadata['unit']}")[0]
