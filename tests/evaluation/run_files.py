"""Run directories as `pat-finetune` leaves them, with generated results, for the tests of reports."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import polars as pl

from pat_keras.evaluation import comparison, metrics
from pat_keras.evaluation.certainty import HIGH, LOW, SUREST, WRONG
from pat_keras.evaluation.individuals import Embedding, Individuals, Person, keep_individuals
from pat_keras.evaluation.run_folder import read_run


def write_run(folder: pathlib.Path, task: str = "binary", folds: int = 1, n: int = 90, **data: Any) -> pathlib.Path:
    """Writes all files that a report reads: two windows a person, the last third of each fold's people for test.

    Their form is that of `RunWriter`, which tests/evaluation/test_run_writer.py holds them to.
    """
    rng = np.random.default_rng(0)
    y = rng.normal(50, 10, n) if task == "regression" else rng.integers(0, 3 if task == "multiclass" else 2, n)
    shares = {
        "binary": lambda: 1 / (1 + np.exp(-(rng.normal(size=n) + 1.6 * y - 0.8))),
        "multiclass": lambda: rng.dirichlet(np.ones(3), n) * 0.6 + 0.4 * np.eye(3)[y.astype(int)],
        "regression": lambda: 20 + 0.6 * y + rng.normal(0, 5, n),
    }[task]()
    part = np.array(["train", "validation", "test"])[np.arange(n) % 3]
    rows = []
    for fold in range(folds):
        for person in range(n):
            where = part[(person + fold) % 3] if folds > 1 else part[person]
            own = {"participant_id": f"p{person:03d}", "part": where, "fold": fold + 1, "label": y[person]}
            for window in range(2 if where != "train" else 0):
                rows.append({**own, "window": window, **_score(task, shares[person])})
    predictions = pl.DataFrame(rows)
    predictions.write_csv(folder / "predictions.csv")
    _write(folder / "metrics.json", _results(task, y, shares, part, folds, data.get("synthetic", False)))
    history = [
        {"fold": fold + 1, "stage": "head" if epoch < 4 else "full", "epoch": epoch, "loss": 0.7 / (1 + 0.1 * epoch),
         "validation_loss": 0.65 - 0.02 * min(epoch, 6) + 0.005 * epoch + 0.01 * fold,
         "validation_auc": 0.6 + 0.03 * min(epoch, 6) + 0.01 * rng.normal(),
         "encoder_learning_rate": 2e-5, "head_learning_rate": 5e-4, "seconds": 1.5}
        for fold in range(folds)
        for epoch in range(12)
    ]  # fmt: skip
    pl.DataFrame(history).write_csv(folder / "history.csv")
    _write(folder / "config.json", {"size": "small", "weights": "", "seed": 0, "versions": {"keras": "3.15.0"}})
    steps = [("read", n + 5, ""), ("rejected", 5, "fewer than 7 days"), ("kept", n, "")]
    funnel = [dict(zip(("step", "people", "reason"), step, strict=True)) for step in steps]
    described = {"label": "depressed", "source": "a study", "unit": "counts", "epoch_length": 60, "funnel": funnel}
    described["parts"] = [
        _counts(f"fold {fold + 1} of {folds}", y, np.roll(part, -fold), task) for fold in range(folds)
    ]
    _write(folder / "data.json", described | {"citation": "A. Study, 2020.", "content_hash": "0" * 64} | data)
    (folder / "flags.txt").write_text("--label=depressed\n--seed=0\n", encoding="utf-8")
    return folder


def add_individuals(folder: pathlib.Path, n_weeks: int = 2) -> Individuals:
    """Writes individuals.npz beside a run of `write_run`: some weeks of test people, and embeddings of all of them."""
    rng = np.random.default_rng(3)
    run = read_run(folder)
    n = len(run.people("test").y)
    kinds = (HIGH, LOW) if run.task == "regression" else (SUREST, WRONG)
    weeks = [
        Person(
            kinds[k % 2],
            3 + 2 * k,
            k,
            2,
            0,
            rng.gamma(1.0, 80, 7 * 1440).astype(np.float32),
            rng.dirichlet(np.ones(560)),
        )
        for k in range(n_weeks)
    ]
    folds = len(run.metrics.get("folds") or [1])
    each = n // folds
    embeddings = [
        Embedding(
            fold + 1, (0.6, 0.2), {"PCA": rng.normal(size=(each, 2)), "UMAP": rng.normal(size=(each, 2))},
            {"depressed": np.arange(each) % 2, "age": np.arange(each) % 3},
        )
        for fold in range(folds)
    ]  # fmt: skip
    individuals = Individuals(weeks, embeddings, {"depressed": ["0", "1"], "age": ["<18", "18-39", "60+"]}, 4)
    keep_individuals(folder, individuals)
    return individuals


def _counts(name: str, y: np.ndarray, part: np.ndarray, task: str) -> dict[str, Any]:
    counts: dict[str, Any] = {"name": name, "left_out": {}, "split_hash": "0"}
    for where in ("train", "validation", "test"):
        own = y[part == where]
        counts[where] = {"people": len(own), "windows": 2 * len(own)}
        if task != "regression":
            counts[where]["people_by_class"] = {str(k): int((own == k).sum()) for k in np.unique(y)}
    return counts


def _score(task: str, share: Any) -> dict[str, float]:
    if task == "multiclass":
        return {f"probability_{k}": value for k, value in enumerate(share)}
    return {"probability" if task == "binary" else "prediction": share}


def _results(
    task: str, y: np.ndarray, shares: np.ndarray, part: np.ndarray, folds: int, synthetic: bool
) -> dict[str, Any]:
    test = np.full(len(y), True) if folds > 1 else part == "test"
    threshold = 0.5 if task == "binary" else None
    other = shares[np.random.default_rng(1).permutation(len(y))]
    name = "ridge" if task == "regression" else "logistic regression"
    results = {
        "task": task,
        "test": metrics.evaluate(task, y[test], shares[test], threshold, folds=folds),
        "validation": metrics.evaluate(task, y[part == "validation"], shares[part == "validation"], threshold),
        "baseline": metrics.evaluate(task, y[test], other[test], threshold)
        | {"name": f"{name} on simple daily features"},
        "difference": comparison.paired_auc_difference(y[test], shares[test], other[test])
        if task == "binary"
        else comparison.paired_difference(task, y[test], shares[test], other[test]),
        "synthetic": synthetic,
    }
    if folds > 1:
        results.pop("validation")
        if task == "binary":
            results["test"] |= metrics.within_folds(y, shares, (2 - np.arange(len(y))) % 3)
        results["folds"] = [
            _fold(fold, task, y[who], shares[who], threshold)
            for fold in range(folds)
            for who in [np.arange(len(y)) % 3 == (2 - fold) % 3]
        ]
    return results


def _fold(fold: int, task: str, y: np.ndarray, shares: np.ndarray, threshold: float | None) -> dict[str, Any]:
    own = {"n_positive": int(y.sum()), "threshold": threshold} if task == "binary" else {}
    return {"fold": fold + 1, "n": len(y), **own, **metrics.estimate(task, y, shares, threshold)}


def _write(path: pathlib.Path, value: Any) -> None:
    path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")
