"""Labels of a table (CSV, Parquet, SAS transport, SPSS, Stata), joined to a study by the participants' ids."""

from __future__ import annotations

import dataclasses
import io
import pathlib
from collections.abc import Iterator

import polars as pl
import polars_readstat

from pat_keras.data.label_rules import PositiveRule, parse_map
from pat_keras.data.readers.numbers import MISSING, is_number, missing_numbers, read_numbers
from pat_keras.data.readers.sniff import read_rows
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.table_columns import id_texts, quoted
from pat_keras.data.readers.text_lines import decode, split_lines
from pat_keras.data.recording import Recording
from pat_keras.errors import LabelError, RecordingError

_STATISTICS = (".xpt", ".sav", ".dta")
_TEXT = (".csv", ".tsv", ".txt")
_TINY = 1e-70  # see readers/xpt.py: a zero that another program misread
_RESERVED = ("participant_id", "window", "start", "start_weekday", "activity")


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """Which labels are made of a table.

    Attributes:
        path: of the table.
        id_column: name of the column with the participants' ids.
        columns: of labels and covariates; none for all that hold numbers.
        positive: a rule such as "phq9>=10", see `label_rules`; it makes a further column of 0 and 1.
        name: of that column.
        mapping: texts to numbers, such as "yes=1,no=0", for the one column in `columns`.
        missing_values: that stand for a missing label, beside blanks, NA and NaN.
    """

    path: str
    id_column: str = "participant_id"
    columns: tuple[str, ...] = ()
    positive: str | None = None
    name: str = "label"
    mapping: str | None = None
    missing_values: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """Labels of people.

    Attributes:
        people: `participant_id` (text, once each), then float64 columns, null = missing.
        meanings: of these columns.
        left_out: columns of text that were not asked for.
        where: name of the file.
    """

    people: pl.DataFrame = dataclasses.field(repr=False)
    meanings: dict[str, str]
    left_out: list[str]
    where: str


def read_label_table(config: LabelConfig) -> LabelTable:
    """Reads a table and makes its labels.

    Raises:
        LabelError: if the file can't be read; a column is not there or holds no numbers; an id is missing or there
            twice; or a rule or mapping does not fit.
    """
    rule = PositiveRule.parse(config.positive) if config.positive is not None else None
    mapping = parse_map(config.mapping) if config.mapping is not None else {}
    if mapping and len(config.columns) != 1:
        raise LabelError(f"--map={config.mapping}: says nothing of its column. Give one --label_column beside it.")
    path = pathlib.Path(config.path)
    raw, lines = _read(path)
    for name in (config.id_column, *config.columns, *([rule.column] if rule else [])):
        if name not in raw.columns:
            raise LabelError(
                f"{path}: there is no column {name!r}; found {quoted(raw.columns)}. Choose by --label_id_column (or "
                "--id_column), --label_column and --positive."
            )
    ids = _ids(raw[config.id_column], lines, config.id_column, path)
    values: dict[str, pl.Series] = {}
    left_out = []
    for name in config.columns or [name for name in raw.columns if name != config.id_column]:
        column = _numbers(raw[name], lines, name, mapping, config, path)
        if column is None:
            left_out.append(name)
        else:
            values[name] = column
    meanings = {name: f"{name} of {path.name}" for name in values}
    if mapping:
        meanings[config.columns[0]] += f", {config.mapping}"
    if rule:
        if config.name in values:
            raise LabelError(
                f"{path}: there is a column {config.name!r} already, so that the rule --positive={rule.text} needs "
                "another name. Give --label=NAME."
            )
        values[config.name] = rule.apply(_ruled(rule, values, raw, lines, config))
        meanings[config.name] = f"1 {rule.text.strip()}, else 0 ({path.name})"
    for name in values:
        if name in _RESERVED:
            raise LabelError(f"{path}: {name!r} is a name that every cohort uses itself. Rename the column.")
    if not values:
        raise LabelError(
            f"{path}: no column holds numbers beside {config.id_column!r}; found {quoted(raw.columns)}. Make numbers "
            "of a text by --label_column and --map=yes=1,no=0, or by --positive; name what stands for a missing value, "
            "such as refused, by --label_missing_values."
        )
    return LabelTable(pl.DataFrame({"participant_id": ids, **values}), meanings, left_out, path.name)


def _read(path: pathlib.Path) -> tuple[pl.DataFrame, pl.Series]:
    """The table, and the line (or row, from 1) of each of its rows."""
    if not path.is_file():
        raise LabelError(f"{path}: no such file. Give the table of labels by --labels.")
    suffix = path.suffix.lower()
    if suffix in _TEXT:
        try:
            text, _ = decode(path.read_bytes(), None, str(path))
            return read_rows(split_lines(text, str(path)), str(path))
        except RecordingError as error:
            raise LabelError(str(error)) from error
    try:
        if suffix == ".parquet":
            table = pl.read_parquet(io.BytesIO(path.read_bytes()))
        elif suffix in _STATISTICS:
            table = polars_readstat.scan_readstat(str(path), preserve_order=True, missing_string_as_null=True).collect()
        else:
            raise LabelError(
                f"{path}: labels come from a table that ends in {', '.join((*_TEXT, '.parquet', *_STATISTICS))}. Save "
                "it as one of these."
            )
    except (pl.exceptions.PolarsError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError(
            f"{path}: can't be read as {suffix} ({str(error).splitlines()[0]}); it may be cut short or of another "
            "kind. Copy or export it again."
        ) from error
    if not len(table):
        raise LabelError(f"{path}: has no row, expected one a person. Export it again.")
    return table, pl.Series("line", range(1, len(table) + 1), dtype=pl.Int64)


def _ids(column: pl.Series, lines: pl.Series, name: str, path: pathlib.Path) -> pl.Series:
    ids = id_texts(column)
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


def _numbers(
    column: pl.Series, lines: pl.Series, name: str, mapping: dict[str, float], config: LabelConfig, path: pathlib.Path
) -> pl.Series | None:
    """A column as float64; None if it holds text and was not asked for."""
    if mapping:
        return _mapped(column, lines, name, mapping, config, path)
    place = f"{path}, line {{line}}: {name}"
    if column.dtype == pl.String:
        absent = column.str.to_lowercase().is_in(list(MISSING)) | column.is_in(list(config.missing_values))
        texts = column.filter(~absent.fill_null(True))
        if name not in config.columns and not all(map(is_number, texts.to_list())):
            return None
        try:
            values, _ = read_numbers(column, lines, None, config.missing_values, place, LabelError)
        except LabelError as error:
            if all(map(is_number, texts.to_list())):
                raise
            words = [text for text in texts.unique().sort() if not is_number(text)]
            examples = ", ".join(map(repr, words[:4]))
            raise LabelError(f"{error} Texts such as {examples} become numbers by --map=yes=1,no=0.") from None
        return values
    if not column.dtype.is_numeric() and column.dtype not in (pl.Boolean, pl.Null):
        if name in config.columns:
            raise LabelError(f"{path}: the column {name!r} is of the type {column.dtype}, expected numbers.")
        return None
    given = column.cast(pl.Float64).fill_nan(None).to_frame("v")
    value = pl.when(pl.col("v").abs() < _TINY).then(0.0).otherwise("v")
    values = given.select(pl.when(~pl.col("v").is_in(missing_numbers(config.missing_values))).then(value)).to_series()
    if values.is_infinite().any():
        at = int(values.is_infinite().arg_true()[0])
        raise LabelError(f"{place.format(line=lines[at])} is infinite, expected a number or a blank. Correct it.")
    return values


def _mapped(
    column: pl.Series, lines: pl.Series, name: str, mapping: dict[str, float], config: LabelConfig, path: pathlib.Path
) -> pl.Series:
    texts = id_texts(column).fill_null(column.cast(pl.String)).fill_null("")  # 1.0 is 1, and 1.5 is not missing
    absent = texts.str.to_lowercase().is_in(list(MISSING)) | texts.is_in(list(config.missing_values))
    absent = absent & ~texts.is_in(list(mapping))
    unknown = (~absent & ~texts.is_in(list(mapping))).arg_true()
    if len(unknown):
        at = int(unknown[0])
        raise LabelError(
            f"{path}, line {lines[at]}: {name} is {texts[at]!r}, which --map={config.mapping} does not have "
            f"({len(unknown)} such lines). Add it to the mapping, or to --label_missing_values."
        )
    return texts.replace_strict(mapping, default=None, return_dtype=pl.Float64)


def _ruled(
    rule: PositiveRule, values: dict[str, pl.Series], raw: pl.DataFrame, lines: pl.Series, config: LabelConfig
) -> pl.Series:
    """The column that a rule is about: as numbers, or if it holds none as text with missing ones null.

    Raises:
        LabelError: if the rule compares with numbers and the column holds both numbers and texts: a text such as
            "unknown" is no number unequal to 1, and who has it would be counted as negative.
    """
    if rule.column in values:
        return values[rule.column]
    numbers = _numbers(
        raw[rule.column], lines, rule.column, {}, dataclasses.replace(config, columns=()), pathlib.Path(config.path)
    )
    if numbers is not None:
        return numbers
    texts = raw[rule.column].cast(pl.String)
    absent = texts.str.to_lowercase().is_in(list(MISSING)) | texts.is_in(list(config.missing_values))
    given = texts.to_frame("t").select(pl.when(~absent).then(pl.col("t"))).to_series()
    wordy = given.map_elements(lambda text: not is_number(text), return_dtype=pl.Boolean).fill_null(False)
    if rule.of_numbers and wordy.sum() < given.count():
        at = int(wordy.arg_true()[0])
        raise LabelError(
            f"{config.path}, line {lines[at]}: {rule.column} is {texts[at]!r}, but --positive={rule.text} compares "
            f"numbers ({wordy.sum()} such lines). If it stands for a missing value, give "
            f"--label_missing_values={texts[at]}; else correct the line."
        )
    return given


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

    def missing_label(label: str, participant_id: str) -> str:
        return f"no {label} in {table.where}" if label in columns else study.missing_label(label, participant_id)

    return dataclasses.replace(
        study,
        people=people,
        recordings=_matched(study.recordings, table),
        labels={**study.labels, **table.meanings},
        missing_label=missing_label,
    )


def _matched(recordings: Iterator[Recording | Rejection], table: LabelTable) -> Iterator[Recording | Rejection]:
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
        hint = " Without leading zeros and capital letters some would match: write them alike." if bare else ""
        raise LabelError(
            f"{table.where}: no id is one of a recording: ids such as {quoted(sorted(labelled)[:3])}, expected such as "
            f"{quoted(sorted(read)[:3])}.{hint} Choose another column by --label_id_column, or make the ids alike."
        )
    without = labelled.difference(read)
    for person in table.people["participant_id"]:
        if person in without:
            yield Rejection(person, f"in {table.where}, but without a recording")


def _bare(participant_id: str) -> str:
    """An id without what spreadsheets and typists change: leading zeros, and capital letters."""
    return participant_id.lstrip("0").casefold()
