"""What all figures share: colours, axes, legends, numbers in words, and how a figure becomes a file or part of a page.

matplotlib's `Figure` objects alone: no pyplot, no global state. Colours are distinct for people with colour vision
deficiencies and against white; `PALETTE` names them, so that a page can give them other values at night.
"""

from __future__ import annotations

import io
import os
import pathlib
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError

PALETTE = {
    "ink": "#1f2328",
    "muted": "#636c76",
    "grid": "#d9dee4",
    "first": "#0b62a4",
    "second": "#b3470a",
    "third": "#00785b",
    "fourth": "#8a4a9e",
}
SERIES = ("first", "second", "third", "fourth")


def square_axes(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """A figure with one square axes from 0 to 1."""
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes = figure.subplots()
    style(axes, title, x_label, y_label)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return figure, axes


def style(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Gives axes their texts, a light grid, and the colours of the palette."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=PALETTE["ink"])
    axes.set_xlabel(x_label, color=PALETTE["ink"])
    axes.set_ylabel(y_label, color=PALETTE["ink"])
    axes.tick_params(colors=PALETTE["muted"], labelcolor=PALETTE["ink"], labelsize=9)
    axes.grid(color=PALETTE["grid"], linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALETTE["muted"])


def legend(axes: Axes, place: str, title: str | None = None) -> None:
    """A legend without a frame, if anything has a label; `place` as matplotlib's `loc`."""
    if not axes.get_legend_handles_labels()[0]:
        return
    drawn = axes.legend(
        loc=place, title=title, frameon=False, fontsize=9, title_fontsize=9, labelcolor=PALETTE["ink"],
        alignment="left",
    )  # fmt: skip
    drawn.get_title().set_color(PALETTE["ink"])


def legend_below(figure: Figure, axes: Axes, columns: int = 1, title: str | None = None) -> None:
    """The legend of axes below the figure, where nothing can lie under it."""
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower left", ncols=columns, title=title, frameon=False,
        fontsize=9, title_fontsize=9, labelcolor=PALETTE["ink"], alignment="left", columnspacing=1.2,
    ).get_title().set_color(PALETTE["ink"])  # fmt: skip


def note_below(figure: Figure, text: str) -> None:
    """A sentence below a figure of one axes that stands alone, in lines as wide as the figure."""
    figure.supxlabel(textwrap.fill(text, 72), x=0.02, ha="left", fontsize=8, color=PALETTE["muted"])


def with_interval(result: Mapping[str, Any], name: str, digits: int = 2) -> str:
    """A metric and its interval in words: "0.81 (0.70 to 0.90)"; "undefined" where it is None."""
    value, low, high = (result.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "undefined"
    limits = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{limits}"


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element to put into a page: the same bytes every time, text as text.

    Args:
        figure: to draw.
        name: of the figure on its page, from which its internal ids are made.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Several figures share one page: groups are numbered alike in each, and nothing refers to them.
    return re.sub(r'<g id="[a-zA-Z][\w.]*_\d+">', "<g>", text)


def save(figure: Figure, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Writes the figure, complete or not at all; the name's ending (.png, .svg, .pdf) decides the format.

    Raises:
        RunError: if the file is already there and `overwrite` is off, or can't be written.
    """
    with atomic_write(path, overwrite=overwrite, error=RunError) as temporary:
        figure.savefig(temporary, format=pathlib.Path(path).suffix[1:], dpi=150, facecolor="white")
