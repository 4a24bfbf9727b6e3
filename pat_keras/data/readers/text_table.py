"""Rows of a device's text export, with the line of the file that each came from."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl

from pat_keras.errors import RecordingError


@dataclasses.dataclass(frozen=True)
class TextTable:
    """Fields of a table as text, blanks around them taken off.

    Attributes:
        where: the file, for messages.
        columns: names, in the file's order.
        fields: column -> texts of all rows; null where a row ended before it.
        lines: (n,) number of the line in the file of each row, from 1.
    """

    where: str
    columns: tuple[str, ...]
    fields: dict[str, pl.Series]
    lines: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    def text(self, column: str) -> pl.Series:
        """A column as text.

        Raises:
            RecordingError: if a row ends before it.
        """
        texts = self.fields[column]
        short = texts.is_null().arg_true()
        if len(short):
            raise RecordingError(
                f"{self.where}, line {self.lines[int(short[0])]}: the line ends before the column {column!r} "
                f"({len(short)} such lines). The file may be cut short there: copy or export it again."
            )
        return texts

    def number(self, column: str, *, missing: Sequence[str] = (), decimal_comma: bool = False) -> np.ndarray:
        """A column as float64, NaN for the texts in `missing` (upper and lower case are the same).

        Raises:
            RecordingError: for the first text that is neither a number nor one of these, and if a row is too short.
        """
        texts = self.text(column)
        clean = texts.str.replace(",", ".", literal=True) if decimal_comma else texts
        values = clean.cast(pl.Float64, strict=False)
        absent = texts.str.to_lowercase().is_in([text.lower() for text in missing])
        bad = ((values.is_null() | ~values.is_finite()) & ~absent).arg_true()
        if len(bad):
            at = int(bad[0])
            expected = f"a number or {', '.join(map(repr, missing))}" if missing else "a number"
            raise RecordingError(
                f"{self.where}, line {self.lines[at]}: {column} is {texts[at]!r}, expected {expected} ({len(bad)} such "
                "lines). Correct the line, or export the file again."
            )
        numbers = values.to_numpy().astype(np.float64)
        numbers[absent.to_numpy()] = np.nan
        return numbers


def read_table(lines: Sequence[str], first_line: int, separator: str, columns: Sequence[str], where: str) -> TextTable:
    """Splits lines into fields; blank lines, or lines of separators alone, are left out.

    Args:
        lines: without line ends; fields may stand in double quotes.
        first_line: number of the first of them in the file.
        separator: one character.
        columns: names of the first fields of a line; further fields are not looked at.
        where: the file, for messages.

    Raises:
        RecordingError: if there is no row at all.
    """
    text = pl.Series(lines, dtype=pl.String)
    kept = (text.str.strip_chars(separator + ' "\t') != "").arg_true().to_numpy()
    if not kept.size:
        raise RecordingError(
            f"{where}, line {first_line}: there is no row of data from here on. Export the recording again."
        )
    text = text.gather(kept)
    if text.str.contains('"', literal=True).any():
        rows = pl.Series(_split_quoted(text.to_list(), separator, f"{where}, from line {first_line} on"))
    else:
        rows = text.str.split(separator)
    fields = {name: rows.list.get(i, null_on_oob=True).str.strip_chars() for i, name in enumerate(columns) if name}
    return TextTable(where, tuple(columns), fields, kept + first_line)


def _split_quoted(lines: list[str], separator: str, place: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise RecordingError(f"{place}: the fields can't be told apart ({error}). Export the file again.") from error
    if len(rows) != len(lines):
        raise RecordingError(
            f"{place}: a quotation mark is not closed on its line. Correct it, or export the file again."
        )
    return rows


def split_line(line: str, separator: str) -> list[str]:
    """The fields of one line, without quotes and blanks around them."""
    return [field.strip() for field in next(csv.reader([line], delimiter=separator)) or [""]]
