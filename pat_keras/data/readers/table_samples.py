"""A table -> samples: its times and values read, with a file and a line in every complaint."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import polars as pl

from pat_keras.data.readers import dates
from pat_keras.data.readers.column_names import is_utc
from pat_keras.data.readers.numbers import missing_numbers, points_are_doubtful, read_numbers
from pat_keras.data.readers.raw_files import RawFile
from pat_keras.data.readers.table_columns import (
    Table,
    open_table,
    people_of,
    quoted,
    single_ids,
    time_columns_of,
    unit_of,
    value_column_of,
)
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.errors import RecordingError

_SAMPLE = 200  # rows that tell whether the file has decimal commas


@dataclasses.dataclass(frozen=True)
class Samples:
    """All rows of a file.

    Attributes:
        where: the file, for messages.
        samples: `person`, `line`, `local`, `utc`, `value`, see `local_time`.
        value_column: name of the column with the values.
        unit: of the values.
        findings: what was found in the file, for people.
        ids: column -> the single id in it, see `single_ids`.
    """

    where: str
    samples: pl.DataFrame
    value_column: str
    unit: str
    findings: dict[str, str]
    ids: dict[str, str] = dataclasses.field(default_factory=dict)


def read_samples(
    file: RawFile, config: TableConfig, siblings: Sequence[RawFile], settled: dict[tuple[str, ...], tuple[str, str]]
) -> Samples:
    """Reads a file as samples.

    Args:
        file: text or Parquet.
        config: what is known of it.
        siblings: files of the same source; they are asked for the order of day and month if this one does not tell it.
        settled: formats that may be meant -> the one that is, and the file that told so. Grows from file to file.

    Raises:
        RecordingError: if the file can't be read, or a column can't be told or holds what it should not.
    """
    table = open_table(file, config)
    time_columns = time_columns_of(table, config)
    people = people_of(table, config, file.stem, time_columns)
    value_column = value_column_of(table, config, time_columns)
    unit = unit_of(config, value_column)
    times = _read_times(table, time_columns, people, config, siblings, settled)
    _check_halves(table, time_columns, times)
    utc_by_name = times.utc is None and any(map(is_utc, time_columns))
    values, mark = _read_values(table, value_column, config)
    of_mark = "" if mark == "none" else f", decimal {mark}"
    table.findings["times"] = f"{quoted(time_columns)} as {dates.describe(times.format)}"
    if times.why:
        table.findings["times"] += f", since {times.why}"
    if utc_by_name:
        table.findings["times"] += ", in UTC by its name"
    table.findings["values"] = f"{value_column!r} in {unit}{of_mark}"
    utc = times.local if utc_by_name else times.utc
    none = pl.Series([None], dtype=pl.Datetime("us")).new_from_index(0, len(values))
    samples = pl.DataFrame(
        {
            "person": people,
            "line": table.lines,
            "local": times.local,
            "utc": none if utc is None else utc,
            "value": values,
        }
    )
    ids = single_ids(table, config, (*time_columns, value_column))
    return Samples(table.where, samples, value_column, unit, table.findings, ids)


def _read_times(
    table: Table,
    names: Sequence[str],
    people: pl.Series,
    config: TableConfig,
    siblings: Sequence[RawFile],
    settled: dict[tuple[str, ...], tuple[str, str]],
) -> dates.Parsed:
    typed = [table.columns[name] for name in names]
    if len(typed) == 2 and typed[0].dtype == pl.Datetime:
        typed[0] = _dates_alone(table, names, typed[0])
    if typed[0].dtype == pl.Datetime:
        return _check_times(table, names, typed[0].cast(pl.String), _typed_times(typed[0]))
    if len(typed) == 2 and (typed[0].dtype, typed[1].dtype) == (pl.Date, pl.Time):
        both = pl.DataFrame(dict(zip("dt", typed, strict=True)))
        times = both.select(pl.col("d").dt.combine(pl.col("t"))).to_series()
        return _check_times(table, names, times.cast(pl.String), _typed_times(times))
    texts, dayless = _time_texts(typed, config)
    if config.timestamp_format is not None:
        form = dates.as_normalised(config.timestamp_format)
        return _check_times(table, names, texts, dates.parse(texts, form))
    parsed = _settle(table.where, names, texts, people, siblings, config, settled)
    if dayless:
        table.findings["midnight"] = f"{dayless:,} dates without a time of day read as 0:00"
    return _check_times(table, names, texts, parsed)


def _dates_alone(table: Table, names: Sequence[str], times: pl.Series) -> pl.Series:
    wrong = (times.dt.time() != datetime.time()) | (getattr(times.dtype, "time_zone", None) is not None)
    bad = wrong.arg_true()
    if len(bad):
        at = int(bad[0])
        raise RecordingError(
            f"{table.where}, line {table.lines[at]}: {names[0]} is {times[at]} ({times.dtype}), expected dates alone, "
            f"without a zone, beside the times of day of {names[1]!r}. If {names[0]!r} has date and time, give "
            f"--timestamp_column={names[0]}; else save it as dates."
        )
    return times.dt.date()


def _typed_times(times: pl.Series) -> dates.Parsed:
    zone = getattr(times.dtype, "time_zone", None)
    local = times.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    utc = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us")) if zone else None
    return dates.Parsed(local, utc, f"Parquet's own times{f' in {zone}' if zone else ''}")


def _time_texts(columns: Sequence[pl.Series], config: TableConfig) -> tuple[pl.Series, int]:
    """Texts of date and time, blank ones null; and how many were dates alone, which R writes at midnight."""
    texts = [column.cast(pl.String).str.strip_chars() for column in columns]
    if len(texts) == 2 and config.timestamp_format is None:
        texts[0] = texts[0].str.replace(dates.MIDNIGHT, "")
    joined = texts[0] if len(texts) == 1 else texts[0] + " " + texts[1]
    joined = joined.to_frame("t").select(pl.when(pl.col("t").str.strip_chars() != "").then(pl.col("t"))).to_series()
    if config.timestamp_format is not None or len(texts) == 2:
        return joined, 0
    return dates.complete_midnights(joined)


def _settle(
    where: str,
    names: Sequence[str],
    texts: pl.Series,
    people: pl.Series,
    siblings: Sequence[RawFile],
    config: TableConfig,
    settled: dict[tuple[str, ...], tuple[str, str]],
) -> dates.Parsed:
    """Reads texts by the format that they have; if day and month can't be told, by that of other files."""
    formats = dates.formats_of(texts)
    if not formats:
        raise RecordingError(
            f"{where}: {quoted(names)} has no dates that are known, such as 2024-12-31 23:58:00 (first text: "
            f"{texts.drop_nulls().head(1).to_list()}). Give --timestamp_format, such as %d.%m.%Y %H:%M."
        )
    readings, example = dates.resolve(texts, people, formats)
    key = tuple(formats)
    if not example:
        if len(formats) > 1 and readings[0].why:
            told, by = settled.setdefault(key, (readings[0].format, where))
            if told != readings[0].format:
                raise RecordingError(
                    f"{where}: its dates can only be {readings[0].format}, those of {by} only {told}. Were some files "
                    "saved again by a spreadsheet? Restore them, or read them apart by --files and --timestamp_format."
                )
        return readings[0]
    if key not in settled:
        _ask_siblings(where, names, siblings, config, key, settled)
    if key in settled:
        told, by = settled[key]
        parsed = next((one for one in readings if one.format == told), None)
        if parsed is not None:
            return dataclasses.replace(parsed, why="other files tell the order of day and month")
    choices = " or ".join(f"--timestamp_format={one.format!r}" for one in readings)
    raise RecordingError(
        f"{where}: day and month can't be told apart in {quoted(names)}: {example!r} is "
        f"{dates.readings_of(example, [one.format for one in readings])}, and no other date in the files decides. Give "
        f"{choices}."
    )


def _ask_siblings(
    where: str,
    names: Sequence[str],
    siblings: Sequence[RawFile],
    config: TableConfig,
    key: tuple[str, ...],
    settled: dict[tuple[str, ...], tuple[str, str]],
) -> None:
    for file in siblings:
        if file.where == where:
            continue
        try:
            table = open_table(file, config)
            texts, _ = _time_texts([table.columns[name] for name in names], config)
            if tuple(dates.formats_of(texts)) != key:
                continue
            people = people_of(table, config, file.stem, names)
            readings, example = dates.resolve(texts, people, list(key))
        except (RecordingError, pl.exceptions.ColumnNotFoundError):  # reported when its turn comes
            continue
        if not example and readings[0].why:
            settled[key] = readings[0].format, file.where
            return


def _check_times(table: Table, names: Sequence[str], texts: pl.Series, parsed: dates.Parsed) -> dates.Parsed:
    wrong = parsed.local.is_null() if parsed.utc is None else parsed.local.is_null() | parsed.utc.is_null()
    bad = wrong.arg_true()
    if len(bad):
        at = int(bad[0])
        found = "missing" if texts[at] is None else repr(texts[at])
        raise RecordingError(
            f"{table.where}, line {table.lines[at]}: {' and '.join(names)} is {found}, expected a time as "
            f"{dates.describe(parsed.format)}, of the years 1900 to 2100 ({len(bad):,} such lines). Correct the line, "
            "or give --timestamp_format."
        )
    return parsed


def _check_halves(table: Table, names: Sequence[str], times: dates.Parsed) -> None:
    """Times of day of twelve hours, AM and PM in a column of their own, would be read as of the morning."""
    hours = times.local.dt.hour()
    if "%p" in times.format or not hours.is_between(1, 12).all():
        return
    for column in table.columns.select(pl.col(pl.String).exclude(names)):
        halves = column.str.to_lowercase().str.replace_all(r"[. ]", "")
        late = ((halves == "pm") & (hours < 12)).arg_true()
        if len(late) and halves.is_in(["am", "pm", ""]).all():
            at = int(late[0])
            raise RecordingError(
                f"{table.where}, line {table.lines[at]}: {column.name} is {column[at]!r}, and the hours of "
                f"{quoted(names)} are all from 1 to 12; expected hours up to 23, or AM and PM with them. Write them "
                "into one column, such as 02:37:00 PM."
            )


def _read_values(table: Table, name: str, config: TableConfig) -> tuple[pl.Series, str]:
    column = table.columns[name]
    if column.dtype == pl.String:
        place = f"{table.where}, line {{line}}: {name}"
        doubtful = points_are_doubtful(table.findings.get("separator", ""), table.columns.head(_SAMPLE))
        values, mark = read_numbers(
            column, table.lines, config.decimal, config.missing_values, place, doubt_points=doubtful
        )
    elif column.dtype.is_numeric() or column.dtype == pl.Null:
        sentinels = missing_numbers(config.missing_values)
        given = column.cast(pl.Float64).fill_nan(None).to_frame("v")
        values = given.select(pl.when(~pl.col("v").is_in(sentinels)).then(pl.col("v"))).to_series()
        mark = "none"
    else:
        raise RecordingError(
            f"{table.where}: the column {name!r} is of the type {column.dtype}, expected numbers. Give another "
            "--value_column."
        )
    bad = (values.is_infinite() | (values < 0)).arg_true()
    if len(bad):
        at = int(bad[0])
        raise RecordingError(
            f"{table.where}, line {table.lines[at]}: {name} is {values[at]:g}, expected a number of 0 or more "
            f"({len(bad):,} such lines). If it stands for a missing value, give --missing_values={values[at]:g}."
        )
    return values.alias("value"), mark
