"""Fine-tuning on one split: scale, build, train in stages, predict the people held out.

Axes: B windows, T minutes, D embed_dim, C outputs.
"""

from __future__ import annotations

import dataclasses
import pathlib

import keras
import numpy as np

from pat_keras.checkpoints.weights import load_weights
from pat_keras.config import EncoderConfig, FinetuneConfig
from pat_keras.data.smoothing import smooth
from pat_keras.data.splits import PARTS, Split
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CohortError, ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.networks import BaselineNetwork
from pat_keras.models.predictor import Predictor, probabilities
from pat_keras.training.augmentation import Augmentation, augments, check_augmentation
from pat_keras.training.loop import Part, Row, Watcher, predict
from pat_keras.training.losses import soft_targets
from pat_keras.training.recalibration import apply_to, recalibration_of
from pat_keras.training.stages import run_stages


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model fine-tuned on one split.

    Attributes:
        model: takes raw minutes; its scaling is inside.
        history: one row a training epoch.
        predictions: for "validation" and, unless that part is empty, "test", in the split's order: (n, classes)
            probabilities, or (n, 1) values.
    """

    model: Predictor
    history: list[Row]
    predictions: dict[str, np.ndarray]


def build_encoder(config: FinetuneConfig) -> PATEncoder:
    """The encoder to start from: that of the weights, or one with random weights.

    Raises:
        CheckpointError: if the weights can't be loaded.
    """
    policy = config.precision
    if not config.weights:
        shape = EncoderConfig.of_size(config.size, embedding=config.embedding, dropout=config.dropout)
        return PATEncoder(shape, dtype=policy)
    loaded = load_weights(config.weights)
    loaded = loaded if isinstance(loaded, PATEncoder) else loaded.encoder
    # Built anew, since a dropout rate and a precision are set when a model is made.
    encoder = PATEncoder(dataclasses.replace(loaded.config, dropout=config.dropout), dtype=policy)
    encoder.set_weights(loaded.get_weights())
    return encoder


def build_model(config: FinetuneConfig, length: int, num_classes: int = 2) -> Predictor:
    """The model to start from, for scaled windows of `length` minutes: PAT with a new head, or another network.

    Raises:
        CheckpointError: if the weights can't be loaded.
        ConfigError: if a network other than PAT does not fit the windows.
    """
    if config.model != "pat":
        return BaselineNetwork(config.model, length, config.task, num_classes)
    return PATClassifier(
        build_encoder(config),
        config.head,
        config.task,
        num_classes,
        config.dropout,
        min_worn_share=config.min_worn_share if config.missing == "mask" else None,
        dtype=config.precision,
    )


def check_start(config: FinetuneConfig, length: int, activity: np.ndarray | None = None) -> None:
    """See, before anything is done, that there is a model to start from, and that it fits the windows.

    Args:
        config: of the training.
        length: of the windows, in minutes.
        activity: (B, T) raw minutes of all windows to be learned from or predicted, if their missing ones are to be
            looked at too.

    Raises:
        CheckpointError: if the weights can't be loaded.
        ConfigError: if the model, its patches or an augmentation don't fit.
        CohortError: if a model that masks missing minutes would see nothing of a window.
    """
    check_augmentation(config, length)
    if config.model != "pat":
        build_model(config, length)
        return
    patch_size = build_encoder(config).config.patch_size
    if length % patch_size:
        raise ConfigError(
            f"The windows have {length} minutes, which is not a multiple of the {patch_size} minutes of a patch of "
            "this model. Prepare windows of whole days, or choose a size whose patches fit."
        )
    if activity is not None and config.missing == "mask":
        _check_seen(activity, patch_size, config.min_worn_share)


def _check_seen(activity: np.ndarray, patch_size: int, min_worn_share: float) -> None:
    """Raise a CohortError if a week has no patch that a PAT with a mask would look at."""
    known = ~np.isnan(activity).reshape(len(activity), -1, patch_size)
    unseen = int((~(known.mean(axis=2) >= min_worn_share).any(axis=1)).sum())
    if unseen:
        raise CohortError(
            f"{unseen} of {len(activity)} windows have no patch of {patch_size} minutes of which a share of "
            f"{min_worn_share:g} is known, expected some in every window. Leave out windows that were hardly "
            "worn (pat-prepare --min_worn_minutes --min_valid_days), or lower --min_worn_share."
        )


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
) -> Fitted:
    """Fine-tune on a split's training people, stop by its validation people, predict its test people.

    Args:
        activity: (B, T) float32 raw minutes of all windows, NaN = missing: none unless the config masks them.
        y: (B,) targets: 0 and 1, class numbers 0 ... C - 1, or values.
        participant_id: (B,).
        split: rows of the three parts; the test part may be empty.
        config: everything else.
        folder: for the state of the training; a training found there is resumed.
        watcher: told about progress.

    Raises:
        CheckpointError, ConfigError, RunError: see `build_model`, `train_stage`.
    """
    keras.utils.set_random_seed(config.seed)
    classes = int(y.max()) + 1 if config.task == "multiclass" else 2
    model = build_model(config, activity.shape[1], classes)
    if config.model == "pat" and config.missing == "mask":
        _check_seen(activity, model.encoder.config.patch_size, config.min_worn_share)
    rows = {name: getattr(split, name) for name in PARTS if len(getattr(split, name))}
    minutes = smooth(activity) if config.smoothing == "savitzky_golay" else activity
    standardizer, scaled = _scaled(minutes, rows, config.scaling)
    centre, spread = _target_scale(y[split.train], config.task)
    weights = {} if config.task == "regression" else class_weights(y[split.train], config.class_weight)
    parts = {
        name: Part(
            scaled[name],
            ((y[index] - centre) / spread).astype(np.float32),
            np.array([weights.get(value, 1.0) for value in y[index]], dtype=np.float32),
            participant_id[index],
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
        _recalibrate(model, parts["validation"], weights, config)
    whole = model.taking_raw(standardizer, config.smoothing)
    predictions = {}
    for name in [name for name in rows if name != "train"]:
        if config.scaling == "paper":  # by their own scaling, which the model doesn't hold
            outputs = predict(model, parts[name].x, config.batch_size)
        else:
            outputs = whole.predict_logits(activity[rows[name]])
        predictions[name] = outputs if config.task == "regression" else probabilities(outputs, config.task)
    return Fitted(whole, history, predictions)


def _recalibrate(model: Predictor, validation: Part, weights: dict[float, float], config: FinetuneConfig) -> None:
    """Give the output layer the slope and shift that make its probabilities mean what they say."""
    fitted = config.recalibration == "platt"
    logits = predict(model, validation.x, config.batch_size) if fitted else np.zeros((1, model.num_outputs))
    _, person, windows = np.unique(validation.participant_id, return_inverse=True, return_counts=True)
    slope, shift = recalibration_of(
        config.recalibration, config.task, weights, logits, validation.y, 1.0 / windows[person]
    )
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
