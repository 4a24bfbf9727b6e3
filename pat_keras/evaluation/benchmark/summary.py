"""results.json: what a benchmark's cells say, task by task, as plain numbers."""

from __future__ import annotations

import collections
from typing import Any

from pat_keras._version import __version__
from pat_keras.evaluation import bootstrap
from pat_keras.evaluation.benchmark.cells import CellResult
from pat_keras.evaluation.benchmark.config import ALL, BenchmarkConfig, TaskSpec, size_name
from pat_keras.evaluation.benchmark.plan import Cell
from pat_keras.evaluation.benchmark.scores import LOWER_IS_BETTER, SHOWN, TaskScores

Found = list[tuple[Cell, CellResult]]


def summarize(config: BenchmarkConfig, cells: list[Cell], found: Found) -> dict[str, Any]:
    """All results. A seed counts when all its folds are there.

    Args:
        config: of the benchmark.
        cells: all that are planned.
        found: those that are done, with their results.

    Returns:
        name, synthetic, complete, cells, interval, tasks; a task has name, label, kind, metric, n_people (and of two
        classes n_positive) of all seeds together, widening (see `bootstrap`), rows (one a model and training size),
        averages (one a model, over training sizes) and paper_source.
    """
    tasks = []
    for task in config.tasks:
        whole = _whole_seeds([(cell, result) for cell, result in found if cell.task == task])
        if whole:
            tasks.append(_task(config, task, whole))
    return {
        "name": config.name,
        "synthetic": any(result.account["synthetic"] for _, result in found),
        "complete": len(found) == len(cells),
        "cells": {"planned": len(cells), "done": len(found)},
        "split": config.split.get("split", "holdout"),
        "reference": config.reference or None,
        "interval": {
            "level": bootstrap.LEVEL,
            "method": f"percentile bootstrap over people{_strata(config)}, the same people for all models",
            "resamples": bootstrap.RESAMPLES,
        },
        "versions": _versions(found),
        "seconds": round(sum(result.account["seconds"] for _, result in found), 1),
        "pat_keras": __version__,
        "tasks": tasks,
    }


def _strata(config: BenchmarkConfig) -> str:
    """Within what people are drawn, in brackets; empty for regressions, whose people are drawn from all."""
    regressions = [task.kind == "regression" for task in config.tasks]
    if all(regressions):
        return ""
    return " (within each class, where there are classes)" if any(regressions) else " (within each class)"


def _whole_seeds(found: Found) -> dict[tuple[str, str, int], list[CellResult]]:
    """The results of every (model, training size, seed) whose folds are all there."""
    folds = collections.defaultdict(list)
    wanted = {}
    for cell, result in found:
        key = (cell.model.name, size_name(cell.train_size), cell.seed)
        folds[key].append(result)
        wanted[key] = cell.folds
    return {key: results for key, results in folds.items() if len(results) == wanted[key]}


def _task(
    config: BenchmarkConfig, task: TaskSpec, whole: dict[tuple[str, str, int], list[CellResult]]
) -> dict[str, Any]:
    scores = TaskScores(task.kind, whole)
    models = [model.name for model in config.models if task.name in model.tasks]
    baselines = [model.name for model in config.models if model.baseline]
    sizes = [size_name(size) for size in config.train_sizes]
    rows = [
        _row(config, task, scores, model, size, baselines, whole)
        for model in models
        for size in sizes
        if (model, size) in scores.scored
    ]
    averages = []
    if len(sizes) > 1:
        for model in models:
            found = scores.average(model, sizes)
            if found is not None:
                comparisons = _comparisons(config, scores, model, sizes, baselines)
                averages.append({"model": model, **found, **comparisons, "paper": _paper(task, model, "average")})
    return {
        "name": task.name,
        "label": task.label,
        "kind": task.kind,
        "metric": scores.metric,
        "lower_is_better": scores.metric in LOWER_IS_BETTER,
        "n_people": scores.n_people,
        **({"n_positive": int(scores.y.sum())} if task.kind == "binary" else {}),
        "folds": scores.folds,
        "widening": bootstrap.widening(scores.folds),
        "sizes": sizes,
        "rows": rows,
        "averages": averages,
        "paper_source": task.paper.source if task.paper else None,
    }


def _row(
    config: BenchmarkConfig,
    task: TaskSpec,
    scores: TaskScores,
    model: str,
    size: str,
    baselines: list[str],
    whole: dict[tuple[str, str, int], list[CellResult]],
) -> dict[str, Any]:
    """A model at a training size."""
    own = scores.scored[model, size]
    first = next(iter(own.values())).tested
    results = [result for seed in own for result in whole[model, size, seed]]
    trained = [result.account["people"]["train"] for result in results]
    row: dict[str, Any] = {
        "model": model,
        "baseline": model in baselines,
        "train_size": size,
        "n": len(first.y),
        "n_train": [min(trained), max(trained)],
        "seeds": list(own),
    }
    if task.kind == "binary":
        row["n_positive"] = int(first.y.sum())
    row["metrics"] = {name: scores.mean(model, size, name) for name in SHOWN[task.kind]}
    row["spread"] = scores.spread(model, size, scores.metric)
    row["by_seed"] = [{"seed": seed, **scored.values} for seed, scored in own.items()]
    row |= _comparisons(config, scores, model, [size], baselines)
    row["paper"] = _paper(task, model, size)
    row["seen_in_pretraining"] = max(
        sum(result.account.get("seen_in_pretraining", 0) for result in whole[model, size, seed]) for seed in own
    )
    row["seconds"] = round(sum(result.account["seconds"] for result in results) / len(results), 2)
    return row


def _comparisons(
    config: BenchmarkConfig, scores: TaskScores, model: str, sizes: list[str], baselines: list[str]
) -> dict[str, Any]:
    """The model less the reference, and less the best baseline; None against itself."""
    compared = {"against_reference": config.reference, "against_baseline": scores.best(baselines, sizes)}
    result: dict[str, Any] = {}
    for name, other in compared.items():
        difference = scores.difference(model, other, sizes) if other and other != model else None
        result[name] = None if difference is None else {"model": other, **difference}
    return result


def _paper(task: TaskSpec, model: str, size: str) -> float | None:
    values = task.paper.values.get(model, {}) if task.paper else {}
    value = values.get(size if size in (ALL, "average") else str(size))
    return None if value is None else float(value)


def _versions(found: Found) -> dict[str, list[str]]:
    """Of each package, all versions that made the cells: more than one may be worth knowing."""
    seen: dict[str, set[str]] = collections.defaultdict(set)
    for _, result in found:
        for name, version in result.account["versions"].items():
            seen[name].add(str(version))
    return {name: sorted(values) for name, values in sorted(seen.items())}
