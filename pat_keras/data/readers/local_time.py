"""Samples in the file's order -> samples in order of local clock time: zones, clock changes, doubled, unsorted rows.

A frame of samples has the columns `person`, `line`, `local` (naive clock time), `utc` (the instant, null if nobody
knows) and `value`.
"""

from __future__ import annotations

import collections
import datetime
import zoneinfo
from typing import Any

import polars as pl

from pat_keras.data.readers.table_config import TableConfig
from pat_keras.errors import RecordingError

# Zones that stand for those whose clocks change alike; the first that fits is named as an example.
_EXAMPLES = (
    "Europe/Oslo",
    "Europe/London",
    "Europe/Helsinki",
    "America/New_York",
    "Australia/Sydney",
    "Pacific/Auckland",
    "America/Santiago",
)


def localise(samples: pl.DataFrame, zone: str | None, where: str) -> pl.DataFrame:
    """Fills `local` and `utc` as the time zone says.

    Raises:
        RecordingError: for times in UTC without a zone; or clock times that the zone's clocks never showed.
    """
    if samples["utc"].null_count() == 0:
        if zone is not None:
            utc = pl.col("utc").dt.replace_time_zone("UTC")
            return samples.with_columns(local=utc.dt.convert_time_zone(zone).dt.replace_time_zone(None))
        if (samples["local"] == samples["utc"]).all():
            raise RecordingError(
                f"{where}, line {samples['line'][0]}: the times are in UTC (they end in Z or +00:00, count seconds "
                "since 1970, or their column is named so), expected local clock time. Give --timezone=Europe/Oslo, or "
                "the zone where it was worn; --timezone=UTC takes the times as they are written."
            )
        return samples
    return samples if zone is None else _instants(samples, zone, where)


def _instants(samples: pl.DataFrame, zone: str, where: str) -> pl.DataFrame:
    """Fills `utc` from the clock of a zone. The two hours of an autumn night are told apart by the order of rows."""

    def instant(ambiguous: str) -> pl.Expr:
        aware = pl.col("local").dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")  # type: ignore
        return aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None)

    samples = samples.with_columns(utc=instant("earliest"), late=instant("latest"))
    never = samples.filter(pl.col("utc").is_null())
    if len(never):
        raise RecordingError(
            f"{where}, line {never['line'][0]}: {never['local'][0]} never was in {zone}, where clocks jumped over it "
            f"({len(never)} such lines). The device's clock was not set to summer time: leave --timezone out, or give "
            "the zone where it was worn."
        )
    doubled = pl.col("utc") != pl.col("late")
    if samples.select(doubled.any()).item():
        samples = samples.with_columns(utc=pl.when(doubled & _is_second_hour(doubled)).then("late").otherwise("utc"))
    return samples.drop("late")


def _is_second_hour(doubled: pl.Expr) -> pl.Expr:
    """Rows after the clock went back. In rows sorted by clock time, which hide that: each second one of a pair."""
    night: list[Any] = ["person", pl.col("local").dt.date(), doubled]
    went_back = (pl.col("local").diff() < pl.duration()).fill_null(False).cum_sum().over(*night) > 0
    of_a_pair = pl.int_range(pl.len()).over("person", "local") == 1
    return pl.when(went_back.any().over(*night)).then(went_back).otherwise(of_a_pair)


def put_in_order(
    samples: pl.DataFrame, config: TableConfig, where: str, done: collections.Counter[str]
) -> pl.DataFrame:
    """Samples with one value for every clock time of a person, in order.

    Args:
        samples: as `localise` returns them.
        config: says what to do with doubled and unsorted ones.
        where: the file, for messages.
        done: grows by what was done: text -> number of samples.

    Raises:
        RecordingError: if a time is there twice or earlier than the one before it, and nothing was chosen for that.
    """
    moment = pl.coalesce("utc", "local")
    samples = samples.with_columns(moment=moment)
    doubled = samples.select(pl.struct("person", "moment").is_duplicated()).to_series()
    if doubled.any():
        if config.duplicates == "error":
            raise _doubled_error(samples, doubled, where)
        done[f"with a time that is there more than once (--duplicates={config.duplicates})"] += int(doubled.sum())
        samples = _merge(samples, "moment", config.duplicates)
    goes_back = {
        name: samples.select((pl.col(name).diff() < pl.duration()).over("person").fill_null(False)).to_series()
        for name in ("moment", "local")
    }
    back = goes_back["moment"] & goes_back["local"]  # one alone does so in the doubled hour
    if back.any():
        if config.unsorted == "error":
            raise _unsorted_error(samples, back, where)
        done["out of order (--unsorted=sort)"] += int(back.sum())
    if goes_back["moment"].any():
        samples = samples.sort("person", "moment", maintain_order=True)
    twice = samples.select(pl.struct("person", "local").is_duplicated()).to_series()
    if twice.any():  # told apart by `utc`: the hour that clocks showed twice
        done[f"in an hour that the clock showed twice (--doubled_hour={config.doubled_hour})"] += int(twice.sum())
        rule = {"first": "first", "second": "last", "mean": "mean"}[config.doubled_hour]
        samples = _merge(samples, "local", rule).sort("person", "local", maintain_order=True)
    return samples.drop("moment")


def _merge(samples: pl.DataFrame, time: str, rule: str) -> pl.DataFrame:
    """One row for each time of a person. A sum or mean of values of which one is missing is missing."""
    value = pl.col("value")
    whole = pl.when(value.null_count() == 0)
    merged = {
        "first": value.first(),
        "last": value.last(),
        "mean": whole.then(value.mean()),
        "sum": whole.then(value.sum()),
    }[rule]
    others = pl.col(*(name for name in samples.columns if name not in ("person", time, "value"))).first()
    return samples.group_by("person", time, maintain_order=True).agg(others, merged).select(samples.columns)


def _doubled_error(samples: pl.DataFrame, doubled: pl.Series, where: str) -> RecordingError:
    pairs = samples.filter(doubled)
    first = pairs.head(1)
    again = pairs.filter((pl.col("person") == first["person"][0]) & (pl.col("moment") == first["moment"][0]))
    extra = len(pairs) - pairs.select("person", "moment").n_unique()
    time = first["local"][0]
    message = (
        f"{where}, line {again['line'][1]}: the time {time} of participant {first['person'][0]!r} is there already, in "
        f"line {again['line'][0]} ({extra} such lines); expected each time once. "
    )
    zone = example_zone(time)
    if zone and first["utc"][0] is None:
        return RecordingError(
            message + f"This looks like the autumn clock change of {time.date()}: give --timezone={zone}, or the zone "
            "where it was worn; or choose by --duplicates=first, last, mean or sum."
        )
    same = again["value"].n_unique() == 1
    return RecordingError(
        message
        + ("The values are the same, too, as when a part was copied twice. " if same else "The values differ. ")
        + "Remove the lines, choose by --duplicates=first, last, mean or sum, or, if the rows are of several people, "
        "name the column that tells them apart by --id_column."
    )


def _unsorted_error(samples: pl.DataFrame, back: pl.Series, where: str) -> RecordingError:
    at = int(back.arg_true()[0])
    row = samples.row(at, named=True)
    before = samples.head(at).filter(pl.col("person") == row["person"]).tail(1)
    message = (
        f"{where}, line {row['line']}: the time {row['local']} of participant {row['person']!r} comes before that of "
        f"line {before['line'][0]}, {before['local'][0]} ({int(back.sum())} such lines); expected increasing times. "
    )
    zone = example_zone(row["local"])
    gone_back = before["local"][0] - row["local"]
    if zone and row["utc"] is None and gone_back <= datetime.timedelta(hours=1):
        return RecordingError(
            message + f"This looks like the autumn clock change of {row['local'].date()}: give --timezone={zone}, or "
            "the zone where it was worn; or --unsorted=sort."
        )
    swapped = _swapped(before["local"][0], row["local"])
    if swapped is not None:
        return RecordingError(
            message + f"This looks like a mix of day-first and month-first dates, as spreadsheets make of a file: with "
            f"day and month of one of them exchanged, {swapped[1]} would follow {swapped[0]}. Take the file as the "
            "device's program exported it, and don't save it in a spreadsheet; --unsorted=sort would keep wrong dates."
        )
    return RecordingError(message + "Give --unsorted=sort, or sort the file; two joined files do this, too.")


def _swapped(before: datetime.datetime, time: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime] | None:
    """Both times with day and month of one of them exchanged, if they then follow within a day; else None."""
    for first, second in ((_exchanged(before), time), (before, _exchanged(time))):
        if first and second and datetime.timedelta() < second - first <= datetime.timedelta(days=1):
            return first, second
    return None


def _exchanged(time: datetime.datetime) -> datetime.datetime | None:
    return time.replace(day=time.month, month=time.day) if time.day <= 12 else None


def example_zone(time: datetime.datetime) -> str | None:
    """A zone whose clocks showed this time twice, when they went back in autumn; None if none of the usual ones did."""
    for name in _EXAMPLES:
        try:
            zone = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, OSError):  # no database of zones on this machine
            return None
        early, late = (time.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        if early is not None and late is not None and early > late:
            return name
    return None
