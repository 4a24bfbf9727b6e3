"""Numbers of a column as names: of classes, of groups of people, of codes."""

from __future__ import annotations


def value_name(value: float) -> str:
    """A number so that no two have one name: 1000001 with all its digits, 2.5 as it is, 3.0 as 3.

    Example:
        >>> [value_name(value) for value in (3.0, 1000001.0, 2.5)]
        ['3', '1000001', '2.5']
    """
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)
