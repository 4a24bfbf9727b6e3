"""SAS transport files (.xpt), checked before polars-readstat reads them and guarded afterwards."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

import polars as pl
import polars_readstat

from pat_keras.errors import RecordingError

_MAGIC = b"HEADER RECORD*******LIB"
_BLOCK = 80  # bytes; every transport file is a whole number of them

# Nobody measures a number this small. A program that misreads the IBM zero makes 5.4e-79 of it (pandas does), and a
# file written anew by it holds such numbers where zeros were.
_TINY = 1e-70


def find_xpt(folder: pathlib.Path, stem: str) -> pathlib.Path | None:
    """The file STEM.xpt of a folder, in whatever case, or None.

    Raises:
        RecordingError: if the names of two files differ in case alone.
    """
    found = sorted(path for path in folder.iterdir() if path.name.lower() == f"{stem}.xpt".lower() and path.is_file())
    if len(found) > 1:
        raise RecordingError(f"{folder}: {found[0].name} and {found[1].name} are both there. Take one of them away.")
    return found[0] if found else None


def check_xpt(path: pathlib.Path, columns: Sequence[str], texts: Sequence[str] = ()) -> int:
    """Checks that a file is a transport file with numeric `columns`, and columns `texts` of any type.

    Returns:
        About how many rows it has (exactly, but for up to 79 bytes of padding).

    Raises:
        RecordingError: if it is of another kind, cut short, or a column is missing or text.
    """
    types, row_length = _layout(path)
    lacking = [column for column in (*columns, *texts) if column not in types]
    if lacking:
        raise RecordingError(
            f"{path}: there is no column {', '.join(lacking)}; found {', '.join(types)}. Is it another file of NHANES?"
        )
    wrong = [column for column in columns if types[column] != "Numeric"]
    if wrong:
        raise RecordingError(f"{path}: column {', '.join(wrong)} holds text, expected numbers. Restore NCHS's file.")
    return path.stat().st_size // row_length


def xpt_columns(path: pathlib.Path) -> tuple[str, ...]:
    """Names of a file's columns.

    Raises:
        RecordingError: if it is of another kind or cut short.
    """
    return tuple(_layout(path)[0])


def _layout(path: pathlib.Path) -> tuple[dict[str, str], int]:
    """Column -> type, and the bytes of a row."""
    with path.open("rb") as file:
        beginning = file.read(_BLOCK)
    size = path.stat().st_size
    if not beginning.startswith(_MAGIC):
        raise RecordingError(
            f"{path}: not a SAS transport file: it begins with {beginning[:24]!r}, expected {_MAGIC!r}. A web page "
            "or a zip saved under this name does this; download the .xpt again (and unzip it)."
        )
    if size % _BLOCK:
        raise RecordingError(
            f"{path}: cut short: its {size:,} bytes are not a whole number of {_BLOCK}-byte blocks. Download it again."
        )
    try:
        layout = polars_readstat.ScanReadstat(str(path)).metadata
    except Exception as error:  # polars-readstat raises RuntimeError and ValueError for a damaged header
        raise RecordingError(f"{path}: the header can't be read ({error}). Download it again.") from error
    return {column["name"]: column["type"] for column in layout["columns"]}, layout["row_length"]


def read_xpt(path: pathlib.Path, columns: Sequence[str], texts: Sequence[str] = ()) -> pl.DataFrame:
    """A whole (small) file: `columns` as float64, SAS's missing values as null; `texts` as text, blanks as null.

    Raises:
        RecordingError: as `check_xpt`, and if the rows can't be read.
    """
    check_xpt(path, columns, texts)
    try:
        return _guarded(polars_readstat.scan_readstat(str(path), preserve_order=True), columns, texts).collect()
    except (pl.exceptions.PolarsError, RuntimeError) as error:
        raise RecordingError(f"{path}: the rows can't be read ({error}). Download it again.") from error


def stream_xpt(path: pathlib.Path, columns: Sequence[str], texts: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """As `read_xpt`, in the file's order by batches of some ten thousand rows, so that any size of file fits in memory.

    Raises:
        RecordingError: as `check_xpt`, and if the rows can't be read.
    """
    check_xpt(path, columns, texts)
    rows = _guarded(polars_readstat.scan_readstat(str(path), preserve_order=True), columns, texts)
    try:
        yield from rows.collect_batches(maintain_order=True)
    except (pl.exceptions.PolarsError, RuntimeError) as error:
        raise RecordingError(f"{path}: the rows can't be read ({error}). Download it again.") from error


def _guarded(rows: pl.LazyFrame, columns: Sequence[str], texts: Sequence[str]) -> pl.LazyFrame:
    values = pl.col(columns)
    kept = [pl.when(values.abs() < _TINY).then(0.0).otherwise(values).name.keep()]
    if texts:
        words = pl.col(texts).cast(pl.String).str.strip_chars()
        kept.append(pl.when(words != "").then(words).name.keep())
    return rows.select(kept)
