"""The model that a fine-tuning starts from: weights, or none; with the embedding they have, or a new one.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from pat_keras.checkpoints.starts import likeness, with_embedding
from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.checkpoints.weights import AUTHORS_SCALING, load_encoder, pretrained_scaling, stated_minutes
from pat_keras.config import EncoderConfig, FinetuneConfig
from pat_keras.errors import ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.missing import check_seen
from pat_keras.models.networks import BaselineNetwork
from pat_keras.models.predictor import Predictor
from pat_keras.training.augmentation import check_augmentation
from pat_keras.training.loop import Watcher

_LIKENESS_WINDOWS = 64
_LEFT_TO_WEIGHTS = (("size", FinetuneConfig.size), ("embedding", "auto"))  # with what asks for nothing


def build_encoder(config: FinetuneConfig, minutes: np.ndarray | None = None) -> PATEncoder:
    """The encoder to start from: that of the weights, maybe behind a new embedding, or one with random weights.

    Args:
        config: of the training.
        minutes: (B, T) standardised minutes of training people, which a distilled embedding is fitted on.

    Raises:
        CheckpointError: if the weights can't be loaded.
        ConfigError: if they can't have the embedding that is asked for.
    """
    return _build(config, config.start, minutes)[0]


def scaling_of(config: FinetuneConfig) -> str:
    """The kind of scaling, "auto" resolved: that of the weights, and cohort where they are random."""
    if config.standardize != "auto":
        return config.standardize
    return pretrained_scaling(config.weights) if config.weights else "cohort"


def said_of_minutes(config: FinetuneConfig) -> list[str]:
    """Sentences for where the weights learned from minutes that were made otherwise, or nothing says how."""
    if config.model != "pat" or not config.weights:
        return []
    stated, said = stated_minutes(config.weights), []
    smoothing = stated.get("smoothing", config.smoothing)
    if smoothing != config.smoothing:
        said.append(
            f"smoothing is {config.smoothing}, and the weights ({config.weights}) learned from minutes with the "
            f"smoothing {smoothing}. To give them such minutes: --smoothing={smoothing}."
        )
    if config.standardize == "auto" and not stated and pathlib.Path(config.weights).suffix == ".keras":
        said.append(
            f"{config.weights}: nothing says under which scaling it learned; {AUTHORS_SCALING} is taken, that of "
            "the authors. Name another by --standardize, or give the run directory it came from."
        )
    return said


def build_model(
    config: FinetuneConfig,
    length: int,
    num_classes: int = 2,
    minutes: np.ndarray | None = None,
    folder: pathlib.Path | None = None,
    watcher: Watcher | None = None,
) -> Predictor:
    """The model to start from, for scaled windows of `length` minutes: PAT with a new head, or another network.

    Args:
        config: of the training.
        length: of the windows, in minutes.
        num_classes: of a multi-class task.
        minutes: (B, T) standardised minutes of training people; see `build_encoder`.
        folder: for the state of the training. A new embedding is fitted once and kept there, so that a training that is
            resumed started where it did.
        watcher: told what was done about the embedding.

    Raises:
        CheckpointError: if the weights can't be loaded.
        ConfigError: if the model does not fit the windows, or the weights the embedding.
        RunError: if what the folder keeps is damaged.
    """
    if config.model != "pat":
        return BaselineNetwork(config.model, length, config.task, num_classes)
    return PATClassifier(
        _started(config, minutes, folder, watcher or Watcher()),
        config.built_head,
        config.task,
        num_classes,
        config.dropout,
        min_worn_share=config.min_worn_share if config.missing == "mask" else None,
        pooling=config.pooling,
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
        ConfigError: if the model, its patches, its embedding or an augmentation don't fit.
        CohortError: if a model that masks missing minutes would see nothing of a window.
    """
    check_augmentation(config, length)
    if config.model != "pat":
        build_model(config, length)
        return
    patch_size = _build(config, "random", None)[0].config.patch_size
    if length % patch_size:
        raise ConfigError(
            f"The windows have {length} minutes, which is not a multiple of the {patch_size} minutes of a patch of "
            "this model. Prepare windows of whole days, or choose a size whose patches fit."
        )
    if activity is not None and config.missing == "mask":
        check_seen(activity, patch_size, config.min_worn_share)


def _started(
    config: FinetuneConfig, minutes: np.ndarray | None, folder: pathlib.Path | None, watcher: Watcher
) -> PATEncoder:
    """The encoder to start from; one that was given a new embedding is kept in the folder, and taken from there."""
    path = None if folder is None else folder / "start.npz"
    if path is not None and path.exists():
        arrays, _ = load_state(path)
        # Draws as many random numbers as the encoder that was kept, so that what is drawn next is the same.
        encoder, _ = _build(config, "random", None)
        encoder.set_weights([arrays[str(i)] for i in range(len(arrays))])
        return encoder
    encoder, note = _build(config, config.start, minutes)
    if note:
        watcher.on_note(note)
        if path is not None:
            weights = {str(i): np.asarray(values) for i, values in enumerate(encoder.get_weights())}
            save_state(path, weights, {"note": note})
    return encoder


def _build(config: FinetuneConfig, start: str, minutes: np.ndarray | None) -> tuple[PATEncoder, str]:
    """The encoder, and a sentence about its embedding where that is not what the weights have, or was asked for."""
    if not config.weights:
        embedding = "linear" if config.embedding == "auto" else config.embedding
        shape = EncoderConfig.of_size(config.size, embedding=embedding, dropout=config.dropout)
        return PATEncoder(shape, dtype=config.precision), ""
    loaded = load_encoder(config.weights)
    embedding = _new_embedding(config, loaded.config.embedding)
    # Built anew, since a dropout rate and a precision are set when a model is made.
    shape = dataclasses.replace(loaded.config, dropout=config.dropout)
    encoder = PATEncoder(shape, dtype="float32" if embedding else config.precision)
    encoder.set_weights(loaded.get_weights())
    if not embedding:
        found = {"size": shape.size or "of no name", "embedding": shape.embedding}
        notes = [
            f"{name} {found[name]}, that of the weights; {getattr(config, name)} was asked for"
            for name, left in _LEFT_TO_WEIGHTS
            if getattr(config, name) not in (left, found[name])
        ]
        return encoder, "; ".join(notes)
    new = with_embedding(encoder, embedding, start, minutes, config.seed, config.precision)
    note = f"embedding {embedding}, {start}, on linear weights"
    if minutes is not None:
        share = likeness(new, encoder, minutes[:_LIKENESS_WINDOWS])
        note += f": R² {share:.3f} of the tokens that these were trained on, among training people"
    return new, note


def _new_embedding(config: FinetuneConfig, found: str) -> str:
    """The embedding to put before the blocks of weights that have `found`; empty for none.

    Raises:
        ConfigError: if that can't be.
    """
    if config.embedding in ("auto", "linear", found):
        if config.embedding_start is not None:
            raise ConfigError(
                f"{config.weights}: found weights with the {found} embedding already, and embedding_start "
                f"{config.embedding_start!r}, which is for one that they have not. Leave embedding_start out."
            )
        return ""
    if found != "linear":
        raise ConfigError(
            f"{config.weights}: found weights with the {found} embedding, to be given the {config.embedding} one; a "
            "new embedding can only be put on linear weights. Leave embedding out, or choose linear weights."
        )
    return config.embedding
