"""Rules that make a label of a column: `phq9 >= 10`, `group in {a, b}`, `yes=1,no=0`. Never evaluated as code."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable
from typing import Any

import polars as pl

from pat_keras.data.readers.numbers import is_number
from pat_keras.errors import LabelError

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_COMPARISON = re.compile(r"^\s*(?P<column>[^<>=!{}]+?)\s*(?P<operator>>=|<=|==|!=|>|<|=)\s*(?P<value>[^<>=!{}]+?)\s*$")
_MEMBERSHIP = re.compile(r"^\s*(?P<column>[^<>=!{}]+?)\s+in\s*\{(?P<values>[^{}]*)\}\s*$")
_FORM = "expected COLUMN, one of >= <= > < == !=, and a number, as in phq9>=10; or COLUMN in {1, 2}"


@dataclasses.dataclass(frozen=True)
class PositiveRule:
    """Which values of a column are positive (1); all others are 0, missing ones stay missing.

    Attributes:
        text: as it was given.
        column: name of the column.
        comparison: ">=", "<=", "==", "!=", ">", "<", "=" or "in".
        values: one to compare with, or those of the set.
    """

    text: str
    column: str
    comparison: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> PositiveRule:
        """Reads a rule.

        Raises:
            LabelError: if it is none.
        """
        if found := _COMPARISON.match(text):
            return cls(text, found["column"], found["operator"], (_unquoted(found["value"]),))
        if found := _MEMBERSHIP.match(text):
            values = tuple(_unquoted(value) for value in found["values"].split(",") if value.strip())
            if values:
                return cls(text, found["column"], "in", values)
        raise LabelError(f"--positive={text}: is no rule; {_FORM}.")

    @property
    def of_numbers(self) -> bool:
        """Whether it compares with numbers alone."""
        return all(map(is_number, self.values))

    def apply(self, values: pl.Series) -> pl.Series:
        """1.0 and 0.0, null = missing.

        Args:
            values: the column, of numbers or of texts.

        Raises:
            LabelError: if numbers are compared with a text, or texts by size; or if texts differ from the rule's in
                small and capital letters alone.
        """
        if values.dtype.is_numeric():
            numbers = [self._number(value) for value in self.values]
            if self.comparison == "in":
                return values.is_in(numbers).cast(pl.Float64)
            positive: pl.Series = _OPERATORS[self.comparison](values, numbers[0])
            return positive.cast(pl.Float64)
        if self.comparison in ("in", "==", "=", "!="):
            self._check_texts(values.drop_nulls().unique().sort().to_list())
        if self.comparison in ("in", "==", "="):
            return values.is_in(list(self.values)).cast(pl.Float64)
        if self.comparison == "!=":
            return (~values.is_in(list(self.values))).cast(pl.Float64)
        examples = ", ".join(map(repr, values.drop_nulls().unique().sort().head(4)))
        raise LabelError(
            f"--positive={self.text}: the column {self.column!r} holds text (such as {examples}), which has no size. "
            "Compare by == or in {...}, or make numbers of it first by --label_column and --map."
        )

    def _check_texts(self, texts: list[str]) -> None:
        """Refuses what would count as 0 but is likely the rule's value written otherwise."""
        plain = {value.strip().casefold() for value in self.values}
        alike = [text for text in texts if text.strip().casefold() in plain and text not in self.values]
        if alike:
            named = f"'{self.column} in {{{', '.join((*self.values, *alike))}}}'"
            raise LabelError(
                f"--positive={self.text}: the column {self.column!r} holds {', '.join(map(repr, alike))}, too, which "
                "differs in small and capital letters or blanks alone. Write them alike in the table"
                + ("." if self.comparison == "!=" else f", or name each: {named}.")
            )

    def _number(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise LabelError(
                f"--positive={self.text}: {text!r} is no number, but the column {self.column!r} holds numbers; {_FORM}."
            ) from None


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def parse_map(text: str) -> dict[str, float]:
    """`yes=1,no=0` as a mapping of texts to numbers.

    Raises:
        LabelError: if it is none, or a text is there twice.
    """
    mapping: dict[str, float] = {}
    for part in text.split(","):
        key, equals, value = part.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            equals = ""
            number = 0.0
        key = _unquoted(key)
        if not equals or not key or key in mapping or number != number or abs(number) == float("inf"):
            found = f"{key!r} is there twice" if key in mapping else f"{part!r} is no text=number"
            raise LabelError(f"--map={text}: {found}; expected each value once with its number, as in yes=1,no=0.")
        mapping[key] = number
    return mapping
