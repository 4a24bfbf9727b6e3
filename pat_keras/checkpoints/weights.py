"""Models by name: a preset, an official file or one of our own .keras files in, a model out."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import zipfile
from typing import Any

import keras

from pat_keras.checkpoints import registry
from pat_keras.checkpoints.official import Model, load_official, verify_official
from pat_keras.errors import CheckpointError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.committee import Committee
from pat_keras.models.embedder import Held
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.models.networks import BaselineNetwork
from pat_keras.models.predictor import Predictor

AUTHORS_SCALING = "per_minute"  # in the authors' pretraining


def load_preset(name: str, *, cache: str | os.PathLike[str] | None = None) -> PATEncoder:
    """A published encoder by the name of its preset: one that came with the package, from the cache, or downloaded.

    Args:
        name: one of `pat_keras.PRESETS`, such as "pat_large_29k".
        cache: folder of downloaded files; None for `registry.cache_folder()`.

    Raises:
        CheckpointError: if there is no such preset, it can't be fetched, or the file is not what it should be.
    """
    model = load_official(_preset_path(name, cache))
    assert isinstance(model, PATEncoder)  # _verify_preset
    return model


def load_weights(source: str | os.PathLike[str]) -> Model:
    """A model from a preset's name, the path of any official file, of a .keras file of ours, or of a run.

    Args:
        source: a name of `registry.PRESETS`; a file; or the run directory of `pat-pretrain`, for its encoder.

    Raises:
        CheckpointError: if `source` is none of these, or the file is not what it should be.

    Example:
        >>> load_weights("runs/mine/model.keras").encoder.config.size
        'small'
    """
    path = weights_path(source)
    model = load_model(path) if path.suffix == ".keras" else load_official(path)
    if isinstance(model, BaselineNetwork):
        raise CheckpointError(
            f"{source}: found a {model.kind} network, which has no PAT encoder to start from, expected a PATEncoder, "
            "PATClassifier or PATMaskedAutoencoder. pat.load_model reads it as it is."
        )
    if isinstance(model, Committee):
        raise CheckpointError(
            f"{source}: found a committee of {len(model.members)} models, whose encoders don't mean the same; expected "
            "one PATEncoder, PATClassifier or PATMaskedAutoencoder. Save one of them and name that: "
            "pat.load_model(path).members[0].save('one.keras')."
        )
    return model


def weights_path(source: str | os.PathLike[str]) -> pathlib.Path:
    """Where the file of these weights lies; that of a preset is downloaded if it is not here.

    Raises:
        CheckpointError: if `source` is neither a preset nor a file, nor the run directory of a pretraining.
    """
    if str(source) in registry.PRESETS:
        return _preset_path(str(source))
    path = pathlib.Path(source)
    if not path.exists():
        raise CheckpointError(
            f"{source}: found neither such a file nor a preset of that name, expected the path of an official .h5 "
            "file, of a .keras file, of a run directory of pat-pretrain, or one of "
            f"{', '.join(registry.PRESETS)}. Check the spelling."
        )
    return _pretrained(path) if path.is_dir() else path


def pretrained_scaling(source: str | os.PathLike[str]) -> str:
    """The kind of scaling under which weights learned; where nothing says so, that of the authors, "per_minute"."""
    return stated_minutes(source).get("standardize", AUTHORS_SCALING)


def stated_minutes(source: str | os.PathLike[str]) -> dict[str, str]:
    """How minutes came to the weights, as far as is known: "standardize" and "smoothing".

    A preset says so, as does a run of pat-pretrain beside its models, and a fine-tuned model holds both. Of an official
    file, and of an encoder away from its run, nothing is known.

    Raises:
        CheckpointError: if a .keras file is damaged.
    """
    if str(source) in registry.PRESETS:
        return {"standardize": registry.PRESETS[str(source)].standardize}
    path = pathlib.Path(source)
    found = _beside(path, "config.json")
    if "mask_ratio" in found:  # of a pretraining
        return {name: found[name] for name in ("standardize", "smoothing") if name in found}
    if path.suffix != ".keras" or not path.is_file():
        return {}
    model = load_model(path)
    if not isinstance(model, Predictor) or model.standardization is None:
        return {}
    return {"standardize": model.standardization.kind, "smoothing": model.smoothing}


def pretrained_units(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Units of the activity that weights learned from: of a preset, or as a run of pat-pretrain says; () if unknown."""
    if str(source) in registry.PRESETS:
        return registry.PRESETS[str(source)].units
    units = {cohort.get("unit") for cohort in _beside(pathlib.Path(source), "data.json").get("cohorts", [])}
    return () if None in units else tuple(sorted(units))


def _beside(path: pathlib.Path, name: str) -> dict[str, Any]:
    """A file of the run that weights lie in, or are; empty where there is none."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(((path if path.is_dir() else path.parent) / name).read_text(encoding="utf-8"))
    return {}


def load_held(source: str | os.PathLike[str]) -> Held:
    """What `load_weights` loads, with the scaling and smoothing under which it was trained.

    Raises:
        CheckpointError: as `load_weights`.
    """
    model = load_weights(source)
    stated = {} if isinstance(model, Predictor) else stated_minutes(source)  # which holds both itself
    return Held.of(model, stated.get("standardize", AUTHORS_SCALING), stated.get("smoothing", "none"))


def load_encoder(source: str | os.PathLike[str]) -> PATEncoder:
    """The encoder of what `load_weights` loads.

    Raises:
        CheckpointError: as `load_weights`.
    """
    model = load_weights(source)
    return model if isinstance(model, PATEncoder) else model.encoder


def load_model(path: str | os.PathLike[str]) -> Model | BaselineNetwork | Committee:
    """Load what `model.save("name.keras")` wrote, as `keras.saving.load_model` does where our classes are imported.

    The model is not compiled: optimizer and loss stay in the file.

    Raises:
        CheckpointError: if the file is damaged, or no model of ours.

    Example:
        >>> load_model("runs/mine/model.keras").standardization.kind  # of a run of pat-finetune, not of a committee
        'cohort'
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
    if not isinstance(model, PATEncoder | PATClassifier | PATMaskedAutoencoder | BaselineNetwork | Committee):
        raise CheckpointError(
            f"{path}: found a {type(model).__name__}, expected a PATEncoder, PATClassifier, PATMaskedAutoencoder, "
            "BaselineNetwork or Committee. keras.saving.load_model loads other models."
        )
    return model


def _preset_path(name: str, cache: str | os.PathLike[str] | None = None) -> pathlib.Path:
    return registry.fetch(name, verify=lambda path: _verify_preset(name, path), cache=cache)


def _pretrained(folder: pathlib.Path) -> pathlib.Path:
    """The encoder in a run directory of pat-pretrain."""
    path = folder / "encoder.keras"
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: found a folder without encoder.keras, expected the run directory of a finished pat-pretrain. "
            "Finish it with pat-pretrain --resume; of another folder, name the file itself."
        )
    return path


def _verify_preset(name: str, path: pathlib.Path) -> None:
    """A mirror's file must be the encoder that the preset names, not merely some PAT."""
    size, embedding = registry.PRESETS[name].size, registry.PRESETS[name].embedding
    kind, found = verify_official(path)
    if (kind, found.size, found.embedding) != ("encoder", size, embedding):
        raise CheckpointError(
            f"{path}: found the {kind} of PAT {found.size} with the {found.embedding} embedding, expected the encoder "
            f"of PAT {size} with the {embedding} one for the preset {name}. Remove the file and fetch it again from "
            "where it is published."
        )
