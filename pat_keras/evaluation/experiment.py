"""An experiment: a cohort and a config in, models and honest metrics out, with a run directory if one is named.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from pat_keras.config import FinetuneConfig
from pat_keras.data import splits
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split
from pat_keras.data.standardize import detect_scaling, undo_fixed_scaling
from pat_keras.errors import CohortError, LabelError
from pat_keras.evaluation.metrics import PRIMARY, by_participant, choose_threshold, evaluate, paired_difference
from pat_keras.evaluation.run_writer import Outcome, RunWriter
from pat_keras.models.baselines import FeatureBaseline
from pat_keras.models.classifier import PATClassifier
from pat_keras.training.finetune import train_split
from pat_keras.training.loop import Row, Watcher


@dataclasses.dataclass(frozen=True)
class Result:
    """What an experiment found.

    Attributes:
        metrics: as in metrics.json: task, test, validation, baseline, difference, folds, synthetic.
        predictions: as in predictions.csv, one row a window of the people held out.
        history: as in history.csv, one row a training epoch.
        models: one a split; each takes raw minutes.
        folder: the run directory, if there is one.
    """

    metrics: dict[str, Any]
    predictions: pl.DataFrame
    history: list[Row]
    models: list[PATClassifier]
    folder: pathlib.Path | None


@dataclasses.dataclass(frozen=True)
class _Data:
    """The labelled windows of a cohort as arrays: activity (B, T), targets y (B,), whose they are, classes as labelled."""

    cohort: Cohort
    activity: np.ndarray
    y: np.ndarray
    participant_id: np.ndarray
    classes: list[float]
    account: dict[str, Any]


def finetune(
    cohort: Cohort,
    label: str,
    config: FinetuneConfig | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    flags: str = "",
    watcher: Watcher | None = None,
    say: Callable[[str], None] = warnings.warn,
) -> Result:
    """Fine-tune and score a model on a cohort, by participant, beside a simple baseline.

    Args:
        cohort: weeks with labels; windows without the label are left out and counted.
        label: the column to predict.
        config: everything else.
        out: the run directory to write; it must be new or empty. None writes nothing.
        resume: go on with the run in `out` where it stopped; the data and the config must be the same.
        flags: text of flags.txt.
        watcher: told about training progress.
        say: told about data that look wrongly scaled.

    Raises:
        CohortError, LabelError, ConfigError, CheckpointError: if the data, the config or the weights can't be used.
        RunError: if `out` is taken, or training went wrong.

    Example:
        >>> import pat_keras as pat
        >>> config = pat.FinetuneConfig(epochs=1, baseline=False)
        >>> result = pat.finetune(pat.simulate_cohort(n_people=40), "label", config)
        >>> 0.0 <= result.metrics["test"]["auc"] <= 1.0
        True
    """
    config = config or FinetuneConfig()
    data = _labelled(cohort, label, config, say)
    parts = _splits(data, config)
    writer = None
    if out is not None:
        writer = RunWriter(pathlib.Path(out), config, label, data.account, parts, flags, resume)
    outcomes, models = [], []
    for number, split in enumerate(parts, 1):
        outcome, model = _run_split(data, split, number, config, writer, watcher)
        outcomes.append(outcome)
        models.append(model)
    history = [{"fold": number, **row} for number, outcome in enumerate(outcomes, 1) for row in outcome.history]
    tables = [_table(data, parts[i], i + 1, outcome, config) for i, outcome in enumerate(outcomes)]
    predictions = pl.concat(tables)
    metrics = _metrics(data, parts, outcomes, config)
    if writer is not None:
        writer.finish(metrics, predictions, history)
    return Result(metrics, predictions, history, models, writer.folder if writer else None)


def _labelled(cohort: Cohort, label: str, config: FinetuneConfig, say: Callable[[str], None]) -> _Data:
    """The windows that have the label, checked and repaired if asked."""
    values = cohort.label(label)
    known = ~np.isnan(values)
    if not known.any():
        raise LabelError(f"label {label!r}: missing in all {len(values)} windows. Choose another label.")
    unlabelled = cohort.n_people
    if not known.all():
        cohort, values = cohort.select(known), values[known]
    unlabelled -= cohort.n_people
    y, classes = _targets(values, label, config.task)
    activity = cohort.activity
    if config.repair_fixed_scaling is not None:
        activity = undo_fixed_scaling(activity, *config.repair_fixed_scaling)
    missing = np.isnan(activity).any(axis=1)
    if missing.any():
        raise CohortError(
            f"{cohort.metadata.get('source', 'cohort')}: {int(missing.sum())} of {len(activity)} labelled windows have missing "
            f"minutes ({int(np.isnan(activity).sum())} in all), expected none. Prepare the cohort with complete windows "
            "(pat-prepare leaves incomplete ones out by default), or drop these windows."
        )
    finding = detect_scaling(activity)
    scaled_twice = finding is not None and not (config.standardize == "none" and finding.kind != "fixed")
    if finding is not None and scaled_twice:
        say(finding.message)
    account = {
        "label": label,
        "windows": cohort.n_windows,
        "people": cohort.n_people,
        "people_without_label": unlabelled,
        "minutes": cohort.length,
        "content_hash": cohort.content_hash(),
        "synthetic": bool(cohort.metadata.get("synthetic")),
        "scaling_finding": finding.message if finding is not None else None,
        **{key: cohort.metadata.get(key) for key in ("source", "unit", "epoch_length", "citation", "funnel")},
    }
    if classes:
        _, first = np.unique(cohort.participant_id, return_index=True)
        counts = np.bincount(y[first].astype(int), minlength=len(classes))
        account["people_by_class"] = {f"{value:g}": int(n) for value, n in zip(classes, counts, strict=True)}
    return _Data(cohort, activity, y, cohort.participant_id, classes, account)


def _targets(values: np.ndarray, label: str, task: str) -> tuple[np.ndarray, list[float]]:
    """Labels as the network takes them, and the classes' own values."""
    if task == "regression":
        if np.ptp(values) == 0:
            raise LabelError(f"label {label!r}: all values are {values[0]:g}, expected values that differ.")
        return values, []
    classes = np.unique(values)
    shown = ", ".join(f"{value:g}" for value in classes[:6]) + (", ..." if len(classes) > 6 else "")
    if task == "binary" and not np.isin(classes, (0.0, 1.0)).all():
        raise LabelError(
            f"label {label!r}: found the values {shown}, expected 0 and 1. Map them to 0 and 1, or use "
            "--task=multiclass or --task=regression."
        )
    if len(classes) < 2:
        raise LabelError(f"label {label!r}: all labelled people have the value {shown}, expected two classes or more.")
    if (classes != np.rint(classes)).any() or len(classes) > 50:
        raise LabelError(
            f"label {label!r}: found {len(classes)} values ({shown}), expected at most 50 whole numbers for a multi-class "
            "task. Use --task=regression, or map them to classes."
        )
    return np.searchsorted(classes, values).astype(np.float64), classes.tolist()


def _splits(data: _Data, config: FinetuneConfig) -> list[Split]:
    ids, y = data.participant_id, data.y
    common = {"validation_fraction": config.validation_fraction, "seed": config.seed, "task": config.task}
    if config.split == "kfold":
        parts = splits.kfold(ids, y, folds=config.folds, **common)
    elif config.split == "holdout":
        parts = [splits.holdout(ids, y, test_fraction=config.test_fraction, **common)]
    else:
        table = data.cohort.table
        if config.split_column not in table.columns:
            there = ", ".join(data.cohort.columns) or "none"
            raise CohortError(f"split: found no column {config.split_column!r}, expected one of the cohort's: {there}.")
        parts = [splits.from_column(ids, table[config.split_column].to_list())]
    for split in parts:
        splits.check_disjoint(split, ids)
        _check_classes(data, split, config.task)
    return parts


def _check_classes(data: _Data, split: Split, task: str) -> None:
    """Every part needs people, and of every class where one is scored by an AUC (a fold's test part may lack one)."""
    for name in ("train", "validation", "test"):
        rows = getattr(split, name)
        if not len(rows):
            raise CohortError(f"{split.name}: nobody is in {name}, expected some people in every part.")
        if task == "regression" or (name == "test" and split.name.startswith("fold")):
            continue
        present = set(data.y[rows].astype(int).tolist())
        absent = [f"{value:g}" for k, value in enumerate(data.classes) if k not in present]
        if absent:
            raise LabelError(
                f"{split.name}: {name} has {len(np.unique(data.participant_id[rows]))} people, none of class "
                f"{', '.join(absent)}; expected each class in each part. Use larger fractions, fewer folds, or more people."
            )


def _run_split(
    data: _Data,
    split: Split,
    number: int,
    config: FinetuneConfig,
    writer: RunWriter | None,
    watcher: Watcher | None,
) -> tuple[Outcome, PATClassifier]:
    """Train on one split and predict with model and baseline; what an earlier run finished is read back."""
    if writer is not None and (finished := writer.finished(number)) is not None:
        return finished
    state = writer.checkpoints(number) if writer is not None else None
    fitted = train_split(data.activity, data.y, data.participant_id, split, config, state, watcher)
    baseline: dict[str, np.ndarray] = {}
    if config.baseline:
        simple = FeatureBaseline(config.task, seed=config.seed)
        rows = split.train
        simple.fit(data.activity[rows], data.y[rows], data.participant_id[rows])
        for name in ("validation", "test"):
            windows = data.activity[getattr(split, name)]
            baseline[name] = (
                simple.predict(windows)[:, None] if config.task == "regression" else simple.predict_proba(windows)
            )
    outcome = Outcome(fitted.predictions, baseline, fitted.history)
    if writer is not None:
        writer.finish_split(number, outcome, fitted.model)
    return outcome, fitted.model


def _table(data: _Data, split: Split, number: int, outcome: Outcome, config: FinetuneConfig) -> pl.DataFrame:
    """Rows of predictions.csv."""
    tables = []
    for part in ("validation", "test"):
        rows, scores = getattr(split, part), outcome.predictions[part]
        columns: dict[str, Any] = {
            "participant_id": data.participant_id[rows].tolist(),
            "window": data.cohort.table["window"].to_numpy()[rows],
            "part": [part] * len(rows),
            "fold": [number] * len(rows),
            "label": data.y[rows]
            if config.task == "regression"
            else np.asarray(data.classes)[data.y[rows].astype(int)],
        }
        if config.task == "regression":
            columns["prediction"] = scores[:, 0]
        elif config.task == "binary":
            columns["probability"] = scores[:, 1]
        else:
            columns |= {f"probability_{value:g}": scores[:, k] for k, value in enumerate(data.classes)}
        tables.append(pl.DataFrame(columns))
    return pl.concat(tables)


def _score(task: str, probabilities: np.ndarray) -> np.ndarray:
    """The column or columns that metrics take."""
    return probabilities if task == "multiclass" else probabilities[:, -1]


def _metrics(data: _Data, parts: list[Split], outcomes: list[Outcome], config: FinetuneConfig) -> dict[str, Any]:
    """metrics.json: the test people of all splits together, each scored by the model that never saw them."""
    task = config.task
    model = _pooled(data, parts, [outcome.predictions for outcome in outcomes], task)
    metrics: dict[str, Any] = {
        "task": task,
        "label": data.account["label"],
        "synthetic": data.account["synthetic"],
        "split": config.split,
        "test": evaluate(task, model.y, model.score, model.threshold, seed=config.seed),
    }
    if len(parts) == 1:
        held = by_participant(*_rows(data, parts[0].validation), _score(task, outcomes[0].predictions["validation"]))
        threshold = None if task != "binary" else float(model.threshold[0])
        metrics["validation"] = evaluate(task, held.y, held.score, threshold, seed=config.seed)
    else:
        metrics["folds"] = [_fold(data, split, outcome, task) for split, outcome in zip(parts, outcomes, strict=True)]
    if config.baseline:
        simple = _pooled(data, parts, [outcome.baseline for outcome in outcomes], task)
        scored = evaluate(task, simple.y, simple.score, simple.threshold, seed=config.seed)
        metrics["baseline"] = {"name": FeatureBaseline(task).name, **scored}
        metrics["difference"] = paired_difference(task, model.y, model.score, simple.score, seed=config.seed)
    return metrics


@dataclasses.dataclass(frozen=True)
class _Pooled:
    """Test people of all splits, one row a person: labels, scores, and for a binary task each person's threshold."""

    y: np.ndarray
    score: np.ndarray
    threshold: Any


def _pooled(data: _Data, parts: list[Split], predictions: list[dict[str, np.ndarray]], task: str) -> _Pooled:
    y, score, threshold = [], [], []
    for split, predicted in zip(parts, predictions, strict=True):
        people = by_participant(*_rows(data, split.test), _score(task, predicted["test"]))
        y.append(people.y)
        score.append(people.score)
        if task == "binary":
            held = by_participant(*_rows(data, split.validation), _score(task, predicted["validation"]))
            threshold.append(np.full(len(people.y), choose_threshold(held.y, held.score)))
    thresholds = np.concatenate(threshold) if threshold else None
    if thresholds is not None and len(parts) == 1:
        thresholds = thresholds[:1]
    return _Pooled(np.concatenate(y), np.concatenate(score), thresholds)


def _rows(data: _Data, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return data.participant_id[rows], data.y[rows]


def _fold(data: _Data, split: Split, outcome: Outcome, task: str) -> dict[str, Any]:
    """A fold's own first metric; one fold has few people, so the intervals are those of all folds together."""
    people = by_participant(*_rows(data, split.test), _score(task, outcome.predictions["test"]))
    name = PRIMARY[task]
    one_class = task != "regression" and len(np.unique(people.y)) < 2
    value = None if one_class else evaluate(task, people.y, people.score)[name]
    return {"name": split.name, "n": len(people.y), name: value}
