"""Official files for tests, written by our own `save_official` with random weights, and ways to change them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import h5py

from pat_keras.checkpoints.official import save_official
from pat_keras.config import EncoderConfig
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from tests.models import reference

MODELS: dict[str, Any] = {"encoder": PATEncoder, "classifier": PATClassifier, "autoencoder": PATMaskedAutoencoder}


def make_model(kind: str, config: EncoderConfig, seed: int = 0) -> Any:
    """A model of a kind with random values in every weight."""
    return reference.randomize(MODELS[kind](config), seed)


def make_file(path: pathlib.Path, kind: str = "encoder", config: EncoderConfig = reference.TINY) -> pathlib.Path:
    """The official file of such a model."""
    return save_official(make_model(kind, config), path)


def edit(path: pathlib.Path, change: Callable[[h5py.File], None]) -> pathlib.Path:
    """Change a file in place."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def rename_in_list(group: h5py.Group, old: str, new: str, attribute: str = "weight_names") -> None:
    """Replace a name in a group's list of names."""
    names = [new if name == old else name for name in group.attrs[attribute]]
    group.attrs[attribute] = names
