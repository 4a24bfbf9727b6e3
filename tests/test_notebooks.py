"""The notebooks: each runs top to bottom, and what is stored in it came from such a run and tells of no machine."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import nbclient
import nbformat
import pytest
from ipykernel import kernelspec

_FOLDER = pathlib.Path(__file__).resolve().parents[1] / "notebooks"
_NOTEBOOKS = sorted(_FOLDER.glob("*.ipynb"))
_KERNEL = "the_interpreter_of_these_tests"
_SECONDS = 300  # for one cell; a busy machine imports TensorFlow slowly
# From the root of a file system, so not the path of a web address.
_MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:home|root|tmp|work|workspace|Users|private|opt|usr|var|mnt|srv|media|content)/"
    r"|\b[A-Za-z]:\\+(?:Users|Windows|Temp)\b"
)


@pytest.fixture
def kernel(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Jupyter kernel that is the running interpreter, whatever kernels the user has installed."""
    kernelspec.install(kernel_name=_KERNEL, prefix=str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # else jupyter_core warns of its own coming default
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # no start-up files and history of the user's
    return _KERNEL


def _read(path: pathlib.Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def _code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outline(cell: nbformat.NotebookNode) -> list[Any]:
    """What kinds of output a cell has: values may differ in their last digits from machine to machine."""
    return [output.get("name") or sorted(output.get("data", [output.output_type])) for output in cell.outputs]


def _text(notebook: nbformat.NotebookNode) -> str:
    """All of a notebook but its pictures, one string a line, as its reader sees them."""

    def strings(node: Any, name: str = "") -> list[str]:
        if isinstance(node, dict):
            return [text for key, value in node.items() for text in strings(value, key)]
        if isinstance(node, list):
            return [text for value in node for text in strings(value, name)]
        return [] if name.startswith("image/") else [str(node)]

    return "\n".join(strings(notebook))


def test_there_are_notebooks() -> None:
    assert _NOTEBOOKS


@pytest.mark.parametrize("path", _NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_top_to_bottom(path: pathlib.Path, kernel: str) -> None:
    stored = _read(path)
    fresh = _read(path)
    for cell in _code_cells(fresh):
        cell.outputs = []
    # Agg, which the other tests draw with, would leave the pictures out.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    client = nbclient.NotebookClient(
        fresh, kernel_name=kernel, timeout=_SECONDS, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=environment)  # raises at the first cell that fails
    for before, after in zip(_code_cells(stored), _code_cells(fresh), strict=True):
        assert _outline(before) == _outline(after), f"run {path.name} again and store it: {before.source}"


@pytest.mark.parametrize("path", _NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_whole_and_clean(path: pathlib.Path) -> None:
    notebook = _read(path)
    nbformat.validate(notebook)
    cells = _code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any(output.output_type == "stream" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not _MACHINE_PATH.search(_text(notebook))
    assert not any("execution" in cell.metadata for cell in notebook.cells), "times of execution"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("saved /tmp/abc/weights.h5", True),
        ('File "/home/ada/pat.py"', True),
        (json.dumps("C:\\Users\\ada"), True),
        ("see https://arxiv.org/abs/2411.15240", False),
        ("https://example.org/home/page", False),
        ("weights/README.md", False),
    ],
)
def test_paths_are_found_in_any_output(text: str, found: bool) -> None:
    output = nbformat.v4.new_output("stream", name="stdout", text=f"first line\n{text}\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("run()", outputs=[output])])
    assert bool(_MACHINE_PATH.search(_text(notebook))) is found
