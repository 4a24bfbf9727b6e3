"""Fine-tuning on one split: scale, build, train in stages, predict the people held out.

Axes: B windows, T minutes, D embed_dim, C outputs.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.checkpoints.weights import load_weights
from pat_keras.config import EncoderConfig, FinetuneConfig
from pat_keras.data.splits import PARTS, Split
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CohortError, ConfigError
from pat_keras.models.classifier import PATClassifier, Standardization, probabilities
from pat_keras.models.encoder import PATEncoder, compile_by_default
from pat_keras.training.loop import Part, Row, Watcher, predict, train_stage
from pat_keras.training.optimizers import make_optimizer


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model fine-tuned on one split.

    Attributes:
        model: takes raw minutes; its scaling is inside.
        history: one row a training epoch.
        predictions: for "validation" and "test", in the split's order: (n, classes) probabilities, or (n, 1) values.
    """

    model: PATClassifier
    history: list[Row]
    predictions: dict[str, np.ndarray]


class _HeadOnly(keras.Model):
    """The head of a classifier on pooled tokens (B, D), sharing its weights: what a frozen encoder leaves to train."""

    def __init__(self, classifier: PATClassifier) -> None:
        super().__init__(name="head")
        self.head_dropout, self.output_layer = classifier.head_dropout, classifier.output_layer
        if classifier.head == "official":
            self.hidden = classifier.hidden
        self._call_head = classifier.call_head
        self.jit_compile = compile_by_default()
        self.built = True

    def call(self, pooled: Any, training: bool | None = None) -> Any:
        """(B, D) -> logits (B, C)."""
        return self._call_head(pooled, training=training)


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


def check_start(config: FinetuneConfig, length: int) -> None:
    """See, before anything is done, that there is an encoder to start from, and that its patches fit the windows.

    Raises:
        CheckpointError: if the weights can't be loaded.
        ConfigError: if the patches don't fit.
    """
    patch_size = build_encoder(config).config.patch_size
    if length % patch_size:
        raise ConfigError(
            f"The windows have {length} minutes, which is not a multiple of the {patch_size} minutes of a patch of "
            "this model. Prepare windows of whole days, or choose a size whose patches fit."
        )


def _check_seen(activity: np.ndarray, model: PATClassifier) -> None:
    """Raise a CohortError if a week has no patch that a model with a mask would look at."""
    if model.min_worn_share is None:
        return
    known = ~np.isnan(activity).reshape(len(activity), -1, model.encoder.config.patch_size)
    unseen = int((~(known.mean(axis=2) >= model.min_worn_share).any(axis=1)).sum())
    if unseen:
        raise CohortError(
            f"{unseen} of {len(activity)} windows have no patch of {known.shape[2]} minutes of which a share of "
            f"{model.min_worn_share:g} is known, expected some in every window. Leave out windows that were hardly "
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
        split: rows of the three parts.
        config: everything else.
        folder: for the state of the training; a training found there is resumed.
        watcher: told about progress.

    Raises:
        CheckpointError, RunError: see `build_encoder`, `train_stage`.
    """
    keras.utils.set_random_seed(config.seed)
    classes = int(y.max()) + 1 if config.task == "multiclass" else 2
    model = PATClassifier(
        build_encoder(config),
        config.head,
        config.task,
        classes,
        config.dropout,
        min_worn_share=config.min_worn_share if config.missing == "mask" else None,
        dtype=config.precision,
    )
    _check_seen(activity, model)
    rows = {name: getattr(split, name) for name in PARTS}
    standardizer, scaled = _scaled(activity, rows, config.scaling)
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
    history = _run_stages(model, parts, config, folder, watcher)
    kernel, bias = model.output_layer.kernel, model.output_layer.bias
    if config.task == "regression":
        kernel.assign(ops.multiply(kernel, spread))
        bias.assign(ops.add(ops.multiply(bias, spread), centre))
    whole = _with_scaling(model, standardizer)
    predictions = {}
    for name in ("validation", "test"):
        if config.scaling == "paper":  # by their own scaling, which the model doesn't hold
            outputs = predict(model, parts[name].x, config.batch_size)
        else:
            outputs = whole.predict_logits(activity[rows[name]])
        predictions[name] = outputs if config.task == "regression" else probabilities(outputs, config.task)
    return Fitted(whole, history, predictions)


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


def _run_stages(
    model: PATClassifier,
    parts: dict[str, Part],
    config: FinetuneConfig,
    folder: pathlib.Path | None,
    watcher: Watcher | None,
) -> list[Row]:
    """The head alone on pooled tokens, computed once; or everything; or one after the other."""
    history: list[Row] = []
    if config.mode != "full":
        epochs = config.epochs if config.mode == "linear_probe" else config.probe_epochs
        pooled = {
            name: dataclasses.replace(parts[name], x=_pooled(model, parts[name].x, config.batch_size))
            for name in ("train", "validation")
        }
        history += _stage("head", _HeadOnly(model), pooled, config, epochs, folder, watcher)
    if config.mode != "linear_probe":
        history += _stage("full", model, parts, config, config.epochs, folder, watcher)
    return history


def _pooled(model: PATClassifier, x: np.ndarray, batch_size: int) -> np.ndarray:
    """What the head of `model` sees of (B, T) scaled weeks: (B, D)."""
    if model.min_worn_share is None:
        return model.encoder.embed(x, batch_size)
    return model.encoder.embed(x, batch_size, wear=~np.isnan(x), min_worn_share=model.min_worn_share)


def _stage(
    name: str,
    model: keras.Model,
    parts: dict[str, Part],
    config: FinetuneConfig,
    epochs: int,
    folder: pathlib.Path | None,
    watcher: Watcher | None,
) -> list[Row]:
    steps = -(-len(parts["train"].x) // config.batch_size)
    optimizer = make_optimizer(config, model, epochs, steps)
    model.compile(optimizer, loss=_loss(config.task), jit_compile=_jit(config.jit))
    state = None if folder is None else folder / f"{name}.npz"
    return train_stage(name, model, parts["train"], parts["validation"], config, epochs, state, watcher)


def _loss(task: str) -> keras.losses.Loss:
    if task == "regression":
        return keras.losses.MeanSquaredError()
    if task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _jit(choice: str) -> bool:
    return compile_by_default() if choice == "auto" else choice == "on"


def _with_scaling(model: PATClassifier, standardizer: Standardizer) -> PATClassifier:
    """The same model taking raw minutes: what is saved must not depend on a second file to be right."""
    scaling = Standardization(standardizer.kind, len(standardizer.mean), name="standardization")
    whole = PATClassifier(
        model.encoder,
        model.head,
        model.task,
        model.num_classes,
        model.dropout,
        standardization=scaling,
        min_worn_share=model.min_worn_share,
        dtype=model.dtype_policy,
    )
    for name in ("hidden", "output_layer") if model.head == "official" else ("output_layer",):
        getattr(whole, name).set_weights(getattr(model, name).get_weights())
    scaling.set_statistics(standardizer.mean, standardizer.scale)
    return whole
