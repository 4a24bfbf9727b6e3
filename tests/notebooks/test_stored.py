"""What is stored in the notebooks is whole, came from a run from top to bottom, and tells of no machine."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import nbformat
import pytest

from tests.notebooks.running import NAMES, code_cells, read

# From the root of a file system, so not the path of a web address.
_MACHINE_PATH = re.compile(
    r"(?<![\w.~-])/(?:home|root|tmp|work|workspace|Users|private|opt|usr|var|mnt|srv|media|content)/"
    r"|\b[A-Za-z]:\\+(?:Users|Windows|Temp)\b"
)
# Of tqdm, whose speed differs from run to run: a carriage return, "8.3it/s", "00:01<00:02".
_PROGRESS = re.compile(r"\r|\d ?\w+/s\b|\d ?s/\w+\b|\d\d:\d\d<")


def _text(notebook: nbformat.NotebookNode) -> str:
    """All of a notebook but its pictures, one string a line, as its reader sees them."""

    def strings(node: Any, name: str = "") -> list[str]:
        if isinstance(node, dict):
            return [text for key, value in node.items() for text in strings(value, key)]
        if isinstance(node, list):
            return [text for value in node for text in strings(value, name)]
        return [] if name.startswith("image/") else [str(node)]

    return "\n".join(strings(notebook))


def test_every_notebook_is_run() -> None:
    files = pathlib.Path(__file__).parent.glob("test_run_*.py")
    run = [name for path in files for name in re.findall(r'"(\d\d_\w+)"', path.read_text(encoding="utf-8"))]
    assert sorted(run) == NAMES != []


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_whole_and_clean(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any(output.output_type == "stream" for output in outputs)
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not _MACHINE_PATH.search(_text(notebook))
    assert not _PROGRESS.search("".join(output.get("text", "") for output in outputs))
    assert not any("execution" in cell.metadata for cell in notebook.cells), "times of execution"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_words_for_who_cannot_see_them(name: str) -> None:
    shown = [
        output for cell in code_cells(read(name)) for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert shown
    for output in shown:
        assert len(output.metadata["image/png"]["alt"]) > 40


@pytest.mark.parametrize("name", NAMES)
def test_says_that_nobody_in_it_is_real(name: str) -> None:
    first = read(name).cells[0].source
    assert "**Nothing here is real.**" in first and "simulated" in first


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("training: 40%|####      | 8/20 [00:01<00:02,  5.1step/s]", True),
        ("12 people, 1.2 s/window", True),
        ("a\rb", True),
        ("96 numbers a token, counts/minute", False),
    ],
)
def test_progress_is_found(text: str, found: bool) -> None:
    assert bool(_PROGRESS.search(text)) is found
