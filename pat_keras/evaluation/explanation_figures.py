"""Figures of explanations, as matplotlib `Figure` objects to be saved by `plot_style.save`.

Axes: T minutes, 24 hours of the day, U hours of the window, D days, G groups.

Every figure carries the result of its deletion test below it. Signed values are blue where they speak for the class and
orange where they speak against it, with white in the middle; attention is grey. Night is shaded from 22:00 to 06:00.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pat_keras.evaluation.clock import DAY_HOURS, Clock, mean_by
from pat_keras.evaluation.deletion import LEAST_PEOPLE, Deletion
from pat_keras.evaluation.plot_style import PALETTE, SERIES, legend, style
from pat_keras.evaluation.plots import DASHES
from pat_keras.evaluation.profiles import LEVEL, Comparison

NIGHT = (22, 6)  # hours
_STEP_HOUR = 12  # steps of activity drawn in an hour
_ATTENTION = LinearSegmentedColormap.from_list("attention", ["#ffffff", "#c9ced6", "#5b6675"])
_SIGNED = LinearSegmentedColormap.from_list("signed", ["#d9772f", "#ffffff", "#4a8fc4"])


def matrix_figure(matrix: np.ndarray, clock: Clock, day_names: Sequence[str], title: str, caption: str) -> Figure:
    """Attention from hour (row) to hour (column), with a tick at the noon of each day.

    Args:
        matrix: (U, U) of `attention_by_hour`.
        clock: of the window.
        day_names: of its D days.
        title: of the figure.
        caption: below it.
    """
    figure = Figure(figsize=(6.2, 6.0), layout="constrained")
    axes = figure.subplots()
    style(axes, title, "Hour attended to", "Hour that attends")
    shown = matrix * clock.n_hours
    image = axes.imshow(
        shown, cmap="cividis", interpolation="nearest", vmin=0, vmax=float(np.nanpercentile(shown, 99.5))
    )
    axes.grid(False)
    first = clock.first // clock.per_hour  # hours before the window on its first day
    midnights = np.arange(1, clock.n_days) * DAY_HOURS - first - 0.5
    ends = np.concatenate([[-0.5], midnights, [clock.n_hours - 0.5]])
    names = [name[:3] if name.endswith("day") else name.removeprefix("day ") for name in day_names]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(((ends[1:] + ends[:-1]) / 2).tolist(), names)
        axis.set_ticks(midnights.tolist(), minor=True)
        axis.set_tick_params(which="major", length=0)
        axis.set_tick_params(which="minor", length=5, color=PALETTE["muted"])
    for midnight in midnights:
        axes.axhline(midnight, color="white", linewidth=0.5, alpha=0.6)
        axes.axvline(midnight, color="white", linewidth=0.5, alpha=0.6)
    _color_bar(figure, image, axes, "times an even spread")
    return _with_caption(figure, caption)


def week_figure(
    activity: np.ndarray, minutes: np.ndarray, clock: Clock, day_names: Sequence[str], *, unit: str, signed: bool,
    title: str, bar: str, caption: str,
) -> Figure:  # fmt: skip
    """The week, one line a day, with the explanation as its background.

    Args:
        activity: (T,), NaN = missing.
        minutes: (T,) what is drawn behind each minute, NaN for none.
        clock: of the window.
        day_names: of its D days.
        unit: of the activity.
        signed: whether 0 is in the middle of the colours.
        title: of the figure.
        bar: what the colours mean.
        caption: below the figure.
    """
    figure = Figure(figsize=(7.2, 1.5 + 0.62 * clock.n_days), layout="constrained")
    axes = figure.subplots()
    style(axes, title, "", "")
    behind, norm, colors = by_day(minutes, clock), _norm(minutes, signed), _SIGNED if signed else _ATTENTION
    image = None
    for day, values in enumerate(behind):
        image = axes.imshow(
            values[None], extent=(0, DAY_HOURS, day + 0.96, day + 0.04), aspect="auto", cmap=colors, norm=norm,
            interpolation="nearest",
        )  # fmt: skip
    steps = by_day(activity, clock)
    steps = steps.reshape(clock.n_days, DAY_HOURS * _steps(clock), -1)
    known = ~np.isnan(steps)
    height = np.where(known, steps, 0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    height = 0.86 * np.sqrt(height.clip(0) / (height.max() or 1.0))
    hours = (np.arange(height.shape[1]) + 0.5) * DAY_HOURS / height.shape[1]
    for day in range(clock.n_days):
        drawn = np.where(known[day].any(axis=1), height[day], np.nan)
        axes.plot(hours, day + 0.96 - drawn, color=PALETTE["ink"], linewidth=0.8)
    axes.set_yticks(np.arange(clock.n_days) + 0.55, list(day_names))
    axes.set(xlim=(0, DAY_HOURS), ylim=(clock.n_days, 0))
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    _clock_axis(axes)
    _color_bar(figure, image, axes, bar, both_ends=signed)
    return _with_caption(figure, f"Line: activity in {unit}, square root. {caption}")


def day_figure(
    activity: np.ndarray, profile: np.ndarray, *, unit: str, even: float, title: str, label: str, caption: str
) -> Figure:
    """The average day of activity, and below it the average profile; 24 hours, night shaded.

    Args:
        activity: (steps,) of a day, NaN where nothing is known.
        profile: (24,).
        unit: of the activity.
        even: the value at which an hour says nothing: 1 for attention, 0 for signed values.
        title: of the figure.
        label: of the profile's axis.
        caption: below the figure.
    """
    figure = Figure(figsize=(6.8, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.2])
    style(above, title, "", f"{unit} a minute")
    style(below, "", "", textwrap.fill(label, 26))  # as long as the panel is high
    hours = (np.arange(len(activity)) + 0.5) * DAY_HOURS / len(activity)
    above.fill_between(hours, np.nan_to_num(activity), color=PALETTE["ink"], alpha=0.65, linewidth=0, step="mid")
    above.set_ylim(bottom=0)
    middles = np.arange(DAY_HOURS) + 0.5
    colors = [PALETTE["first"] if value >= even else PALETTE["second"] for value in np.nan_to_num(profile, nan=even)]
    below.bar(middles, np.nan_to_num(profile, nan=even) - even, bottom=even, width=0.9, color=colors)
    below.axhline(even, color=PALETTE["muted"], linewidth=1)
    for axes in (above, below):
        _night(axes)
    _clock_axis(below)
    return _with_caption(figure, caption)


def groups_figure(comparison: Comparison, *, even: float, title: str, label: str, caption: str) -> Figure:
    """Mean profiles of groups with bands over people; hours at which they differ are marked below.

    Args:
        comparison: of `compare_profiles`.
        even: the value at which an hour says nothing.
        title: of the figure.
        label: of the axis.
        caption: below the figure.
    """
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    axes = figure.subplots()
    style(axes, title, "", textwrap.fill(label, 46))
    edges = np.arange(DAY_HOURS + 1)
    for k, (name, count) in enumerate(zip(comparison.names, comparison.counts, strict=True)):
        color, dash = PALETTE[SERIES[k % 4]], DASHES[k % 4]
        mean, low, high = (
            np.append(part[k], part[k][-1]) for part in (comparison.mean, comparison.low, comparison.high)
        )
        axes.fill_between(edges, low, high, step="post", color=color, alpha=0.18, linewidth=0)
        axes.step(edges, mean, dash, where="post", color=color, linewidth=1.8, label=f"{name} (n = {count})")
    axes.axhline(even, color=PALETTE["muted"], linewidth=1, linestyle=":")
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom - 0.08 * (top - bottom), top + 0.22 * (top - bottom))  # room for marks and the legend
    different = np.flatnonzero(comparison.p <= LEVEL)
    if len(different):
        axes.hlines(
            np.full(len(different), bottom - 0.04 * (top - bottom)), different, different + 1, color=PALETTE["ink"],
            linewidth=5, label="groups differ (corrected p ≤ 0.05)",
        )  # fmt: skip
    _night(axes)
    legend(axes, "upper left")
    _clock_axis(axes)
    return _with_caption(figure, f"{comparison.words()} {caption}")


def days_figure(
    mean: np.ndarray, low: np.ndarray, high: np.ndarray, names: Sequence[str], label: str, caption: str
) -> Figure:
    """How the prediction changes when a day is hidden, without sign: mean over people with 95 % bands.

    Args:
        mean: (D,).
        low: (D,) ends of the bands.
        high: (D,).
        names: of the days.
        label: of the axis.
        caption: below the figure.
    """
    figure = Figure(figsize=(6.8, 3.8), layout="constrained")
    axes = figure.subplots()
    style(axes, "Occlusion by day", "", textwrap.fill(label, 34))
    places = np.arange(len(mean))
    axes.bar(places, mean, width=0.7, color=PALETTE["first"], alpha=0.8)
    ends = np.maximum([mean - low, high - mean], 0)  # of people who are all alike, below 0 by rounding
    axes.errorbar(places, mean, yerr=ends, fmt="none", ecolor=PALETTE["ink"], capsize=3)
    axes.set_xticks(places, list(names))
    axes.grid(visible=False, axis="x")
    return _with_caption(figure, f"Bars: mean over people of the change, without sign; 95 % intervals. {caption}")


def deletion_figure(results: Mapping[str, Deletion]) -> Figure:
    """The deletion test of every method: how many times more the named hours change the score than random ones.

    Args:
        results: by the title of the method.
    """
    figure = Figure(figsize=(6.8, 1.6 + 0.5 * len(results)), layout="constrained")
    axes = figure.subplots()
    style(axes, "Deletion test", "Change of the score by the hours named / by random hours", "")
    for place, result in enumerate(results.values()):
        if result.ratio is None:
            continue
        color = PALETTE["first"] if result.passed else PALETTE["muted"]
        if result.ratio_low is not None and result.ratio_high is not None:
            axes.hlines(place, result.ratio_low, result.ratio_high, color=color, linewidth=2)
        axes.plot(result.ratio, place, "o", color=color, markersize=8)
    axes.axvline(1, color=PALETTE["second"], linewidth=1.2, linestyle="--", label="no better than chance")
    axes.set_yticks(range(len(results)), list(results))
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xlim(left=0)
    legend(axes, "best")
    some = next(iter(results.values()))
    return _with_caption(
        figure,
        f"{100 * some.share:g} % of the hours hidden, {some.draws} draws of random hours, {some.n} people; 95 % "
        f"intervals over people (none of fewer than {LEAST_PEOPLE}). Grey: no interval of the difference above 0. "
        "Occlusion was found by hiding hours, so its own test favours it.",
    )


def by_day(values: np.ndarray, clock: Clock) -> np.ndarray:
    """(T,) -> (D, samples of a day) by the clock; NaN before and after the window."""
    length = DAY_HOURS * clock.per_hour
    laid = np.full(clock.n_days * length, np.nan)
    laid[clock.first : clock.first + clock.length] = values
    return laid.reshape(clock.n_days, length)


def activity_steps(activity: np.ndarray, clock: Clock) -> np.ndarray:
    """The mean day of windows in steps of five minutes: (B, T) -> (steps,), NaN where nothing is known."""
    step = clock.per_hour // _steps(clock)
    sample = (clock.first + np.arange(clock.length)) % (DAY_HOURS * clock.per_hour)
    return np.nanmean(mean_by(activity, sample // step), axis=0)


# --- parts ---


def _steps(clock: Clock) -> int:
    """Steps of activity in an hour, as many as there are samples at most."""
    return max(number for number in range(1, _STEP_HOUR + 1) if clock.per_hour % number == 0)


def _norm(values: np.ndarray, signed: bool) -> Normalize:
    top = float(np.nanpercentile(np.abs(values), 99)) or 1.0
    return TwoSlopeNorm(0, -top, top) if signed else Normalize(0, top)


def _color_bar(figure: Figure, image: Any, axes: Axes, label: str, both_ends: bool = False) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04, extend="both" if both_ends else "max")
    bar.set_label(label, color=PALETTE["ink"])
    bar.ax.tick_params(colors=PALETTE["muted"], labelcolor=PALETTE["ink"], labelsize=9)
    bar.outline.set_visible(False)


def _night(axes: Axes) -> None:
    for begin, end in ((0, NIGHT[1]), (NIGHT[0], DAY_HOURS)):
        axes.axvspan(begin, end, color=PALETTE["muted"], alpha=0.12, linewidth=0, zorder=0)


def _clock_axis(axes: Axes) -> None:
    axes.set_xlim(0, DAY_HOURS)
    axes.set_xlabel("Clock time", color=PALETTE["ink"])
    axes.xaxis.set_major_locator(MultipleLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{hour:02.0f}:00"))


def _with_caption(figure: Figure, caption: str) -> Figure:
    width = int(15 * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(caption, width), x=0.01, ha="left", fontsize=8.5, color=PALETTE["muted"])
    return figure
