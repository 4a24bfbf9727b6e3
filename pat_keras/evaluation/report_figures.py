"""The figures of a report, each with a text from its numbers for those who don't see it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pat_keras.evaluation import metrics, plots
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.calibration import calibration_groups
from pat_keras.evaluation.plot_style import with_interval
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
    """The ROC curve of the test people, or None for a regression or where a class is absent."""
    if run.task == "regression":
        return None
    people = run.people("test")
    if len(np.unique(people.y)) < 2:
        return None
    if run.task == "multiclass":
        return plots.one_versus_rest_figure(people.y, people.score, run.class_names)
    return plots.roc_curve_figure(people.y, people.score, run.metrics["test"])


def training_figure(run: Run) -> str:
    """Loss and validation metric over training, as HTML."""
    folds = {row.get("fold") for row in run.history}
    alt = f"Loss of training and validation over {len(run.history)} epochs"
    alt += f" of {len(folds)} folds." if len(folds) > 1 else "."
    metric = next((m for m in run.history[0] if m.startswith("validation_") and m != "validation_loss"), None)
    if metric:
        values = np.array([row[metric] for row in run.history], dtype=np.float64)  # None becomes NaN
        if np.isfinite(values).any():
            name = metric.replace("_", " ").replace("auc", "AUC")
            alt += f" The {name} lies between {np.nanmin(values):.3f} and {np.nanmax(values):.3f}."
    return page.figure(plots.history_figure(run.history), "history", alt)


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
    band = " The band is the pointwise 95 % bootstrap interval over people."
    return [
        page.figure(plots.roc_curve_figure(y, p, test), "roc", roc, roc + band),
        page.figure(plots.precision_recall_figure(y, p, test), "precision-recall", recall, recall + band),
        page.figure(plots.calibration_figure(y, p, test), "calibration", calibration),
        page.figure(plots.score_histogram_figure(y, p, threshold), "scores", spread),
    ]


def _multiclass(run: Run, people: metrics.People) -> list[str]:
    names = run.class_names
    counts = np.bincount(people.y.astype(int), minlength=len(names))
    who = ", ".join(f"{count} of {name}" for name, count in zip(names, counts, strict=True))
    alt = f"ROC curves of each class against the rest; test people: {who}. "
    alt += f"Mean AUC {with_interval(run.metrics['test'], 'auc')}."
    return [page.figure(plots.one_versus_rest_figure(people.y, people.score, names), "roc", alt)]


def _regression(run: Run, people: metrics.People) -> list[str]:
    test = run.metrics["test"]
    alt = f"Predicted against true values of {len(people.y)} test people, and the errors below. "
    alt += f"MAE {with_interval(test, 'mae')}, R² {with_interval(test, 'r2')}."
    return [page.figure(plots.regression_figure(people.y, people.score, test), "regression", alt)]
