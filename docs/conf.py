"""The documentation site: `sphinx-build -W docs site`, after `pip install ".[docs]"`.

Its pages are README.md, the files of this folder, and weights/README.md. The reference is made of the docstrings of the
public names, and the page of commands of what they print on --help: neither lists anything by hand.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import re
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sphinx.util import inspect

import pat_keras
from pat_keras.apps import cli

_ROOT = pathlib.Path(__file__).resolve().parents[1]
# Pages that are files outside this folder.
_ELSEWHERE = {"index": _ROOT / "README.md", "weights": _ROOT / "weights" / "README.md"}
_ROOMS = {
    "models": "Models",
    "checkpoints": "Weights and files",
    "data": "Data",
    "training": "scikit-learn",
    "evaluation": "Experiments",
    "config": "Settings",
    "errors": "Errors",
}

# All but what scikit-learn gives its estimators for metadata routing, whose docstrings are for scikit-learn's own site.
_ROUTING = ("fit", "partial_fit", "predict", "predict_proba", "score", "transform")
_MEMBERS = [":members:", f":exclude-members: {', '.join(f'set_{method}_request' for method in _ROUTING)}"]

project = "pat_keras"
author = "the pat_keras authors"
copyright = author
version = release = pat_keras.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["benchmarks"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"pat_keras {version}"
html_copy_source = False
html_show_sourcelink = False
myst_heading_anchors = 3
default_role = "literal"  # docstrings have `code` in single backticks
autodoc_inherit_docstrings = False  # Keras's and scikit-learn's speak of their own
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True


def _page(name: str, text: str) -> str:
    """The Markdown of a page."""
    if name in _ELSEWHERE:
        return _with_links(_ELSEWHERE[name].read_text(encoding="utf-8")) + "\n" + text
    if name == "reference":
        return text + _reference()
    return text + _commands() if name == "commands" else _with_links(text)


def _with_links(text: str) -> str:
    """Links between files as links between pages; to files that are no page, as their names."""
    pages = {"README": "index", **{path.stem: path.stem for path in pathlib.Path(__file__).parent.glob("*.md")}}

    def link(match: re.Match[str]) -> str:
        label, target, anchor = match[1], pathlib.PurePosixPath(match[2]), match[3] or ""
        if "weights" in target.parts:
            return f"[{label}](weights.md{anchor})"
        if target.suffix == ".md" and target.stem in pages:
            return f"[{label}]({pages[target.stem]}.md{anchor})"
        shown = "/".join(part for part in target.parts if part != "..")
        return f"`{shown}`" if label.strip("`/") in shown else f"{label} (`{shown}`)"

    return re.sub(r"\[([^\]]+)\]\((?!\w+:)([^)#\s]+)(#[\w-]+)?\)", link, text)


def _reference() -> str:
    """Every public name, by the room it lives in."""
    lines = []
    for room, title in _ROOMS.items():
        names = sorted(name for name, home in pat_keras._HOMES.items() if home.partition(".")[0] == room)
        if names:
            lines += ["", f"## {title}", ""]
            lines += [line for name in names for line in _documented(name)]
    return "\n".join(lines)


def _documented(name: str) -> list[str]:
    value = getattr(pat_keras, name)
    if not callable(value):  # a table of things by name
        return [f"### {name}", "", ", ".join(f"`{key}`" for key in value), ""]
    if isinstance(value, type):
        kind, options = "autoclass", [":show-inheritance:"] if issubclass(value, Exception) else _MEMBERS
    else:
        kind, options = "autofunction", []
    directive = [f".. {kind}:: pat_keras.{name}", *(f"   {option}" for option in options)]
    return [f"### {name}", "", "```{eval-rst}", *directive, "```", ""]


def _commands() -> str:
    """What every command prints on --help."""
    lines = []
    for path in sorted(pathlib.Path(cli.__file__).parent.glob("*.py")):
        module: Any = importlib.import_module(f"pat_keras.apps.{path.stem}")
        if hasattr(module, "run"):
            shown = cli.help_text(f"pat-{path.stem}", module.__doc__, module.define_flags())
            lines += ["", f"## pat-{path.stem}", "", "```text", shown, "```"]
    return "\n".join(lines)


def setup(app: Any) -> None:
    """Called by Sphinx."""

    def read(_app: Any, name: str, source: list[str]) -> None:
        source[0] = _page(name, source[0])

    def sign(_app: Any, what: str, _name: str, value: Any, _options: Any, signature: str, returns: str) -> Any:
        """Keras gives its models a constructor of any arguments; ours have their own."""
        if what != "class" or signature != "(*args, **kwargs)":
            return None
        own = inspect.signature(value.__init__, bound_method=True)
        return inspect.stringify_signature(own, show_return_annotation=False, unqualified_typehints=True), returns

    app.connect("source-read", read)
    app.connect("autodoc-process-signature", sign)
