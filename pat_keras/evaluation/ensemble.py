"""PATEnsemble: several fitted models as one, in memory and on disk.

Axes: B windows, T minutes, C classes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pat_keras._version import __version__
from pat_keras.checkpoints.saved import load_classifier, save_model
from pat_keras.config import CROSS_VALIDATION
from pat_keras.data.learned_days import LearnedDays
from pat_keras.data.measurement import common_start
from pat_keras.errors import CheckpointError, ConfigError, RunError
from pat_keras.evaluation.held_out import SharedWindows, check_alike, held_out_together
from pat_keras.evaluation.run_folder import Run, read_run
from pat_keras.evaluation.stacking import stack_weights
from pat_keras.models.predictor import Predictor

COMBINATIONS = ("average", "stack")
MANIFEST, _MEMBERS = "ensemble.json", "members"
_LISTS = ("class_names", "content_hashes", "activity_range")  # of TrainedOn; the last not in older manifests
_FORMAT, _VERSION = "pat_keras ensemble", 1


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """What the members of an ensemble were trained on, which a cohort to predict is checked against.

    Attributes:
        label: what is predicted.
        minutes: of a window.
        unit: of the activity.
        epoch_length: in seconds.
        class_names: of a multi-class task, in the order of the probabilities.
        content_hashes: of the cohorts.
        masks: whether windows with missing minutes may be given.
        scales: whether members scale raw minutes, so that data which were scaled before are a mistake.
        activity_range: the least and the largest mean of a window that was learned from; None where that was not kept.
        days: that were learned from; None likewise.
        window_start: the clock time that windows begin at, or `VARIOUS`; None likewise, or where it was not known.
        axis: of counts that have several; None likewise.
        values: the column of plain tables that they were read from; None likewise.
        synthetic: whether a member learned from simulated people, and its predictions say nothing of real ones.
    """

    label: str
    minutes: int
    unit: str
    epoch_length: int
    class_names: tuple[str, ...]
    content_hashes: tuple[str, ...]
    masks: bool
    scales: bool
    activity_range: tuple[float, float] | None = None
    days: LearnedDays | None = None
    window_start: str | None = None
    axis: str | None = None
    values: str | None = None
    synthetic: bool = False

    @classmethod
    def of(cls, runs: Sequence[Run]) -> TrainedOn:
        """Of runs that are alike, see `check_alike`."""
        first, days = runs[0], [LearnedDays.read(run.folder) for run in runs]
        return cls(
            label=first.data["label"],
            minutes=first.data["minutes"],
            unit=first.data["unit"],
            epoch_length=first.data["epoch_length"],
            class_names=tuple(first.class_names) if first.task == "multiclass" else (),
            content_hashes=tuple(sorted({run.data["content_hash"] for run in runs})),
            masks=all(run.config.get("missing") == "mask" for run in runs),
            scales=any(run.config.get("standardize") != "none" for run in runs),
            activity_range=_joined_range([run.data.get("activity_range") for run in runs]),
            days=None if None in days else LearnedDays.together(filter(None, days)),
            window_start=common_start([run.data.get("window_start") for run in runs]),
            axis=next((run.data["axis"] for run in runs if run.data.get("axis")), None),
            values=" or ".join(sorted({run.data["values"] for run in runs if run.data.get("values")})) or None,
            synthetic=any(run.synthetic for run in runs),
        )


class PATEnsemble:
    """Several fitted models of any size and kind that predict as one: the weighted mean of what each predicts.

    Probabilities are averaged, not logits: a mean of probabilities stays one that means what it says of people like
    those the members fit, a single member that is wildly sure of itself counts no more than its weight, and the log
    loss of the mixture is convex in the weights, so that stacking has one answer. The windows of a person and the folds
    of a run are averaged in the same way, in any order.

    Args:
        models: each takes raw minutes; all of one task and number of classes.
        weights: one a model, at least 0, with the sum 1; None for all equal.
        names: of the models, for the reader; None for numbers.
        trained_on: needed by `pat_keras.predict` alone.

    Raises:
        ConfigError: if the models don't go together, or the weights are not such.

    Example:
        >>> import pat_keras as pat
        >>> small, medium = (pat.PATClassifier(size()) for size in (pat.EncoderConfig.small, pat.EncoderConfig.medium))
        >>> ensemble = PATEnsemble([small, medium], weights=[0.25, 0.75])
        >>> ensemble.predict_proba(np.zeros((3, 10080), dtype=np.float32)).shape
        (3, 2)
    """

    def __init__(
        self,
        models: Sequence[Predictor],
        weights: Sequence[float] | np.ndarray | None = None,
        names: Sequence[str] | None = None,
        trained_on: TrainedOn | None = None,
    ) -> None:
        self.models = list(models)
        self.names = [f"member {number}" for number in range(1, len(self.models) + 1)] if names is None else list(names)
        if not self.models or len(self.names) != len(self.models):
            raise ConfigError(
                f"PATEnsemble: {len(self.models)} models and {len(self.names)} names, expected as many, and some."
            )
        kinds = sorted({f"{model.task} of {model.num_outputs} outputs" for model in self.models})
        if len(kinds) > 1:
            raise ConfigError(f"PATEnsemble: the models are {' and '.join(kinds)}; expected one task and its classes.")
        count = len(self.models)
        self.weights = np.full(count, 1 / count) if weights is None else np.asarray(weights, dtype=np.float64)
        proper = self.weights.shape == (count,) and np.isfinite(self.weights).all() and (self.weights >= 0).all()
        if not proper or not math.isclose(self.weights.sum(), 1, abs_tol=1e-6):
            raise ConfigError(
                f"PATEnsemble: weights are {self.weights.tolist()}, expected {count} numbers, at least 0, with the sum "
                "1."
            )
        self.trained_on = trained_on

    @property
    def task(self) -> str:
        """Of all models: "binary", "multiclass" or "regression"."""
        return self.models[0].task

    def predict_proba(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Probabilities of the classes: (B, T) raw minutes -> (B, C), rows summing to 1.

        Raises:
            ConfigError: for a regression, or an x that a model can't take.
        """
        return self._mixed(model.predict_proba(x, batch_size) for model in self.models)

    def predict(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Values of a regression: (B, T) raw minutes -> (B,).

        Raises:
            ConfigError: for classes, of which `predict_proba` gives the probabilities, or an x that a model can't take.
        """
        if self.task != "regression":
            raise ConfigError("predict: this ensemble predicts classes; predict_proba(x) gives their probabilities.")
        return self._mixed(model.predict_logits(x, batch_size)[:, 0] for model in self.models)

    def _mixed(self, scores: Iterable[np.ndarray]) -> np.ndarray:
        """The weighted mean, of which one member's scores at a time are held."""
        weighted = (weight * score.astype(np.float64) for weight, score in zip(self.weights, scores, strict=True))
        return functools.reduce(np.add, weighted)

    @classmethod
    def from_runs(cls, folders: Sequence[str | os.PathLike[str]], combine: str = "average") -> PATEnsemble:
        """The models of finished runs of `pat-finetune`; those of a cross-validation share the weight of their run.

        Args:
            folders: of the runs, which predict the same label from the same kind of window.
            combine: "average" for equal weights; "stack" for weights that predict the runs' common validation people
                best (those of all folds together; the runs must then have been made with the same split).

        Raises:
            RunError, CheckpointError: if a run is not finished or damaged, or the runs don't go together.
            ConfigError: for a combination that does not exist, or the same run twice.
            LabelError: if the validation people are too few to stack.
        """
        if combine not in COMBINATIONS:
            raise ConfigError(f"combine is {combine!r}, expected one of {', '.join(COMBINATIONS)}.")
        places = [pathlib.Path(folder).resolve() for folder in folders]
        if not places or len(set(places)) < len(places):
            raise ConfigError("An ensemble is made of one run or more, each given once; expected another list of runs.")
        runs = [read_run(folder) for folder in folders]
        check_alike(runs)
        weights = np.full(len(runs), 1 / len(runs))
        if combine == "stack":
            _check_stackable(runs)
            weights = pooled_weights(list(held_out_together(runs).values()))
        models, shares, names = [], [], []
        for run, weight in zip(runs, weights, strict=True):
            own = load_models(run)
            models += own
            shares += [weight / len(own)] * len(own)
            folded = run.metrics.get("split") in CROSS_VALIDATION
            names += [f"{run.folder.name}/fold_{k}" if folded else run.folder.name for k in range(1, len(own) + 1)]
        return cls(models, shares, names, TrainedOn.of(runs))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder of the models and `ensemble.json`, which has the SHA-256 of each; whole or not at all.

        Raises:
            RunError: if something is there already.
        """
        folder = pathlib.Path(folder)
        if folder.exists():
            raise RunError(f"{folder}: is already there, and is not replaced. Choose another name for the ensemble.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            new = pathlib.Path(temporary, folder.name)
            self.write_into(new)
            new.rename(folder)

    def write_into(self, folder: pathlib.Path) -> None:
        """Write the models and then the manifest into a folder that nobody reads yet."""
        members = []
        for number, (model, weight, name) in enumerate(zip(self.models, self.weights, self.names, strict=True), 1):
            path = _member(folder, number)
            save_model(model, path)
            members.append({"name": name, "weight": float(weight), "sha256": _hash(path.read_bytes())})
        about = self.trained_on
        trained_on = None if about is None else dataclasses.asdict(dataclasses.replace(about, days=None))
        if about is not None and about.days is not None:
            about.days.write(folder)
        content = {"task": self.task, "members": members, "trained_on": trained_on}
        head = {"format": _FORMAT, "version": _VERSION, "pat_keras": __version__, "sha256": _hash(_canonical(content))}
        (folder / MANIFEST).write_text(json.dumps({**head, **content}, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PATEnsemble:
        """What `save` wrote.

        Raises:
            CheckpointError: if the folder holds no ensemble, one of a later version, or a file of it is missing or not
                the one that was saved.
        """
        folder = pathlib.Path(folder)
        content = _read_manifest(folder / MANIFEST)
        models: list[Predictor] = []
        for number in range(1, len(content["members"]) + 1):
            models.append(load_classifier(_checked_member(folder, content, number)))
        trained_on = _trained_on(folder, content)
        weights, names = ([member[key] for member in content["members"]] for key in ("weight", "name"))
        return cls(models, weights, names, trained_on)


def _joined_range(ranges: Sequence[Sequence[float] | None]) -> tuple[float, float] | None:
    """The range that holds all of these; None where one is not known."""
    known = [ends for ends in ranges if ends is not None]
    if len(known) < len(ranges):
        return None
    return min(ends[0] for ends in known), max(ends[1] for ends in known)


def members_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of the models of an ensemble that `PATEnsemble.save` wrote.

    Raises:
        CheckpointError: if the manifest is absent or damaged.
    """
    return [_member(folder, number + 1) for number in range(len(_read_manifest(folder / MANIFEST)["members"]))]


def trained_on_of_member(path: pathlib.Path) -> TrainedOn | None:
    """What a member of a saved ensemble was trained on, given the member's file; None for other files.

    None, too, for an ensemble that was not made from runs.

    Raises:
        CheckpointError: if the ensemble's manifest is damaged, or the file is not the one that was saved.
    """
    path = path.resolve()
    folder = path.parent.parent
    if path.parent.name != _MEMBERS or not (folder / MANIFEST).exists():
        return None
    content = _read_manifest(folder / MANIFEST)
    number = next((number for number in range(1, len(content["members"]) + 1) if _member(folder, number) == path), None)
    if number is None:
        return None
    _checked_member(folder, content, number)
    return _trained_on(folder, content)


def load_models(run: Run) -> list[Predictor]:
    """The models of a run, one a fold; each takes raw minutes.

    Raises:
        CheckpointError: if one is absent or damaged.
    """
    if run.metrics.get("split") not in CROSS_VALIDATION:
        return [load_classifier(run.folder / "model.keras")]
    folds = len(run.metrics["folds"])
    return [load_classifier(run.folder / "models" / f"fold_{number}.keras") for number in range(1, folds + 1)]


def _check_stackable(runs: Sequence[Run]) -> None:
    """Raise a ConfigError where a run's scores of validation people are not those of its whole model."""
    for run in runs:
        if run.committee > 1:
            raise ConfigError(
                f"{run.folder}: is a committee of {run.committee}, whose first member alone predicts its validation "
                "people, so weights fitted on them would be that member's. Combine by average, or give runs of one "
                "model."
            )


def pooled_weights(folds: Sequence[dict[str, SharedWindows]]) -> np.ndarray:
    """(K,) stacking weights of runs, by the validation people of all these folds."""
    validation = [parts["validation"] for parts in folds]
    found = [part.by_person() for part in validation if len(part.y)]
    if not found:
        raise RunError(
            "Stacking: the runs have no validation people in common, so there is nobody to fit weights on whom none of "
            "them was trained on. Give runs made with the same --split_seed, or average."
        )
    y, scores = np.concatenate([y for y, _ in found]), np.concatenate([scores for _, scores in found], axis=1)
    return stack_weights(validation[0].task, y, scores)


def _member(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / _MEMBERS / f"{number:03d}.keras"


def _checked_member(folder: pathlib.Path, content: dict[str, Any], number: int) -> pathlib.Path:
    """The file of a member, from 1, which is the one that the manifest is of."""
    path, member = _member(folder, number), content["members"][number - 1]
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such file, expected member {number} of {len(content['members'])} "
            f"({member['name']}). Copy the whole folder again."
        )
    if (found := _hash(path.read_bytes())) != member["sha256"]:
        raise CheckpointError(
            f"{path}: found a file with the SHA-256 {found}, expected {member['sha256']}: it is damaged or "
            "another one. Copy the whole folder again."
        )
    return path


def _trained_on(folder: pathlib.Path, content: dict[str, Any]) -> TrainedOn | None:
    """What the manifest says of it."""
    about = content["trained_on"]
    if about is None:
        return None
    lists = {name: tuple(about[name]) for name in _LISTS if about.get(name) is not None}
    return TrainedOn(**{**about, **lists, "days": LearnedDays.read(folder)})


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _read_manifest(path: pathlib.Path) -> dict[str, Any]:
    """task, members and trained_on of a whole manifest."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; expected a folder that PATEnsemble.save wrote.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: found no readable JSON ({error}). Copy the whole folder again.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: found something else than the manifest of an ensemble. Check the path.")
    if manifest.get("version") != _VERSION:
        raise CheckpointError(
            f"{path}: found version {manifest.get('version')!r} of the format, expected {_VERSION}. Read it with the "
            "pat_keras that wrote it, or a later one."
        )
    content = {name: manifest.get(name) for name in ("task", "members", "trained_on")}
    if _hash(_canonical(content)) != manifest.get("sha256"):
        raise CheckpointError(
            f"{path}: its content does not have the SHA-256 that it states: it is damaged or was changed. Copy the "
            "whole folder again."
        )
    return content
