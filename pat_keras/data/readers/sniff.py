"""A text file as a table: where its rows are, separator and header found out, or taken as given.

Axes: n lines of the file, m rows of data.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence

import polars as pl

from pat_keras.data.readers.column_names import is_time
from pat_keras.data.readers.dates import DATE_IN_LINE, UNIX_IN_LINE, kind_of
from pat_keras.data.readers.numbers import is_number
from pat_keras.data.readers.table_config import SEPARATORS, TableConfig
from pat_keras.data.readers.text_lines import FREE_MARKS, decode, split_lines
from pat_keras.errors import RecordingError

_OF_ROWS = ("comma", "semicolon", "tab", "bar")  # separators of a table that has a header
_SAMPLE = 200  # lines that decide on the separator


@dataclasses.dataclass(frozen=True)
class RawTable:
    """The rows of a text file, not yet read as times and numbers.

    Attributes:
        where: the file, for messages.
        columns: names of the columns, `column_1`, ... if there is no header.
        rows: (m, columns) texts, blanks around them taken off.
        lines: (m,) line in the file of each row, from 1.
        encoding: of the file.
        separator: a key of `SEPARATORS`.
        header: line of the header, 0 if there is none.
    """

    where: str
    columns: list[str]
    rows: pl.DataFrame
    lines: pl.Series
    encoding: str
    separator: str
    header: int


def read_text(data: bytes, config: TableConfig, where: str) -> RawTable:
    """Splits a text file into rows.

    Raises:
        RecordingError: if it is no text, no table can be told in it, or a line has fields too many or too few.
    """
    text, encoding = decode(data, config.encoding, where)
    lines = split_lines(text, where)
    first, header = _find_data(lines, config, where)
    separator = config.separator or _find_separator(lines, first, header, config, where)
    mark = SEPARATORS[separator]
    header_fields = _fields(lines[header], mark) if header is not None else []
    apart = header is not None and header < first - 1 and len(header_fields) != len(_fields(lines[first], mark))
    if len(header_fields) == 1 or (apart and config.skip_rows is None):  # the last line of a preamble
        header = None
    if header is None:
        while first < len(lines) - 1 and (_is_remark(_fields(lines[first], mark)) or _is_setting(lines, first, mark)):
            first += 1  # a line of the preamble with a date in it
        _check_no_row_above(lines, first, config.skip_rows or 0, mark, where)
        widths = {len(_fields(line, mark, all_of_them=True)) for line in lines[first : first + _SAMPLE] if line.strip()}
        width = min(widths)  # a wider line is looked at by `_split`
        columns = [f"column_{number + 1}" for number in range(width)]
    else:
        _check_one_header(lines, header, _fields(lines[first], mark), config.skip_rows or 0, mark, where)
        columns = [name or f"column_{number + 1}" for number, name in enumerate(header_fields)]
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise RecordingError(
            f"{where}, line {(header or 0) + 1}: the header has the column {doubled[0]!r} more than once. Rename one."
        )
    if header is not None:
        _check_not_shifted(lines, first, header, columns, mark, where)
    rows, numbers = _split(lines[first:], first + 1, mark, columns, where)
    return RawTable(where, columns, rows, numbers, encoding, separator, 0 if header is None else header + 1)


def read_rows(lines: pl.Series, where: str) -> tuple[pl.DataFrame, pl.Series, str]:
    """A table whose first line names its columns: texts of its rows, their lines in the file, and the separator.

    The separator, a key of `SEPARATORS`, is the one that makes most columns of the header.

    Raises:
        RecordingError: if there is no row, a name is missing or doubled, or a line has too many or too few fields.
    """
    filled = (lines.str.strip_chars(" \t,;|") != "").arg_true()
    if len(filled) < 2:
        raise RecordingError(f"{where}: no row below the header. Export the file again.")
    header = int(filled[0])
    separator = max(_OF_ROWS, key=lambda name: len(_fields(lines[header], SEPARATORS[name])))
    mark = SEPARATORS[separator]
    columns = _fields(lines[header], mark)
    for at, name in enumerate(columns):
        if not name or name in columns[:at]:
            found = "the name of another" if name else "no name"
            raise RecordingError(
                f"{where}, line {header + 1}: column {at + 1} of the header has {found} ({_short(lines[header])}). "
                "Name each column once."
            )
    return *_split(lines[header + 1 :], header + 2, mark, columns, where), separator


def _find_data(lines: pl.Series, config: TableConfig, where: str) -> tuple[int, int | None]:
    """Index of the first row of data, and of the header or None."""
    filled = lines.str.strip_chars(" \t,;|") != ""
    if config.skip_rows is not None or (config.timestamp_column and not _is_numbered(config.timestamp_column)):
        header = _given_header(lines, filled, config, where)
        if header is not None:
            below = filled.slice(header + 1).arg_true()
            if not len(below):
                raise RecordingError(f"{where}, line {header + 1}: no sample below the header. Export the file again.")
            return header + 1 + int(below[0]), header
    # A header or rows above what is to be skipped are none.
    filled &= pl.int_range(len(lines), eager=True) >= (config.skip_rows or 0)
    for pattern in (DATE_IN_LINE, UNIX_IN_LINE):
        first = _longest_run(lines.str.contains(pattern), filled)
        if first is not None:
            break
    else:
        raise RecordingError(
            f"{where}: no line has a date, expected rows such as 2024-12-31 23:58:00,12 ({len(lines):,} lines looked "
            "at). Give --skip_rows or --timestamp_column, and --timestamp_format if the dates are written otherwise."
        )
    above = filled.slice(0, first).arg_true()
    header = int(above[-1]) if len(above) and _may_be_header(lines[int(above[-1])]) else None
    return first, header


def _is_numbered(names: Sequence[str]) -> bool:
    return all(name.startswith("column_") for name in names)


def _given_header(lines: pl.Series, filled: pl.Series, config: TableConfig, where: str) -> int | None:
    """Index of the header by --skip_rows, or by the name of --timestamp_column; None if the rows have none."""
    if config.skip_rows is not None:
        below = filled.slice(config.skip_rows).arg_true()
        if not len(below):
            raise RecordingError(
                f"{where}: --skip_rows={config.skip_rows} leaves nothing of its {len(lines):,} lines. Give a smaller "
                "number."
            )
        header = config.skip_rows + int(below[0])
        return header if _may_be_header(lines[header]) else None
    wanted = config.timestamp_column
    likely = filled.clone()
    for name in wanted:
        likely &= lines.str.contains(name, literal=True)
    for at in likely.arg_true().to_list():
        if any(set(wanted) <= set(_fields(lines[at], mark)) for mark in SEPARATORS.values()):
            return int(at)
    return None


def _longest_run(matching: pl.Series, filled: pl.Series) -> int | None:
    """Index at which the longest run of matching lines begins; blank lines do not end a run."""
    rows = matching.filter(filled)
    places = filled.arg_true()
    if not rows.any():
        return None
    runs = pl.DataFrame({"match": rows, "run": rows.rle_id(), "place": places}).filter(pl.col("match"))
    longest = runs.group_by("run", maintain_order=True).agg(pl.len().alias("n"), pl.col("place").first())
    return int(longest.sort("n", descending=True, maintain_order=True)["place"][0])


def _may_be_header(line: str) -> bool:
    """Whether a line has names: some text, and no number or date, between separators of some kind."""
    for mark in (",", ";", "\t", "|"):
        fields = [field for field in _fields(line, mark) if field]
        if any(is_number(field) or kind_of(field) for field in fields):
            return False
    words = line.split()
    return bool(words) and not all(is_number(word) or kind_of(word) for word in words)


def _fields(line: str, mark: str, all_of_them: bool = False) -> list[str]:
    """Fields of one line; the empty ones at its end are left out unless all are wanted."""
    if mark == " ":
        line = " ".join(part for part in line.split(" ") if part)
    try:
        fields = [field.strip() for field in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:  # a line too long to be one of a table
        return [line]
    while fields and not fields[-1] and not all_of_them:
        fields.pop()
    return fields


def _is_remark(fields: list[str]) -> bool:
    return len(fields) < 2 and not any(kind_of(field) for field in fields)


def _is_setting(lines: pl.Series, at: int, mark: str) -> bool:
    """Whether a line is one such as "Config Time,2024-03-01" that ends a preamble: below it a blank line, then rows.

    They have more fields, and begin with a time or a number, so that a first row that is cut short is none.
    """
    fields = _fields(lines[at], mark)
    if len(fields) != 2 or _fields(lines[at + 1], mark):
        return False
    row = next((below for line in lines[at + 1 :] if (below := _fields(line, mark))), [""])
    named = [kind_of(one[0]) is None and not is_number(one[0]) for one in (fields, row)]
    return len(row) > 2 and named == [True, False]


def _check_no_row_above(lines: pl.Series, first: int, skipped: int, mark: str, where: str) -> None:
    """Without a header, the line above the first row must be a device's preamble and not a damaged row."""
    row = _fields(lines[first], mark)
    above = next((at for at in range(first - 1, skipped - 1, -1) if lines[at].strip()), None)
    if above is None:
        return
    line = f"{where}, line {above + 1}: {_short(lines[above])}"
    if len(row) > 1 and len(_fields(lines[above], mark)) == len(row):
        raise RecordingError(
            f"{line} has {len(row)} fields as the rows below, but is neither a header (it has numbers or blanks) nor a "
            f"row (no date in it). Correct the line, or give --skip_rows={above + 1} if the rows begin below it."
        )
    earlier = _dated_row(lines, skipped, above, row, mark)
    if earlier is not None:
        raise RecordingError(
            f"{line} is no row, expected one with a date and {len(row)} fields as line {first + 1} below and line "
            f"{earlier + 1} above. Correct the line, or give --skip_rows={above + 1} if the rows begin below it."
        )


def _check_one_header(lines: pl.Series, header: int, row: list[str], skipped: int, mark: str, where: str) -> None:
    """A second line of names, or rows with dates as below, above the line taken for the header: it is a damaged row."""
    names = _fields(lines[header], mark)
    above = _fields(lines[header - 1], mark) if header > skipped else []
    named = len(names) == len(above) > 2 and all(above) and not any(is_number(field) for field in above)
    earlier = header - 1 if named else _dated_row(lines, skipped, header, row, mark)
    if earlier is not None:
        raise RecordingError(
            f"{where}, line {header + 1}: was taken for the header ({_short(lines[header])}), but line {earlier + 1} "
            f"above it looks like {'a header, too' if named else 'a row of data'}. Correct the damaged line, or give "
            "--skip_rows, the number of lines above the header."
        )


def _check_not_shifted(lines: pl.Series, first: int, header: int, columns: list[str], mark: str, where: str) -> None:
    """Rows with numbers of rows before them, which the header does not name, and nothing in the last field.

    R's write.table makes them so. With an empty last field they look like rows with a separator at their end.
    """
    filled = lines[first:].filter(lines[first:].str.strip_chars() != "").head(_SAMPLE)
    rows = [_fields(line, mark, all_of_them=True) for line in filled]
    start = rows[0][0]
    numbered = start.isdecimal() and [row[0] for row in rows] == [str(int(start) + at) for at in range(len(rows))]
    if not numbered or any(len(row) != len(columns) + 1 or row[-1] for row in rows):
        return
    dated = [at for at, field in enumerate(rows[0]) if kind_of(field) in ("datetime", "date", "unix")]
    if dated and not is_time(columns[dated[0]]):
        raise RecordingError(
            f"{where}, line {header + 1}: the header has {len(columns)} names, the rows below have {len(columns) + 1} "
            f"fields, of which the first numbers them and the last is empty: dates stand below {columns[dated[0]]!r}. "
            "Name the first column in the header, too; or take the separators at the ends of rows away."
        )


def _dated_row(lines: pl.Series, start: int, end: int, row: list[str], mark: str) -> int | None:
    """The first line of a part that has as many fields as `row`, and dates where it has them; or None."""
    kinds = {at: kind_of(field) for at, field in enumerate(row) if kind_of(field) in ("datetime", "date", "unix")}
    for number in range(start, end):
        fields = _fields(lines[number], mark)
        if kinds and len(fields) == len(row) and all(kind_of(fields[at]) == kind for at, kind in kinds.items()):
            return number
    return None


def _short(line: str) -> str:
    return repr(line[:60] + ("..." if len(line) > 60 else ""))


def _find_separator(lines: pl.Series, first: int, header: int | None, config: TableConfig, where: str) -> str:
    """The separator by which the rows have a time and a number, or at least the columns that were named."""
    rows = lines[first:].filter(lines[first:].str.strip_chars() != "")
    sample = pl.concat([rows.head(_SAMPLE // 2), rows.slice(len(rows) // 2, _SAMPLE // 2)]).to_list()
    widths: dict[str, int] = {}
    for name, mark in SEPARATORS.items():
        split = [_fields(line, mark, all_of_them=True) for line in sample]
        width = sorted(map(len, split))[len(split) // 2]
        if width < 2:
            continue
        columns = [[row[at] if at < len(row) else "" for row in split] for at in range(width)]
        kinds = [kinds_of(column, config.missing_values) for column in columns]
        dated = bool({"datetime", "date", "unix"} & set(kinds))
        named = header is not None and set(config.timestamp_column) <= set(_fields(lines[header], mark))
        known = bool(config.timestamp_column) and named
        if (dated or known) and ("number" in kinds or kinds.count("unix") > 1 or known or "empty" in kinds):
            widths[name] = width
    if len(widths) > 1:  # a blank stands within dates, and after other separators
        widths.pop("space", None)
    best = [name for name, width in widths.items() if width == max(widths.values())]
    if len(best) != 1:
        found = f"{' and '.join(best)} both fit" if best else "none of comma, semicolon, tab, bar and space fits"
        raise RecordingError(
            f"{where}, line {first + 1}: the separator can't be told: expected one between a date and a number in "
            f"every row; {found} {_short(lines[first])}. Give --separator, and --timestamp_column and "
            "--timestamp_format if dates are unusual. An export whose rows have no times needs the reader of its "
            "device, another --source."
        )
    return best[0]


def kinds_of(fields: Sequence[str], missing: Sequence[str] = ()) -> str:
    """What nine tenths of a column's fields are: "datetime", "date", "time", "unix", "number", "text" or "empty".

    Texts in `missing` stand for missing values, and count as little as blanks.
    """
    filled = [field for field in fields if field and field not in missing]
    if not filled:
        return "empty"
    kinds = [kind_of(field) or ("number" if is_number(field) else "text") for field in filled]
    common = max(set(kinds), key=kinds.count)
    return common if kinds.count(common) >= 0.9 * len(filled) else "text"


def _split(
    lines: pl.Series, first_line: int, mark: str, columns: list[str], where: str
) -> tuple[pl.DataFrame, pl.Series]:
    """Rows as texts and their lines. Fields beyond the header may only be empty; no line may have fewer."""
    numbers = pl.Series("line", range(first_line, first_line + len(lines)), dtype=pl.Int64)
    if mark == " ":
        lines = lines.str.replace_all(" +", " ").str.strip_chars()
    filled = lines.str.strip_chars(f'{mark} \t"') != ""
    lines, numbers = lines.filter(filled), numbers.filter(filled)
    width = len(columns)
    if lines.str.contains('"', literal=True).any():
        fields = _split_quoted(lines, numbers, mark, where)
    else:
        fields = lines.str.split(mark)
    count = fields.list.len()
    short = (count < width).arg_true()
    if len(short):
        at = int(short[0])
        raise RecordingError(
            f"{where}, line {numbers[at]}: has {count[at]} fields, expected {width} as in the header "
            f"({len(short)} such lines). The file may be cut short there: correct or remove the line."
        )
    if (count > width).any():
        beyond = fields.list.slice(width).list.eval(pl.element().str.strip_chars() != "").list.any()
        long = beyond.arg_true()
        if len(long):
            at = int(long[0])
            raise RecordingError(
                f"{where}, line {numbers[at]}: has {count[at]} fields, expected {width} as in the header ({len(long)} "
                "such lines). Numbers with a decimal comma between commas do this: export with semicolons, or correct "
                "the line."
            )
    rows = {name: fields.list.get(at).str.strip_chars() for at, name in enumerate(columns)}
    return pl.DataFrame(rows), numbers


def _split_quoted(lines: pl.Series, numbers: pl.Series, mark: str, where: str) -> pl.Series:
    odd = (lines.str.count_matches('"', literal=True) % 2 == 1).arg_true()
    if len(odd):
        raise RecordingError(
            f"{where}, line {numbers[int(odd[0])]}: a quotation mark is not closed on its line ({len(odd)} such "
            "lines). Correct the line."
        )
    # Joined once more, by a mark that no line has: millions of lists of texts would take a hundred times the memory.
    free = next(one for one in FREE_MARKS if not lines.str.contains(one, literal=True).any())
    return pl.Series(map(free.join, csv.reader(lines, delimiter=mark)), dtype=pl.String).str.split(free)
