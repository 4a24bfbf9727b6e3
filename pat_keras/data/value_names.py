"""Numbers of a column as names: of classes, of groups of people, of codes."""

from __future__ import annotations

import numpy as np
import polars as pl


def value_name(value: float) -> str:
    """A number so that no two have one name: 1000001 with all its digits, 2.5 as it is, 3.0 as 3.

    Example:
        >>> [value_name(value) for value in (3.0, 1000001.0, 2.5)]
        ['3', '1000001', '2.5']
    """
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def as_written(numbers: pl.Series) -> pl.Series:
    """A column of numbers in 64 bits, NaN as null: in 32 bits, 0.1 is 0.10000000149011612, and is named 0.1.

    The shortest decimal that gives a number of 32 bits back is taken for it; no two numbers have the same, and their
    order stays.

    Example:
        >>> as_written(pl.Series([0.1, None, 3.0], dtype=pl.Float32)).to_list()
        [0.1, None, 3.0]
    """
    if numbers.dtype == pl.Float32:
        numbers = pl.Series(numbers.name, numbers.to_numpy().astype(np.str_).astype(np.float64))
    return numbers.cast(pl.Float64).fill_nan(None)
