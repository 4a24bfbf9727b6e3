"""The documentation site builds without a warning, and is about everything that is public."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

import pat_keras as pat

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> pathlib.Path:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="the site is built with what the extra docs installs")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def test_every_public_name_and_command_is_there(site) -> None:
    reference = (site / "reference.html").read_text(encoding="utf-8")
    for name in set(pat.__all__) - {"__version__"}:
        assert f'id="pat_keras.{name}"' in reference or f"<h3>{name}<" in reference, name
    assert "PATEncoder</span></span>" in reference
    assert not re.search(r"PATEncoder</span></span><span[^>]*>\(</span><em[^>]*>[^a-z]*args", reference)
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for path in (DOCS.parent / "pat_keras" / "apps").glob("*.py"):
        if "\ndef run()" in path.read_text(encoding="utf-8"):
            assert f"Flags of pat-{path.stem}:" in commands


def test_pages_are_whole_and_need_nothing_from_elsewhere(site) -> None:
    for name, words in (("index", "From recordings to a result"), ("results", "Depresjon"), ("weights", "licence")):
        assert words in (site / f"{name}.html").read_text(encoding="utf-8")
    for path in site.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'<(script|link|img)[^>]*(src|href)="https?:', text), path.name
        for target in re.findall(r'href="([^"#:]+\.html)', text):
            assert (site / target).exists(), f"{path.name} links to {target}"
