"""Figures of single people: a week with the attention it got, and embeddings as dots.

Axes: T minutes, D days, n people.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pat_keras.evaluation.clock import DAY_HOURS, Clock, mean_by
from pat_keras.evaluation.individuals import Embedding, Person
from pat_keras.evaluation.plot_style import PALETTE, SERIES, legend_below, style

MOST_PANELS = 6  # folds whose embeddings are drawn
_STEPS_OF_HOUR = 4
_MOST_DAYS = 14
_MARKS = "osD^v"  # five, and four colours: 20 groups that all look different


def week_figure(person: Person, title: str) -> Figure:
    """A window with one row a day: activity as a shape, and over it how much each patch was attended to.

    Rows begin at midnight, or where the clock is unknown with the window. Both heights are square roots, from zero to
    the window's highest, so that quiet hours are seen beside busy ones.

    Args:
        person: whose.
        title: above the figure.
    """
    clock = person.clock
    shown = min(clock.n_days, _MOST_DAYS)
    figure = Figure(figsize=(4.2, 0.9 + 0.36 * shown), layout="constrained")
    axes = figure.subplots()
    style(axes, title, "", "")
    height = np.sqrt(_steps(person.activity, clock)[:shown].clip(0))
    height = 0.88 * height / (np.nanmax(height) or 1.0)
    hours = (np.arange(height.shape[1]) + 0.5) * DAY_HOURS / height.shape[1]
    for day in range(shown):
        axes.fill_between(
            hours, day + 1, day + 1 - height[day], color=PALETTE["first"], alpha=0.55, linewidth=0,
            label="activity" if day == 0 else None,
        )  # fmt: skip
    if len(person.attention):
        received = np.repeat(person.attention, len(person.activity) // len(person.attention))
        level = np.sqrt(_steps(received, clock)[:shown])
        level = 0.88 * level / np.nanmax(level)
        for day in range(shown):
            axes.plot(hours, day + 1 - level[day], color=PALETTE["second"], linewidth=1.1, drawstyle="steps-mid",
                      label="attention" if day == 0 else None)  # fmt: skip
    axes.set_yticks(np.arange(shown) + 0.6, [f"Day {day + 1}" for day in range(shown)])
    axes.set(xlim=(0, 24), ylim=(shown + 0.02, 0))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Clock time" if clock.known else "Hours from the start of the window", color=PALETTE["ink"])
    axes.xaxis.set_major_locator(MultipleLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{hour:.0f}:00"))
    legend_below(figure, axes, columns=2)
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
                own[:, 0], own[:, 1], _MARKS[k % 5], color=PALETTE[SERIES[k % 4]], alpha=0.75, linewidth=0,
                markersize=6 if len(places) < 150 else 4, markeredgewidth=0, label=name,
            )  # fmt: skip
    legend_below(figure, panels[0], columns=4, title=column)
    return figure


def hourly(values: np.ndarray, clock: Clock) -> np.ndarray:
    """Means (24,) by hour of the day of values (T,), NaN where nothing is known."""
    return mean_by(values[None], clock.hour_of_day)[0]


def _steps(values: np.ndarray, clock: Clock) -> np.ndarray:
    """Means of a quarter of an hour: (T,) -> (D, 96) by the clock, NaN where nothing is known."""
    found = mean_by(values[None], (clock.first + np.arange(clock.length)) * _STEPS_OF_HOUR // clock.per_hour)[0]
    steps = DAY_HOURS * _STEPS_OF_HOUR
    return np.pad(found, (0, -len(found) % steps), constant_values=np.nan).reshape(-1, steps)
