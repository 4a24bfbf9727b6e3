"""Models by name: a preset, an official file or one of our own .keras files in, a model out."""

from __future__ import annotations

import os
import pathlib
import zipfile

import keras

from pat_keras.checkpoints import registry
from pat_keras.checkpoints.official import Model, load_official, verify_official
from pat_keras.errors import CheckpointError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.models.networks import BaselineNetwork


def load_preset(name: str, *, cache: str | os.PathLike[str] | None = None) -> PATEncoder:
    """An official encoder by the name of its preset, from the cache or else downloaded.

    Args:
        name: one of `registry.PRESETS`, such as "pat_large_29k".
        cache: folder of downloaded files; None for `registry.cache_folder()`.

    Raises:
        CheckpointError: if there is no such preset, it can't be fetched, or the file is not what it should be.
    """
    path = registry.fetch(name, verify=lambda path: _verify_preset(name, path), cache=cache)
    model = load_official(path)
    assert isinstance(model, PATEncoder)  # _verify_preset
    return model


def load_weights(source: str | os.PathLike[str]) -> Model:
    """A model from a preset's name, the path of any official file, or that of a .keras file of ours.

    Raises:
        CheckpointError: if `source` is none of these, or the file is not what it should be.
    """
    if str(source) in registry.PRESETS:
        return load_preset(str(source))
    path = pathlib.Path(source)
    if not path.exists():
        raise CheckpointError(
            f"{source}: found neither such a file nor a preset of that name, expected the path of an official .h5 "
            f"file, of a .keras file, or one of {', '.join(registry.PRESETS)}. Check the spelling."
        )
    model = load_model(path) if path.suffix == ".keras" else load_official(path)
    if isinstance(model, BaselineNetwork):
        raise CheckpointError(
            f"{source}: found a {model.kind} network, which has no PAT encoder to start from, expected a PATEncoder, "
            "PATClassifier or PATMaskedAutoencoder. pat.load_model reads it as it is."
        )
    return model


def load_model(path: str | os.PathLike[str]) -> Model | BaselineNetwork:
    """Load what `model.save("name.keras")` wrote, as `keras.saving.load_model` does where our classes are imported.

    The model is not compiled: optimizer and loss stay in the file.

    Raises:
        CheckpointError: if the file is damaged, or no model of ours.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras" or not path.is_file() or not zipfile.is_zipfile(path):
        found = "no such file" if not path.exists() else "something else"
        raise CheckpointError(
            f"{path}: found {found}, expected a file that model.save('name.keras') wrote. load_official reads the "
            "authors' .h5 files."
        )
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the first wrong byte leads to
        raise CheckpointError(
            f"{path}: found a .keras file that can't be loaded ({type(error).__name__}: {str(error)[:300]}), expected "
            "a whole one with a model of pat_keras. Save it again."
        ) from error
    if not isinstance(model, PATEncoder | PATClassifier | PATMaskedAutoencoder | BaselineNetwork):
        raise CheckpointError(
            f"{path}: found a {type(model).__name__}, expected a PATEncoder, PATClassifier, PATMaskedAutoencoder or "
            "BaselineNetwork. keras.saving.load_model loads other models."
        )
    return model


def _verify_preset(name: str, path: pathlib.Path) -> None:
    """A mirror's file must be the encoder that the preset names, not merely some PAT."""
    size = registry.PRESETS[name].size
    kind, found = verify_official(path)
    if (kind, found.size, found.embedding) != ("encoder", size, "linear"):
        raise CheckpointError(
            f"{path}: found the {kind} of PAT {found.size} with the {found.embedding} embedding, expected the encoder "
            f"of PAT {size} with the linear one for the preset {name}. Remove the file and fetch it again from the "
            "authors' address."
        )
