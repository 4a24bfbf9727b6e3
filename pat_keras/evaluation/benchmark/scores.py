"""Results of a benchmark from its cells: means over seeds with intervals over people, and paired comparisons.

What is reported of a model is the mean over its seeds. Its interval answers one question: how far would that mean move
if other people had been tested? People are resampled (within each class), the same ones for every seed, training size
and model of a task, so that any difference of two models is paired. How much the draw of seeds moves a result is told
apart from it, by the standard deviation over seeds: an interval that mixed both would answer neither question.

Legend: P people tested in a task, S seeds, K classes, R resamples.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from pat_keras.errors import RunError
from pat_keras.evaluation import bootstrap, comparison, formulas, metrics
from pat_keras.evaluation.benchmark.cells import CellResult
from pat_keras.evaluation.metrics import PRIMARY

# Metrics of a task's tables, the first first; of these, lower is better for the second tuple.
SHOWN = {
    "binary": (
        "auc",
        "average_precision",
        "sensitivity",
        "specificity",
        "balanced_accuracy",
        "f1",
        "mcc",
        "brier",
        "calibration_slope",
    ),
    "multiclass": ("auc", "accuracy", "balanced_accuracy", "log_loss"),
    "regression": ("mae", "rmse", "r2", "pearson"),
}
LOWER_IS_BETTER = ("brier", "log_loss", "mae", "rmse")
_CACHED = 128 * 1024  # numbers worked on at once: what a processor keeps at hand, 4 times as fast as all R rows
_THREADS = min(8, os.cpu_count() or 1)
# Without an interval: those of these would take most of the time.
_NOT_RESAMPLED = ("average_precision", "calibration_slope")
RESAMPLED = {kind: tuple(name for name in names if name not in _NOT_RESAMPLED) for kind, names in SHOWN.items()}


@dataclasses.dataclass(frozen=True)
class Tested:
    """The people that one seed of a model tested, in all its folds, one row each.

    Attributes:
        place: (n,) of each person among the P of the task, ascending.
        y: (n,) targets.
        score: (n,) or (n, K).
        threshold: one for all, or (n,) that of the fold's model; None but for two classes.
    """

    place: np.ndarray
    y: np.ndarray
    score: np.ndarray
    threshold: float | np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Scored:
    """One seed of a model at a training size.

    Attributes:
        tested: whom it tested.
        values: of every metric.
        resampled: name of a metric -> (R,).
    """

    tested: Tested
    values: dict[str, float | None]
    resampled: dict[str, np.ndarray]


class TaskScores:
    """The scores of all models of a task on the same resamples of its people.

    Args:
        kind: of the task.
        cells: of every (model, training size, seed), all folds.
        seed: of the resamples.
        resamples: R.

    Attributes:
        scored: by (model, training size) and seed.
        n_people: P, of all seeds and sizes together.
        y: (P,) their targets.
        folds: of a cross-validation, whose intervals are wider (`bootstrap.widening`); 1 for single splits.

    Raises:
        RunError: if cells disagree about somebody's label.
    """

    def __init__(
        self,
        kind: str,
        cells: dict[tuple[str, str, int], list[CellResult]],
        seed: int = 0,
        resamples: int = bootstrap.RESAMPLES,
    ) -> None:
        self.kind, self.metric = kind, PRIMARY[kind]
        self.folds = max(len(results) for results in cells.values())
        people, self.y = _everybody(results for results in cells.values())
        self.n_people = len(people)
        tested = {key: _tested(kind, results, people) for key, results in cells.items()}
        strata = metrics.strata(kind, self.y)
        self._one_of_class = metrics.has_one_of_class(kind, self.y)
        # As float64, which matrix products are fastest with.
        self._draws = np.concatenate(list(bootstrap.draw(strata, resamples, seed))).astype(np.float64)  # (R, P)
        self._rows = max(1, _CACHED // self.n_people)
        self.scored: dict[tuple[str, str], dict[int, Scored]] = {}
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:  # large arrays, for which NumPy lets others run
            for (model, size, number), scored in zip(tested, pool.map(self._score, tested.values()), strict=True):
                self.scored.setdefault((model, size), {})[number] = scored

    def _score(self, tested: Tested) -> Scored:
        values = metrics.estimate(self.kind, tested.y, tested.score, tested.threshold)
        everybody = len(tested.place) == self.n_people  # in the same order, which is that of their ids
        parts = []
        for first in range(0, len(self._draws), self._rows):
            draws = self._draws[first : first + self._rows]
            parts.append(_resampled(self.kind, tested, draws if everybody else draws[:, tested.place]))
        return Scored(tested, values, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    # Of one model at one training size

    def mean(self, model: str, size: str, name: str, seeds: Iterable[int] | None = None) -> dict[str, Any]:
        """The mean over seeds of a metric with its interval: value, low, high; None where undefined."""
        own = self.scored[model, size]
        chosen = [own[seed] for seed in (own if seeds is None else seeds)]
        values = [scored.values.get(name) for scored in chosen]
        if name not in RESAMPLED[self.kind]:
            return {"value": _mean(values), "low": None, "high": None}
        return self._limits(name, _mean(values), np.mean([scored.resampled[name] for scored in chosen], axis=0))

    def spread(self, model: str, size: str, name: str) -> dict[str, float | None]:
        """Of a metric over seeds: standard deviation (n - 1; None of one seed), least and most."""
        values = [scored.values.get(name) for scored in self.scored[model, size].values()]
        known = [value for value in values if value is not None]
        deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
        return {"sd": deviation, "min": min(known, default=None), "max": max(known, default=None)}

    # Of two models, or of several training sizes

    def difference(self, model: str, other: str, sizes: list[str]) -> dict[str, Any] | None:
        """The primary metric of a model less that of another, over the seeds that both have, averaged over sizes.

        Returns:
            value, low, high, seeds (a list for each size), of_seeds (how many the one has that has more, for each
            size) and, for two classes, one size and one seed, DeLong's p_value; None if they have no seed in common.
        """
        differences, values, seeds, of_seeds = [], [], [], []
        for size in sizes:
            first, second = (self.scored.get((name, size), {}) for name in (model, other))
            common = [seed for seed in first if seed in second and _same_people(first[seed], second[seed])]
            if not common:
                return None
            seeds.append(common)
            of_seeds.append(max(len(first), len(second)))
            for own, sign in ((first, 1.0), (second, -1.0)):
                mean = _mean([own[seed].values.get(self.metric) for seed in common])
                values.append(None if mean is None else sign * mean)
                differences.append(sign * np.mean([own[seed].resampled[self.metric] for seed in common], axis=0))
        value = None if any(v is None for v in values) else sum(v for v in values if v is not None) / len(sizes)
        result = self._limits("difference", value, np.sum(differences, axis=0) / len(sizes))
        result |= {"seeds": seeds, "of_seeds": of_seeds}
        if self.kind == "binary" and len(seeds) == 1 and len(seeds[0]) == 1:
            one, two = (self.scored[name, sizes[0]][seeds[0][0]].tested for name in (model, other))
            found = comparison.paired_auc_difference(one.y, one.score, two.score, folds=self.folds)
            result["p_value"] = found["p_value"]
        return result

    def average(self, model: str, sizes: list[str]) -> dict[str, Any] | None:
        """The primary metric averaged over training sizes; None if the model lacks one of them."""
        if any((model, size) not in self.scored for size in sizes):
            return None
        means = [self.mean(model, size, self.metric)["value"] for size in sizes]
        resampled = [
            np.mean([scored.resampled[self.metric] for scored in self.scored[model, size].values()], axis=0)
            for size in sizes
        ]
        return self._limits(self.metric, _mean(means), np.mean(resampled, axis=0))

    def best(self, models: list[str], sizes: list[str]) -> str | None:
        """Of some models the one with the best primary metric on the people tested, which flatters it.

        They are compared over the seeds that all of them have, since other seeds may test other people: None if there
        is no such seed.
        """
        there = [model for model in models if all((model, size) in self.scored for size in sizes)]
        known: dict[str, float] = {}
        for model in there:
            means = []
            for size in sizes:
                shared = set.intersection(*(set(self.scored[other, size]) for other in there))
                means.append(_mean([self.scored[model, size][seed].values[self.metric] for seed in sorted(shared)]))
            value = _mean(means)
            known |= {} if value is None else {model: value}
        if not known:
            return None
        return (min if self.metric in LOWER_IS_BETTER else max)(known, key=lambda model: known[model])

    def _limits(self, name: str, value: float | None, resampled: np.ndarray) -> dict[str, Any]:
        """The interval of resampled values, under the rules of `metrics.evaluate`."""
        defined = value is not None and math.isfinite(value)
        limits = bootstrap.interval(resampled) if defined and not self._one_of_class else None
        low, high = (None if value is None else metrics.widened(name, value, limits, self.folds)) or (None, None)
        return {"value": value, "low": low, "high": high}


def _everybody(cells: Iterable[list[CellResult]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids (P,) of all people tested, sorted, and their targets (P,)."""
    tests = [result.test for results in cells for result in results]
    ids = np.concatenate([test.participant_id for test in tests])
    y = np.concatenate([test.y for test in tests])
    people, first, place = np.unique(ids, return_index=True, return_inverse=True)
    if (y[first][place] != y).any():
        raise RunError(
            "The cells of a task disagree about the labels of some people; expected one label a person. Were their "
            "windows labelled differently? Correct the labels, and start the benchmark again."
        )
    return people, y[first]


def _tested(kind: str, results: list[CellResult], everybody: np.ndarray) -> Tested:
    """The people of all folds, sorted by their ids."""
    folds = [result.test.people(kind) for result in results]
    ids = np.concatenate([people.participant_id for people in folds])
    order = np.argsort(ids)
    if (np.diff(np.searchsorted(everybody, ids[order])) == 0).any():
        raise RunError("The folds of a seed test somebody twice; expected once. Start the benchmark in a new folder.")
    threshold: float | np.ndarray | None = results[0].threshold
    if len(folds) > 1 and threshold is not None:
        cuts = [np.full(len(people.y), result.threshold) for people, result in zip(folds, results, strict=True)]
        threshold = np.concatenate(cuts)[order]
    y, score = (np.concatenate([getattr(people, name) for people in folds])[order] for name in ("y", "score"))
    return Tested(np.searchsorted(everybody, ids[order]), y, score, threshold)


def _resampled(kind: str, tested: Tested, draws: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of `RESAMPLED` of draws (R, n), each (R,)."""
    y, score = tested.y, tested.score
    if kind != "binary":
        named = {"multiclass": formulas.multiclass, "regression": formulas.regression}[kind](y, score)
        return {name: named[name](draws) for name in RESAMPLED[kind]}
    named = formulas.binary(y, score, tested.threshold)
    resampled = {name: named[name](draws) for name in ("auc", "brier")}
    # What a threshold makes of people is one of four things: their numbers (R, 4) say all that its metrics need.
    truth, called = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    which = np.equal.outer(y, truth) & np.equal.outer((score >= tested.threshold).astype(np.float64), called)
    counts, of_four = draws @ which.astype(np.float64), formulas.binary(truth, called, 0.5)
    return resampled | {name: of_four[name](counts) for name in RESAMPLED[kind] if name not in resampled}


def _same_people(first: Scored, second: Scored) -> bool:
    return np.array_equal(first.tested.place, second.tested.place)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
