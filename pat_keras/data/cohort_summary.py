"""A cohort in a few lines of counts; no line is about one person.

Axes: B windows, T minutes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.cohort_checks import BLOCK, KEY_COLUMNS
from pat_keras.data.value_names import as_written, value_name

_FEW_VALUES = 10  # a column with more different values is summed up by its range


def describe(activity: np.ndarray, table: pl.DataFrame, metadata: dict[str, Any]) -> str:
    """What `Cohort.describe` returns."""
    n_windows, length = activity.shape
    per_person = table.group_by("participant_id").len()["len"].to_list()
    missing = sum(int(np.isnan(activity[first : first + BLOCK]).sum()) for first in range(0, n_windows, BLOCK))
    epoch_length = metadata["epoch_length"]
    lines = [
        f"source: {metadata['source']}" + (" (synthetic: no real people)" if metadata["synthetic"] else ""),
        f"people: {len(per_person)}, windows: {n_windows} ({min(per_person)} to {max(per_person)} a person)",
        f"window: {length} samples of {epoch_length} s ({length * epoch_length / 86400:g} days)",
        f"unit: {metadata['unit']}",
        f"missing: {missing} of {activity.size} samples ({missing / activity.size:.2%})",
    ]
    lines += [_describe_column(table, name) for name in table.columns if name not in KEY_COLUMNS]
    for step in metadata.get("funnel", []):
        reason = f" ({step['reason']})" if step.get("reason") else ""
        lines.append(f"funnel: {step.get('step')}: {step.get('people')} people{reason}")
    return "\n".join(lines)


def _describe_column(table: pl.DataFrame, name: str) -> str:
    """How many people have each value of a column, or its range."""
    column = pl.col(name).fill_nan(None) if table.schema[name].is_float() else pl.col(name)
    people = table.select("participant_id", column.alias("value")).unique()
    known = people.drop_nulls()
    n_missing = people["participant_id"].n_unique() - known["participant_id"].n_unique()
    counts = known.group_by("value").len().sort("value")
    if counts.height <= _FEW_VALUES:
        known_values = as_written(counts["value"]) if counts.schema["value"].is_float() else counts["value"]
        values = [value_name(one) if isinstance(one, float) else str(one) for one in known_values]
        found = ", ".join(f"{one}: {count} people" for one, count in zip(values, counts["len"], strict=True))
    elif known.schema["value"].is_numeric():
        numbers = known["value"]
        found = f"{_short(numbers.min())} to {_short(numbers.max())}, median {_short(numbers.median())}"
    else:
        found = f"{counts.height} different values"
    return f"{name}: " + "; ".join(part for part in (found, f"missing: {n_missing} people") if part)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
