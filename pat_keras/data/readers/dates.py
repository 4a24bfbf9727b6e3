"""Date formats: found out from the texts, never guessed where two readings are possible.

A format is a strptime text as polars (chrono) takes it; "unix" and "unix_ms" are seconds and milliseconds since 1970.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import re

import polars as pl

# A text that is a date, a time of day, or both; the parts are looked at by `formats_of`.
_DATE = (
    r"(?P<ymd>\d{4}(?P<s1>[-/.])\d{1,2}(?P=s1)\d{1,2})"
    r"|(?P<dmy>\d{1,2}(?P<s2>[-/.])\d{1,2}(?P=s2)\d{4})"
    r"|(?P<short>\d{1,2}(?P<s3>[-/.])\d{1,2}(?P=s3)\d{2})"
    r"|(?P<compact>(?:19|20)\d{6})"
    r"|(?P<named>\d{1,2}(?P<s4>[- /.])(?P<month>[A-Za-z]{3,9})(?P=s4)\d{4})"
)
_TIME = (
    r"(?P<hm>\d{1,2}:\d{2})(?P<sec>:\d{2})?(?P<frac>[.,]\d+|(?<=:\d\d:\d\d):\d{3})?"  # GENEActiv: 14:37:00:500
    r"(?P<half> ?[AaPp]\.?[Mm]\.?)?"
)
_ZONE = r"(?P<zone>\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?(?:\s*\[[\w/+-]+\])?"
_TEXT = re.compile(rf"^(?:{_DATE})?(?:(?P<middle>(?<=\d)[T ]|(?<=\d)  +|^)(?:{_TIME}){_ZONE})?$")

# The same for a whole line of a file (polars has no back references), to find where the data are.
DATE_IN_LINE = (
    r"\b(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|(?:19|20)\d{6}[T ]\d{1,2}:"
    r"|\d{1,2}[- /.][A-Za-z]{3,9}[- /.]\d{4})(?:\b|T)|\b(?:19|20)\d{6}[,;\t|]\s*\d{1,2}:\d{2}"
)
UNIX_IN_LINE = r"(?:^|[,;\t| \"])1\d{9}(?:\d{3})?(?:\.\d+)?(?:$|[,;\t| \"])"
_ODD = r"[A-SU-Za-z+\[,]|\d -|:\d+(?:\.\d+)?-|:\d+:\d{3}"  # T alone is an ordinary one
# The time of day that spreadsheets and databases give to a date alone.
MIDNIGHT = r"[T ]+(?:0?0:00(?::00)?(?:[.,]0+)?|12:00(?::00)? ?[Aa]\.?[Mm]\.?)$"
_UNIX = re.compile(r"^1\d{9}(\.\d+)?$")
_UNIX_MS = re.compile(r"^1\d{12}(\.\d+)?$")

_ORDERS = {
    "dmy": ("%d{s}%m{s}%Y", "%m{s}%d{s}%Y"),
    "short": ("%d{s}%m{s}%y", "%m{s}%d{s}%y", "%y{s}%m{s}%d"),
    "ymd": ("%Y{s}%m{s}%d",),
    "compact": ("%Y%m%d",),
    "named": ("%d{s}%B{s}%Y",),  # %B reads abbreviations, too
}
_NAMES = {"%d": "day", "%m": "month", "%B": "month", "%Y": "year", "%y": "year"}
_YEARS = (1900, 2100)
_DAY = datetime.timedelta(days=1)
_EXAMPLE = datetime.datetime(2024, 12, 31, 23, 58)


@dataclasses.dataclass(frozen=True)
class Parsed:
    """Times of a column.

    Attributes:
        local: clock time as written, Datetime("us"); null where the text is missing or does not fit the format.
        utc: the instant, where the texts have an offset from UTC (or are unix times); else None.
        format: how they were read.
        why: why this format, where another one was possible.
    """

    local: pl.Series
    utc: pl.Series | None
    format: str
    why: str = ""


def kind_of(text: str) -> str | None:
    """ "datetime", "date", "time", "unix", or None for other texts."""
    if _UNIX.match(text) or _UNIX_MS.match(text):
        return "unix"
    found = _TEXT.match(text)
    if not text or not found:
        return None
    has_date = any(found[name] for name in _ORDERS)
    return ("datetime" if has_date else "time") if found["hm"] else ("date" if has_date else None)


def formats_of(texts: pl.Series) -> list[str]:
    """Formats that the texts may have: one, or more where the order of day and month is open; none if no date."""
    sample = pl.concat([texts.head(50), texts.gather_every(max(1, len(texts) // 50)), texts.tail(50)]).drop_nulls()
    found: collections.Counter[tuple[str, ...]] = collections.Counter()
    fraction = False
    for text in _normalised(sample).to_list():
        match = _TEXT.match(text)
        if _UNIX_MS.match(text):
            found[("unix_ms",)] += 1
        elif _UNIX.match(text):
            found[("unix",)] += 1
        elif match and (formats := _formats(match)):
            fraction |= bool(match["frac"])
            found[formats] += 1
    if not found:
        return []
    formats = found.most_common(1)[0][0]
    return [re.sub(r"%S(%\.f)?", "%S%.f", form) if fraction else form for form in formats]


def _formats(match: re.Match[str]) -> tuple[str, ...]:
    kind = next((name for name in _ORDERS if match[name]), None)
    if kind is None:
        return ()
    separator = next((match[name] for name in ("s1", "s2", "s3", "s4") if match[name]), "")
    rest = ""
    if match["hm"]:
        half = " %p" if match["half"] else ""
        seconds = ":%S" + ("%.f" if match["frac"] else "") if match["sec"] else ""
        rest = match["middle"] + ("%I" if half else "%H") + ":%M" + seconds + half + ("%z" if match["zone"] else "")
    return tuple(form.replace("{s}", separator) + rest for form in _ORDERS[kind])


def _normalised(texts: pl.Series) -> pl.Series:
    """Z, UTC and GMT as +0000, no zone names, fractions after a point, AM and PM after one blank."""
    texts = texts.str.strip_chars()
    if not texts.str.contains(_ODD).any():  # one look instead of five replacements
        return texts
    frame = texts.to_frame("t")
    text = pl.col("t")
    text = text.str.replace(r"\s*\[[\w/+-]+\]$", "").str.replace(r"(\d)\s*(?:Z|UTC|GMT)$", "${1}+0000")
    text = text.str.replace(r"([:.]\d+) *([+-]\d{2}):?(\d{2})$", "${1}${2}${3}")
    text = text.str.replace(r"(:\d{2}),(\d+)", "${1}.${2}").str.replace(r"(:\d{2}:\d{2}):(\d{3,})$", "${1}.${2}")
    return frame.select(text.str.replace(r"(\d) ?([AaPp])\.?[Mm]\.?$", "${1} ${2}M")).to_series()


def as_normalised(form: str) -> str:
    """A format that somebody gave for texts as they are written, for these texts as `_normalised` leaves them."""
    form = re.sub(r"\s*(?:(?<!%)Z|UTC|GMT|%z)$", "%z", form)
    form = re.sub(r"(?<=%[A-Za-z]) ?%[pP]$", " %p", form)
    form = re.sub(r"(?<=%S)[,:](\d{3,})$", r".\1", form)
    return re.sub(r"[.,:]%f", "%.f", form)


def parse(texts: pl.Series, form: str) -> Parsed:
    """Reads texts by a format; what does not fit, or lies outside the years 1900 to 2100, becomes null."""
    if form in ("unix", "unix_ms"):
        scale = 1e6 if form == "unix" else 1e3
        utc = (texts.cast(pl.Float64, strict=False) * scale).round().cast(pl.Int64, strict=False)
        instants = _in_years(utc.cast(pl.Datetime("us")))
        return Parsed(instants, instants, form)
    texts = _normalised(texts)
    if form.endswith("%Z") and texts.str.contains(r"[+-]\d{4}$").any():  # UTC or GMT; other names are of local clocks
        form = re.sub(r"\s*%Z$", "%z", form)
    if "%z" not in form:
        return Parsed(_in_years(_to_datetime(texts, form)), None, form)
    utc = _to_datetime(texts, form).dt.replace_time_zone(None)
    written = _to_datetime(texts.str.replace(r"[+-]\d{4}$", ""), form.replace("%z", ""))
    return Parsed(_in_years(written), utc, form)


def _to_datetime(texts: pl.Series, form: str) -> pl.Series:
    try:
        times = texts.str.to_datetime(form, strict=False, time_unit="us")
    except pl.exceptions.PolarsError:  # a format without a time of day, or one that chrono does not know
        times = pl.Series(texts.name, [None] * len(texts), dtype=pl.Datetime("us"))
    return times


def _in_years(times: pl.Series) -> pl.Series:
    fits = times.dt.year().is_between(*_YEARS)
    return times.to_frame("t").select(pl.when(fits).then(pl.col("t"))).to_series()


def complete_midnights(texts: pl.Series) -> tuple[pl.Series, int]:
    """Dates among times get 0:00 (R leaves it out when it writes); returns the texts, and how many got it."""
    formats = formats_of(texts)
    rest = re.search(r"[T ]+%[HI].*", formats[0]) if formats else None
    if rest is None or "%z" in formats[0]:
        return texts, 0
    midnight = datetime.datetime(2000, 1, 1).strftime(rest[0].replace("%.f", ""))
    alone = texts.str.contains(r"^[\d./-]+$|^\d{1,2}[- /.][A-Za-z]{3,9}[- /.]\d{4}$").fill_null(False)
    n_alone = int(alone.sum())
    if not n_alone:
        return texts, 0
    completed = pl.when("alone").then(pl.col("t") + midnight).otherwise("t")
    return pl.DataFrame({"t": texts, "alone": alone}).select(completed).to_series(), n_alone


def resolve(texts: pl.Series, people: pl.Series, formats: list[str]) -> tuple[list[Parsed], str]:
    """The readings that hold for a whole column: those in which every text is a date, and of these the regular ones.

    Args:
        texts: of the column, null = missing.
        people: whose row it is.
        formats: as `formats_of` gives them.

    Returns:
        readings: one if it is clear (with `why`), several if not; the one with the fewest misfits if none fits.
        example: a text that the several readings take for different days, or "".
    """
    readings = [parse(texts, form) for form in formats]
    misfits = [int((one.local.is_null() & texts.is_not_null()).sum()) for one in readings]
    whole = [one for one, bad in zip(readings, misfits, strict=True) if not bad]
    if len(formats) == 1 or not whole:
        return [readings[misfits.index(min(misfits))]], ""
    if len(whole) == 1:
        why = "a date has a number above 12 where another order needs the month"
        return [dataclasses.replace(whole[0], why=why)], ""
    different = _first_difference(whole)
    if different is None:  # all of one day such as 05/05: any reading will do
        return whole[:1], ""
    jumps = [_jumps(one.local, people) for one in whole]
    if jumps.count(0) == 1:
        regular = whole[jumps.index(0)]
        others = min(number for number in jumps if number)
        often = "once" if others == 1 else f"{others} times"
        why = f"in another order of day and month the times jump by more than a day ({often})"
        return [dataclasses.replace(regular, why=why)], ""
    return whole, texts[different]


def _first_difference(readings: list[Parsed]) -> int | None:
    """Row of the first text that two readings take for different times, or None."""
    for other in readings[1:]:
        rows = (readings[0].local != other.local).arg_true()
        if len(rows):
            return int(rows[0])
    return None


def _jumps(times: pl.Series, people: pl.Series) -> int:
    frame = pl.DataFrame({"who": people, "t": times}).sort("who", "t")
    return int(frame.select((pl.col("t").diff().over("who") > _DAY).sum()).item())


def describe(form: str) -> str:
    """A format for people: its parts in words and a made-up example."""
    if form in ("unix", "unix_ms"):
        return f"{'seconds' if form == 'unix' else 'milliseconds'} since 1970 in UTC"
    order = "-".join(_NAMES[part] for part in re.findall(r"%[dmBYy]", form))
    example = _EXAMPLE.strftime(form.replace("%.f", ".000").replace("%z", "+0000"))
    return f"{form} ({order}, such as {example})" if order else form


def readings_of(text: str, formats: list[str]) -> str:
    """ "3 April 2020 by FORMAT" for each format, to show what a text would mean."""
    parts = []
    for form in formats:
        time = parse(pl.Series([text], dtype=pl.String), form).local[0]
        parts.append(f"{time.day} {time:%B %Y} by {form}")
    return " or ".join(parts)
