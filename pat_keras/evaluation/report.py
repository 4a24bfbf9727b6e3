"""`report.html` of a finished run: what was run, on whom, how well, and how far that may be believed."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from pat_keras._version import __version__
from pat_keras.checkpoints.seen import seen_note
from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.individuals import Individuals, load_individuals
from pat_keras.evaluation.plot_style import save, with_interval
from pat_keras.evaluation.report_data import data_section, settings_section
from pat_keras.evaluation.report_figures import result_figures, roc_figure, subgroups_figure, training_figure
from pat_keras.evaluation.report_limits import limits, sources
from pat_keras.evaluation.report_page import Section
from pat_keras.evaluation.report_people import embedding_section, notice, people_section
from pat_keras.evaluation.run_folder import Run, read_run

_FEW_DECIDE = 10  # validation people of a class
# The metrics of each task, first the one that the page opens with.
TITLES = {
    "binary": {
        "auc": "AUC",
        "auc_within_folds": "AUC, pairs of people of one fold alone",
        "average_precision": "Average precision",
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "sensitivity": "Sensitivity",
        "specificity": "Specificity",
        "f1": "F1",
        "mcc": "Matthews correlation (MCC)",
        "brier": "Brier score (lower is better)",
        "log_loss": "Log loss (lower is better)",
        "calibration_slope": "Calibration slope (1 is right; below 1, predictions are too extreme)",
        "calibration_intercept": "Calibration in the large (0 is right; below 0, predictions are too high)",
        "expected_observed": "Expected over observed number of class 1 (1 is right)",
    },
    "multiclass": {
        "auc": "AUC, mean of each class against the rest",
        "accuracy": "Accuracy",
        "balanced_accuracy": "Balanced accuracy",
        "log_loss": "Log loss (lower is better)",
    },
    "regression": {
        "mae": "MAE, mean absolute error (lower is better)",
        "rmse": "RMSE, root mean squared error (lower is better)",
        "r2": "R²",
        "pearson": "Pearson correlation",
    },
}
_TASK_WORDS = {"binary": "two classes", "multiclass": "several classes", "regression": "a number"}

_SUBGROUP = {
    "binary": ("auc", "sensitivity", "specificity", "f1", "mcc", "brier", "calibration_slope", "calibration_intercept"),
    "multiclass": ("auc", "accuracy", "balanced_accuracy", "log_loss"),
    "regression": ("mae", "rmse", "r2", "pearson"),
}
_NOT_OF_FOLDS = ("calibration_slope", "calibration_intercept", "expected_observed")  # of few people, mostly noise


def write_report(run_folder: str | os.PathLike[str], individuals: bool = True) -> pathlib.Path:
    """Writes `report.html`, and `roc.png` where there is a ROC curve, into a run directory from the other files there.

    Earlier ones are replaced.

    Needs metrics.json and predictions.csv; history.csv, config.json, data.json, flags.txt and individuals.npz add
    their parts.

    Args:
        run_folder: of a finished run.
        individuals: show what individuals.npz holds: weeks and embeddings of single people. Without it the page can be
            given to those who may see counts and curves, and not recordings.

    Returns:
        The path of the report.

    Raises:
        RunError: if a file that is needed is missing, or one is not what it should be.
        LabelError: if the windows of one person have different labels.
    """
    run = read_run(run_folder)
    path = run.folder / "report.html"
    with atomic_write(path, overwrite=True, error=RunError) as temporary:
        shown = load_individuals(run.folder) if individuals else None
        temporary.write_text(render(run, shown), encoding="utf-8")
    curve = roc_figure(run)
    if curve is not None:
        save(curve, run.folder / "roc.png", overwrite=True)
    return path


def render(run: Run, individuals: Individuals | None = None) -> str:
    """The report as HTML text, with single people if they are given."""
    label = run.data.get("label") or run.config.get("label") or "label"
    sections = [
        Section("Results", _results(run)),
        Section("Figures", f'<div class="figures">{"".join(result_figures(run))}</div>'),
        *_confusion(run),
        *_subgroups(run),
        *_folds(run),
        *([Section("Training", training_figure(run))] if run.history else []),
        *people_section(run, individuals),
        *embedding_section(run, individuals),
        Section("Data", data_section(run)),
        Section("What was run", settings_section(run)),
        Section("Limits and intended use", page.bullets(limits(run))),
        Section("Sources and licences", page.bullets(sources(run))),
    ]
    title = f"{label}: prediction of {_TASK_WORDS[run.task]} from actigraphy"
    return page.page(
        title,
        _opening(run) + notice(run, individuals),
        sections,
        f"Written by pat_keras {__version__} from {run.folder.name}.",
    )


def _opening(run: Run) -> str:
    banner, test = "", run.metrics["test"]
    if run.synthetic:
        banner = page.banner(
            "Synthetic data",
            "The people of this run were made by a program. The numbers show that the software works. They say nothing "
            "about any real person, illness or model.",
        )
    if seen := run.metrics.get("seen_in_pretraining"):
        weights = run.metrics.get("seen_by") or run.config["weights"]  # an ensemble names its member's
        banner += page.banner("Not held out from pretraining", seen_note(weights, seen, test.get("n")))
    name, title = next(iter(TITLES[run.task].items()))
    unseen = "who were not learned from in fine-tuning" if seen else "the model had not seen"
    words = f"{title.split(',')[0]} {with_interval(test, name)} on {test.get('n')} people {unseen}."
    return banner + page.paragraph(words, "lead") + page.paragraph(_comparison(run, name))


def _comparison(run: Run, name: str) -> str:
    """What the baseline reaches on the same people, and whether the difference is clear."""
    baseline, difference = run.metrics.get("baseline"), run.metrics.get("difference") or {}
    if not baseline:
        return "No baseline was computed, so nothing is said about what simpler means reach."
    words = f"On the same people, {baseline.get('name', 'the baseline')} reaches {with_interval(baseline, name)}."
    value, low, high = (difference.get(key) for key in (name, "low", "high"))
    if value is None or low is None or high is None:
        return words
    words += f" Difference {value:+.2f} ({low:+.2f} to {high:+.2f}): "
    if low <= 0 <= high:
        return words + "the interval includes zero, so these people do not show which of the two is better."
    better = (value > 0) != (name == "mae")
    return (
        words
        + f"the model is {'better' if better else 'worse'} than the baseline by more than the draw of people explains."
    )


def _results(run: Run) -> str:
    columns = {"Test": run.metrics["test"]}
    if run.metrics.get("validation"):
        columns["Validation"] = run.metrics["validation"]
    if run.metrics.get("baseline"):
        columns["Baseline, test"] = run.metrics["baseline"]
    rows = [
        [title, *(_value(result, name) for result in columns.values())]
        for name, title in TITLES[run.task].items()
        if any(name in result for result in columns.values())
    ]
    rows.append(["People", *(_people(result) for result in columns.values())])
    if run.task == "binary":
        rows.append(["Threshold", *(_threshold(result) for result in columns.values())])
    interval = run.metrics["test"].get("interval") or {}
    caption = "Results by participant" + (
        f"; below each, its {100 * interval['level']:.0f} % interval ({interval['method']}, "
        f"{interval['resamples']} resamples)" if {"level", "method", "resamples"} <= set(interval) else ""
    )  # fmt: skip
    notes = [_decided_by_validation(run)] if "Validation" in columns else []
    notes += _few_decided(run)
    return page.table(caption, ["Metric", *columns], rows) + page.paragraph(" ".join(notes), "muted") * bool(notes)


def _decided_by_validation(run: Run) -> str:
    """What validation people decided, in a sentence."""
    if not (decided := _decisions(run)):
        return "Validation people decided nothing, and neither did the test people."
    words = f"Validation people decided {decided}, so their numbers flatter the model. The test people decided nothing."
    if run.committee > 1:
        words += (
            " Of the committee they stopped the first member alone, and are predicted by it: others learned from them."
        )
    return words


def _few_decided(run: Run) -> list[str]:
    """That few validation people of a class decided, of those of the fold that has fewest."""
    parts = [part.get("validation", {}).get("people_by_class") for part in run.data.get("parts") or []]
    fewest = min((min(counts.values()) for counts in parts if counts), default=_FEW_DECIDE)
    decided = _decisions(run)
    if fewest >= _FEW_DECIDE or not decided:
        return []
    where = " in the fold with fewest" if len(parts) > 1 else ""
    people = "person is" if fewest == 1 else "people are"
    return [
        f"Only {fewest} validation {people} of the smallest class{where}: with so few, {decided} is largely chance, "
        "and another seed may decide otherwise."
        + (" Each member of the committee was stopped by others, about as few." * (run.committee > 1))
    ]


def _decisions(run: Run) -> str:
    """What was left to validation people, in words; nothing if nothing was."""
    decided = [] if run.solved else ["when training stopped"]
    decided += ["what the members weigh"] if run.config.get("combine") == "stack" else []
    if run.task == "binary":
        fitted = "platt" in (run.config.get("recalibration") or "")
        decided += [*(["how probabilities were recalibrated"] if fitted else []), "where the threshold lies"]
    return " and ".join(filter(None, [", ".join(decided[:-1]), *decided[-1:]]))


def _value(result: Mapping[str, Any], name: str) -> tuple[str, str]:
    """A metric and its interval, or why there is none; nothing where it was not asked for."""
    if name not in result:
        return "", ""
    value, low, high = (result.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "undefined", (result.get("reasons") or {}).get(name, "")
    if low is None or high is None:
        return f"{value:.3f}", (result.get("reasons") or {}).get(f"{name}_low", "")
    return f"{value:.3f}", f"{low:.3f} to {high:.3f}"


def _people(result: Mapping[str, Any]) -> tuple[str, str]:
    positive = result.get("n_positive")
    return str(result.get("n", "")), "" if positive is None else f"{positive} of class 1"


def _threshold(result: Mapping[str, Any]) -> str:
    if result.get("thresholds"):
        return f"{min(result['thresholds']):.3f} to {max(result['thresholds']):.3f}, one a fold"
    return "" if result.get("threshold") is None else f"{result['threshold']:.3f}"


def _confusion(run: Run) -> list[Section]:
    """The confusion matrix of the test people, with shares of each true class."""
    cells = run.metrics["test"].get("confusion")
    if not cells:
        return []
    names = run.class_names if run.task == "multiclass" else ["0", "1"]
    rows = []
    for name, row in zip(names, cells, strict=True):
        total = sum(row)
        rows.append([f"truly {name}", *((str(c), f"{c / total:.0%}" if total else "") for c in row), str(total)])
    caption = "Test people by true and predicted class" + (" at the threshold" if run.task == "binary" else "")
    header = ["", *(f"predicted {name}" for name in names), "people"]
    return [Section("Confusion", page.table(caption, header, rows))]


def _subgroups(run: Run) -> list[Section]:
    """The metrics of `_SUBGROUP` for each group of each column that was asked for."""
    columns: Mapping[str, list[dict[str, Any]]] = run.metrics.get("subgroups") or {}
    titles = TITLES[run.task]
    tables = [
        page.table(
            f"Test people by {column}, with 95 % intervals",
            ["Group", "People", *(titles[name].split(" (")[0].split(",")[0] for name in _SUBGROUP[run.task])],
            [[own["group"], _people(own), *(_value(own, name) for name in _SUBGROUP[run.task])] for own in groups],
        )
        for column, groups in columns.items()
    ]
    if not tables:
        return []
    note = page.paragraph(
        "Each group has its own interval. Many groups make some look different by chance: whether two differ is told "
        "by their intervals, and not by one number being larger.",
        "muted",
    )
    name = next(iter(titles))
    return [Section("Subgroups", subgroups_figure(run, name, titles[name].split(",")[0]) + "".join(tables) + note)]


def _folds(run: Run) -> list[Section]:
    folds = run.metrics.get("folds") or []
    names = [name for name in TITLES[run.task] if any(name in fold for fold in folds) and name not in _NOT_OF_FOLDS]
    if not names or run.metrics.get("split") == "leave_one_out":
        return []
    rows = [
        [fold["fold"], *(_value(fold, name) for name in names), _people(fold), *_own_threshold(run, fold)]
        for fold in folds
    ]
    header = ["Fold", *(TITLES[run.task][name].split(" (")[0] for name in names), "People"]
    header += ["Threshold"] if run.task == "binary" else []
    note = page.paragraph(
        "One fold has few people: its numbers show how far folds differ, and no more. The results above are of the "
        "people of all folds together.",
        "muted",
    )
    return [Section("Folds", page.table("Test people of each fold", header, rows) + note)]


def _own_threshold(run: Run, fold: Mapping[str, Any]) -> list[str]:
    return [_threshold(fold)] if run.task == "binary" else []
