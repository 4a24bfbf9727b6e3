"""results.html: the tables of a benchmark, and for each task a plot of every model with its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pat_keras.evaluation import report_page
from pat_keras.evaluation.benchmark import tables
from pat_keras.evaluation.plot_style import PALETTE, SERIES, style
from pat_keras.evaluation.report import TITLES
from pat_keras.evaluation.report_page import Section

_TALL = 6  # models, from which on numbers are above the plot, too
_MARKERS = "osD^vP"
_CHANCE = {"binary": 0.5, "multiclass": 0.5}  # of the AUC


def render(results: dict[str, Any]) -> str:
    """The page as HTML text."""
    sections = [Section(task["name"], _task(results, task)) for task in results["tasks"]]
    sections.append(Section("How to read this", report_page.bullets(_reading(results))))
    cells = results["cells"]
    words = f"{cells['done']} of {cells['planned']} cells, {results['seconds'] / 3600:.2f} hours of computing."
    opening = _banner(results) + report_page.paragraph(words, "lead")
    return report_page.page(results["name"], opening, sections, f"Written by pat_keras {results['pat_keras']}.")


def dots_figure(task: dict[str, Any]) -> Figure:
    """Every model's metric with its interval, a dot a training size; the paper's as hollow diamonds.

    Args:
        task: of results.json.
    """
    models = list(dict.fromkeys(row["model"] for row in task["rows"]))
    sizes = [size for size in task["sizes"] if any(row["train_size"] == size for row in task["rows"])]
    gap = 0.72 / max(1, len(sizes))
    figure = Figure(figsize=(6.4, 1.3 + len(models) * (0.3 + 0.13 * len(sizes))), layout="constrained")
    axes = figure.subplots()
    metric = TITLES[task["kind"]][task["metric"]]
    style(axes, task["name"], f"{metric.split(',')[0]}, mean over seeds, 95 % interval", "")
    axes.grid(visible=False, axis="y")
    if task["kind"] in _CHANCE:
        axes.axvline(_CHANCE[task["kind"]], color=PALETTE["muted"], linewidth=1, linestyle=":")
    has_paper = False
    for place, size in enumerate(sizes):
        rows = [row for row in task["rows"] if row["train_size"] == size]
        found = [row["metrics"][task["metric"]] for row in rows]
        y = np.array([models.index(row["model"]) for row in rows]) + gap * (place - (len(sizes) - 1) / 2)
        x = np.array([_or_nan(one["value"]) for one in found])
        low, high = (np.array([_or_nan(one[end]) for one in found]) for end in ("low", "high"))
        label = "all people" if size == "all" else f"{size} people"
        axes.errorbar(
            x, y, xerr=np.nan_to_num(np.stack([x - low, high - x])).clip(0), fmt=_MARKERS[place % len(_MARKERS)],
            color=PALETTE[SERIES[place % len(SERIES)]], markersize=5, linewidth=1.4, capsize=2, label=label,
        )  # fmt: skip
        paper = np.array([_or_nan(row["paper"]) for row in rows])
        if np.isfinite(paper).any():
            axes.plot(
                paper, y, "d", markerfacecolor="none", markeredgecolor=PALETTE["ink"], markersize=6,
                label=None if has_paper else "the paper",
            )  # fmt: skip
            has_paper = True
    axes.set_yticks(range(len(models)), models)
    axes.set_ylim(len(models) - 0.4, -0.6)  # the first model on top
    axes.tick_params(labeltop=len(models) > _TALL)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False, fontsize=9,
        labelcolor=PALETTE["ink"], columnspacing=1.2, handletextpad=0.3,
    )  # fmt: skip
    return figure


def _task(results: dict[str, Any], task: dict[str, Any]) -> str:
    header, rows = tables.main_table(task)
    caption = tables.heading(task) + "; mean over seeds and 95 % interval over people"
    parts = [
        report_page.table(caption, header, [[row[0], *map(_two_lines, row[1:])] for row in rows]),
        report_page.bullets(tables.notes(task)),
        report_page.figure(dots_figure(task), f"dots-{task['name']}", _alt(task), _caption(task)),
    ]
    for words, table in (("Differences", tables.comparison_table(task)), ("Other metrics", tables.metrics_table(task))):
        header, rows = table
        caption = f"{words}, {task['name']}"
        parts.append(report_page.table(caption, header, [[row[0], *map(_two_lines, row[1:])] for row in rows]))
    return "".join(parts)


def _two_lines(cell: str) -> tuple[str, str]:
    """An interval goes below its value, as narrow as it can be."""
    value, bracket, rest = cell.partition(" (")
    limits = rest.replace(")", "", 1) if bracket else ""
    return value, limits if "+" in limits or "-" in limits else limits.replace(" to ", "\u2013")


def _alt(task: dict[str, Any]) -> str:
    """The plot in words, from its numbers."""
    words = []
    for row in task["rows"]:
        size = "all people" if row["train_size"] == "all" else f"{row['train_size']} people"
        words.append(f"{row['model']} with {size} {tables.interval(row['metrics'][task['metric']])}")
    return f"{tables.heading(task)}. " + "; ".join(words) + "."


def _caption(task: dict[str, Any]) -> str:
    words = "Dots are means over seeds, lines their 95 % intervals over the people tested."
    if task["kind"] in _CHANCE:
        words += " The dotted line is chance."
    return words + (f" Diamonds: {task['paper_source']}." if task["paper_source"] else "")


def _banner(results: dict[str, Any]) -> str:
    words = tables.banner(results)
    return f'<div class="banner" role="note">{report_page.text(words)}</div>\n' if words else ""


def _reading(results: dict[str, Any]) -> list[str]:
    return [
        tables.footer(results),
        "A difference is of two models on the same people and the same seeds; where its interval includes zero, these "
        "people do not show which of the two is better. With many models compared, some will differ by chance.",
        "Thresholds were fixed beforehand or chosen on validation people; nothing was chosen on the people tested, "
        "except which baseline is called the best.",
    ]


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
