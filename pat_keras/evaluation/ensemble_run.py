"""Finished runs combined and scored on the people whom all of them tested: a directory that reads like a run.

Axes: K runs, n windows.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.config import CROSS_VALIDATION
from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation.comparison import paired_difference
from pat_keras.evaluation.ensemble import PATEnsemble, pooled_weights
from pat_keras.evaluation.held_out import SharedWindows, check_alike, held_out_together
from pat_keras.evaluation.metrics import PRIMARY, People, choose_threshold, estimate, evaluate
from pat_keras.evaluation.report import write_report
from pat_keras.evaluation.run_files import write_json
from pat_keras.evaluation.run_folder import Run, check_free, read_run, score_columns


@dataclasses.dataclass(frozen=True)
class EnsembleResult:
    """An ensemble and how good it is.

    Attributes:
        ensemble: of all models of all runs, to predict new people with.
        metrics: as in metrics.json: what a run's has, and `members` (name, weight, results on validation and test
            people), `combine`. The baseline is the one member that was best on validation people.
        predictions: as in predictions.csv.
        folder: where they are.
    """

    ensemble: PATEnsemble
    metrics: dict[str, Any]
    predictions: pl.DataFrame
    folder: pathlib.Path


@dataclasses.dataclass(frozen=True)
class _Fold:
    """One fold: what all runs held out, the members' weights there, and the threshold."""

    parts: dict[str, SharedWindows]
    weights: np.ndarray

    def people(self, part: str, weights: np.ndarray | None = None) -> People:
        return self.parts[part].people(self.weights if weights is None else weights)

    def threshold(self, weights: np.ndarray | None = None) -> float | None:
        validation = self.people("validation", weights)
        return choose_threshold(validation.y, validation.score) if self.parts["test"].task == "binary" else None


def combine_runs(
    folders: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    combine: str = "average",
    *,
    flags: str = "",
) -> EnsembleResult:
    """Combine runs into an ensemble, score it on the people whom all runs tested, and write both to a new directory.

    In a cross-validation a person is scored by the models of their fold alone, whose stacking weights are fitted on
    that fold's validation people; the weights of the ensemble that is saved are fitted on those of all folds.

    Args:
        folders: of two or more runs of `pat-finetune` on the same data with the same split.
        out: directory to write; new or empty.
        combine: see `PATEnsemble.from_runs`.
        flags: text of flags.txt; no such file if empty.

    Raises:
        RunError: if the runs don't go together, one may have been trained on people whom another tested, or `out` is
            taken.
        CheckpointError, ConfigError, LabelError: see `PATEnsemble.from_runs`.

    Example:
        >>> result = combine_runs(["runs/mine", "runs/other"], tmp_path / "both")
        >>> len(result.ensemble.models)
        2
    """
    if len(folders) < 2:
        raise ConfigError(f"An ensemble needs two runs or more to be scored, found {len(folders)}.")
    out = pathlib.Path(out)
    check_free(out)
    runs = [read_run(folder) for folder in folders]
    check_alike(runs)
    held_out = held_out_together(runs)
    ensemble = PATEnsemble.from_runs(folders, combine)
    equal = np.full(len(runs), 1 / len(runs))
    folds = {
        number: _Fold(parts, pooled_weights([parts]) if combine == "stack" else equal)
        for number, parts in held_out.items()
    }
    _check_validation(folds, runs)
    metrics = _score(runs, folds, combine, _run_weights(ensemble, runs))
    predictions = pl.concat(_predictions(runs[0], number, fold) for number, fold in folds.items())
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        new = pathlib.Path(temporary, out.name)
        ensemble.write_into(new)
        predictions.write_csv(new / "predictions.csv")
        data = {key: value for key, value in runs[0].data.items() if key != "parts"}
        for name, values in (("data", data), ("config", _config(runs, combine)), ("metrics", metrics)):
            write_json(new / f"{name}.json", values)
        if flags:
            (new / "flags.txt").write_text(flags, encoding="utf-8")
        write_report(new)
        if out.exists():
            out.rmdir()  # empty, as was checked
        new.rename(out)
    return EnsembleResult(ensemble, metrics, predictions, out)


def _check_validation(folds: dict[int, _Fold], runs: Sequence[Run]) -> None:
    """Validation people choose the threshold, and the member that the ensemble is compared with."""
    empty = [number for number, fold in folds.items() if not len(fold.parts["validation"].y)]
    if empty:
        raise RunError(
            f"{runs[0].folder} and the others: the runs have no validation people in common (fold {empty[0]}), who "
            "choose the threshold. Make the runs with the same --validation_fraction, and the same --split_seed where "
            "their --seed differs."
        )


def _run_weights(ensemble: PATEnsemble, runs: Sequence[Run]) -> list[float]:
    """The weight of each run in the ensemble that is saved; its folds share it."""
    each = len(ensemble.weights) // len(runs)
    return ensemble.weights.reshape(len(runs), each).sum(axis=1).tolist()


def _score(runs: Sequence[Run], folds: dict[int, _Fold], combine: str, weights: list[float]) -> dict[str, Any]:
    """metrics.json."""
    first, task = runs[0], runs[0].task
    seed = int(first.config.get("seed", 0))
    crossed = first.metrics.get("split") in CROSS_VALIDATION
    tested, threshold = _tested(folds)
    metrics: dict[str, Any] = {
        "task": task,
        "label": first.data["label"],
        "synthetic": any(run.synthetic for run in runs),
        "split": first.metrics.get("split"),
        "combine": combine,
        **_seen(runs),
        "test": evaluate(task, tested.y, tested.score, threshold, seed=seed, folds=len(folds)),
    }
    if crossed:
        metrics["folds"] = [_fold_metrics(number, fold, combine) for number, fold in folds.items()]
    else:
        validation = next(iter(folds.values())).people("validation")
        metrics["validation"] = evaluate(task, validation.y, validation.score, threshold, seed=seed)
    alone = np.eye(len(runs))
    members = []
    for run, weight, only in zip(runs, weights, alone, strict=True):
        people, own = _tested(folds, only)
        results = {"validation": _validation(folds, only), "test": estimate(task, people.y, people.score, own)}
        members.append({"name": run.folder.name, "weight": weight, **results})
    metrics["members"] = members
    best = _best(members, task)
    people, own = _tested(folds, alone[best])
    name = f"{members[best]['name']}, the member that was best on validation people,"
    metrics["baseline"] = {"name": name, **evaluate(task, people.y, people.score, own, seed=seed, folds=len(folds))}
    metrics["difference"] = paired_difference(task, tested.y, tested.score, people.score, seed, folds=len(folds))
    return metrics


def _seen(runs: Sequence[Run]) -> dict[str, Any]:
    """How many test people the pretraining of a member's weights saw: of the member that saw most."""
    most = max(runs, key=lambda run: run.metrics.get("seen_in_pretraining") or 0)
    seen = most.metrics.get("seen_in_pretraining") or 0
    return {"seen_in_pretraining": seen, **({"seen_by": most.config["weights"]} if seen else {})}


def _tested(folds: dict[int, _Fold], weights: np.ndarray | None = None) -> tuple[People, float | np.ndarray | None]:
    """The test people of all folds, and the threshold of each one's fold."""
    parts = [fold.people("test", weights) for fold in folds.values()]
    thresholds = [fold.threshold(weights) for fold in folds.values()]
    people = People(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in dataclasses.fields(People)))
    if len(parts) == 1 or thresholds[0] is None:
        return people, thresholds[0]
    return people, np.concatenate([np.full(len(p.y), t) for p, t in zip(parts, thresholds, strict=True)])


def _validation(folds: dict[int, _Fold], weights: np.ndarray) -> float | None:
    """The task's first metric on validation people, the mean of the folds that have one."""
    found = []
    for fold in folds.values():
        people, task = fold.people("validation", weights), fold.parts["validation"].task
        value = estimate(task, people.y, people.score)[PRIMARY[task]]
        found += [] if value is None else [value]
    return float(np.mean(found)) if found else None


def _best(members: list[dict[str, Any]], task: str) -> int:
    """Number of the member that validation people put first."""
    sign = -1.0 if task == "regression" else 1.0  # the mean absolute error is better when it is lower
    values = [member["validation"] for member in members]
    return int(np.argmax([-np.inf if value is None else sign * value for value in values]))


def _fold_metrics(number: int, fold: _Fold, combine: str) -> dict[str, Any]:
    people, threshold, task = fold.people("test"), fold.threshold(), fold.parts["test"].task
    found: dict[str, Any] = {"fold": number, "n": len(people.y)}
    if task == "binary":
        found |= {"n_positive": int(people.y.sum()), "threshold": threshold}
    if combine == "stack":
        found["weights"] = fold.weights.tolist()
    return found | estimate(task, people.y, people.score, threshold)


def _predictions(run: Run, number: int, fold: _Fold) -> pl.DataFrame:
    """Rows of predictions.csv; labels as the runs have them."""
    names, tables = score_columns(run.predictions, run.task), []
    for part, held in fold.parts.items():
        scores = held.mixed(fold.weights)
        written = run.predictions.filter((pl.col("part") == part) & (pl.col("fold") == number))
        labels = held.rows.drop("label").join(
            written.select("participant_id", "window", "label"), on=["participant_id", "window"], how="left"
        )
        columns = {name: scores[:, k] for k, name in enumerate(names)}
        tables.append(
            labels.select("participant_id", "window", pl.lit(part).alias("part"), "fold", "label").with_columns(
                **columns
            )
        )
    return pl.concat(tables)


def _config(runs: Sequence[Run], combine: str) -> dict[str, Any]:
    """config.json: the runs, and what of their settings limits what may be said of the results."""

    def each(name: str) -> str:
        return ", ".join(sorted({str(run.config.get(name) or "") for run in runs} - {""}))

    paper = any(run.config.get("standardize") == "paper" for run in runs)
    return {
        "label": runs[0].data["label"],
        "combine": combine,
        "runs": [str(run.folder) for run in runs],
        **{name: each(name) for name in ("weights", "mode", "learn_score", "recalibration")},
        **({"standardize": "paper"} if paper else {}),
    }
