"""Figures of single people: a week with the attention it got, and embeddings as dots.

Axes: T minutes, N patches, n people.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from pat_keras.data.windows import DAY_MINUTES
from pat_keras.evaluation.cohort_figures import by_day, clock_axis
from pat_keras.evaluation.individuals import Embedding, Person
from pat_keras.evaluation.plot_style import PALETTE, SERIES, style

MOST_PANELS = 6  # folds whose embeddings are drawn
_STEP = 15  # minutes drawn as one
_MOST_DAYS = 14
_MARKS = "osD^v"


def week_figure(person: Person, title: str) -> Figure:
    """A window with one row a day: activity as a shape, and over it how much each patch was attended to.

    Rows begin at midnight, or where the clock is unknown with the window. Both heights are square roots, from zero to
    the window's highest, so that quiet hours are seen beside busy ones.

    Args:
        person: whose.
        title: above the figure.
    """
    offset = person.start_minute or 0
    shown = min(_days(person.activity, offset), _MOST_DAYS)
    figure = Figure(figsize=(4.2, 0.9 + 0.36 * shown), layout="constrained")
    axes = figure.subplots()
    style(axes, title, "", "")
    steps = by_day(person.activity, offset, shown).reshape(shown, -1, _STEP)
    known = ~np.isnan(steps)
    height = np.sqrt(np.where(known, steps, 0).clip(min=0).sum(axis=2) / np.maximum(known.sum(axis=2), 1))
    height = 0.88 * np.where(known.any(axis=2), height / (height.max() or 1.0), np.nan)
    hours = (np.arange(height.shape[1]) + 0.5) * _STEP / 60
    for day in range(shown):
        axes.fill_between(
            hours, day + 1, day + 1 - height[day], color=PALETTE["first"], alpha=0.55, linewidth=0,
            label="activity" if day == 0 else None,
        )  # fmt: skip
    if len(person.attention):
        patch = len(person.activity) // len(person.attention)
        received = by_day(np.repeat(person.attention, patch), offset, shown)
        # A point a patch, or one for each _STEP minutes where patches are shorter.
        received = received[:, :: max(patch, _STEP)]
        begin = np.arange(received.shape[1]) * max(patch, _STEP) / 60
        level = 0.88 * np.sqrt(received / float(np.nanmax(received)))
        for day in range(shown):
            axes.plot(begin, day + 1 - level[day], color=PALETTE["second"], linewidth=1.1, drawstyle="steps-post",
                      label="attention" if day == 0 else None)  # fmt: skip
    axes.set_yticks(np.arange(shown) + 0.6, [f"Day {day + 1}" for day in range(shown)])
    axes.set(xlim=(0, 24), ylim=(shown + 0.02, 0))
    axes.grid(visible=False, axis="y")
    clock_axis(axes)
    axes.xaxis.set_major_locator(MultipleLocator(6))
    if person.start_minute is None:
        axes.set_xlabel("Hours from the start of the window", color=PALETTE["ink"])
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False, fontsize=9,
        labelcolor=PALETTE["ink"],
    )  # fmt: skip
    return figure


def embedding_figure(embeddings: list[Embedding], method: str, column: str, names: list[str]) -> Figure:
    """Dots of test people, one panel a fold, coloured and marked by the groups of a column.

    Args:
        embeddings: of the folds; the first six that have this method are drawn.
        method: "PCA" or "UMAP".
        column: that colours.
        names: of its groups.
    """
    drawn = [embedding for embedding in embeddings if method in embedding.positions][:MOST_PANELS]
    across = min(len(drawn), 2)
    down = -(-len(drawn) // across)
    size = (5.2, 4.6) if across == 1 else (5.2, 2.6 * down + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes in panels[len(drawn) :]:
        axes.set_visible(False)
    for axes, embedding in zip(panels, drawn, strict=False):
        title = f"{method}, by {column}" if len(drawn) == 1 else f"Fold {embedding.fold}"
        if method == "PCA":
            titles = [f"Component {k} ({share:.0%})" for k, share in enumerate(embedding.shares, 1)]
            style(axes, title, *titles)
        else:
            style(axes, title, "UMAP 1", "UMAP 2")
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        places, number = embedding.positions[method], embedding.groups[column]
        for k, name in enumerate(names):
            own = places[number == k]
            axes.plot(
                own[:, 0], own[:, 1], _MARKS[(k + k // 4) % 5], color=PALETTE[SERIES[k % 4]], alpha=0.75, linewidth=0,
                markersize=6 if len(places) < 150 else 4, markeredgewidth=0, label=name,
            )  # fmt: skip
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9,
        labelcolor=PALETTE["ink"], title=column, title_fontsize=9, handletextpad=0.2, columnspacing=1.2,
    ).get_title().set_color(PALETTE["ink"])  # fmt: skip
    return figure


def hourly(values: np.ndarray, start_minute: int | None) -> np.ndarray:
    """Means (24,) by hour of the day (of the window, if its start is unknown) of values (T,), NaN = missing."""
    offset = start_minute or 0
    hours = by_day(values, offset, _days(values, offset)).reshape(-1, 24, 60)
    known = ~np.isnan(hours)
    counts = known.sum(axis=(0, 2))
    return np.divide(np.where(known, hours, 0).sum(axis=(0, 2)), counts, out=np.full(24, np.nan), where=counts > 0)


def _days(values: np.ndarray, offset: int) -> int:
    """Days that values (T,) touch which begin `offset` minutes after midnight."""
    return -(-(offset + len(values)) // DAY_MINUTES)
