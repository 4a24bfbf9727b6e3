"""Plain tables as people have them: texts of many notations, and files of them."""

from __future__ import annotations

import datetime
import gzip
import pathlib
import zipfile
from collections.abc import Mapping, Sequence

START = datetime.datetime(2024, 5, 20, 8, 30)


def times(n: int, start: datetime.datetime = START, step: float = 60) -> list[datetime.datetime]:
    return [start + datetime.timedelta(seconds=step * number) for number in range(n)]


def table_text(
    moments: Sequence[datetime.datetime],
    values: Sequence[object],
    *,
    separator: str = ",",
    form: str = "%Y-%m-%d %H:%M:%S",
    header: str | None = "timestamp,activity",
    preamble: Sequence[str] = (),
    end: str = "\n",
) -> str:
    """One row a moment; `header` is written with commas."""
    lines = [*preamble]
    if header is not None:
        lines.append(header.replace(",", separator))
    lines += [f"{moment.strftime(form)}{separator}{value}" for moment, value in zip(moments, values, strict=True)]
    return end.join(lines) + end


def plain(n: int = 200, start: datetime.datetime = START, step: float = 60) -> str:
    """A table of n rows; the value of row i is i % 50."""
    return table_text(times(n, start, step), [number % 50 for number in range(n)])


def write(path: pathlib.Path, content: str | bytes, encoding: str = "utf-8") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_all(folder: pathlib.Path, files: Mapping[str, str | bytes]) -> pathlib.Path:
    for name, content in files.items():
        write(folder / name, content)
    return folder


def zip_all(path: pathlib.Path, files: Mapping[str, str | bytes]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
