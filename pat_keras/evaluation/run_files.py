"""What every run directory is written with: files replaced whole or not at all, and the versions of what computed."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import platform
from typing import Any

import polars as pl

from pat_keras._version import __version__
from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError

_PACKAGES = ("keras", "jax", "tensorflow", "numpy", "scikit-learn", "polars", "h5py")


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file, in place of one that is there."""
    with atomic_write(path, overwrite=True, error=RunError) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: pathlib.Path, values: dict[str, Any]) -> None:
    """Writes JSON, in place of a file that is there; numbers that are none are refused with a ValueError."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def write_csv(path: pathlib.Path, table: pl.DataFrame) -> None:
    """Writes a table, in place of a file that is there."""
    with atomic_write(path, overwrite=True, error=RunError) as temporary:
        table.write_csv(temporary)


def versions(*more: str) -> dict[str, str]:
    """Of what computes: this package, Python, the machine, and the packages of ours, and `more`, that are installed."""
    found = {"pat_keras": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
