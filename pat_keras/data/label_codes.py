"""Numbers among labels that likely stand for a missing value: -9 and 99 among scores of 0 to 27.

Axes: P people of the table.
"""

from __future__ import annotations

import numpy as np
import polars as pl

_SIZES = (66, 77, 88, 99, 666, 777, 888, 999, 6666, 7777, 8888, 9999)
_CODES = (*_SIZES, *(-size for size in (7, 8, 9, *_SIZES)))
_CODES_OF_TWO = (7, 8, 9)  # beside answers of two values, as 1 and 2
_FAR = 2  # times the largest other value
_SMALL = (-1, -2, -3)  # codes if at most a tenth of ten people or more have a negative number
_FEW, _ENOUGH = 0.1, 10


def likely_codes(values: pl.Series) -> dict[float, int]:
    """The values that likely stand for a missing one, and how many people have each; in the order of size.

    That are usual codes (99, 777, ...) of more than twice the size of every other value, 7 to 9 beside answers of two
    values alone; and where nobody is negative otherwise, as of counts and scores, negative codes of any size, -1 to -3
    if few people have them. Ages up to 99, temperatures and z-scores have none.

    Args:
        values: (P,) numbers, null = missing.
    """
    given = values.drop_nulls().to_numpy()
    usual = np.isin(given, _CODES)
    answers = np.unique(given[~usual & ~np.isin(given, _CODES_OF_TWO)])
    if len(answers) == 2 and len(given) >= _ENOUGH:
        usual |= np.isin(given, _CODES_OF_TWO)
    negative = given < 0
    if len(given) >= _ENOUGH and negative.mean() <= _FEW:
        usual |= np.isin(given, _SMALL)
    others = given[~usual]
    if not others.size:
        return {}
    found, largest = np.zeros(len(given), dtype=bool), np.abs(others).max()
    for size in np.unique(np.abs(given[usual])):
        if size > _FAR * largest:
            found |= usual & (np.abs(given) == size)
        else:
            largest = max(size, largest)  # a true value, and the next may be close to it
    if not (others < 0).any() and negative.mean() < 0.5:
        found |= negative
    return {float(code): int(people) for code, people in zip(*np.unique(given[found], return_counts=True), strict=True)}


def warning_of(name: str, values: pl.Series, where: str) -> str | None:
    """A sentence about the likely codes of a column, or None if there are none.

    Args:
        name: of the column.
        values: (P,) numbers, null = missing.
        where: name of the file.
    """
    found = likely_codes(values)
    if not found:
        return None
    counts = ", ".join(
        f"{value:g} ({people:,} {'person' if people == 1 else 'people'})" for value, people in found.items()
    )
    others = values.filter(~values.is_in(list(found))).drop_nulls().to_numpy()
    flag = ",".join(f"{name}:{value:g}" for value in found)
    return (
        f"{name} of {where} has the value {counts}; all others are from {others.min():g} to {others.max():g}. If it "
        f"stands for a missing value, it is no number to learn from or to compare with a limit: give "
        f"--label_missing_values={flag}. If it is a true value, nothing is to be done."
    )
