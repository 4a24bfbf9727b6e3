"""Results of parts of the people: men and women, the young and the old, any column of the cohort.

Legend: n people (one row each), K classes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.cohort import Cohort
from pat_keras.data.value_names import as_written, value_name
from pat_keras.errors import CohortError
from pat_keras.evaluation import metrics

_NO_VALUE = ("missing", "no value")  # names of the group of those who have none; the second where a text is the first

# Fewer people than this, in all and of each class, give no result worth reading.
LEAST_PEOPLE = 10
LEAST_OF_CLASS = 5

_MOST_VALUES = 10  # more different numbers are cut into bands
_AGES = (18.0, 40.0, 60.0)


@dataclasses.dataclass(frozen=True)
class Groups:
    """Which group of a column each person is in.

    Attributes:
        column: of the cohort.
        names: of the groups, in order.
        of_person: participant_id -> the group's number.
        has_missing: whether the last group is of those who have no value.
    """

    column: str
    names: list[str]
    of_person: dict[str, int]
    has_missing: bool

    @property
    def known(self) -> list[str]:
        """Names of the groups of people who have a value."""
        return self.names[:-1] if self.has_missing else self.names


def groups_of(cohort: Cohort, column: str) -> Groups:
    """The groups of a column: its values; of more than ten numbers, bands.

    Ages (a column named age) are cut at 18, 40 and 60 years, other numbers at the thirds of the people.

    Raises:
        CohortError: if there is no such column, it has more than ten different texts, or the windows of one person
            differ in it.
    """
    if column not in cohort.columns:
        there = cohort.columns_in_words()
        raise CohortError(f"groups: found no column {column!r}, expected some of the cohort's: {there}.")
    table = cohort.table.select("participant_id", pl.col(column).alias("value")).unique()
    table = table.sort("participant_id", "value")
    torn = table.filter(pl.col("participant_id").is_duplicated())["participant_id"].n_unique()
    if torn:
        raise CohortError(
            f"subgroups: {torn} people have windows with different values of {column!r}, expected one value a person. "
            "Choose a column that is of people."
        )
    numeric = table["value"].dtype.is_numeric()
    value = as_written(table["value"]) if numeric else table["value"].cast(pl.String)
    different = value.drop_nulls().unique().sort()
    if numeric and len(different) > _MOST_VALUES:
        names, number = _bands(column, value.to_numpy().astype(np.float64))
    elif len(different) > _MOST_VALUES:
        raise CohortError(
            f"subgroups: {column!r} has {len(different)} different texts, expected at most {_MOST_VALUES}. Join them "
            "to fewer groups first, or choose another column."
        )
    else:
        names = [value_name(one) if numeric else one for one in different]
        number = different.search_sorted(value.fill_null(different[0] if len(different) else value)).to_numpy()
        number = np.where(value.is_null().to_numpy(), len(names), number)
    has_missing = value.null_count() > 0
    if has_missing:
        names = [*names, _NO_VALUE[_NO_VALUE[0] in names]]
    of_person = dict(zip(table["participant_id"].to_list(), number.tolist(), strict=True))
    return Groups(column, names, of_person, has_missing)


def _bands(column: str, value: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of bands, and the number of the band of each person (n,); missing ones come after the last."""
    known = value[~np.isnan(value)]
    if column == "age":
        edges = np.array(_AGES)
        names = ["<18", "18-39", "40-59", "60+"]
    else:
        # Cut at round numbers, so that a name says exactly who is in the band.
        edges = np.unique([float(f"{edge:.3g}") for edge in np.quantile(known, [1 / 3, 2 / 3])])
        ends = [value_name(edge) for edge in edges]
        between = [f"{low} to <{high}" for low, high in itertools.pairwise(ends)]
        names = [f"<{ends[0]}", *between, f">={ends[-1]}"]
    band = np.searchsorted(edges, value, side="right")
    there = np.unique(band[~np.isnan(value)])
    number = np.where(np.isnan(value), len(there), np.searchsorted(there, band))
    return [names[index] for index in there], number


def by_subgroup(
    groups: Groups,
    task: str,
    participant_id: np.ndarray,
    y: np.ndarray,
    prediction: np.ndarray,
    threshold: float | np.ndarray | None,
    seed: int,
    folds: int = 1,
    classes: Sequence[float] = (),
) -> list[dict[str, Any]]:
    """Every group's results, as `metrics.evaluate` gives them.

    A group of fewer than 10 people, or with fewer than 5 of a class, has its numbers of people alone, None for the
    task's first metric, and the reason.

    Args:
        groups: of a column.
        task: one of `config.TASKS`.
        participant_id: (n,) one row a person.
        y: (n,) labels.
        prediction: (n,) or (n, K).
        threshold: as for `metrics.evaluate`.
        seed: of the bootstrap.
        folds: as for `metrics.evaluate`.
        classes: labels of the classes as the cohort has them, where `y` has their numbers 0 ... K - 1.
    """
    number = np.array([groups.of_person[name] for name in participant_id.tolist()])
    results = []
    for index, name in enumerate(groups.names):
        own = number == index
        if not own.any():
            continue
        few = _too_few(task, y[own], y, classes)
        if few:
            scored: dict[str, Any] = {"n": int(own.sum()), **_counts(task, y[own])}
            scored |= {metrics.PRIMARY[task]: None, "reasons": {metrics.PRIMARY[task]: few}}
        else:
            cut = threshold[own] if isinstance(threshold, np.ndarray) else threshold
            scored = metrics.evaluate(task, y[own], prediction[own], cut, seed=seed, folds=folds)
        results.append({"group": name, **scored})
    return results


def _counts(task: str, y: np.ndarray) -> dict[str, int]:
    return {"n_positive": int(y.sum())} if task == "binary" else {}


def _too_few(task: str, y: np.ndarray, everybody: np.ndarray, classes: Sequence[float]) -> str:
    """Why a group gives no result; empty if it does."""
    if len(y) < LEAST_PEOPLE:
        return f"{len(y)} people, fewer than {LEAST_PEOPLE}"
    if task == "regression":
        return ""
    counts = [(int((y == value).sum()), value) for value in np.unique(everybody)]
    count, value = min(counts)
    if count >= LEAST_OF_CLASS:
        return ""
    label = classes[int(value)] if classes else value
    return f"{count} people of class {value_name(label)}, fewer than {LEAST_OF_CLASS}"
