"""The table of labels as a file: its columns as they are written, its lines, and the participants' ids."""

from __future__ import annotations

import dataclasses
import io
import pathlib

import polars as pl
import polars_readstat

from pat_keras.data.readers.numbers import points_are_doubtful
from pat_keras.data.readers.sniff import read_rows
from pat_keras.data.readers.table_columns import ids_of
from pat_keras.data.readers.text_lines import blank_hint, decode, old_stata_format, split_lines, whole_rows
from pat_keras.errors import LabelError, RecordingError

_STATISTICS = (".xpt", ".sav", ".dta")
_TEXT = (".csv", ".tsv", ".txt")
_STATA_8 = 113  # number of its format; in those before it, other numbers stand for missing values


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """A table of labels.

    Attributes:
        path: of the file.
        columns: texts, or as the file typed them.
        lines: the line (or row, from 1) of each row.
        doubt_points: whether points may separate thousands in it, see `numbers.points_are_doubtful`.
    """

    path: pathlib.Path
    columns: pl.DataFrame = dataclasses.field(repr=False)  # rows of health data stay out of logs
    lines: pl.Series = dataclasses.field(repr=False)
    doubt_points: bool


def read_label_file(path: pathlib.Path) -> LabelFile:
    """Reads a table.

    Raises:
        LabelError: if it is not there, or can't be read.
    """
    if not path.is_file():
        raise LabelError(f"{path}: no such file. Give the table of labels by --labels.")
    suffix = path.suffix.lower()
    if suffix in _TEXT:
        try:
            text, _ = decode(path.read_bytes(), None, str(path))
            written = whole_rows(blank_hint(split_lines(text, str(path))), str(path))
            rows, lines, separator = read_rows(written, str(path))
        except RecordingError as error:
            raise LabelError(str(error)) from error
        return LabelFile(path, rows, lines, points_are_doubtful(separator, rows))
    try:
        if suffix == ".parquet":
            table = pl.read_parquet(io.BytesIO(path.read_bytes()))
        elif suffix in _STATISTICS:
            _check_stata(path)
            table = polars_readstat.scan_readstat(str(path), preserve_order=True, missing_string_as_null=True).collect()
        else:
            raise LabelError(
                f"{path}: labels come from a table that ends in {', '.join((*_TEXT, '.parquet', *_STATISTICS))}. Save "
                "it as one of these."
            )
    except (pl.exceptions.PolarsError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, LabelError):
            raise
        if old := _stata_format(path):
            raise _old_stata(path, old, f"can't be read ({str(error).splitlines()[0]})") from error
        raise LabelError(
            f"{path}: can't be read as {suffix} ({str(error).splitlines()[0]}); it may be cut short or of another "
            "kind. Copy or export it again."
        ) from error
    if not len(table):
        raise LabelError(f"{path}: has no row, expected one a person. Export it again.")
    lines = pl.Series("line", range(1, len(table) + 1), dtype=pl.Int64)
    return LabelFile(path, table, lines, points_are_doubtful("", table))


def _stata_format(path: pathlib.Path) -> int | None:
    """Number of the format of a .dta file of before Stata 13."""
    if path.suffix.lower() != ".dta":
        return None
    with path.open("rb") as file:
        return old_stata_format(file.read(4))


def _check_stata(path: pathlib.Path) -> None:
    old = _stata_format(path)
    if old is not None and old < _STATA_8:
        raise _old_stata(path, old, "is not read")


def _old_stata(path: pathlib.Path, number: int, what: str) -> LabelError:
    of = "8 to 12" if number >= _STATA_8 else "7 or older"
    return LabelError(
        f"{path}: is a Stata file of version {of} (format {number}) and {what}; expected one that Stata 13 or newer "
        "saved. Save it again there, or as CSV."
    )


def read_ids(file: LabelFile, name: str) -> pl.Series:
    """The ids in a column, as text.

    Raises:
        LabelError: if one is missing, or there twice.
    """
    column, lines, path = file.columns[name], file.lines, file.path
    ids = ids_of(column)
    missing = (ids.is_null() | (ids == "")).arg_true()
    if len(missing):
        at = int(missing[0])
        raise LabelError(
            f"{path}, line {lines[at]}: {name} is {column[at]!r}, expected a participant's id ({len(missing)} such "
            "lines). Fill it in or remove the line."
        )
    doubled = ids.is_duplicated().arg_true()
    if len(doubled):
        same = (ids == ids[int(doubled[0])]).arg_true()
        raise LabelError(
            f"{path}, line {lines[int(same[1])]}: {name} {ids[int(same[0])]!r} is there already, in line "
            f"{lines[int(same[0])]} ({ids.filter(ids.is_duplicated()).n_unique()} such ids); expected one row a "
            "person. Keep the right one."
        )
    return ids
