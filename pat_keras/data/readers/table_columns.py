"""A table's columns: whose row it is, when, how much; told by kinds of values and by names, or given."""

from __future__ import annotations

import collections
import dataclasses
import io
import itertools
from collections.abc import Iterable, Sequence

import polars as pl

from pat_keras.data.epochs import RULE_OF_UNIT
from pat_keras.data.readers.column_names import is_activity, is_id, may_be_id, rivals_of, unit_of_name
from pat_keras.data.readers.dates import MIDNIGHT
from pat_keras.data.readers.numbers import MISSING, is_number
from pat_keras.data.readers.raw_files import RawFile
from pat_keras.data.readers.sniff import kinds_of, read_text
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.errors import RecordingError

UNKNOWN_UNIT = "unknown unit"
_SHOWN = 20  # columns that a message lists
# Keys of the metadata of Parquet files that are written here, and what these are; how a list beside them begins.
_OURS = {"pat_keras": "a cohort, as pat-prepare makes them", "pat_keras_embeddings": "a table of pat-embed"}
_REJECTED = b"participant_id,reason,detail\n"


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns as text or as Parquet typed them.

    Attributes:
        where: the file, for messages.
        columns: (m, columns).
        lines: (m,) line in the file, or row of a Parquet file, from 1.
        kinds: column -> what most of its values are, see `sniff.kinds_of`; "other" for types that are none of these.
        findings: what was found in the file, for people; grows.
    """

    where: str
    columns: pl.DataFrame
    lines: pl.Series
    kinds: dict[str, str]
    findings: dict[str, str]


def open_table(file: RawFile, config: TableConfig) -> Table:
    """Reads a file, text or Parquet.

    Raises:
        RecordingError: if it can't be read.
    """
    data = file.read()
    if file.suffix != ".parquet":
        if data.startswith(_REJECTED):
            raise _our_own(file.where, "a list of who was rejected by pat-prepare")
        text = read_text(data, config, file.where)
        kinds = {name: kinds_of(_sample(text.rows[name]), config.missing_values) for name in text.columns}
        names = ", ".join(text.columns)
        findings = {
            "encoding": text.encoding,
            "separator": text.separator,
            "header": f"line {text.header}" if text.header else "none",
            "columns": names if len(names) < 200 else f"{len(text.columns)} columns",
        }
        return Table(file.where, text.rows, text.lines, kinds, findings)
    try:
        ours = _OURS.keys() & pl.read_parquet_metadata(io.BytesIO(data))
        if ours:
            raise _our_own(file.where, _OURS[min(ours)])
        columns = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RecordingError(
            f"{file.where}: not a readable Parquet file ({str(error).splitlines()[0]}); it may be cut short. Copy or "
            "write it again."
        ) from error
    if not len(columns):
        raise RecordingError(f"{file.where}: has no row, expected samples. Write it again.")
    lines = pl.Series("line", range(1, len(columns) + 1), dtype=pl.Int64)
    kinds = {column.name: _kind_of_typed(column, config) for column in columns}
    return Table(file.where, columns, lines, kinds, {"columns": ", ".join(columns.columns)})


def _our_own(where: str, what: str) -> RecordingError:
    """What this package writes is no recording, though it lies among them where --out is in their folder."""
    return RecordingError(
        f"{where}: is {what}, not a recording; expected recordings alone. Move it to another folder with what lies "
        "beside it, or name the recordings by --files, or by a pattern as --raw."
    )


def _sample(column: pl.Series) -> list[str]:
    return pl.concat([column.head(100), column.slice(len(column) // 2, 100), column.tail(100)]).to_list()


def _kind_of_typed(column: pl.Series, config: TableConfig) -> str:
    for kind, dtype in (("datetime", pl.Datetime), ("date", pl.Date), ("time", pl.Time)):
        if column.dtype == dtype:
            return kind
    if column.dtype.is_numeric():
        texts = _sample(column.drop_nulls().cast(pl.Int64, strict=False).cast(pl.String))
        return "unix" if texts and kinds_of([text or "" for text in texts]) == "unix" else "number"
    if column.dtype == pl.String:
        return kinds_of([text or "" for text in _sample(column)], config.missing_values)
    return "empty" if column.dtype == pl.Null else "other"


def _lacking(table: Table, name: str, flag: str) -> RecordingError:
    return RecordingError(
        f"{table.where}: there is no column {name!r} (--{flag}); found {_first_of(table, map(repr, table.kinds))}. "
        "Give one of these; if the header is another line, give --skip_rows, the number of lines above it."
    )


def quoted(names: Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(repr(name) for name in names)


def _listed(table: Table) -> str:
    return _first_of(table, (f"{name!r} ({kind})" for name, kind in table.kinds.items()))


def _first_of(table: Table, texts: Iterable[str]) -> str:
    """Texts of all columns for a message, or of the first: a table of a column a minute has 1,440."""
    shown = ", ".join(itertools.islice(texts, _SHOWN))
    return shown if len(table.kinds) <= _SHOWN else f"{shown}, ... ({len(table.kinds):,} columns)"


def time_columns_of(table: Table, config: TableConfig) -> tuple[str, ...]:
    """The column of times, or those of dates and times of day.

    Dates may be written as date-times at midnight: so a spreadsheet does it, beside a column of times of day.

    Raises:
        RecordingError: if it is not there or can't be told.
    """
    for name in config.timestamp_column:
        if name not in table.columns.columns:
            raise _lacking(table, name, "timestamp_column")
    if config.timestamp_column:
        return config.timestamp_column
    of_kind = collections.defaultdict(list)
    for name, kind in table.kinds.items():
        of_kind[kind].append(name)
    if of_kind["time"]:
        at_midnight = [name for name in of_kind["datetime"] if _is_at_midnight(table.columns[name])]
        of_kind["date"] += at_midnight
        of_kind["datetime"] = [name for name in of_kind["datetime"] if name not in at_midnight]
    found: list[tuple[str, ...]]
    if of_kind["datetime"]:
        found = [(name,) for name in of_kind["datetime"]]
    elif of_kind["date"] and of_kind["time"]:
        found = [(date, time) for date in of_kind["date"] for time in of_kind["time"]]
    else:
        found = [(name,) for name in of_kind["unix"]]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join("--timestamp_column=" + ",".join(one) for one in found[:4])
        raise RecordingError(
            f"{table.where}: more than one column may be the time of the samples ({_listed(table)}). Give {choices}."
        )
    raise RecordingError(
        f"{table.where}: no column has dates with times of day, expected one such as 2024-12-31 23:58:00, or a date "
        f"and a time column; found {_listed(table)}. Give --timestamp_column, and --timestamp_format if they are "
        "written otherwise; dates without times don't tell when a sample was taken."
    )


def _is_at_midnight(column: pl.Series) -> bool:
    texts = pl.Series(_sample(column.cast(pl.String)), dtype=pl.String)
    return bool(texts.str.contains(MIDNIGHT).all())


def value_column_of(table: Table, config: TableConfig, taken: Sequence[str]) -> str:
    """The column of values, none of those taken: the one of numbers, or of several the one with a known name.

    A known name is none where another column may as well be the activity: "steps" beside "Activity (counts)".
    A code for missing values (".", "--") can make a text of the activity, and leave a row number or the light as the
    only column of numbers: what holds numbers in part, or has a known name and is blank where it was looked at, counts.

    Raises:
        RecordingError: if it is not there or can't be told.
    """
    taken = [*taken, *([config.id_column] if config.id_column else [])]
    if config.value_column is not None:
        if config.value_column not in table.columns.columns:
            raise _lacking(table, config.value_column, "value_column")
        if config.value_column in taken:
            raise RecordingError(
                f"{table.where}: {config.value_column!r} (--value_column) is the column of times or ids. Give another."
            )
        return config.value_column
    numbers = [name for name in table.kinds if name not in taken and _may_hold_numbers(table, name)]
    known = [name for name in numbers if is_activity(name)]
    blank = [name for name, kind in table.kinds.items() if kind == "empty" and is_activity(name)]
    found = [*known, *rivals_of(known, numbers)] if known else numbers + blank
    if len(found) == 1:
        return found[0]
    what = "more than one column may be the activity" if found else "no column has numbers"
    raise RecordingError(f"{table.where}: {what}; found {_listed(table)}. Give --value_column, the one to read.")


def _may_hold_numbers(table: Table, name: str) -> bool:
    """Whether a column is one of numbers; or of text, with more than a few numbers, or any if its name is known."""
    column, kind = table.columns[name], table.kinds[name]
    if kind != "text" or column.dtype != pl.String:
        return kind in ("number", "unix")
    filled = [text for text in _sample(column) if text]
    share = sum(is_number(text) and text.lower() not in MISSING for text in filled) / len(filled)
    return share > (0 if is_activity(name) else 0.25)


def unit_of(config: TableConfig, value_column: str) -> str:
    """The unit that was given, or that a column of this name has."""
    if config.unit is None:
        return unit_of_name(value_column) or UNKNOWN_UNIT
    return next((unit for unit in RULE_OF_UNIT if unit.lower() == config.unit.lower()), config.unit)


def people_of(table: Table, config: TableConfig, stem: str, time_columns: Sequence[str]) -> pl.Series:
    """Whose row it is, as text: `0012` stays `0012`; of a number, 12.0 is `12`.

    Raises:
        RecordingError: if the column of ids is not there or has holes; or if none is named and one seems to be there,
            by its name, or by a vaguer one (`Name`, `Code`) and its values.
    """
    for name in _id_columns(table, config, time_columns):
        ids = table.columns[name]
        if 1 < ids.n_unique() <= len(ids) // 10:
            raise RecordingError(
                f"{table.where}: the column {name!r} has {ids.n_unique():,} different values, so that rows may be "
                f"of several people. Give --id_column={name}; if every file is one person's, take the column away, or "
                "give --id_column= with nothing after it."
            )
    for name in table.columns.columns if config.id_column is None else ():
        if (
            may_be_id(name)
            and name not in (*time_columns, config.value_column)
            and _may_name_people(table, name, time_columns)
        ):
            raise RecordingError(
                f"{table.where}: the column {name!r} has {table.columns[name].n_unique():,} different values, each in "
                "rows of its own or at times of the others, so that rows may be of several people; expected one "
                f"person's, as no column of ids is named. If it tells whose row it is, give --id_column={name}; if "
                "every file is one person's, take the column away, or give --id_column= with nothing after it."
            )
    if not config.id_column:
        return pl.Series("person", [stem]).new_from_index(0, len(table.lines))
    if config.id_column not in table.columns.columns:
        raise _lacking(table, config.id_column, "id_column")
    ids = ids_of(table.columns[config.id_column])
    missing = (ids.is_null() | ids.str.to_lowercase().is_in(list(MISSING))).arg_true()
    if len(missing):
        at = int(missing[0])
        raise RecordingError(
            f"{table.where}, line {table.lines[at]}: {config.id_column} is {table.columns[config.id_column][at]!r}, "
            f"expected the id of a person ({len(missing)} such lines). Fill it in or remove the line."
        )
    return ids.alias("person")


def _may_name_people(table: Table, name: str, time_columns: Sequence[str]) -> bool:
    """Whether the values of a column are like ids: rows of one value stand together, or those of several interleave.

    A state or an event comes back, and has its own time.
    """
    values = table.columns[name].cast(pl.String).str.strip_chars().fill_null("")
    count = values.n_unique()
    if not 1 < count <= len(values) // 10 or (values == "").any():
        return False
    if int((values != values.shift(1)).sum()) + 1 == count:
        return True
    times = table.columns.select(pl.struct(time_columns).alias("time"), values.alias("value"))
    return times["time"].n_unique() <= len(times) // 2 and times.n_unique() > len(times) * 0.9


def single_ids(table: Table, config: TableConfig, taken: Sequence[str]) -> dict[str, str]:
    """Column of ids -> the one id in it, of a file that is to be one person's: two files with one id are of one person.

    Empty if a column of ids is named, or none is to be looked at.
    """
    found = {}
    for name in _id_columns(table, config, taken):
        ids = ids_of(table.columns[name]).unique().drop_nulls()
        ids = ids.filter(~ids.str.to_lowercase().is_in(list(MISSING)))
        if len(ids) == 1:
            found[name] = ids[0]
    return found


def _id_columns(table: Table, config: TableConfig, taken: Sequence[str]) -> list[str]:
    """Columns whose names are those of ids, if the names of files are taken for them."""
    names = table.columns.columns if config.id_column is None else ()
    return [name for name in names if is_id(name) and name not in taken]


def id_texts(ids: pl.Series) -> pl.Series:
    """Ids as text; of numbers, whole ones without a decimal point, null for others.

    Unicode is composed (NFC): macOS writes the names of files decomposed, and ids that look alike would differ.
    """
    if ids.dtype.is_float():
        return (
            ids.to_frame("i")
            .select(
                pl.when((pl.col("i") == pl.col("i").round()) & pl.col("i").is_finite()).then(
                    pl.col("i").cast(pl.Int64, strict=False)
                )
            )
            .to_series()
            .cast(pl.String)
        )
    texts = ids.cast(pl.String).str.strip_chars()
    return texts.str.normalize("NFC") if texts.str.contains(r"[^\x00-\x7f]").any() else texts


def ids_of(column: pl.Series) -> pl.Series:
    """Ids of people as text, see `id_texts`; in a column of text whose every id is such as 12.0, they become 12."""
    texts = id_texts(column)
    dotted = texts.str.contains(r"^\d+\.0+$")
    if dotted.any() and (dotted | texts.str.contains(r"^\d*$")).all():
        return texts.str.replace(r"\.0+$", "")
    return texts
