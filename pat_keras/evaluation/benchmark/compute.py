"""One cell: a model trained on its split, and the people held out predicted.

Heavy packages are imported when a cell is computed, so that planning and summing up need none of them; TensorFlow only
where it is the backend.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from pat_keras.checkpoints.presets import hash_of_weights
from pat_keras.data.features import cut_points_of
from pat_keras.data.splits import Split, split_hash
from pat_keras.errors import RunError
from pat_keras.evaluation.benchmark.cells import HELD_OUT, CellResult, HeldOut
from pat_keras.evaluation.benchmark.config import ModelSpec, size_name
from pat_keras.evaluation.benchmark.plan import Cell, Source
from pat_keras.evaluation.metrics import by_participant, choose_threshold
from pat_keras.evaluation.protocols import LabelledData, tested_and_seen
from pat_keras.evaluation.run_files import versions
from pat_keras.evaluation.sealing import SealedSplit, seal
from pat_keras.quiet import import_tensorflow

if TYPE_CHECKING:
    from pat_keras.models.baselines import FeatureBaseline

Predictions = dict[str, np.ndarray]
Row = dict[str, Any]


def compute_cell(cell: Cell, source: Source) -> CellResult:
    """Trains a cell's model and predicts its people.

    Raises:
        PATError: if the data, the settings or the weights can't be used, or training went wrong.
    """
    data = source.labelled(cell.task, cell.config)
    split = source.splits(cell.task, cell.config)[cell.fold - 1]
    if split_hash(split) != cell.definition["split"] or source.data_hash(data) != cell.definition["data"]:
        raise RunError(
            f"{cell.name}: its data or split are not those that were planned; have the cohorts or the program been "
            "changed meanwhile? Start the benchmark again."
        )
    weights = "" if cell.model.baseline else cell.config.weights
    # Where they are not there at all, loading them says so.
    if weights and hash_of_weights(weights) not in (weights, cell.definition["settings"]["weights"]):
        raise RunError(
            f"{cell.name}: the weights {weights} are not those that were planned: the file was replaced meanwhile. "
            "Start the benchmark again, which computes anew what started from the earlier one."
        )
    started = time.perf_counter()
    if cell.model.baseline:
        model, seen = _features(cell, source, data)
        predictions, history = _baseline(model, cell, *seal(seen, [split]))
    else:
        predictions, history = _network(cell, *seal(data, [split]))
    seconds = time.perf_counter() - started
    learned = _learned(split, cell.model)
    held_out = {part: _held_out(data, getattr(split, part), predictions[part]) for part in HELD_OUT}
    account = {
        "task": cell.task.name,
        "kind": cell.task.kind,
        "model": cell.model.name,
        "train_size": size_name(cell.train_size),
        "seed": cell.seed,
        "fold": cell.fold,
        "folds": cell.folds,
        "classes": data.classes,
        "synthetic": data.account["synthetic"],
        "people": {"train": _people(data, learned)} | {part: _people(data, getattr(split, part)) for part in HELD_OUT},
        "seen_in_pretraining": seen_by_pretraining(cell, data, split),
        "threshold": _threshold(cell, held_out["validation"]),
        "seconds": round(seconds, 3),
        "process_peak_megabytes": _peak_megabytes(),
        "versions": versions() | _backend(),
        "history": history,
        "definition": cell.definition,
    }
    return CellResult(held_out["validation"], held_out["test"], account)


def _network(cell: Cell, sealed: SealedSplit) -> tuple[Predictions, list[Row]]:
    """Predictions of validation and test, and the history of the training."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import_tensorflow()
    from pat_keras.evaluation.sealing import predict_test
    from pat_keras.training.finetune import train_split

    known = sealed.training()
    fitted = train_split(*known[:4], cell.config, score=known.score, group=known.group)
    test = predict_test(fitted.model, sealed.open().activity, cell.config)
    return {"validation": fitted.predictions["validation"], "test": test}, fitted.history


def _baseline(model: FeatureBaseline, cell: Cell, sealed: SealedSplit) -> tuple[Predictions, list[Row]]:
    from pat_keras.evaluation.baseline import fit_baseline

    known = sealed.training()
    learned = dataclasses.replace(known.split, train=_learned(known.split, cell.model))
    predict = fit_baseline(model, known._replace(split=learned), cell.config)
    return {"validation": predict(known.activity[known.split.validation]), "test": predict(sealed.open().activity)}, []


def _learned(split: Split, model: ModelSpec) -> np.ndarray:
    """Windows that a model learns from: those of validation people among them where these decide nothing."""
    return np.concatenate([split.train, split.validation]) if model.fit_on_validation else split.train


def seen_by_pretraining(cell: Cell, data: LabelledData, split: Split) -> int:
    """How many of the people tested the pretraining of the weights saw."""
    return 0 if cell.model.baseline else tested_and_seen(data, [split], cell.config)[1]


def _features(cell: Cell, source: Source, data: LabelledData) -> tuple[FeatureBaseline, LabelledData]:
    """A baseline, and the windows as it sees them: features (B, F), made once for all cells, in place of minutes."""
    from pat_keras.models.baselines import make_baseline

    name, smoothing = cell.model.baseline, cell.config.smoothing
    model = make_baseline(
        name, cell.config.learned_task, cell.seed, smoothing=smoothing, cut_points=cut_points_of(data.cohort.metadata)
    )
    if model.columns:
        seen = np.stack([data.cohort.label(column) for column in model.columns], axis=1)
        return model, dataclasses.replace(data, activity=seen)
    features, names = source.remember(
        f"{name}, {smoothing}", lambda: model.describe(data.activity, data.participant_id)
    )
    return model.of_described(names), dataclasses.replace(data, activity=features)


def _held_out(data: LabelledData, rows: np.ndarray, score: np.ndarray) -> HeldOut:
    score = np.asarray(score, dtype=np.float64)
    if not np.isfinite(score).all():
        raise RunError(
            f"{int((~np.isfinite(score)).any(axis=1).sum())} of {len(score)} predictions are not finite; expected "
            "numbers. The training has diverged: lower its learning rates."
        )
    window = data.cohort.table["window"].to_numpy()[rows].astype(np.int32)
    return HeldOut(data.participant_id[rows], window, data.y[rows], score)


def _people(data: LabelledData, rows: np.ndarray) -> int:
    return len(np.unique(data.participant_id[rows]))


def _threshold(cell: Cell, validation: HeldOut) -> float | None:
    if cell.task.kind != "binary":
        return None
    if cell.model.threshold is not None:
        return cell.model.threshold
    people = by_participant(validation.participant_id, validation.y, validation.score[:, -1])
    return choose_threshold(people.y, people.score)


def _peak_megabytes() -> float | None:
    """The most memory this process has held so far, earlier cells included; None where the system does not say."""
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def _backend() -> dict[str, str]:
    """Keras's backend and its device, if Keras was used at all."""
    if "keras" not in sys.modules:
        return {}
    import keras

    backend = keras.backend.backend()
    found = {"backend": backend}
    if backend == "jax":
        import jax

        found["device"] = jax.devices()[0].device_kind
    return found
