"""Figures of a model's results, as matplotlib `Figure` objects to be saved by `plot_style.save` or `to_svg`.

Legend: n people (every figure has one row a person), K classes. Lines that differ in colour differ in dash as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pat_keras.evaluation import auc as roc
from pat_keras.evaluation import bootstrap, metrics
from pat_keras.evaluation.calibration import calibration_curve, calibration_groups
from pat_keras.evaluation.plot_style import PALETTE, SERIES, legend, legend_below, square_axes, style, with_interval

DASHES = ("-", "--", "-.", ":")
_BAND_RESAMPLES = 500
_GRID = np.linspace(0, 1, 101)


def roc_curve_figure(
    y: np.ndarray, score: np.ndarray, result: Mapping[str, Any] | None = None, seed: int = 0
) -> Figure:
    """ROC curve with a pointwise 95 % bootstrap band over people, and the point of the threshold.

    Args:
        y: (n,) labels 0 or 1, both present.
        score: (n,).
        result: of `metrics.evaluate` for the same people; computed without a threshold if None.
        seed: of the bootstrap.
    """
    result = result or metrics.evaluate("binary", y, score, seed=seed)
    figure, axes = square_axes("ROC curve", "1 - specificity (false positive rate)", "Sensitivity (true positive rate)")
    false_rate, true_rate, _ = roc.roc_points(y, score)
    axes.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=1, linestyle=":", label="no information")
    axes.fill_between(_GRID, *_band(y, score, seed, _roc_on_grid), color=PALETTE["first"], alpha=0.18, linewidth=0)
    axes.plot(false_rate, true_rate, color=PALETTE["first"], linewidth=2, label=f"AUC {with_interval(result, 'auc')}")
    if result.get("sensitivity") is not None and result.get("specificity") is not None:
        point = (1 - result["specificity"], result["sensitivity"])
        axes.plot(*point, "o", color=PALETTE["second"], markersize=8, label="at the chosen threshold", clip_on=False)
    place = "lower right" if result["auc"] is None or result["auc"] > 0.45 else "upper left"
    legend(axes, place, title=f"n = {result['n']}, of class 1: {result['n_positive']}")
    return figure


def precision_recall_figure(
    y: np.ndarray, score: np.ndarray, result: Mapping[str, Any] | None = None, seed: int = 0
) -> Figure:
    """Precision-recall curve with a pointwise 95 % bootstrap band, beside the share of positives.

    Args:
        y: (n,) labels 0 or 1, both present.
        score: (n,).
        result: of `metrics.evaluate` for the same people; computed if None.
        seed: of the bootstrap.
    """
    result = result or metrics.evaluate("binary", y, score, seed=seed)
    figure, axes = square_axes("Precision and recall", "Recall (sensitivity)", "Precision (positive predictive value)")
    share = float(np.mean(y))
    axes.axhline(share, color=PALETTE["muted"], linewidth=1, linestyle=":", label=f"no information: {share:.2f}")
    axes.fill_between(*precision_recall_band(y, score, seed), color=PALETTE["first"], alpha=0.18, linewidth=0)
    recall, precision = precision_recall_corners(
        *(part[0] for part in roc.class_totals(y, score, np.ones((1, len(y)), dtype=int)))
    )
    label = f"average precision {with_interval(result, 'average_precision')}"
    axes.step(recall, precision, where="pre", color=PALETTE["first"], linewidth=2, label=label)
    legend(axes, "best", title=f"n = {result['n']}, of class 1: {result['n_positive']}")
    return figure


def calibration_figure(y: np.ndarray, p: np.ndarray, result: Mapping[str, Any] | None = None) -> Figure:
    """Observed share of positives against the predicted probability, in groups of equally many people.

    The bars are 95 % intervals of a share; the dashed line is the logistic regression whose slope is the calibration
    slope, where there is one; below, how predictions spread.

    Args:
        y: (n,) labels 0 or 1.
        p: (n,) predicted probability of 1.
        result: of `metrics.evaluate` for the same people; computed if None.
    """
    result = result or metrics.evaluate("binary", y, p)
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
    style(axes, "Calibration", "", "Observed share of class 1")
    style(below, "", "Predicted probability of class 1", "People")
    axes.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=1, linestyle=":", label="perfect")
    predicted, observed, low, high = calibration_groups(y, p)
    errors = np.stack([observed - low, high - observed])
    brier = f"groups of people, Brier {with_interval(result, 'brier')}"
    axes.errorbar(
        predicted, observed, yerr=errors, fmt="o-", color=PALETTE["first"], linewidth=1.5, capsize=3, label=brier
    )
    fitted = calibration_curve(y, p)
    if fitted is not None:
        axes.plot(*fitted, "--", color=PALETTE["second"], linewidth=1.5, label="logistic recalibration")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    below.hist(p, bins=np.linspace(0, 1, 31).tolist(), color=PALETTE["muted"])
    below.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    numbers = (("calibration_slope", "slope"), ("calibration_intercept", "in the large"))
    title = ", ".join(f"{words} {with_interval(result, name)}" for name, words in numbers)
    legend_below(figure, axes, title=title[:1].upper() + title[1:])
    return figure


def score_histogram_figure(
    y: np.ndarray, p: np.ndarray, threshold: float | None = None, names: Sequence[str] = ("class 0", "class 1")
) -> Figure:
    """How the predicted probabilities of each class spread, as shares of the class.

    Args:
        y: (n,) labels 0 or 1.
        p: (n,) predicted probability of 1.
        threshold: drawn as a line if given.
        names: of the classes.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    style(axes, "Predictions by class", "Predicted probability of class 1", "Share of the class")
    bins = np.linspace(0, 1, 26)
    for k, dash in ((0, "-"), (1, "--")):
        of_class = p[y == k]
        color = PALETTE[SERIES[k]]
        axes.hist(
            of_class, bins=bins.tolist(), weights=np.full(len(of_class), 1 / max(1, len(of_class))), linestyle=dash,
            facecolor=to_rgba(color, 0.3), edgecolor=color, histtype="stepfilled", linewidth=1.2,
            label=f"{names[k]} (n = {len(of_class)})",
        )  # fmt: skip
    if threshold is not None:
        axes.axvline(threshold, color=PALETTE["ink"], linewidth=1.2, linestyle="--", label=f"threshold {threshold:.2f}")
    axes.set_xlim(0, 1)
    legend(axes, "best")
    return figure


def history_figure(rows: Sequence[Mapping[str, Any]], monitor: str = "auto") -> Figure:
    """Loss and validation metric over the epochs of training, one thin line a model, the best epoch marked.

    That is the one whose weights were kept: of the last stage, by the metric and among equal ones by the loss. There is
    a model for each fold, and for each member of a committee.

    Args:
        rows: of history.csv: fold, stage, epoch, loss, validation_loss and one other `validation_<metric>`; None where
            something was not measured. Epochs go on over the stages of a model.
        monitor: "loss" where the validation loss decided, and not the metric.

    Raises:
        ValueError: if there are no rows.
    """
    if not rows:
        raise ValueError("history_figure: there are no epochs to draw.")
    metric = next((name for name in rows[0] if name.startswith("validation_") and name != "validation_loss"), None)
    figure = Figure(figsize=(6.4, 4.8 if metric else 2.8), layout="constrained")
    panels = figure.subplots(2 if metric else 1, 1, sharex=True, squeeze=False)[:, 0].tolist()
    style(panels[0], "Training", "", "Loss")
    if metric:
        name = metric.removeprefix("validation_").replace("_", " ")
        style(panels[1], "", "", f"Validation {name.upper() if name == 'auc' else name}")
    panels[-1].set_xlabel("Epoch of training", color=PALETTE["ink"])
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    models = list(dict.fromkeys(map(_model_of, rows)))
    for model in models:
        own = [row for row in rows if _model_of(row) == model]
        alpha = 1.0 if len(models) == 1 else 0.55
        _draw_model(panels, own, metric, monitor, first=model == models[0], alpha=alpha)
    for axes in panels:
        legend(axes, "best")
    return figure


def classes_against_rest(y: np.ndarray, names: Sequence[str]) -> Iterator[tuple[int, str, np.ndarray, str, str]]:
    """Yields each class: its number, its name, who is of it (n,) as 0 and 1, and its colour and dashes."""
    for k, name in enumerate(names):
        own = (np.asarray(y) == k).astype(np.float64)
        yield k, name, own, PALETTE[SERIES[k % 4]], DASHES[(k + k // 4) % 4]


def one_versus_rest_figure(y: np.ndarray, p: np.ndarray, names: Sequence[str], seed: int = 0) -> Figure:
    """ROC curves of each class against all others, with pointwise 95 % bootstrap bands over people.

    Args:
        y: (n,) labels 0 ... K - 1.
        p: (n, K) probabilities.
        names: of the K classes.
        seed: of the bootstrap.
    """
    title = "ROC curves, each class against the rest"
    figure, axes = square_axes(title, "1 - specificity (false positive rate)", "Sensitivity (true positive rate)")
    axes.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=1, linestyle=":")
    ones = np.ones((1, len(y)), dtype=int)
    for k, name, own, color, dash in classes_against_rest(y, names):
        if 0 < own.sum() < len(own):
            false_rate, true_rate, _ = roc.roc_points(own, p[:, k])
            label = f"{name}: AUC {roc.auc(own, p[:, k], ones)[0]:.2f} (n = {int(own.sum())})"
            band = _band(own, p[:, k], seed, _roc_on_grid)
            axes.fill_between(_GRID, *band, color=color, alpha=0.12, linewidth=0)
            axes.plot(false_rate, true_rate, dash, color=color, linewidth=1.8, label=label)
    legend(axes, "lower right")
    return figure


def regression_figure(y: np.ndarray, prediction: np.ndarray, result: Mapping[str, Any] | None = None) -> Figure:
    """Predicted against true values, and the error against the true value.

    Args:
        y: (n,) true values.
        prediction: (n,).
        result: of `metrics.evaluate` for the same people; computed if None.
    """
    result = result or metrics.evaluate("regression", y, prediction)
    figure = Figure(figsize=(5.2, 6.4), layout="constrained")
    axes, below = figure.subplots(2, 1, height_ratios=[3, 1.4], sharex=True)
    style(axes, "Predicted and true", "", "Predicted value")
    style(below, "", "True value", "Predicted - true")
    many = len(y) > 800  # thousands of points as vectors make a heavy page
    dots = {"color": PALETTE["first"], "alpha": 0.3 if many else 0.6, "s": 8 if many else 18, "rasterized": many}
    axes.scatter(y, prediction, linewidths=0, **dots)
    below.scatter(y, prediction - y, linewidths=0, **dots)
    ends = [min(y.min(), prediction.min()), max(y.max(), prediction.max())]
    axes.plot(ends, ends, color=PALETTE["muted"], linewidth=1, linestyle=":", label="perfect")
    below.axhline(0, color=PALETTE["muted"], linewidth=1, linestyle=":")
    lines = [f"{title} {with_interval(result, name)}" for name, title in (("mae", "MAE"), ("r2", "R²"))]
    legend(axes, "upper left", title="\n".join([*lines, f"n = {result['n']}"]))
    return figure


# --- parts ---


def precision_recall_band(y: np.ndarray, score: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, and the ends of the pointwise 95 % bootstrap band of the precision there: three arrays (101,)."""
    return _GRID, *_band(y, score, seed, _pr_on_grid)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([np.nan if row.get(name) is None else float(row[name]) for row in rows])


def _model_of(row: Mapping[str, Any]) -> tuple[int, int]:
    return row.get("fold") or 0, row.get("member") or 0


def _draw_model(
    panels: Sequence[Axes],
    rows: Sequence[Mapping[str, Any]],
    metric: str | None,
    monitor: str,
    first: bool,
    alpha: float,
) -> None:
    """The lines of one model; only the first one's are named in the legend."""
    epochs = np.arange(1, len(rows) + 1)
    marker = "o" if len(rows) == 1 else None  # one epoch makes no line
    lines: list[tuple[int, str, str | None, str, str]] = [
        (0, "loss", "training loss", "second", "--"),
        (0, "validation_loss", "validation loss", "first", "-"),
    ]
    if metric:
        lines.append((1, metric, None, "first", "-"))
    for panel, name, label, color, dash in lines:
        panels[panel].plot(
            epochs, _column(rows, name), dash, color=PALETTE[color], alpha=alpha, marker=marker, markersize=3,
            linewidth=1.5, label=label if first else None,
        )  # fmt: skip
    decided = metric or "validation_loss"  # of a regression the loss is all there is
    if np.isfinite(values := _column(rows, decided)).any():
        best = _kept_epoch(rows, decided, monitor)
        text = "best epoch" if first else None
        panels[-1].plot(epochs[best], values[best], "o", color=PALETTE["second"], markersize=6, label=text)
    stages = [row.get("stage") for row in rows]
    borders = [place + 0.5 for place in range(1, len(rows)) if stages[place] != stages[place - 1]]
    for axes in panels:
        for border in borders:
            text = "next stage" if first and border == borders[0] and axes is panels[0] else None
            axes.axvline(border, color=PALETTE["muted"], linewidth=1, linestyle=":", label=text)


def _kept_epoch(rows: Sequence[Mapping[str, Any]], metric: str, monitor: str) -> int:
    """The place in a model's rows of the epoch whose weights were kept."""
    lower_is_better = any(word in metric for word in ("loss", "mae", "mse", "error"))
    loss = np.nan_to_num(_column(rows, "validation_loss"), nan=np.inf)
    value = np.nan_to_num(_column(rows, metric) * (1 if lower_is_better else -1), nan=np.inf)
    last = np.array([row.get("stage") != rows[-1].get("stage") for row in rows])
    keys = (loss, last) if monitor == "loss" else (loss, value, last)
    return int(np.lexsort(keys)[0])  # the earliest of equal ones


def _band(y: np.ndarray, score: np.ndarray, seed: int, on_grid: Any) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of the curve at each point of `_GRID`."""
    curves = []
    for draws in bootstrap.draw(y, _BAND_RESAMPLES, seed):
        positive, negative = roc.class_totals(y, score, draws)
        curves += [on_grid(p, n) for p, n in zip(positive, negative, strict=True)]
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    return low, high


def _roc_on_grid(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    true_rate = np.concatenate([[0.0], np.cumsum(positive) / positive.sum()])
    false_rate = np.concatenate([[0.0], np.cumsum(negative) / negative.sum()])
    # Where the curve rises straight up, its top is the sensitivity at that false positive rate.
    tops = np.concatenate([np.diff(false_rate) > 0, [True]])
    return np.interp(_GRID, false_rate[tops], true_rate[tops])


def precision_recall_corners(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision from no recall (with the first score's precision) to all, of totals by distinct score."""
    found, called = np.cumsum(positive), np.cumsum(positive + negative)
    held = called > 0
    recall, precision = found[held] / positive.sum(), found[held] / called[held]
    return np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])


def _pr_on_grid(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    recall, precision = precision_recall_corners(positive, negative)
    return precision[np.searchsorted(recall, _GRID, side="left").clip(max=len(recall) - 1)]
