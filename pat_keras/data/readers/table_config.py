"""How plain tables are read: every field that is None is found out from the file, and shown."""

from __future__ import annotations

import codecs
import dataclasses

import polars as pl

from pat_keras.data.readers.file_names import check_pattern
from pat_keras.errors import ConfigError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
DECIMALS = {"point": ".", "comma": ","}
DUPLICATES = ("error", "first", "last", "mean", "sum")
UNSORTED = ("error", "sort")
DOUBLED_HOUR = ("first", "second", "mean")
BAD_FILES = ("error", "reject")
_HOURS = ("%H", "%I", "%k", "%l", "%T", "%R", "%X", "%c", "%+")


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """What is known of the tables beforehand, and what to do with what is odd in them.

    Attributes:
        timestamp_column: name of the column with date and time, or the two names of a date and a time.
        value_column: name of the column with the activity. Columns without names are `column_1`, `column_2`, ...
        timestamp_format: as in strptime, such as "%d.%m.%Y %H:%M"; or "unix" or "unix_ms", since 1970 in UTC. With a
            date and a time column, both with a blank between.
        timezone: such as "Europe/Oslo". Times of a device's own clock get that zone's changes of summer time; times
            with an offset from UTC are brought to that zone.
        skip_rows: lines above the header.
        separator: a key of `SEPARATORS`.
        decimal: a key of `DECIMALS`.
        encoding: of the text, a name that Python knows.
        id_column: name of the column that tells whose row it is; recordings of one person from several files are
            joined. None if every file is one person's, named by the file, which is refused where a column of ids says
            otherwise; "" if it is so whatever the columns say.
        id_pattern: regular expression of the id in the name of a file, or with a `/` in its path below `raw`, see
            `file_names.id_in`; recordings of one person from several files are joined. None if the whole name is the
            id. It does not go with an id_column.
        epoch_length: seconds between samples; None takes each person's median.
        unit: of the activity: "counts", "steps", "MIMS", "ENMO", ...; None takes it from the column's name.
        missing_values: texts or numbers that stand for a missing value, beside blanks, NA and NaN.
        duplicates: of samples with the same time keep the first, the last, their mean or sum; or "error".
        unsorted: "sort" rows that are out of order; or "error".
        doubled_hour: which of the two hours to keep when clocks go back; a day of 24 hours has room for one.
        on_bad_file: "error", or "reject" whose file (or whose rows, with an id column) can't be read.

    Raises:
        ConfigError: for anything else.
    """

    timestamp_column: tuple[str, ...] = ()
    value_column: str | None = None
    timestamp_format: str | None = None
    timezone: str | None = None
    skip_rows: int | None = None
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    id_column: str | None = None
    id_pattern: str | None = None
    epoch_length: int | None = None
    unit: str | None = None
    missing_values: tuple[str, ...] = ()
    duplicates: str = "error"
    unsorted: str = "error"
    doubled_hour: str = "first"
    on_bad_file: str = "error"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("separator", (None, *SEPARATORS)),
            ("decimal", (None, *DECIMALS)),
            ("duplicates", DUPLICATES),
            ("unsorted", UNSORTED),
            ("doubled_hour", DOUBLED_HOUR),
            ("on_bad_file", BAD_FILES),
        ):
            if getattr(self, name) not in allowed:
                choices = ", ".join(str(one) for one in allowed if one is not None)
                raise ConfigError(f"--{name}={getattr(self, name)}: expected one of {choices}.")
        if len(self.timestamp_column) > 2:
            raise ConfigError(
                f"--timestamp_column={','.join(self.timestamp_column)}: expected one column, or two: a date and a time."
            )
        if self.id_pattern is not None:
            check_pattern(self.id_pattern)
            if self.id_column:
                raise ConfigError(
                    f"--id_pattern={self.id_pattern} and --id_column={self.id_column}: expected one of both, ids in "
                    "the names of files or in a column. Leave one out."
                )
        form = self.timestamp_format
        if form is not None and form not in ("unix", "unix_ms") and not any(part in form for part in _HOURS):
            raise ConfigError(
                f"--timestamp_format={form}: has no hour (%H, or %I with %p), expected one such as %d.%m.%Y %H:%M:%S, "
                "or unix or unix_ms."
            )
        if self.skip_rows is not None and self.skip_rows < 0:
            raise ConfigError(f"--skip_rows={self.skip_rows}: expected a number of lines, 0 or more.")
        if self.epoch_length is not None and not (1 <= self.epoch_length <= 60 and 60 % self.epoch_length == 0):
            raise ConfigError(
                f"--epoch_length={self.epoch_length}: expected seconds that divide a minute: 1, 2, 3, 4, 5, 6, 10, 12, "
                "15, 20, 30 or 60."
            )
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise ConfigError(
                    f"--encoding={self.encoding}: there is no such encoding; expected one such as utf-8, utf-16 or "
                    "latin-1."
                ) from None
        if self.timezone is not None:
            try:
                pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone(self.timezone)
            except pl.exceptions.ComputeError:
                raise ConfigError(
                    f"--timezone={self.timezone}: there is no such zone; expected a name such as Europe/Oslo, "
                    "America/New_York or UTC."
                ) from None
