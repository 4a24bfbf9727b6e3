"""Clock times as devices write them: `4/13/2016 0:00`, `24.01.2020 09:05:00`, `2012-04-04T13:29:00Z`.

Axes: n rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pat_keras.data.readers.text_table import TextTable
from pat_keras.errors import ConfigError, RecordingError

# Names of the three parts of a date, in their order.
_PARTS = {
    "day_first": ("day", "month", "year"),
    "month_first": ("month", "day", "year"),
    "year_first": ("year", "month", "day"),
}
DATE_ORDERS = tuple(_PARTS)

# Where the parts of a date can be told apart by nothing else, a reading with a longer hole than this between two lines
# is taken for wrong: 04/07, 05/07 are consecutive days, or the same day of two months.
_LONGEST_HOLE = np.timedelta64(7, "D")
_YEAR = np.timedelta64(300, "D")  # holes of recordings are shorter

# Year first or last, any of the separators, seconds or none, 12 or 24 hours. A zone mark Z or an offset is not read:
# the devices here write their own clock, and some put a Z behind it.
_PATTERN = (
    r"^(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,](\d{1,6}))?"
    r"\s*([AaPp]\.?[Mm]\.?)?\s*(?:Z|[+-]\d{2}:?\d{2})?$"
)


def read_clock(
    texts: pl.Series, table: TextTable, date_order: str | None = None, *, increasing: bool = True
) -> np.ndarray:
    """Texts of date and time as clock times.

    Whether day or month comes first is read off the data: a number above 12 is a day; if there is none, the reading in
    which times increase without a hole of more than a week. Where all parts have two digits, the year may come first,
    too: in the wrong reading days that follow each other are years apart. If that does not decide, it is an error that
    shows all readings.

    Args:
        texts: (n,) dates with times.
        table: where they come from, for messages.
        date_order: one of `DATE_ORDERS`; None to read it off.
        increasing: whether the rows are those of one recording; if not, only a number above 12 decides.

    Returns:
        (n,) datetime64[us], local clock time.

    Raises:
        RecordingError: for a text that is no time, or if the order can't be told.
        ConfigError: for another date_order.
    """
    if date_order is not None and date_order not in DATE_ORDERS:
        raise ConfigError(f"date_order is {date_order!r}, expected one of {', '.join(DATE_ORDERS)}.")
    parts = texts.str.extract_groups(_PATTERN).struct.unnest()
    parts.columns = ["a", "b", "c", "hour", "minute", "second", "fraction", "half"]
    bad = parts["a"].is_null().arg_true()
    if len(bad):
        raise _no_time(texts, table, int(bad[0]), len(bad))
    first, second = parts["a"].cast(pl.Int32), parts["b"].cast(pl.Int32)
    readings = {name: parts.rename(dict(zip("abc", names, strict=True))) for name, names in _PARTS.items()}
    if (first > 31).any():
        return _times(readings["year_first"], texts, table)
    order = date_order or _order_by_numbers(first, second, table)
    possible = [order] if order else ["day_first", "month_first"]
    if date_order is None and _year_may_be_first(readings["year_first"]):
        possible.append("year_first")
    times = {name: _times(readings[name], texts, table) for name in possible}
    if "year_first" in times:
        times = {name: one for name, one in times.items() if not _jumps_years(one)} or times
    one, *others = times.values()
    if all((one == other).all() for other in others):
        return one
    likely = [name for name in times if increasing and _is_likely(times[name])]
    if len(likely) == 1:
        return times[likely[0]]
    shown = [f"{one[0].item():%d %B %Y} with the {name.removesuffix('_first')} first" for name, one in times.items()]
    raise RecordingError(
        f"{table.where}, line {table.lines[0]}: {texts[0]!r} is {', '.join(shown[:-1])} and {shown[-1]}; nothing in "
        f"the file tells which. Say --date_order={' or '.join(times)}."
    )


def read_duration(text: str, what: str, where: str) -> int:
    """Seconds of a length such as `00:00:15`.

    Raises:
        RecordingError: if it is no such length.
    """
    fields = text.strip().split(":")
    if len(fields) != 3 or not all(field.isdigit() for field in fields):
        raise RecordingError(f"{where}: {what} is {text!r}, expected hours:minutes:seconds, such as 00:01:00.")
    hours, minutes, seconds = map(int, fields)
    return hours * 3600 + minutes * 60 + seconds


def usual_step(times: np.ndarray, where: str) -> int:
    """The most frequent interval between consecutive times, in whole seconds: the epoch length of a file without one.

    Raises:
        RecordingError: for fewer than two times, or if the interval is no whole second, or none is usual: fewer than
            half of the intervals are of this length.
    """
    if len(times) < 2:
        raise RecordingError(f"{where}: one sample alone, expected many; the epoch length can't be told from it.")
    lengths, counts = np.unique(np.diff(times).astype("timedelta64[us]").astype(np.int64), return_counts=True)
    usual = int(lengths[counts.argmax()])
    if usual <= 0 or usual % 1_000_000 or counts.max() * 2 < counts.sum():
        raise RecordingError(
            f"{where}: the samples are not evenly spaced: the most frequent interval is {usual / 1e6:g} s, in "
            f"{counts.max():,} of {counts.sum():,} places. Expected epochs of whole seconds. "
            "Export it with fixed epochs."
        )
    return usual // 1_000_000


def _order_by_numbers(first: pl.Series, second: pl.Series, table: TextTable) -> str | None:
    day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
    if day_first and month_first:
        at = int((second > 12).arg_true()[0])
        raise RecordingError(
            f"{table.where}, line {table.lines[at]}: the month comes first here, but the day first in other lines. "
            "A spreadsheet may have rewritten some of the dates; restore the file."
        )
    return "day_first" if day_first else "month_first" if month_first else None


def _year_may_be_first(parts: pl.DataFrame) -> bool:
    """Whether years of two digits may come first: all of a date's parts have two, and dates come of it."""
    two_digits = all((parts[name].str.len_chars() == 2).all() for name in ("year", "month", "day"))
    return two_digits and not _parsed(parts).has_nulls()


def _jumps_years(times: np.ndarray) -> bool:
    return bool((np.abs(np.diff(times)) > _YEAR).any())


def _is_likely(times: np.ndarray) -> bool:
    steps = np.diff(times)
    return bool((steps > np.timedelta64(0, "us")).all() and (steps <= _LONGEST_HOLE).all())


def _times(parts: pl.DataFrame, texts: pl.Series, table: TextTable) -> np.ndarray:
    """Clock times of named parts, all of which must be such."""
    times = _parsed(parts)
    bad = times.is_null().arg_true()
    if len(bad):
        raise _no_time(texts, table, int(bad[0]), len(bad))
    return times.to_numpy()


def _parsed(parts: pl.DataFrame) -> pl.Series:
    """Clock times of named parts, null where there is no such time; two-digit years are of this century."""
    number = {name: pl.col(name).cast(pl.Int32) for name in ("year", "month", "day", "hour", "minute")}
    year = pl.when(number["year"] < 100).then(number["year"] + 2000).otherwise(number["year"])
    half = pl.col("half").str.to_lowercase().str.slice(0, 1)
    hour = pl.when(half == "p").then(number["hour"] % 12 + 12).when(half == "a").then(number["hour"] % 12)
    clock = pl.format(
        "{}-{}-{} {}:{}:{}",
        year.cast(pl.String).str.zfill(4),
        number["month"].cast(pl.String).str.zfill(2),
        number["day"].cast(pl.String).str.zfill(2),
        hour.otherwise(number["hour"]).cast(pl.String).str.zfill(2),
        pl.col("minute"),
        pl.col("second").fill_null("00"),
    )
    microseconds = pl.col("fraction").fill_null("0").str.pad_end(6, "0").cast(pl.Int64)
    return parts.select(
        clock.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
        + pl.duration(microseconds=microseconds)
    ).to_series()


def _no_time(texts: pl.Series, table: TextTable, at: int, count: int) -> RecordingError:
    return RecordingError(
        f"{table.where}, line {table.lines[at]}: {texts[at]!r} is no date and time, expected one such as 2012-04-04 "
        f"13:29:00 ({count} such lines). Correct the line, or export the file again."
    )


def join_texts(first: pl.Series, second: pl.Series) -> pl.Series:
    """Date and time of two columns as one text."""
    return first + " " + second


def one_table(texts: Sequence[str], line: int, where: str) -> tuple[pl.Series, TextTable]:
    """A time of a header, as `read_clock` takes it."""
    return pl.Series(texts, dtype=pl.String), TextTable(where, (), {}, np.full(len(texts), line))
