"""Columns of a table of labels: as numbers, by a map of texts to numbers, or as a rule needs them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pat_keras.data.label_config import LabelConfig
from pat_keras.data.label_file import LabelFile
from pat_keras.data.label_rules import PositiveRule
from pat_keras.data.label_words import check_answers
from pat_keras.data.readers.numbers import MISSING, is_number, missing_numbers, read_numbers
from pat_keras.data.readers.table_columns import id_texts
from pat_keras.data.splits import PARTS
from pat_keras.errors import LabelError

_TINY = 1e-70  # see readers/xpt.py: a zero that another program misread


def given_texts(column: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    """A column as texts, those that stand for a missing value as null."""
    texts = column.cast(pl.String)
    absent = texts.str.to_lowercase().is_in(list(MISSING)) | texts.is_in(list(missing))
    return texts.to_frame("t").select(pl.when(~absent).then(pl.col("t"))).to_series()


def numbers_of(file: LabelFile, name: str, config: LabelConfig, asked: bool = False) -> pl.Series | None:
    """A column as float64, null = missing; None if it holds text and was not asked for.

    Raises:
        LabelError: if it holds text (or another type that is no number) and was asked for; if a decimal mark can't be
            told from a separator of thousands; or for an infinite number.
    """
    column, lines, path = file.columns[name], file.lines, file.path
    missing = config.missing_of(name)
    place = f"{path}, line {{line}}: {name}"
    if column.dtype == pl.String:
        texts = given_texts(column, missing).drop_nulls()
        if not asked and not all(map(is_number, texts.to_list())):
            return None
        try:
            values, _ = read_numbers(column, lines, None, missing, place, LabelError, file.doubt_points)
        except LabelError as error:
            if all(map(is_number, texts.to_list())):
                raise
            words = [text for text in texts.unique().sort() if not is_number(text)]
            examples = ", ".join(map(repr, words[:4]))
            raise LabelError(f"{error} Texts such as {examples} become numbers by --map=yes=1,no=0.") from None
        return values
    if not column.dtype.is_numeric() and column.dtype not in (pl.Boolean, pl.Null):
        if asked:
            raise LabelError(f"{path}: the column {name!r} is of the type {column.dtype}, expected numbers.")
        return None
    given = column.cast(pl.Float64).fill_nan(None).to_frame("v")
    value = pl.when(pl.col("v").abs() < _TINY).then(0.0).otherwise("v")
    values = given.select(pl.when(~pl.col("v").is_in(missing_numbers(missing))).then(value)).to_series()
    if values.is_infinite().any():
        at = int(values.is_infinite().arg_true()[0])
        raise LabelError(f"{place.format(line=lines[at])} is infinite, expected a number or a blank. Correct it.")
    return values


def mapped(file: LabelFile, name: str, mapping: dict[str, float], config: LabelConfig) -> pl.Series:
    """A column as the numbers (float64) that a map has for its texts, null = missing.

    Raises:
        LabelError: for a text that the map does not have, and that stands for no missing value.
    """
    column = file.columns[name]
    texts = id_texts(column).fill_null(column.cast(pl.String)).fill_null("")  # 1.0 is 1, and 1.5 is not missing
    absent = texts.str.to_lowercase().is_in(list(MISSING)) | texts.is_in(list(config.missing_of(name)))
    absent = absent & ~texts.is_in(list(mapping))
    unknown = (~absent & ~texts.is_in(list(mapping))).arg_true()
    if len(unknown):
        at = int(unknown[0])
        raise LabelError(
            f"{file.path}, line {file.lines[at]}: {name} is {texts[at]!r}, which --map={config.mapping} does not have "
            f"({len(unknown)} such lines). Add it to the mapping, or to --label_missing_values."
        )
    return texts.replace_strict(mapping, default=None, return_dtype=pl.Float64)


def columns_to_map(
    file: LabelFile, names: Sequence[str], mapping: dict[str, float], config: LabelConfig
) -> tuple[str, ...]:
    """Which of several columns a map is for: those of text whose every word it has.

    Raises:
        LabelError: if it has some words of a column and not all, or of no column any.
    """
    words = {name: _words(file, name, mapping, config) for name in names}
    words = {name: found for name, found in words.items() if found}
    fitting = tuple(name for name, found in words.items() if not mapping.keys().isdisjoint(found))
    for name in fitting:
        lacking = [word for word in words[name] if word not in mapping]
        if lacking:
            raise LabelError(
                f"{file.path}: --map={config.mapping} has some of the words of {name}, but not "
                f"{', '.join(map(repr, lacking[:4]))}. Add them to the mapping or to --label_missing_values, or name "
                f"the columns to take without {name!r} by --label_column."
            )
    if not fitting:
        there = [f"{name!r} has {', '.join(map(repr, found[:3]))}" for name, found in words.items()]
        raise LabelError(
            f"{file.path}: --map={config.mapping} has no word of any column of text; found: "
            f"{'; '.join(there[:4]) or 'no such column'}. Write the words as in the table; to map a column of numbers, "
            "give it as the one --label_column."
        )
    return fitting


def _words(file: LabelFile, name: str, mapping: dict[str, float], config: LabelConfig) -> list[str]:
    """The different texts of a column that are not missing, or that the map has; [] if all are numbers."""
    column = file.columns[name]
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return []
    texts = id_texts(column).drop_nulls()
    given = given_texts(texts, config.missing_of(name)).is_not_null()
    words = texts.filter(given | texts.is_in(list(mapping))).unique().sort().to_list()
    return words if any(not is_number(word) or word.lower() in MISSING for word in words) else []


def parts_of(file: LabelFile, name: str, config: LabelConfig) -> pl.Series | None:
    """A column of the words train, validation and test alone as text, null = missing; None for any other column."""
    column = file.columns[name]
    if column.dtype != pl.String:
        return None
    texts = given_texts(column, config.missing_of(name))
    found = set(texts.drop_nulls())
    return texts if found and found <= set(PARTS) else None


def ruled(rule: PositiveRule, file: LabelFile, config: LabelConfig) -> pl.Series:
    """The column that a rule is about: as numbers, or if it holds none as text with missing ones null.

    Raises:
        LabelError: if the rule compares with numbers and the column holds both numbers and texts: a text such as
            "unknown" is no number unequal to 1, and who has it would be counted as negative. Or if a rule of texts
            meets one that is likely no answer, see `label_words.check_answers`.
    """
    numbers = numbers_of(file, rule.column, config)
    if numbers is not None:
        return numbers
    given = given_texts(file.columns[rule.column], config.missing_of(rule.column))
    wordy = given.map_elements(lambda text: not is_number(text), return_dtype=pl.Boolean).fill_null(False)
    if rule.of_numbers and wordy.sum() < given.count():
        at = int(wordy.arg_true()[0])
        raise LabelError(
            f"{file.path}, line {file.lines[at]}: {rule.column} is {given[at]!r}, but --positive={rule.text} compares "
            f"numbers ({wordy.sum()} such lines). If it stands for a missing value, give "
            f"--label_missing_values={given[at]}; else correct the line."
        )
    check_answers(rule, given, file)
    return given
