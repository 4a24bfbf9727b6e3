"""A finished run as a file that other programs compute with, checked against the run before it is given out.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import math
import os
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import polars as pl

from pat_keras.checkpoints.pins import sha256_of
from pat_keras.config import CROSS_VALIDATION, EXPORTS
from pat_keras.data.simulate import simulate_cohort
from pat_keras.data.windows import DAY_MINUTES
from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation import export_formats
from pat_keras.evaluation.ensemble import PATEnsemble, TrainedOn
from pat_keras.evaluation.export_page import readme
from pat_keras.evaluation.metrics import PRIMARY
from pat_keras.evaluation.predict import load_models_of
from pat_keras.evaluation.run_files import versions, write_csv, write_json, write_text
from pat_keras.evaluation.run_folder import read_run
from pat_keras.models.committee import predictors_in
from pat_keras.models.predictor import Predictor

# Between the exported model and the run's own in float32: of probabilities, or of a regression's values in units of
# the largest of them (at least 1).
TOLERANCE = 1e-5
_HALF_TOLERANCE = 0.1  # between float32 and the 16 bits that a run computes in itself


def export_run(run: str | os.PathLike[str], out: str | os.PathLike[str], file_format: str = "onnx") -> dict[str, Any]:
    """Write a run's model, its scaling inside, so that programs without this package can compute with it.

    The folder gets the model, `card.json` (what goes in, what comes out, what it was trained on and how well it did),
    `example.csv` and `example_output.csv` (simulated windows and what the model makes of them, to see that another
    program computes the same), and `README.md`. Before it is there, the written model has computed these windows in its
    own runtime, one by one and together, and given the run's numbers.

    Args:
        run: folder of a finished run of `pat-finetune`, or of an ensemble. The models of a cross-validation, and the
            members of an ensemble, become one model that averages them.
        out: the folder to make.
        file_format: "onnx" (packages of the extra `export`) or "saved_model" (TensorFlow's).

    Returns:
        What `card.json` says.

    Raises:
        RunError: if `out` is there, a package is not installed, or the written model computes other numbers.
        RunError, CheckpointError: if the run is not finished, or its files are damaged.
        ConfigError: for a format that does not exist, or another backend than TensorFlow.

    Example:
        >>> card = export_run("runs/mine", tmp_path / "exported", file_format="saved_model")
        >>> card["input"]["shape"], card["output"]["name"], card["check"]["largest_difference"] < 1e-5
        (['windows', 1440], 'probabilities', True)
    """
    run, out = pathlib.Path(run), pathlib.Path(out)
    if file_format not in EXPORTS:
        raise ConfigError(f"The format is {file_format!r}, expected one of {', '.join(EXPORTS)}.")
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"The backend is {keras.backend.backend()}, and models are exported under TensorFlow. Run it with "
            "KERAS_BACKEND=tensorflow; a run that was trained under another backend can be exported all the same."
        )
    if out.exists():
        raise RunError(f"{out}: is already there, and is not replaced. Choose another --out.")
    ensemble, trained_on = load_models_of(run)
    plain = PATEnsemble([model.in_float32() for model in ensemble.models], ensemble.weights, ensemble.names)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        new = pathlib.Path(temporary, out.name)
        new.mkdir()
        weeks = example_windows(plain.models[0], trained_on)
        path, compute = export_formats.write(plain, trained_on.minutes, new, file_format)
        found, check = _checked(run, ensemble, plain, compute, weeks)
        card = {**_card(run, ensemble, trained_on), **_about(path, file_format), "check": check}
        _write_example(new, weeks, found, card)
        write_json(new / "card.json", card)
        write_text(new / "README.md", readme(card))
        try:
            new.rename(out)  # a whole folder, or none
        except OSError as error:
            raise RunError(f"{out}: can't be made ({error.strerror}). Choose another --out.") from None
    return card


def example_windows(model: Predictor, trained_on: TrainedOn) -> np.ndarray:
    """Four simulated windows (4, T) float32 such as the model takes: of its level, with gaps if it masks them."""
    minutes = trained_on.minutes
    x = simulate_cohort(n_people=4, days=math.ceil(minutes / DAY_MINUTES)).activity[:, :minutes].astype(np.float32)
    scaling = predictors_in(model)[0].standardization
    if scaling is None or scaling.kind == "none":
        x = (x - x.mean()) / x.std()
    elif scaling.kind != "per_recording":
        x *= np.abs(np.array(scaling.mean)).mean() / x.mean()
    if trained_on.masks:
        x[1, minutes // 3 : minutes // 2] = np.nan
        x[2, np.random.default_rng(0).random(minutes) < 0.1] = np.nan
    return x


def _checked(
    run: pathlib.Path, ensemble: PATEnsemble, plain: PATEnsemble, compute: export_formats.Compute, x: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """What the written model makes of the windows, once it is seen to compute what the run does, in two sizes of batch.

    Beside the float32 copy that it was written from, the run's own models count: the copy could be another model.

    Raises:
        RunError: if it does not.
    """
    found = compute(x)
    singly = np.concatenate([compute(x[i : i + 1]) for i in range(len(x))])
    whole = all(
        model.dtype_policy.compute_dtype == "float32" for each in ensemble.models for model in predictors_in(each)
    )
    largest, tolerance = _difference(run, plain, x, [found, singly], TOLERANCE)
    own, _ = _difference(run, ensemble, x, [found], TOLERANCE if whole else _HALF_TOLERANCE)
    check = {"windows": len(x), "largest_difference": largest, "tolerance": tolerance}
    return found, {**check, "largest_difference_from_the_run": own}


def _difference(
    run: pathlib.Path, ensemble: PATEnsemble, x: np.ndarray, found: list[np.ndarray], tolerance: float
) -> tuple[float, float]:
    """The largest difference from what these models compute, and the one that is let through.

    Raises:
        RunError: if it is larger.
    """
    expected = ensemble.predict(x) if ensemble.task == "regression" else ensemble.predict_proba(x)
    if any(each.shape != expected.shape for each in found):
        raise RunError(f"{run}: the exported model gives {found[0].shape}, expected {expected.shape}; it was not kept.")
    if ensemble.task == "regression":
        tolerance *= max(1.0, float(np.abs(expected).max()))
    difference = float(np.max([np.abs(each - expected) for each in found]))  # NaN if any is
    if not difference <= tolerance:  # also of NaN
        raise RunError(
            f"{run}: on {len(x)} simulated windows the exported model differs from the run by {difference:.3g}, "
            f"expected at most {tolerance:g}. It was not kept. Try the other --format, or other versions of the "
            "packages of the extra export, and tell us."
        )
    return difference, tolerance


def _card(run: pathlib.Path, ensemble: PATEnsemble, trained_on: TrainedOn) -> dict[str, Any]:
    """What goes in, what comes out, and what is known of the run."""
    metrics, config = {}, {}
    if (run / "metrics.json").is_file():  # a saved PATEnsemble has none
        metrics, config = (found := read_run(run)).metrics, found.config
    classes = list(trained_on.class_names) or ["0", "1"]
    width = [] if ensemble.task == "regression" else [len(classes)]
    name = PRIMARY[ensemble.task]
    kept = ("n", name, f"{name}_low", f"{name}_high", "threshold")
    return {
        "run": run.resolve().name,
        "task": ensemble.task,
        "label": trained_on.label,
        "synthetic": bool(metrics.get("synthetic")),
        "input": {
            "name": export_formats.INPUT,
            "shape": ["windows", trained_on.minutes],
            "dtype": "float32",
            "what": "raw activity, one number a minute, from the first minute of the window"
            if trained_on.scales
            else "activity standardised as in training, one number a minute",
            "unit": trained_on.unit,
            "epoch_length": trained_on.epoch_length,
            "missing": "NaN" if trained_on.masks else "not allowed",
        },
        "output": {
            "name": export_formats.output_name(ensemble.task),
            "shape": ["windows", *width],
            "classes": classes if width else None,
        },
        "models": dict(zip(ensemble.names, ensemble.weights.tolist(), strict=True)),
        "test": {key: metrics["test"][key] for key in kept if key in metrics.get("test", {})},
        "tested": _tested(metrics, config),
    }


def _tested(metrics: dict[str, Any], config: dict[str, Any]) -> str:
    """What the numbers of the test are of."""
    text = "this model, on people that it was not trained on"
    if metrics.get("split") in CROSS_VALIDATION:
        text = "each model on people that it was not trained on; their average was not tested"
    if config.get("standardize") == "paper":
        text += "; they were scaled by their own statistics, and this model scales by those of its training people"
    return text


def _about(path: pathlib.Path, file_format: str) -> dict[str, Any]:
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    hashes = {each.relative_to(path.parent).as_posix(): sha256_of(each) for each in files}
    return {
        "format": file_format,
        "model": path.name,
        "sha256": hashes,
        "versions": versions("onnx", "onnxruntime", "tf2onnx"),
    }


def _write_example(folder: pathlib.Path, x: np.ndarray, y: np.ndarray, card: dict[str, Any]) -> None:
    """example.csv, a column a window, and example_output.csv, a row a window."""
    windows = {f"window_{number}": week for number, week in enumerate(x, 1)}
    write_csv(folder / "example.csv", pl.DataFrame(windows).fill_nan(None))
    name = card["output"]["name"]
    columns = {name: y} if y.ndim == 1 else {f"{name}_{c}": y[:, i] for i, c in enumerate(card["output"]["classes"])}
    write_csv(folder / "example_output.csv", pl.DataFrame({"window": list(windows), **columns}))
