"""Figures of a cohort as it was prepared: worn time, average days, a recording day by day.

Axes: D days, P people, Q quarters of an hour of a day, n minutes of a recording.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pat_keras.data.account import Example
from pat_keras.data.nonwear import true_runs
from pat_keras.data.windows import DAY_MINUTES
from pat_keras.evaluation.plot_style import PALETTE, legend, style

MOST_LINES = 400  # of the heat map; more people are averaged with their neighbours
_MOST_DAYS = 10
_STEP = 5  # minutes drawn as one
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def worn_figure(worn: np.ndarray, moving: np.ndarray) -> Figure:
    """How many hours of a day were worn, and how many had movement.

    Args:
        worn: (D,) minutes.
        moving: (D,) minutes above zero.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for axes, minutes, title, color in (
        (panels[0], worn, "Worn", "first"),
        (panels[1], moving, "Worn, with movement (above zero)", "third"),
    ):
        style(axes, title, "", "Days")
        axes.hist(minutes / 60, bins=np.arange(0, 24.5, 0.5).tolist(), color=PALETTE[color])
        median = float(np.median(minutes)) / 60
        axes.axvline(median, color=PALETTE["second"], linestyle="--", linewidth=1.4, label=f"median {median:.1f} h")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        legend(axes, "upper left")
    panels[1].set_xlabel("Hours of a day", color=PALETTE["ink"])
    panels[1].set_xlim(0, 24)
    panels[1].xaxis.set_major_locator(MultipleLocator(3))
    return figure


def average_days_figure(average_days: np.ndarray, unit: str) -> Figure:
    """Everybody's average day as a line of a heat map, and below it the mean of all with the middle half of people.

    People are sorted by the middle of their activity, the earliest on top.

    Args:
        average_days: (P, Q), NaN = never worn.
        unit: of the activity.
    """
    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=[3, 1.4], sharex=True)
    style(axes, "Average days", "", f"{len(average_days):,} people, early ones on top")
    style(below, "Mean day", "", f"{unit} a minute")
    lines = _neighbours(average_days[np.argsort(middle_of_activity(average_days), kind="stable")])
    top = float(np.nanpercentile(average_days, 99)) or 1.0
    image = axes.imshow(
        lines, aspect="auto", extent=(0, 24, len(average_days), 0), cmap="cividis", interpolation="nearest",
        norm=PowerNorm(0.5, vmin=0, vmax=top),
    )  # fmt: skip
    axes.grid(False)
    axes.set_yticks([])
    bar = figure.colorbar(image, ax=axes, pad=0.01, extend="max")
    bar.set_label(f"{unit} a minute", color=PALETTE["ink"])
    bar.ax.tick_params(colors=PALETTE["muted"], labelcolor=PALETTE["ink"], labelsize=9)
    bar.outline.set_visible(False)
    hours = (np.arange(average_days.shape[1]) + 0.5) * 24 / average_days.shape[1]
    quarters, known = _quartiles(average_days)
    below.fill_between(hours[known], *quarters[:, known], color=PALETTE["first"], alpha=0.2, linewidth=0,
                       label="middle half of people")  # fmt: skip
    below.plot(hours, mean_day(average_days), color=PALETTE["first"], linewidth=1.8, label="mean")
    below.set(xlim=(0, 24), ylim=(0, 1.25 * below.get_ylim()[1]))  # room for the legend
    legend(below, "upper left")
    _clock(below)
    return figure


def recording_figure(example: Example) -> Figure:
    """A recording with one line a day: activity, what was not worn and what was not recorded. No id, no date."""
    recording = example.recording
    offset = recording.start.hour * 60 + recording.start.minute
    n_days = -(-(offset + len(recording)) // DAY_MINUTES)
    shown = min(n_days, _MOST_DAYS)
    activity, nonwear, missing = (
        _by_day(values, offset, shown) for values in (recording.activity, example.nonwear, np.isnan(recording.activity))
    )  # (shown, 1440) each
    figure = Figure(figsize=(6.4, 0.9 + 0.52 * shown), layout="constrained")
    axes = figure.subplots()
    more = f", the first {shown} of {n_days} days" if n_days > shown else ""
    style(axes, f"{'Rejected' if example.reason else 'Kept'}{more}", "", "")
    steps = activity.reshape(shown, -1, _STEP)
    known = ~np.isnan(steps)
    height = np.where(known, steps, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    height = 0.9 * np.sqrt(height / (height.max() or 1.0))
    hours = (np.arange(height.shape[1]) + 0.5) * _STEP / 60
    for day in range(shown):
        axes.fill_between(hours, day + 1, day + 1 - height[day], color=PALETTE["first"], linewidth=0)
    _shade(axes, missing, "muted", "not recorded", "////")
    _shade(axes, nonwear, "second", "not worn", "")
    first = recording.start.isoweekday() - 1
    axes.set_yticks(np.arange(shown) + 0.6, [_WEEKDAYS[(first + day) % 7] for day in range(shown)])
    axes.set(xlim=(0, 24), ylim=(shown, 0))
    axes.grid(visible=False, axis="y")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.1), ncols=2, frameon=False, fontsize=9,
                    labelcolor=PALETTE["ink"])  # fmt: skip
    _clock(axes)
    return figure


def middle_of_activity(average_days: np.ndarray) -> np.ndarray:
    """Clock time (P,) in hours around which activity gathers (its circular mean), counted on from 4 in the morning."""
    angle = 2 * np.pi * (np.arange(average_days.shape[1]) + 0.5) / average_days.shape[1]
    sums = np.nan_to_num(average_days) @ np.exp(1j * angle)
    return (np.angle(sums) * 24 / (2 * np.pi) - 4) % 24 + 4


def mean_day(average_days: np.ndarray) -> np.ndarray:
    """Mean over people (Q,), NaN where nobody ever wore the device."""
    known = ~np.isnan(average_days)
    total = np.where(known, average_days, 0).sum(axis=0, dtype=np.float64)
    return np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(axis=0))


def _quartiles(average_days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quartiles over people (2, Q), and where anybody has a value (Q,)."""
    known = (~np.isnan(average_days)).any(axis=0)
    quarters = np.full((2, average_days.shape[1]), np.nan)
    quarters[:, known] = np.nanpercentile(average_days[:, known], [25, 75], axis=0)
    return quarters, known


def _neighbours(lines: np.ndarray) -> np.ndarray:
    """The lines, or means of neighbours so that there are at most 400."""
    if len(lines) <= MOST_LINES:
        return lines
    return np.stack([mean_day(group) for group in np.array_split(lines, MOST_LINES)])


def _by_day(values: np.ndarray, offset: int, days: int) -> np.ndarray:
    """(days, 1440) by the clock; what lies before and after the recording is NaN or false."""
    laid = np.full(days * DAY_MINUTES, np.nan if values.dtype.kind == "f" else False, dtype=values.dtype)
    end = min(offset + len(values), len(laid))
    laid[offset:end] = values[: end - offset]
    return laid.reshape(days, DAY_MINUTES)


def _shade(axes: Axes, mask: np.ndarray, color: str, label: str, hatch: str) -> None:
    for day, minutes in enumerate(mask):
        for begin, end in true_runs(minutes):
            axes.fill_between(
                [begin / 60, end / 60], day + 0.05, day + 1, facecolor=PALETTE[color], alpha=0.22, linewidth=0,
                hatch=hatch or None, edgecolor=PALETTE[color], label=label,
            )  # fmt: skip
            label = ""


def _clock(axes: Axes) -> None:
    axes.set_xlabel("Clock time", color=PALETTE["ink"])
    axes.xaxis.set_major_locator(MultipleLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{hour:.0f}:00"))
