"""Fine-tuning on one split: scale, build, train in stages, predict the people held out.

Axes: B windows, T minutes, D embed_dim, C outputs.
"""

from __future__ import annotations

import dataclasses
import pathlib

import keras
import numpy as np

from pat_keras.config import FinetuneConfig
from pat_keras.data.smoothing import smooth
from pat_keras.data.split_parts import committee_splits
from pat_keras.data.splits import PARTS, Split
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.committee import Committee
from pat_keras.models.missing import check_seen
from pat_keras.models.outputs import probabilities
from pat_keras.models.predictor import Predictor
from pat_keras.training.augmentation import Augmentation, augments
from pat_keras.training.loop import Watcher
from pat_keras.training.losses import soft_targets
from pat_keras.training.recalibration import apply_to, recalibration_of, shares_of_person, weights_of_people
from pat_keras.training.score_targets import ScoreTargets
from pat_keras.training.stages import run_stages
from pat_keras.training.start import build_model, scaling_of
from pat_keras.training.state import Row
from pat_keras.training.validation import Part, predict


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model fine-tuned on one split.

    Attributes:
        model: takes raw minutes; its scaling is inside.
        history: one row a training epoch; of a committee with the number of the `member`, from 1.
        predictions: for "validation" and, unless that part is empty, "test", in the split's order: (n, classes)
            probabilities, or (n, 1) values. Validation people are predicted by the member of a committee that they
            stopped, since all others learned from them.
    """

    model: Predictor
    history: list[Row]
    predictions: dict[str, np.ndarray]


def class_weights(y: np.ndarray, kind: str) -> dict[float, float]:
    """The weight of each class in the loss.

    Args:
        y: (B,) training labels.
        kind: "balanced", n / (classes x n of the class); "paper", {0: positives / n, 1: negatives / n} of Ruan et al.'s
            notebooks; "none", 1.
    """
    classes, counts = np.unique(y, return_counts=True)
    if kind == "none":
        weights = np.ones(len(classes))
    elif kind == "balanced":
        weights = len(y) / (len(classes) * counts)
    else:  # "paper": of two classes, as FinetuneConfig has seen to
        weights = 1.0 - counts / len(y)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def train_split(
    activity: np.ndarray,
    y: np.ndarray,
    participant_id: np.ndarray,
    split: Split,
    config: FinetuneConfig,
    folder: pathlib.Path | None = None,
    watcher: Watcher | None = None,
    score: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Fitted:
    """Fine-tune on a split's training people, stop by its validation people, predict its test people.

    A committee is trained member by member, each with a seed of its own: the first with that of the config, so that it
    is what one model would be.

    Args:
        activity: (B, T) float32 raw minutes of all windows, NaN = missing: none unless the config masks them.
        y: (B,) targets: 0 and 1, class numbers 0 ... C - 1, or values.
        participant_id: (B,).
        split: rows of the three parts; the test part may be empty.
        config: everything else.
        folder: for the state of the training; a training found there is resumed.
        watcher: told about progress.
        score: (B,) that 0 and 1 in `y` are a cut of; learned in their place where it is given, see `ScoreTargets`.
        group: (B,) who is kept together, in a committee's parts; the participant if None.

    Raises:
        CheckpointError, ConfigError, RunError: see `build_model`, `train_stage`; ConfigError, too, where the config is
            of a score and there is none, or the other way round.
        LabelError: if nearly all training people have the same score.
    """
    if bool(config.learn_score) != (score is not None):
        given = "none was given" if score is None else "a score was given"
        raise ConfigError(f"learn_score is {config.learn_score!r}, and {given}; expected both or neither.")
    if config.committee == 1:
        return _train_one(activity, y, participant_id, split, config, folder, watcher, score)
    fitted = []
    parts = committee_splits(split, participant_id, y, config.committee, config.seed, config.task, group)
    for number, part in enumerate(parts, 1):
        if watcher is not None:
            watcher.on_split(f"{split.name}, member {number} of {config.committee}")
        # Not the next number, which a run with the next seed may have.
        seed = config.seed if number == 1 else int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
        own = dataclasses.replace(config, seed=seed)
        alone = dataclasses.replace(part, test=part.test[:0])
        place = None if folder is None else folder / f"member_{number}"
        fitted.append(_train_one(activity, y, participant_id, alone, own, place, watcher, score))
    whole = Committee([each.model for each in fitted])
    predictions = {"validation": fitted[0].predictions["validation"]}
    if len(split.test):
        predictions["test"] = whole.predict_scores(activity[split.test])
    history = [{"member": number, **row} for number, each in enumerate(fitted, 1) for row in each.history]
    return Fitted(whole, history, predictions)


def _train_one(
    activity: np.ndarray,
    y: np.ndarray,
    participant_id: np.ndarray,
    split: Split,
    config: FinetuneConfig,
    folder: pathlib.Path | None,
    watcher: Watcher | None,
    score: np.ndarray | None,
) -> Fitted:
    """One model; see `train_split`."""
    keras.utils.set_random_seed(config.seed)
    classes = int(y.max()) + 1 if config.task == "multiclass" else 2
    rows = {name: getattr(split, name) for name in PARTS if len(getattr(split, name))}
    minutes = smooth(activity) if config.smoothing == "savitzky_golay" else activity
    standardizer, scaled = _scaled(minutes, rows, scaling_of(config))
    model = build_model(config, activity.shape[1], classes, scaled["train"], folder, watcher)
    if config.model == "pat" and config.missing == "mask":
        check_seen(activity, model.encoder.config.patch_size, config.min_worn_share)
    centre, spread = _target_scale(y[split.train], config.task)
    weights = {} if config.learned_task == "regression" else class_weights(y[split.train], config.class_weight)
    learned = y
    if score is not None:
        learned = ScoreTargets.fit(score[split.train], participant_id[split.train])(score)
    parts = {
        name: Part(
            scaled[name],
            ((learned[index] - centre) / spread).astype(np.float32),
            np.array([weights.get(value, 1.0) for value in y[index]], dtype=np.float32),
            participant_id[index],
            label=None if score is None else y[index],
        )
        for name, index in rows.items()
    }
    train = dataclasses.replace(
        parts["train"],
        y=soft_targets(parts["train"].y, config, classes),
        varied=Augmentation(minutes[rows["train"]], standardizer, config) if augments(config) else None,
    )
    history = run_stages(model, train, parts["validation"], config, folder, watcher)
    if config.task == "regression":
        apply_to(model.output_layer, spread, np.array([centre]))
    else:
        # Scores are of people, and so are the shares of the classes that probabilities have to fit.
        weights = weights_of_people(weights, y[split.train], participant_id[split.train])
        _recalibrate(model, parts["validation"], weights, config)
    whole = model.taking_raw(standardizer, config.smoothing)
    predictions = {}
    for name in [name for name in rows if name != "train"]:
        if config.standardize == "paper":  # by their own scaling, which the model doesn't hold
            outputs = predict(model, parts[name].x, config.batch_size)
            predictions[name] = outputs if config.task == "regression" else probabilities(outputs, config.task)
        else:
            predictions[name] = whole.predict_scores(activity[rows[name]])
    return Fitted(whole, history, predictions)


def _recalibrate(model: Predictor, validation: Part, weights: dict[float, float], config: FinetuneConfig) -> None:
    """Give the output layer the slope and shift that make its probabilities mean what they say."""
    fitted = config.recalibration == "platt"
    logits = predict(model, validation.x, config.batch_size) if fitted else np.zeros((1, model.num_outputs))
    shares = shares_of_person(validation.participant_id)
    slope, shift = recalibration_of(config.recalibration, config.task, weights, logits, validation.truth, shares)
    apply_to(model.output_layer, slope, shift)


def _scaled(activity: np.ndarray, rows: dict[str, np.ndarray], kind: str) -> tuple[Standardizer, dict[str, np.ndarray]]:
    """The scaling by training people, and every part scaled by it; "paper" scales each part by its own people."""
    fitted = Standardizer.fit(activity[rows["train"]], "per_minute" if kind == "paper" else kind)
    if kind != "paper":
        return fitted, {name: fitted.apply(activity[index]) for name, index in rows.items()}
    own = {name: Standardizer.fit(activity[index], "per_minute") for name, index in rows.items()}
    return fitted, {name: own[name].apply(activity[index]) for name, index in rows.items()}


def _target_scale(y: np.ndarray, task: str) -> tuple[float, float]:
    """Centre and spread of a regression's training targets; the network learns them standardised."""
    if task != "regression":
        return 0.0, 1.0
    return float(y.mean()), float(y.std()) or 1.0
