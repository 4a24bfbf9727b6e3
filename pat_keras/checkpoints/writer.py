"""Writing the official layout as Keras 2 does, so that Keras 2 and the original's notebooks load it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import h5py
import numpy as np

from pat_keras._version import __version__
from pat_keras.checkpoints.layout import FileLayer
from pat_keras.data.files import atomic_write
from pat_keras.errors import CheckpointError

# The version of the layout, by which Keras 2 decides on conversions; the writer is named beside it.
_KERAS_VERSION = "2.15.0"


def write(
    path: pathlib.Path,
    layers: tuple[FileLayer, ...],
    arrays: dict[str, np.ndarray],
    *,
    notes: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write layers with their tensors, all or nothing.

    Args:
        path: the file to make.
        layers: in the order in which Keras 2 expects them.
        arrays: every tensor of the layers by its path in the file.
        notes: attributes of our own, beside the tensors.
        overwrite: replace `path` if it exists.

    Raises:
        CheckpointError: if `path` is taken, or can't be written.
    """
    with atomic_write(path, overwrite=overwrite, error=CheckpointError) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["layer_names"] = _names([layer.name for layer in layers])
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = _KERAS_VERSION
        file.attrs["written_by"] = f"pat_keras {__version__}"
        for name, text in (notes or {}).items():
            file.attrs[name] = text
        for layer in (*layers, FileLayer("top_level_model_weights")):
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = _names([tensor.name for tensor in layer.tensors])
            for tensor in layer.tensors:
                group.create_dataset(tensor.name, data=arrays[f"{layer.name}/{tensor.name}"])


def _names(names: list[str]) -> np.ndarray:
    # Keras 2 hands an empty list to h5py, which makes it an empty array of numbers.
    return np.array(names, dtype=h5py.string_dtype()) if names else np.array([])
