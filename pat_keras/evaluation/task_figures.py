"""Figures of several classes, of regressions, and of groups of people, beside those of `plots`.

Legend: n people (every figure has one row a person), K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pat_keras.evaluation import auc as roc
from pat_keras.evaluation.calibration import calibration_groups
from pat_keras.evaluation.plot_style import PALETTE, legend, legend_below, square_axes, style
from pat_keras.evaluation.plots import classes_against_rest, precision_recall_band, precision_recall_corners


def precision_recall_rest_figure(y: np.ndarray, p: np.ndarray, names: Sequence[str], seed: int = 0) -> Figure:
    """Precision and recall of each class against all others, with pointwise 95 % bootstrap bands over people.

    Args:
        y: (n,) labels 0 ... K - 1.
        p: (n, K) probabilities.
        names: of the K classes.
        seed: of the bootstrap.
    """
    title = "Precision and recall, each class against the rest"
    figure, axes = square_axes(title, "Recall (sensitivity)", "Precision (positive predictive value)")
    ones = np.ones((1, len(y)), dtype=int)
    for k, name, own, color, dash in classes_against_rest(y, names):
        if not 0 < own.sum() < len(own):
            continue
        recall, precision = precision_recall_corners(*(part[0] for part in roc.class_totals(own, p[:, k], ones)))
        label = f"{name}: without information {own.mean():.2f}"
        axes.step(recall, precision, dash, where="pre", color=color, linewidth=1.8, label=label)
        band = precision_recall_band(own, p[:, k], seed)
        axes.fill_between(*band, color=color, alpha=0.12, linewidth=0)
    legend(axes, "best")
    return figure


def calibration_rest_figure(y: np.ndarray, p: np.ndarray, names: Sequence[str]) -> Figure:
    """How often each class came true against its predicted probability, in groups of equally many people.

    Args:
        y: (n,) labels 0 ... K - 1.
        p: (n, K) probabilities.
        names: of the K classes.
    """
    figure, axes = square_axes("Calibration of each class", "Predicted probability", "Observed share")
    axes.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=1, linestyle=":", label="perfect")
    for k, name, own, color, dash in classes_against_rest(y, names):
        predicted, observed, low, high = calibration_groups(own, p[:, k])
        axes.errorbar(
            predicted, observed, yerr=np.stack([observed - low, high - observed]), fmt="o" + dash,
            color=color, linewidth=1.4, markersize=4, capsize=2, label=name,
        )  # fmt: skip
    legend(axes, "upper left")
    return figure


def regression_groups(y: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of equally many people by what was predicted; at most 10, one for every 15 people.

    Returns:
        Mean prediction, mean true value, and half of its 95 % interval (1.96 standard errors), one a group.
    """
    groups = np.array_split(np.argsort(prediction, kind="stable"), int(np.clip(len(y) // 15, 2, 10)))
    groups = [own for own in groups if len(own) > 1]
    means = [(prediction[own].mean(), y[own].mean(), 1.96 * y[own].std(ddof=1) / np.sqrt(len(own))) for own in groups]
    predicted, true, half = np.array(means).reshape(-1, 3).T
    return predicted, true, half


def regression_calibration_figure(y: np.ndarray, prediction: np.ndarray) -> Figure:
    """Mean true value against the prediction, in groups of equally many people.

    Args:
        y: (n,) true values.
        prediction: (n,).
    """
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes = figure.subplots()
    style(axes, "Calibration", "Mean prediction of a group", "Mean true value of the group")
    predicted, true, half = regression_groups(y, prediction)
    ends = [min(predicted.min(), (true - half).min()), max(predicted.max(), (true + half).max())]
    axes.plot(ends, ends, color=PALETTE["muted"], linewidth=1, linestyle=":", label="perfect")
    axes.errorbar(predicted, true, yerr=half, fmt="o-", color=PALETTE["first"], linewidth=1.5, capsize=3,
                  label="groups of people, 95 % intervals")  # fmt: skip
    legend(axes, "upper left")
    return figure


def subgroup_figure(
    columns: Mapping[str, Sequence[Mapping[str, Any]]], metric: str, title: str, overall: float | None
) -> Figure:
    """A metric of each group of each column, as dots with intervals; groups without one are left out.

    Args:
        columns: column -> results of its groups, as `subgroups.by_subgroup` gives them.
        metric: name in the results.
        title: of the metric.
        overall: its value of everybody, a line; None for none.
    """
    rows = [
        (f"{column} {own['group']} (n = {own['n']})", own)
        for column, groups in columns.items()
        for own in groups
        if own.get(metric) is not None
    ]
    figure = Figure(figsize=(5.2, 1.1 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    style(axes, f"{title} by group", title, "")
    for place, (_, own) in enumerate(rows):
        low, high = (own.get(f"{metric}_{end}") for end in ("low", "high"))
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=PALETTE["first"], linewidth=1.6)
        axes.plot(float(own[metric]), place, "o", color=PALETTE["first"], markersize=6)
    if overall is not None:
        axes.axvline(overall, color=PALETTE["muted"], linewidth=1, linestyle="--", label=f"everybody: {overall:.2f}")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    legend_below(figure, axes)
    return figure
