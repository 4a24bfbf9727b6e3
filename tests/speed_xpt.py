"""Rows a second of our reader of SAS transport files beside pandas' chunked one, taking turns on one file.

    python -m tests.speed_xpt PAXRAW_D.xpt --rounds=3

Needs pandas. Both read all rows of all columns, in order, and add up PAXINTEN, so that neither can skip anything.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable

from pat_keras.data.readers.xpt import stream_xpt, xpt_columns

_CHUNK_ROWS = 100_000


def read_ours(path: pathlib.Path) -> tuple[int, float]:
    """Rows, and the sum of PAXINTEN."""
    rows, total = 0, 0.0
    for batch in stream_xpt(path, xpt_columns(path)):
        rows, total = rows + batch.height, total + float(batch["PAXINTEN"].sum())
    return rows, total


def read_pandas(path: pathlib.Path) -> tuple[int, float]:
    """Rows, and the sum of PAXINTEN."""
    import pandas

    rows, total = 0, 0.0
    with pandas.read_sas(path, format="xport", chunksize=_CHUNK_ROWS) as reader:
        for chunk in reader:
            rows, total = rows + len(chunk), total + float(chunk["PAXINTEN"].sum())
    return rows, total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("path", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    readers: dict[str, Callable[[pathlib.Path], tuple[int, float]]] = {"pat_keras": read_ours, "pandas": read_pandas}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    found = set()
    for _ in range(arguments.rounds):
        for name, read in readers.items():
            started = time.perf_counter()
            rows, total = read(arguments.path)
            seconds[name].append(time.perf_counter() - started)
            found.add((rows, round(total)))
    if len(found) != 1:
        raise SystemExit(f"the readers disagree on rows and sum: {sorted(found)}")
    for name, times in seconds.items():
        print(f"{name:<10} {rows / statistics.median(times):>12,.0f} rows/s")
    ratios = [slow / fast for fast, slow in zip(seconds["pat_keras"], seconds["pandas"], strict=True)]
    print(f"pandas takes {statistics.median(ratios):.1f} times as long, the median of {arguments.rounds} rounds")


if __name__ == "__main__":
    main()
