"""The figures of a report, each with a text from its numbers for those who don't see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pat_keras.evaluation import metrics, plots, task_figures
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.calibration import calibration_groups
from pat_keras.evaluation.plot_style import note_below, with_interval
from pat_keras.evaluation.run_folder import Run


def result_figures(run: Run) -> list[str]:
    """The figures of the run's task, as HTML, of the test people."""
    people = run.people("test")
    if run.task == "regression":
        return _regression(run, people)
    if run.task == "multiclass":
        return _multiclass(run, people)
    if len(np.unique(people.y)) < 2:
        return [page.paragraph(f"All {len(people.y)} test people are of one class: there is no curve to draw.")]
    return _binary(run, people)


def roc_figure(run: Run) -> Figure | None:
    """The ROC curve of the test people, or None for a regression or where a class is absent.

    It stands alone: of a cross-validation, it says itself what the caption says in the report.
    """
    if run.task == "regression":
        return None
    people = run.people("test")
    if len(np.unique(people.y)) < 2:
        return None
    if run.task == "multiclass":
        drawn = plots.one_versus_rest_figure(people.y, people.score, run.class_names)
    else:
        drawn = plots.roc_curve_figure(people.y, people.score, run.metrics["test"])
    if _as_of_one_split(run):
        note_below(drawn, _about_bands(run))
    return drawn


def training_figure(run: Run) -> str:
    """Loss and validation metric over training, or what a head that was solved came to, as HTML."""
    if run.solved:
        return _solved_table(run)
    folds = {row.get("fold") for row in run.history}
    alt = f"Loss of training and validation over {len(run.history)} epochs"
    alt += f" of {len(folds)} folds" if len(folds) > 1 else ""
    alt += f" of {run.committee} members of a committee." if run.committee > 1 else "."
    metric = next((m for m in run.history[0] if m.startswith("validation_") and m != "validation_loss"), None)
    if metric:
        values = np.array([row[metric] for row in run.history], dtype=np.float64)  # None becomes NaN
        if np.isfinite(values).any():
            name = metric.replace("_", " ").replace("auc", "AUC")
            alt += f" The {name} lies between {np.nanmin(values):.3f} and {np.nanmax(values):.3f}."
    return page.figure(plots.history_figure(run.history, run.config.get("monitor", "auto")), "history", alt)


def _solved_table(run: Run) -> str:
    words = "The encoder stayed as it was. The head was solved, not trained by steps: the regression of least loss on "
    words += "pooled tokens, its penalty chosen by cross-validation within the training people."
    titles = {"loss": "Loss, training", "validation_loss": "Loss, validation", "validation_auc": "AUC, validation"}
    titles = {name: title for name, title in titles.items() if name in run.history[0]}  # a regression has no AUC
    rows = [
        [_which(row), f"{row['inverse_penalty']:g}", *(f"{row[name]:.3f}" for name in titles)] for row in run.history
    ]
    return page.paragraph(words) + page.table("Heads", ["Fold", "Inverse penalty", *titles.values()], rows)


def _which(row: Mapping[str, Any]) -> str:
    """The fold of a row of history.csv, and the member of a committee."""
    member = row.get("member")
    return str(row.get("fold", 1)) + (f", member {member}" if member else "")


def subgroups_figure(run: Run, metric: str, title: str) -> str:
    """The task's first metric in each group, as HTML.

    Args:
        run: with subgroups.
        metric: its name in the results.
        title: of it.
    """
    columns = run.metrics["subgroups"]
    few = sum(own.get(metric) is None for groups in columns.values() for own in groups)
    if few == sum(map(len, columns.values())):
        return ""
    words = [
        f"{column} {own['group']} {with_interval(own, metric)}"
        for column, groups in columns.items()
        for own in groups
        if own.get(metric) is not None
    ]
    alt = f"{title} by group: {'; '.join(words)}. Everybody: {with_interval(run.metrics['test'], metric)}."
    drawing = task_figures.subgroup_figure(columns, metric, title, run.metrics["test"].get(metric))
    caption = "With 95 % intervals. The dashed line is everybody."
    caption += f" {few} groups are too small to be scored." if few else ""
    return page.figure(drawing, "subgroups", alt, caption)


def _as_of_one_split(run: Run) -> str:
    """What the caption of a curve or of groups of people has to say in cross-validation; empty otherwise."""
    if (run.metrics["test"].get("interval") or {}).get("widening", 1) == 1:
        return ""
    return (
        " The intervals drawn are not widened for folds that share the people they train on, as those in numbers are."
    )


def _about_bands(run: Run) -> str:
    """What the bands of curves are."""
    many, one = "bands are pointwise 95 % bootstrap intervals", "band is the pointwise 95 % bootstrap interval"
    return f"The {many if run.task == 'multiclass' else one} over people.{_as_of_one_split(run)}"


def _binary(run: Run, people: metrics.People) -> list[str]:
    y, p, test = people.y, people.score, run.metrics["test"]
    who = f"{len(y)} test people, {int(y.sum())} of class 1"
    at = ""
    if test.get("sensitivity") is not None and test.get("specificity") is not None:
        at = f" At the threshold, sensitivity {test['sensitivity']:.2f} and specificity {test['specificity']:.2f}."
    roc = f"ROC curve of {who}. AUC {with_interval(test, 'auc')}.{at}"
    recall = f"Precision against recall of {who}. Average precision {with_interval(test, 'average_precision')}; "
    recall += f"without information it would be {np.mean(y):.2f}."
    predicted, observed, _, _ = calibration_groups(y, p)
    groups = ", ".join(f"{a:.2f} came true in {b:.2f}" for a, b in zip(predicted, observed, strict=True))
    calibration = f"Calibration in {len(predicted)} groups of people. A mean prediction of {groups}. "
    calibration += f"Calibration slope {with_interval(test, 'calibration_slope')}, "
    calibration += f"in the large {with_interval(test, 'calibration_intercept')}."
    threshold = test.get("threshold")
    middle = [float(np.median(p[y == k])) for k in (0, 1)]
    spread = f"Predicted probabilities by class. Median {middle[0]:.2f} in class 0 and {middle[1]:.2f} in class 1"
    spread += "." if threshold is None else f"; the threshold is {threshold:.2f}."
    narrow = _as_of_one_split(run)
    band = f" {_about_bands(run)}"
    return [
        page.figure(plots.roc_curve_figure(y, p, test), "roc", roc, roc + band),
        page.figure(plots.precision_recall_figure(y, p, test), "precision-recall", recall, recall + band),
        page.figure(plots.calibration_figure(y, p, test), "calibration", calibration, calibration + narrow),
        page.figure(plots.score_histogram_figure(y, p, threshold), "scores", spread),
    ]


def _multiclass(run: Run, people: metrics.People) -> list[str]:
    names = run.class_names
    counts = np.bincount(people.y.astype(int), minlength=len(names))
    who = ", ".join(f"{count} of {name}" for name, count in zip(names, counts, strict=True))
    alt = f"ROC curves of each class against the rest; test people: {who}. "
    alt += f"Mean AUC {with_interval(run.metrics['test'], 'auc')}."
    shares = counts / counts.sum()
    recall = "Precision against recall of each class against the rest. Without information, precision would be "
    recall += ", ".join(f"{share:.2f} of {name}" for share, name in zip(shares, names, strict=True)) + "."
    means = people.score.mean(axis=0)
    calibration = "How often each class came true, in groups of people by its predicted probability. On average, "
    calibration += ", ".join(
        f"{name} was predicted with {mean:.2f} and true of {share:.2f}"
        for name, mean, share in zip(names, means, shares, strict=True)
    )
    arguments = (people.y, people.score, names)
    calibration, narrow = f"{calibration}.", _as_of_one_split(run)
    band = f" {_about_bands(run)}"
    drawing = task_figures.calibration_rest_figure(*arguments)
    return [
        page.figure(plots.one_versus_rest_figure(*arguments), "roc", alt, alt + band),
        page.figure(task_figures.precision_recall_rest_figure(*arguments), "precision-recall", recall, recall + band),
        page.figure(drawing, "calibration", calibration, calibration + narrow),
    ]


def _regression(run: Run, people: metrics.People) -> list[str]:
    test = run.metrics["test"]
    alt = f"Predicted against true values of {len(people.y)} test people, and the errors below. "
    alt += f"MAE {with_interval(test, 'mae')}, R² {with_interval(test, 'r2')}."
    figures = [page.figure(plots.regression_figure(people.y, people.score, test), "regression", alt)]
    if len(people.y) >= 4:  # two groups of two
        predicted, true, _ = task_figures.regression_groups(people.y, people.score)
        groups = ", ".join(f"{a:.4g} was truly {b:.4g}" for a, b in zip(predicted, true, strict=True))
        words = f"Calibration in {len(predicted)} groups of people. A mean prediction of {groups}, on average."
        drawing = task_figures.regression_calibration_figure(people.y, people.score)
        figures.append(page.figure(drawing, "calibration", words, words + _as_of_one_split(run)))
    return figures
