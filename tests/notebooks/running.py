"""Running a notebook, and comparing what it gives with what is stored in it."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
_SECONDS = 300  # for one cell; a busy machine imports TensorFlow slowly


def read(name: str) -> nbformat.NotebookNode:
    """A notebook as it is stored."""
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that are executed."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_run(name: str, kernel: str) -> None:
    """Execute every cell; none may raise, and each must give the kinds of output that are stored."""
    stored, fresh = read(name), read(name)
    for cell in code_cells(fresh):
        cell.outputs = []
    # Agg, which the other tests draw with, would leave the pictures out. Nothing may be fetched.
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"} | {"PAT_KERAS_OFFLINE": "1"}
    client = nbclient.NotebookClient(
        fresh, kernel_name=kernel, timeout=_SECONDS, resources={"metadata": {"path": str(FOLDER)}},
        coalesce_streams=True,
    )  # fmt: skip
    client.execute(env=environment)  # raises at the first cell that fails
    for before, after in zip(code_cells(stored), code_cells(fresh), strict=True):
        assert _outline(before) == _outline(after), f"run {name} again and store it: {before.source}"


def _outline(cell: nbformat.NotebookNode) -> list[Any]:
    """What kinds of output a cell has: values may differ in their last digits from machine to machine."""
    return [output.get("name") or sorted(output.get("data", [output.output_type])) for output in cell.outputs]
