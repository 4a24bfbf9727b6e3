"""Labels of a table (CSV, Parquet, SAS transport, SPSS, Stata), joined to a study by the participants' ids."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

import polars as pl

from pat_keras.data.label_codes import warning_of
from pat_keras.data.label_columns import columns_to_map, mapped, numbers_of, parts_of, ruled
from pat_keras.data.label_config import LabelConfig
from pat_keras.data.label_file import LabelFile, read_ids, read_label_file
from pat_keras.data.label_rules import PositiveRule, parse_map
from pat_keras.data.label_words import account_of
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.table_columns import quoted
from pat_keras.data.recording import Recording
from pat_keras.data.splits import PARTS
from pat_keras.errors import LabelError

_RESERVED = ("participant_id", "window", "start", "start_weekday", "activity")


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """Labels of people.

    Attributes:
        people: `participant_id` (text, once each), then columns of float64, null = missing; those that hold the parts
            of a split (train, validation, test) are text.
        meanings: of these columns.
        left_out: other columns of text, which were not asked for.
        where: name of the file.
        notes: what else was found in the table and done with it, by name, for people.
        warnings: sentences about numbers that likely stand for a missing value, and a rule that tells nobody apart.
    """

    people: pl.DataFrame = dataclasses.field(repr=False)
    meanings: dict[str, str]
    left_out: list[str]
    where: str
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)


def read_label_table(config: LabelConfig) -> LabelTable:
    """Reads a table and makes its labels.

    Raises:
        LabelError: if the file can't be read; a column is not there or holds no numbers; an id is missing or there
            twice; or a rule or mapping does not fit.
    """
    rule = PositiveRule.parse(config.positive) if config.positive is not None else None
    mapping = parse_map(config.mapping) if config.mapping is not None else {}
    file = read_label_file(pathlib.Path(config.path))
    _check_named(file, config, rule)
    ids = read_ids(file, config.id_column)
    names = config.columns or tuple(name for name in file.columns.columns if name != config.id_column)
    to_map: tuple[str, ...] = ()
    if mapping:
        to_map = config.columns if len(config.columns) == 1 else columns_to_map(file, names, mapping, config)
    values: dict[str, pl.Series] = {}
    table = LabelTable(pl.DataFrame(), {}, [], file.path.name)
    for name in names:
        if name in to_map:
            values[name] = mapped(file, name, mapping, config)
            table.meanings[name] = f"{name} of {table.where}, {config.mapping}"
        elif (parts := parts_of(file, name, config)) is not None:
            values[name] = parts
            table.meanings[name] = f"{', '.join(PARTS)} of {table.where}"
            told = f"parts of a split, for pat-finetune --split=column --split_column={name}"
            table.notes[f"{name} of {table.where}"] = told
        elif (numbers := numbers_of(file, name, config, name in config.columns)) is not None:
            values[name] = numbers
            table.meanings[name] = f"{name} of {table.where}"
        else:
            table.left_out.append(name)
    given = dict(values)  # to be looked through for codes
    if rule:
        if rule.column not in given:
            given[rule.column] = ruled(rule, file, config)
        values[config.name] = _positive(rule, given[rule.column], values, table, config)
    table.warnings.extend(_warnings({name: given[name] for name in given if name not in to_map}, table.where))
    _check_values(values, file, config)
    return dataclasses.replace(table, people=pl.DataFrame({"participant_id": ids, **values}))


def _check_named(file: LabelFile, config: LabelConfig, rule: PositiveRule | None) -> None:
    """Refuses names of columns that are not there, also those before the colon of missing values."""
    there = file.columns.columns
    for name in (config.id_column, *config.columns, *([rule.column] if rule else [])):
        if name not in there:
            raise LabelError(
                f"{file.path}: there is no column {name!r}; found {quoted(there)}. Choose by --label_id_column (or "
                "--id_column), --label_column and --positive."
            )
    for value in config.missing_values:
        column, colon, _ = value.partition(":")
        if (
            colon
            and column not in there
            and not any(value in column for column in file.columns if column.dtype == pl.String)
        ):
            raise LabelError(
                f"{file.path}: --label_missing_values={value}: there is no column {column!r}, and no {value!r} in the "
                f"table; found the columns {quoted(there)}. Give COLUMN:VALUE, or a value for every column."
            )


def _positive(
    rule: PositiveRule, given: pl.Series, values: dict[str, pl.Series], table: LabelTable, config: LabelConfig
) -> pl.Series:
    """The label that a rule makes of a column; its meaning, and what became of more than two words, go to `table`."""
    if config.name in values:
        raise LabelError(
            f"{config.path}: there is a column {config.name!r} already, so that the rule --positive={rule.text} needs "
            "another name. Give --label=NAME."
        )
    made = rule.apply(given)
    table.meanings[config.name] = f"1 {rule.text.strip()}, else 0 ({table.where})"
    known = made.drop_nulls()
    if known.n_unique() == 1:
        table.warnings.append(
            f"{config.name} is {int(known[0])} for all {len(known):,} people with a {rule.column} ({table.where}), so "
            f"that nothing can be learned: look at --positive={rule.text}."
        )
    if given.dtype == pl.String and given.drop_nulls().n_unique() > 2:
        note = account_of(given, made, rule.column != config.id_column)
        table.notes[f"people of {table.where} by {rule.column}, with their {config.name}"] = note
    return made


def _warnings(values: dict[str, pl.Series], where: str) -> list[str]:
    found = [warning_of(name, column, where) for name, column in values.items() if column.dtype.is_numeric()]
    return [words for words in found if words]


def _check_values(values: dict[str, pl.Series], file: LabelFile, config: LabelConfig) -> None:
    for name in values:
        if name in _RESERVED:
            raise LabelError(f"{file.path}: {name!r} is a name that every cohort uses itself. Rename the column.")
    if not values:
        raise LabelError(
            f"{file.path}: no column holds numbers beside {config.id_column!r}; found {quoted(file.columns.columns)}. "
            "Make numbers of a text by --label_column and --map=yes=1,no=0, or by --positive; name what stands for a "
            "missing value, such as refused, by --label_missing_values."
        )


def join_labels(study: Study, table: LabelTable) -> Study:
    """The study with the table's labels. Who is in only one of both becomes a rejection, so that everybody is counted.

    Raises:
        LabelError: if a column is in both; or, when the recordings are iterated, if no id is.
    """
    columns = [name for name in table.people.columns if name != "participant_id"]
    clash = [name for name in columns if name in study.people.columns]
    if clash:
        raise LabelError(
            f"{table.where}: the column {clash[0]!r} is one of {study.name}, too. Choose others by --label_column, or "
            "rename it."
        )
    people = study.people.join(table.people, on="participant_id", how="full", coalesce=True)
    if table.left_out:
        study.reading[f"columns of text in {table.where} left out"] = ", ".join(table.left_out)
    study.reading.update(table.notes)

    def missing_label(label: str, participant_id: str) -> str:
        return f"no {label} in {table.where}" if label in columns else study.missing_label(label, participant_id)

    return dataclasses.replace(
        study,
        people=people,
        warnings=(*study.warnings, *table.warnings),
        recordings=_matched(study.recordings, table, study.ids_are_file_names),
        labels={**study.labels, **table.meanings},
        missing_label=missing_label,
    )


def _matched(
    recordings: Iterator[Recording | Rejection], table: LabelTable, file_names: bool
) -> Iterator[Recording | Rejection]:
    labelled = set(table.people["participant_id"])
    alike = {_bare(one): one for one in labelled}
    read: list[str] = []
    for item in recordings:
        read.append(item.participant_id)
        if isinstance(item, Recording) and item.participant_id not in labelled:
            other = alike.get(_bare(item.participant_id))
            detail = f"but one of {other!r}: if that is the same person, write them alike" if other else ""
            item = Rejection(item.participant_id, f"no row in {table.where}", detail)
        yield item
    if read and not labelled & set(read):
        bare = {_bare(one) for one in read} & alike.keys()
        hint = (
            " Without leading zeros, capital letters and what spreadsheets add (.0, =) some would match: write them "
            "alike."
            if bare
            else ""
        )
        alike_by = ", or take them out of the names of the files by --id_pattern" if file_names else ""
        raise LabelError(
            f"{table.where}: no id is one of a recording: ids such as {quoted(sorted(labelled)[:3])}, expected such as "
            f"{quoted(sorted(read)[:3])}.{hint} Choose another column by --label_id_column, or make the ids alike"
            f"{alike_by}."
        )
    without = labelled.difference(read)
    for person in table.people["participant_id"]:
        if person in without:
            yield Rejection(person, f"in {table.where}, but without a recording")


def _bare(participant_id: str) -> str:
    """An id without what spreadsheets and typists change: `="001"`, `001.0`, leading zeros, and capital letters."""
    return participant_id.removeprefix('="').removesuffix('"').removesuffix(".0").lstrip("0").casefold()
