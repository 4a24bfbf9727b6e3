"""Official HDF5 files in and out: any file of the authors' program to the right model, and back to their layout.

Everything about a file is checked before anything is assigned (see `reader`). What no check can see is a tensor with
its axes swapped and its shape kept; the tests compare numbers with the original's for that.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
from keras import ops

from pat_keras.checkpoints.layout import (
    ORDER_ATTRIBUTE,
    RATIO_ATTRIBUTE,
    FileLayer,
    find_variable,
    layout,
    tensor_paths,
)
from pat_keras.checkpoints.reader import read
from pat_keras.checkpoints.writer import write
from pat_keras.config import EncoderConfig
from pat_keras.errors import CheckpointError, ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder

Model = PATEncoder | PATClassifier | PATMaskedAutoencoder


def load_official(path: str | os.PathLike[str], *, config: EncoderConfig | None = None) -> Model:
    """Load any file that the PAT authors' program wrote, as the right model in the right size.

    Args:
        path: weights of an encoder, a whole encoder, a fine-tuned model (whole or weights), or the weights of a masked
            autoencoder; linear or convolutional; of any size and length.
        config: only for an encoder of no published size: its shape, to be checked against the file.

    Returns:
        `PATEncoder`, `PATClassifier` (head "official", binary) or `PATMaskedAutoencoder` (order "original" and
        mask_ratio 0.9, as the authors trained it, unless `save_official` noted others), with the file's weights.

    Raises:
        CheckpointError: if anything about the file is not as it should be; says what and where.
        ConfigError: if `config` has the conv_linear embedding.

    Example:
        >>> path = save_official(PATEncoder(EncoderConfig.medium()), tmp_path / "mine_weights.h5")
        >>> load_official(path).config.size
        'medium'
    """
    contents = read(pathlib.Path(path), config)
    model: Model
    if contents.kind == "encoder":
        model = PATEncoder(contents.config)
    elif contents.kind == "classifier":
        model = PATClassifier(contents.config)
    else:
        model = PATMaskedAutoencoder(contents.config, mask_ratio=contents.mask_ratio, order=contents.order)
    _assign(model, layout(contents.kind, contents.config), contents.arrays)
    return model


def load_official_into(model: Model, path: str | os.PathLike[str]) -> None:
    """Load an official file into an existing model of the same kind and shape. On failure the model is as it was.

    A masked autoencoder keeps its own order and mask_ratio.

    Raises:
        CheckpointError: if the file is damaged, or of another kind, size or embedding than the model.
        ConfigError: if the original has no such model.

    Example:
        >>> encoder = PATEncoder(EncoderConfig.small())
        >>> path = save_official(encoder, tmp_path / "mine_weights.h5")
        >>> load_official_into(PATEncoder(EncoderConfig.small()), path)
    """
    kind, expected = _kind(model), _config(model)
    _check_original_has(model)
    contents = read(pathlib.Path(path), None if _is_published(expected) else expected)
    if contents.kind != kind:
        raise CheckpointError(
            f"{path}: found a PAT {contents.kind}, expected a PAT {kind}. load_official(path) reads any kind."
        )
    if _shape_settings(contents.config) != _shape_settings(expected):
        raise CheckpointError(
            f"{path}: found {_describe(contents.config)}, expected {_describe(expected)}. Build the model of the "
            "file's size, or use load_official(path)."
        )
    _assign(model, layout(kind, expected), contents.arrays)


def verify_official(path: str | os.PathLike[str]) -> tuple[str, EncoderConfig]:
    """Check a file in full without building a model: tensors, names, shapes, type, values.

    Returns:
        The kind ("encoder", "classifier" or "autoencoder") and the shape.

    Raises:
        CheckpointError: if anything about the file is not as it should be.
    """
    contents = read(pathlib.Path(path))
    return contents.kind, contents.config


def save_official(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> pathlib.Path:
    """Write a model's weights in the official layout, which Keras 2 and the original's notebooks load.

    The layout has no place for a classifier's scaling, smoothing and min_worn_share: loaded back, the model takes
    complete weeks of standardised minutes.

    Args:
        model: a `PATEncoder`, a binary `PATClassifier` with the official head, or a `PATMaskedAutoencoder` with the
            "tanh" output.
        path: ends with .h5, by which Keras 2 knows the format.
        overwrite: replace an existing file.

    Raises:
        CheckpointError: if a weight is not finite, or the path is taken or can't be written.
        ConfigError: if the original has no such model.

    Example:
        >>> save_official(PATEncoder(EncoderConfig.small()), tmp_path / "mine_weights.h5").name
        'mine_weights.h5'
    """
    path = pathlib.Path(path)
    if path.suffix != ".h5":
        raise CheckpointError(f"{path}: found a name that ends with {path.suffix!r}, expected .h5. Name it so.")
    _check_original_has(model)
    layers = layout(_kind(model), _config(model))
    arrays = {name: _value(find_variable(model, tensor.variable)) for name, tensor in tensor_paths(layers).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"{path}: {name}: found NaN or infinity in the model, expected finite weights. Nothing was written."
            )
    notes = {}
    if isinstance(model, PATMaskedAutoencoder):
        notes = {ORDER_ATTRIBUTE: model.order, RATIO_ATTRIBUTE: repr(float(model.mask_ratio))}
    write(path, layers, arrays, notes=notes, overwrite=overwrite)
    return path


def _assign(model: Model, layers: tuple[FileLayer, ...], arrays: dict[str, np.ndarray]) -> None:
    for name, tensor in tensor_paths(layers).items():
        find_variable(model, tensor.variable).assign(arrays[name])


def _value(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable.value), dtype=np.float32)


def _kind(model: Model) -> str:
    kinds = ((PATEncoder, "encoder"), (PATClassifier, "classifier"), (PATMaskedAutoencoder, "autoencoder"))
    for cls, kind in kinds:
        if isinstance(model, cls):
            return kind
    raise ConfigError(f"found a {type(model).__name__}, expected a PATEncoder, PATClassifier or PATMaskedAutoencoder.")


def _config(model: Model) -> EncoderConfig:
    return model.config if isinstance(model, PATEncoder) else model.encoder.config


def _check_original_has(model: Model) -> None:
    layout(_kind(model), _config(model))  # raises for an embedding that the original does not have
    own = ("official", "binary", "mean")
    if isinstance(model, PATClassifier) and (model.head, model.task, model.pooling) != own:
        raise ConfigError(
            f"This is a {model.task} model with the {model.head} head on tokens pooled by {model.pooling}; the "
            "original has a binary one with the official head, on their mean. Use model.encoder, or "
            "model.save('name.keras') and pat_keras.load_model."
        )
    if isinstance(model, PATMaskedAutoencoder) and model.output_kind != "tanh":
        raise ConfigError(
            f"This is a masked autoencoder with a {model.output_kind} output; the original's has 2 tanh, which its "
            "program would put on these weights, too. Use model.encoder, or model.save('name.keras') and "
            "pat_keras.load_model."
        )


def _shape_settings(config: EncoderConfig) -> dict[str, Any]:
    """What the tensors depend on: all settings but the dropout rate, with the kernel size spelled out."""
    settings = {name: value for name, value in config.to_dict().items() if name not in ("dropout", "conv_filters")}
    return {**settings, "conv_kernel_size": config.kernel_size}


def _is_published(config: EncoderConfig) -> bool:
    """Whether a file of this shape can be told by its tensors alone."""
    size = config.size
    return size is not None and _shape_settings(config) == _shape_settings(
        EncoderConfig.of_size(size, embedding=config.embedding)
    )


def _describe(config: EncoderConfig) -> str:
    name = f"PAT {config.size}" if config.size else f"a PAT of {config.num_layers} blocks and {config.num_heads} heads"
    return f"{name} with the {config.embedding} embedding and patches of {config.patch_size} minutes"
