"""predictions.csv and metrics.json from what the models of each split predicted.

Axes: n windows of a part, C classes.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import polars as pl

from pat_keras.config import CROSS_VALIDATION, FinetuneConfig
from pat_keras.data.splits import Split
from pat_keras.evaluation.comparison import paired_auc_difference, paired_difference
from pat_keras.evaluation.metrics import (
    People,
    by_participant,
    choose_threshold,
    estimate,
    evaluate,
    within_folds,
)
from pat_keras.evaluation.protocols import LabelledData
from pat_keras.evaluation.run_folder import named_scores
from pat_keras.evaluation.subgroups import by_subgroup, groups_of
from pat_keras.models.baselines import FeatureBaseline

# Of "validation" and "test", in the order of the split's windows: (n, C) probabilities, or (n, 1) values.
Predictions = dict[str, np.ndarray]


def predictions_table(data: LabelledData, split: Split, fold: int, predictions: Predictions, task: str) -> pl.DataFrame:
    """Rows of predictions.csv: one a window of the people held out, labels as the cohort has them."""
    tables = []
    for part, scores in predictions.items():
        rows = getattr(split, part)
        labels = data.y[rows] if task == "regression" else np.asarray(data.classes)[data.y[rows].astype(int)]
        columns: dict[str, Any] = {
            "participant_id": data.participant_id[rows].tolist(),
            "window": data.cohort.table["window"].to_numpy()[rows],
            "part": [part] * len(rows),
            "fold": [fold] * len(rows),
            "label": labels,
        }
        tables.append(pl.DataFrame(columns | named_scores(scores, data.classes, task)))
    return pl.concat(tables)


def score_run(
    data: LabelledData,
    parts: list[Split],
    predictions: list[Predictions],
    baseline: list[Predictions],
    config: FinetuneConfig,
) -> dict[str, Any]:
    """metrics.json: the test people of all splits together, each scored by the model that never saw them.

    Args:
        data: the labelled windows.
        parts: the splits.
        predictions: one a split.
        baseline: likewise, looked at if the config asks for a baseline.
        config: task, split and seed.
    """
    task, seed = config.task, config.seed
    held_out = [_Held.of(data, split, found, task) for split, found in zip(parts, predictions, strict=True)]
    model = _Tested.of(held_out)
    folds = len(parts)
    test = evaluate(task, model.y, model.score, model.threshold, seed=seed, folds=folds)
    if task == "binary" and config.split in CROSS_VALIDATION:
        test |= within_folds(model.y, model.score, model.fold, seed=seed)
    metrics: dict[str, Any] = {
        "task": task,
        "label": data.account["label"],
        "synthetic": data.account["synthetic"],
        "split": config.split,
        "test": test,
    }
    if config.split in CROSS_VALIDATION:
        metrics["folds"] = [_fold(number, held, task) for number, held in enumerate(held_out, 1)]
    else:
        people = held_out[0].validation
        metrics["validation"] = evaluate(task, people.y, people.score, held_out[0].threshold, seed=seed)
    if config.baseline:
        simple = _Tested.of([_Held.of(data, split, found, task) for split, found in zip(parts, baseline, strict=True)])
        scored = evaluate(task, simple.y, simple.score, simple.threshold, seed=seed, folds=folds)
        learning = f" (learning {config.learn_score})" if config.learn_score else ""
        metrics["baseline"] = {"name": FeatureBaseline(config.learned_task).name + learning, **scored}
        compare = paired_auc_difference if task == "binary" else functools.partial(paired_difference, task)
        metrics["difference"] = compare(model.y, model.score, simple.score, seed=seed, folds=folds)
    if config.subgroups:
        metrics["subgroups"] = {
            column: by_subgroup(
                groups_of(data.cohort, column),
                task,
                model.participant_id,
                model.y,
                model.score,
                model.threshold,
                seed=seed,
                folds=folds,
                classes=data.classes,
            )
            for column in config.subgroups
        }
    return metrics


@dataclasses.dataclass(frozen=True)
class _Held:
    """People held out by one split, one row each, and for a binary task the threshold that validation people give."""

    validation: People
    test: People
    threshold: float | None

    @classmethod
    def of(cls, data: LabelledData, split: Split, predictions: Predictions, task: str) -> _Held:
        def people(part: str) -> People:
            rows, scores = getattr(split, part), predictions[part]
            return by_participant(
                data.participant_id[rows], data.y[rows], scores if task == "multiclass" else scores[:, -1]
            )

        validation = people("validation")
        threshold = choose_threshold(validation.y, validation.score) if task == "binary" else None
        return cls(validation, people("test"), threshold)


@dataclasses.dataclass(frozen=True)
class _Tested:
    """The test people of all splits, one row each; the threshold of each person's model where they differ."""

    participant_id: np.ndarray
    y: np.ndarray
    score: np.ndarray
    fold: np.ndarray
    threshold: float | np.ndarray | None

    @classmethod
    def of(cls, held_out: list[_Held]) -> _Tested:
        names = ("participant_id", "y", "score")
        people, y, score = (np.concatenate([getattr(held.test, name) for held in held_out]) for name in names)
        fold = np.repeat(np.arange(len(held_out)), [len(held.test.y) for held in held_out])
        threshold: float | np.ndarray | None = held_out[0].threshold
        if len(held_out) > 1 and threshold is not None:
            threshold = np.array([held.threshold for held in held_out])[fold]
        return cls(people, y, score, fold, threshold)


def _fold(number: int, held: _Held, task: str) -> dict[str, Any]:
    """A fold's own metrics, without intervals: it has few people."""
    fold: dict[str, Any] = {"fold": number, "n": len(held.test.y)}
    if task == "binary":
        fold |= {"n_positive": int(held.test.y.sum()), "threshold": held.threshold}
    return fold | estimate(task, held.test.y, held.test.score, held.threshold)
