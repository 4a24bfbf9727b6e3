"""Texts as numbers, with a decimal point or a decimal comma that is told from a thousands separator."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from pat_keras.data.readers.table_config import DECIMALS
from pat_keras.errors import LabelError, PATError, RecordingError

MISSING = ("", "na", "n/a", "nan", "null", "none")  # in small letters
# What only a decimal comma makes: no separator of thousands has other than three digits behind it, or 0 before it.
_DECIMAL_COMMA = r"^[-+]?(\d*,(\d{1,2}|\d{4,})|0*,\d+)$"
_THOUSANDS = r"^[-+]?[1-9]\d{0,2}([.,]\d{3})+$"
_NUMBER = re.compile(r"^[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?$|^[-+]?\d{1,3}([.,]\d{3})+([.,]\d+)?$")


def is_number(text: str) -> bool:
    """Whether a text is a number in some notation, or a word for a missing one."""
    return bool(_NUMBER.match(text)) or (bool(text) and text.lower() in MISSING)


def read_numbers(
    texts: pl.Series,
    lines: pl.Series,
    decimal: str | None,
    missing: Sequence[str],
    place: str,
    error: type[PATError] = RecordingError,
    doubt_points: bool = False,
) -> tuple[pl.Series, str]:
    """Texts as float64, missing values as null, and the decimal mark: "point", "comma", or "none" if no text has one.

    Args:
        texts: of a column.
        lines: of the file, for messages.
        decimal: a key of `DECIMALS`, or None to find out.
        missing: texts that stand for missing values, beside blanks, NA and NaN; numbers among them also as numbers.
        place: "FILE, line {line}: COLUMN", for messages.
        error: class of the errors.
        doubt_points: whether points may separate thousands where nothing but three digits stands behind any of them,
            see `points_are_doubtful`.

    Raises:
        PATError: (of class `error`) for the first text that is no number, or if the mark can't be told.
    """
    absent = texts.str.to_lowercase().is_in(list(MISSING)) | texts.is_in(list(missing)) | texts.is_null()
    given = texts.to_frame("t").select(pl.when(~absent).then(pl.col("t"))).to_series()
    mark = decimal or _find_mark(given, lines, place, error, doubt_points)
    plain = given.str.replace(",", ".", literal=True) if mark == "comma" else given
    values = plain.cast(pl.Float64, strict=False)
    wrong = values.is_null() & given.is_not_null()
    if mark == "comma":  # 1.5 among 1,5: not both can be decimal marks
        wrong = wrong | given.str.contains(".", literal=True).fill_null(False)
    bad = wrong.arg_true()
    if len(bad):
        at = int(bad[0])
        text = given[at]
        hint = f"Correct the line, or name what stands for a missing value by {_flag(error)}."
        if is_number(text):
            other = "" if error is LabelError else "give the other --decimal, or "
            hint = f"It was read with a decimal {mark}: {other}take thousands separators away."
        raise error(
            f"{place.format(line=lines[at])} is {text!r}, expected a number, NA or a blank ({len(bad)} such lines). "
            f"{hint}"
        )
    kept = values.to_frame("v").select(pl.when(~pl.col("v").is_in(missing_numbers(missing))).then(pl.col("v")))
    return kept.to_series().fill_nan(None), mark


def _flag(error: type[PATError]) -> str:
    """The flag that names missing values: a table of labels has its own."""
    return "--label_missing_values" if error is LabelError else "--missing_values"


def missing_numbers(missing: Sequence[str]) -> list[float]:
    """Those of the texts that stand for missing values which are numbers: -1 stands for -1.0, too."""
    return [float(text) for text in missing if _NUMBER.match(text) and "," not in text]


def points_are_doubtful(separator: str, columns: pl.DataFrame) -> bool:
    """Whether a file looks as if written with a decimal comma, so that a point in it may separate thousands.

    Args:
        separator: between its fields, a key of `SEPARATORS`; a spreadsheet writes semicolons where commas are decimal.
        columns: some of its rows, as texts; columns of other types are not looked at.
    """
    texts = [column for column in columns if column.dtype == pl.String]
    return separator == "semicolon" or any(column.str.contains(_DECIMAL_COMMA).any() for column in texts)


def _find_mark(
    texts: pl.Series, lines: pl.Series, place: str, error: type[PATError], doubt_points: bool = False
) -> str:
    marks = {name: texts.str.contains(mark, literal=True).fill_null(False) for name, mark in DECIMALS.items()}
    if marks["point"].any() and marks["comma"].any():
        at = int((marks["point"] | marks["comma"]).arg_true()[0])
        or_flag = "" if error is LabelError else ", or give --decimal"
        raise error(
            f"{place.format(line=lines[at])} has both points and commas in its numbers (such as {texts[at]!r}); "
            f"one of them may separate thousands. Take these away{or_flag}."
        )
    for name, marked in marks.items():
        if not marked.any():
            continue
        # Only such as 1,234: this is how thousands look, too, and no magnitude tells. A program that writes three
        # decimals behind a point (of BMI, of ENMO in mg) writes them behind every number: without whole numbers beside
        # them, and without a sign of decimal commas in the file, points are what they mostly are, decimal.
        thousands = texts.filter(marked).str.contains(_THOUSANDS).all()
        whole = texts.filter(~marked).drop_nulls().cast(pl.Float64, strict=False).count() > 0
        if thousands and (name == "comma" or whole or doubt_points):
            at = int(marked.arg_true()[0])
            settled = f"Give --decimal={name}, or take the thousands separators away."
            if error is LabelError:  # a table of labels has no such flag
                settled = (
                    f"If it is the decimal mark, write {texts[at]}0; if not, take the separators away; or leave the "
                    "column out by --label_column."
                )
            raise error(
                f"{place.format(line=lines[at])} is {texts[at]!r}, which is {texts[at].replace(DECIMALS[name], '')} if "
                f"the {name} separates thousands, and between one and a thousand if it is the decimal mark; nothing in "
                f"the file tells which. {settled}"
            )
        return name
    return "none"
