"""Weights by name: a preset or a path in, a model out."""

from __future__ import annotations

import functools
import os
import pathlib

from pat_keras.checkpoints import registry
from pat_keras.checkpoints.official import Model, load_official, verify_official
from pat_keras.errors import CheckpointError
from pat_keras.models.encoder import PATEncoder


def load_preset(name: str, *, cache: str | os.PathLike[str] | None = None) -> PATEncoder:
    """An official encoder by the name of its preset, from the cache or else downloaded.

    Args:
        name: one of `registry.PRESETS`, such as "pat_large_29k".
        cache: folder of downloaded files; None for `registry.cache_folder()`.

    Raises:
        CheckpointError: if there is no such preset, it can't be fetched, or the file is not what it should be.
    """
    folder = None if cache is None else pathlib.Path(cache)
    path = registry.fetch(name, verify=functools.partial(_verify_size, name), cache=folder)
    model = load_official(path)
    assert isinstance(model, PATEncoder)
    return model


def load_weights(source: str | os.PathLike[str]) -> Model:
    """A model from a preset's name, or from the path of any official file.

    Raises:
        CheckpointError: if `source` is neither, or the file is not what it should be.
    """
    if str(source) in registry.PRESETS:
        return load_preset(str(source))
    if not pathlib.Path(source).exists():
        raise CheckpointError(
            f"{source}: found neither such a file nor a preset of that name, expected the path of an official .h5 file or one "
            f"of {', '.join(registry.PRESETS)}. Check the spelling."
        )
    return load_official(source)


def _verify_size(name: str, path: pathlib.Path) -> None:
    """A mirror's file must be the encoder that the preset names, not merely some PAT."""
    expected, found = registry.PRESETS[name].size, verify_official(path)
    if found.size != expected or found.embedding != "linear":
        raise CheckpointError(
            f"{path}: found PAT {found.size} with the {found.embedding} embedding, expected PAT {expected} with the linear "
            f"one for the preset {name}. Remove the file and fetch it again from the authors' address."
        )
