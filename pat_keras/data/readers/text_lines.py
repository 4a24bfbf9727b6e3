"""Bytes of a text file -> its lines: what is no text is told apart, the encoding found out."""

from __future__ import annotations

import csv
import io
import re

import polars as pl

from pat_keras.errors import RecordingError

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FREE_MARKS = "\x1f\x1e\x1d\x1c\x01\x02\x03"  # one of them is in no text that `split_lines` lets through
MARKS = ",;\t|"  # that separate the fields of a table with a header
_HINT = re.compile(r'"?sep=.?"?[,;\t|]*', re.IGNORECASE)
_NOT_TEXT = {
    b"PK\x03\x04": "a zip or a spreadsheet (.xlsx); save the sheet as CSV, or give the zip the ending .zip",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls); save the sheet as CSV",
    b"SQLite format 3": "an SQLite database (.agd?); export the epochs as CSV",
    b"PAR1": "a Parquet file; give it the ending .parquet",
    b"\x1f\x8b": "a gzip file; give it the ending .gz, or, if it is R's own (.rds, .RData), export the table as CSV",
    b"BZh": "a bzip2 file; unpack it",
    b"\xfd7zXZ\0": "an xz file; unpack it",
    b"RDX": "R's own file (.RData); export the table as CSV or Parquet",
    b"$FL2": "an SPSS file (.sav); export it as CSV or Parquet",
    b"$FL3": "an SPSS file (.zsav); export it as CSV or Parquet",
    b"<stata_dta>": "a Stata file (.dta); export it as CSV or Parquet",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60": "a SAS file (.sas7bdat); export it as CSV or Parquet",
    b"ARROW1": "a Feather or Arrow file; write it as Parquet",
    b"FEA1": "a Feather file; write it as Parquet",
    b"%PDF": "a PDF; export the epochs as CSV",
}
# The first bytes of a Stata file of before version 13: number of the format, byte order, 1, 0.
_OLD_STATA = re.compile(rb"[\x66-\x73][\x01\x02]\x01\x00")


def old_stata_format(data: bytes) -> int | None:
    """The number of the format of a Stata file of before version 13 (113 to 115: Stata 8 to 12), None for others."""
    return data[0] if _OLD_STATA.match(data) else None


def decode(data: bytes, encoding: str | None, where: str) -> tuple[str, str]:
    """The text, and its encoding: by a byte order mark, else UTF-16 by its zero bytes, UTF-8 if it is, else latin-1.

    Raises:
        RecordingError: if the file is empty, is no text, or does not fit the encoding given.
    """
    for magic, kind in _NOT_TEXT.items():
        if data.startswith(magic):
            raise RecordingError(f"{where}: is no text but {kind}.")
    if old := old_stata_format(data):
        raise RecordingError(
            f"{where}: is no text but a Stata file of before version 13 (.dta, format {old}); export it as CSV."
        )
    found = encoding or next((name for bom, name in _BOMS.items() if data.startswith(bom)), None)
    if found is None:
        zeros_even, zeros_odd = data[:1000:2].count(0), data[1:1000:2].count(0)
        if max(zeros_even, zeros_odd) > 200 or (len(data) < 1000 and max(zeros_even, zeros_odd) * 3 > len(data)):
            found = "utf-16-le" if zeros_odd > zeros_even else "utf-16-be"
    try:
        text = data.decode(found or "utf-8")
        found = found or "utf-8"
    except UnicodeDecodeError as error:
        if found is not None:
            line = data[: error.start].count(b"\n") + 1
            raise RecordingError(
                f"{where}, line {line}: the bytes {data[error.start : error.end][:4]!r} are not {found} text. The file "
                "may be cut short or damaged there; or give another --encoding."
            ) from None
        text, found = data.decode("latin-1"), "latin-1"
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise RecordingError(f"{where}: the file is empty. Export or copy it again.")
    if "\0" in text:
        raise RecordingError(
            f"{where}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: there are zero bytes; expected text. The "
            "file may be damaged, or a device's own binary format: export it as CSV."
        )
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html", "<?xml")):
        raise RecordingError(f"{where}: is a web page or XML, expected a table. Download or export it again, as CSV.")
    return text, found


def split_lines(text: str, where: str) -> pl.Series:
    """Lines without their ends; blank ones stay, so that numbers of lines are right."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    free = next((mark for mark in FREE_MARKS if mark not in text), None)
    if free is None:
        raise RecordingError(f"{where}: is full of control characters, expected text. Export it again, as CSV.")
    lines = pl.read_csv(
        io.BytesIO(text.encode("utf-8")),
        separator=free,
        quote_char=None,
        has_header=False,
        infer_schema=False,
    ).to_series()
    return lines.fill_null("")


def blank_hint(lines: pl.Series) -> pl.Series:
    """The lines with the first one blank if it is `sep=;`, by which a file tells spreadsheets its separator."""
    return lines if not len(lines) or not _HINT.fullmatch(lines[0]) else pl.concat([pl.Series([""]), lines[1:]])


def whole_rows(lines: pl.Series, where: str) -> pl.Series:
    """Lines of a table of which each is a row, or blank: a text in quotation marks that goes on in further lines is put
    together in its first, and these are left blank, so that numbers of lines are right.

    Raises:
        RecordingError: if rows may lie between two quotation marks, of which the first is then one that was not closed.
    """
    odd = (lines.str.count_matches('"', literal=True) % 2 == 1).arg_true().to_list()
    if not odd or len(odd) % 2:  # whose last is not closed: each that is alone on its line may be the one
        return lines
    texts = lines.to_list()
    header = next(at for at, text in enumerate(texts) if text.strip(f" {MARKS}"))
    mark, width = "", 0
    for first, last in zip(odd[::2], odd[1::2], strict=True):
        parts = texts[first : last + 1]
        texts[first : last + 1] = ["\n".join(parts), *[""] * (last - first)]
        if not width:
            mark = max(MARKS, key=lambda one: len(_row(texts[header], one)))
            width = len(_row(texts[header], mark))
        like_rows = first > header and any(len(part.split(mark)) == width for part in parts[1:])
        if like_rows or not _row(texts[first], mark):
            raise RecordingError(
                f"{where}, line {first + 1}: a quotation mark is not closed on its line, and what follows until the "
                f"next one, in line {last + 1}, looks like other rows. Close it, or take it away."
            )
    return pl.Series(texts, dtype=pl.String)


def _row(text: str, mark: str) -> list[str]:
    """The fields of a row; none if it is not exactly one."""
    try:
        rows = list(csv.reader([text], delimiter=mark, strict=True))
    except csv.Error:
        return []
    return rows[0] if len(rows) == 1 else []
