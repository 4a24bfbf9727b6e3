"""Official HDF5 files in and out: read strictly, write so that Keras 2 and the original notebooks load them.

A file is read as data: nothing in it is ever executed, its `model_config` is at most parsed as JSON, and links that lead
out of it are refused. Everything is checked before anything is assigned: the exact set of tensors, their names, shapes,
type and values. What no check can see is a tensor with its axes swapped and its shape kept; the tests compare numbers
with the original's for that.

Facts about the files: the notebooks of github.com/njacobsonlab/Pretrained-Actigraphy-Transformer (CC BY 4.0).
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from pat_keras._version import __version__
from pat_keras.checkpoints.layout import FileLayer, Tensor, find_variable, layout, tensor_paths
from pat_keras.config import SIZES, EncoderConfig
from pat_keras.errors import CheckpointError, ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder

Model = PATEncoder | PATClassifier | PATMaskedAutoencoder

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ADVICE = "Fetch or write the file again; a file of another program needs converting first."
# The notebooks leave the linear embedding unnamed, so that Keras 2 numbers it when a session builds several models.
_NUMBERED_DENSE = re.compile(r"dense(_\d+)?")
# Written by Keras 2 beside a whole model's weights when it was compiled; of no use here.
_IGNORED_GROUPS = ("optimizer_weights",)
_MAX_DEPTH = 8


class _File:
    """An open official file: its tensors by path, checked for links, and its kind. Nothing is read before it is asked for."""

    def __init__(self, path: pathlib.Path, file: h5py.File) -> None:
        self.path = path
        self.root = file["model_weights"] if "model_weights" in file else file
        self.model_config = file.attrs.get("model_config")
        if self.root is not file:
            extra = sorted(set(file) - {"model_weights", *_IGNORED_GROUPS})
            if extra:
                raise self.error(extra[0], "a group beside model_weights", "none")
        self.datasets: dict[str, h5py.Dataset] = {}
        self._walk(self.root, "", 0)
        self.layer_names = self._names(self.root, "layer_names")
        self._check_listing()
        self.datasets = {self._usual_name(path): dataset for path, dataset in self.datasets.items()}
        self.kind = self._kind()

    def error(self, place: str, found: str, expected: str) -> CheckpointError:
        """The error for one place in the file."""
        return CheckpointError(f"{self.path}: {place}: found {found}, expected {expected}. {_ADVICE}")

    def _walk(self, group: h5py.Group, prefix: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise self.error(prefix, f"groups nested more than {_MAX_DEPTH} deep", "the layout of a PAT file")
        for name in group:
            path = f"{prefix}{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise self.error(path, f"a link ({type(link).__name__}) to another place", "a tensor or a group")
            item = group[name]
            if isinstance(item, h5py.Group):
                self._walk(item, f"{path}/", depth + 1)
            elif not isinstance(item, h5py.Dataset):
                raise self.error(path, f"an HDF5 {type(item).__name__}", "a tensor or a group")
            elif item.external or item.is_virtual:
                raise self.error(path, "a tensor stored in another file", "a tensor stored in this file")
            else:
                self.datasets[path] = item

    def _names(self, group: h5py.Group, attribute: str) -> list[str]:
        """A list of names that Keras 2 keeps in an attribute, split over several where it is long."""
        if attribute in group.attrs:
            parts = [group.attrs[attribute]]
        else:
            parts = []
            while f"{attribute}{len(parts)}" in group.attrs:
                parts.append(group.attrs[f"{attribute}{len(parts)}"])
        if not parts:
            raise self.error(
                f"attribute {attribute} of {group.name}", "nothing", "a list of names, as Keras 2 writes it"
            )
        names = [name for part in parts for name in np.ravel(part)]
        return [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names]

    def _check_listing(self) -> None:
        """The tensors that the file lists must be those it holds: Keras 2 reads the lists, others read the tensors."""
        listed = []
        for layer in self.layer_names:
            if layer not in self.root:
                raise self.error(layer, "no group", "a group, since the file's layer_names list it")
            listed += [f"{layer}/{name}" for name in self._names(self.root[layer], "weight_names")]
        for path in sorted(set(listed) - set(self.datasets)):
            raise self.error(path, "nothing", "a tensor, since the file's weight_names list it")
        for path in sorted(set(self.datasets) - set(listed)):
            raise self.error(path, "a tensor", "none, since the file's weight_names don't list it")
        if len(listed) != len(set(listed)):
            raise self.error("weight_names", "a tensor listed twice", "each tensor once")

    def _usual_name(self, path: str) -> str:
        steps = path.split("/")
        if steps[0] == "encoder_model" and len(steps) == 3 and _NUMBERED_DENSE.fullmatch(steps[1]):
            return f"encoder_model/dense/{steps[2]}"
        if len(steps) == 3 and steps[0] == steps[1] != "dense_128" and _NUMBERED_DENSE.fullmatch(steps[0]):
            return f"dense/dense/{steps[2]}"
        return path

    def _kind(self) -> str:
        tops = {path.split("/")[0] for path in self.datasets}
        if "encoder_model" in tops:
            return "classifier"
        if "mask_layer" in tops or any(top.startswith("decoder") for top in tops):
            return "autoencoder"
        if any(top.startswith("encoder_layer_") for top in tops):
            return "encoder"
        found = f"the layers {', '.join(sorted(tops)[:6])}" if tops else "no tensor at all"
        raise self.error("layers", found, "those of a PAT encoder, fine-tuned model or masked autoencoder")

    def shape(self, pattern: str) -> tuple[int, ...]:
        """Shape of the tensor whose path ends with `pattern`.

        Raises:
            CheckpointError: if there is none.
        """
        for path, dataset in self.datasets.items():
            if path == pattern or path.endswith(f"/{pattern}"):
                return tuple(dataset.shape)
        raise self.error(pattern, "nothing", "a tensor")


def load_official(path: str | os.PathLike[str], *, config: EncoderConfig | None = None) -> Model:
    """Load any file that the PAT authors' program wrote, as the right model in the right size.

    Args:
        path: weights of an encoder, a whole encoder, a fine-tuned model (whole or weights), or the weights of a masked
            autoencoder; linear or convolutional; of any size and length.
        config: only for an encoder of no published size: its shape, to be checked against the file.

    Returns:
        `PATEncoder`, `PATClassifier` (head "official", binary) or `PATMaskedAutoencoder` (order "original", as the
        authors trained it), with the file's weights.

    Raises:
        CheckpointError: if anything about the file is not as it should be; says what and where.
    """
    kind, found, arrays = _read(pathlib.Path(path), config)
    model = _new_model(kind, found)
    _assign(model, layout(kind, found), arrays)
    return model


def load_official_into(model: Model, path: str | os.PathLike[str]) -> None:
    """Load an official file into an existing model of the same kind and shape. On failure the model is as it was.

    Raises:
        CheckpointError: if the file is damaged, or of another kind, size or embedding than the model.
    """
    kind, found, arrays = _read(pathlib.Path(path), None if _config(model).size else _config(model))
    if kind != _kind(model):
        raise CheckpointError(
            f"{path}: found a PAT {kind}, expected a PAT {_kind(model)}. load_official(path) reads it."
        )
    expected = _config(model)
    if _shape_settings(found) != _shape_settings(expected):
        raise CheckpointError(
            f"{path}: found {_describe(found)}, expected {_describe(expected)}. Build the model of the file's size, or "
            "use load_official(path)."
        )
    _assign(model, layout(kind, found), arrays)


def verify_official(path: str | os.PathLike[str]) -> EncoderConfig:
    """Check a file in full without building a model: tensors, names, shapes, type, values.

    Raises:
        CheckpointError: if anything about the file is not as it should be.
    """
    return _read(pathlib.Path(path), None)[1]


def save_official(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> pathlib.Path:
    """Write a model's weights in the official layout, which Keras 2 and the original's notebooks load.

    Args:
        model: a `PATEncoder`, a binary `PATClassifier` with the official head, or a `PATMaskedAutoencoder`.
        path: ends with .h5.
        overwrite: replace an existing file.

    Raises:
        CheckpointError: if the original has no such model, a weight is not finite, or the path is taken.
    """
    path = pathlib.Path(path)
    kind, config = _kind(model), _config(model)
    _check_writable(model, kind, config, path, overwrite)
    layers = layout(kind, config)
    arrays = {name: _value(find_variable(model, tensor.variable)) for name, tensor in tensor_paths(layers).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"{path}: {name}: found NaN or infinity in the model, expected finite weights. Not written."
            )
    _write_atomically(path, lambda file: _fill(file, layers, arrays))
    return path


def _read(path: pathlib.Path, config: EncoderConfig | None) -> tuple[str, EncoderConfig, dict[str, np.ndarray]]:
    """Kind, config and tensors of a file, all validated."""
    _check_hdf5(path)
    try:
        with h5py.File(path, "r") as handle:
            file = _File(path, handle)
            config = config or _config_of(file)
            expected = tensor_paths(layout(file.kind, config))
            _check_set(file, expected)
            arrays = {name: _read_tensor(file, name, tensor) for name, tensor in expected.items()}
            return file.kind, config, arrays
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: found a damaged or cut HDF5 file ({error}), expected a whole one of {path.stat().st_size} bytes or "
            f"more. {_ADVICE}"
        ) from error


def _check_hdf5(path: pathlib.Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path}: found no such file, expected a PAT weights file (.h5). Check the path.")
    if not path.is_file():
        raise CheckpointError(f"{path}: found a folder, expected a PAT weights file (.h5). Name the file inside it.")
    with path.open("rb") as file:
        start = file.read(512)
    if start[:8] != _SIGNATURE:
        what = "an empty file"
        if start:
            what = "a web page" if b"<html" in start.lower() or b"<!doctype" in start.lower() else "something else"
        if start[:2] == b"PK":
            what = "a zip archive (a .keras file is one: keras.saving.load_model reads that)"
        raise CheckpointError(f"{path}: found {what}, expected an HDF5 file. {_ADVICE}")


def _config_of(file: _File) -> EncoderConfig:
    """Size and embedding, read off the tensors; the file must be of a size that the original has."""
    query = file.shape("encoder_layer_1_attention/query/kernel:0")
    hidden = file.shape("encoder_layer_1_ff1/kernel:0")
    if len(query) != 3 or len(hidden) != 2:
        raise file.error("encoder_layer_1", f"kernels of shapes {query} and {hidden}", "three and two axes")
    numbers = [int(n) for n in re.findall(r"encoder_layer_(\d+)_attention/query/kernel:0", "\n".join(file.datasets))]
    conv = any("conv1d_patch_embedding" in name for name in file.datasets)
    stated = {"num_heads": query[1], "num_layers": max(numbers), "embed_dim": query[0], "key_dim": query[2]}
    stated["ff_dim"] = hidden[1]
    patch_size = _patch_size(file, conv)
    for size in SIZES:
        config = EncoderConfig.of_size(size, embedding="conv" if conv else "linear")
        if all(getattr(config, name) == value for name, value in stated.items()) and patch_size in (
            None,
            config.patch_size,
        ):
            return config
    shape = ", ".join(f"{name} {value}" for name, value in {**stated, "patch_size": patch_size}.items())
    sizes = f"one of the sizes {', '.join(SIZES)}"
    raise CheckpointError(
        f"{file.path}: tensors: found {shape}, expected {sizes}. If it is meant, pass "
        "config=EncoderConfig(...) to load_official."
    )


def _patch_size(file: _File, conv: bool) -> int | None:
    """P where the tensors or the stored configuration tell it; a convolution's kernel does not."""
    told = set()
    if not conv:
        kernel = file.shape("dense/kernel:0")
        told.add(kernel[0] if len(kernel) == 2 else None)
    if file.kind == "autoencoder":
        decoder = file.shape("decoder_dense/kernel:0")
        told.add(decoder[1] if len(decoder) == 2 else None)
    if file.model_config is not None:
        told |= _stored_patch_sizes(file)
    if len(told) > 1:
        raise file.error("patch size", f"both {' and '.join(sorted(map(str, told)))}", "one patch size throughout")
    return told.pop() if told else None


def _stored_patch_sizes(file: _File) -> set[int]:
    """The patch size by the model_config of a whole model: the last number of the layer `reshape`'s target shape."""
    try:
        config = json.loads(file.model_config)
        layers = list(config["config"]["layers"])
        for layer in layers[:]:
            layers += layer["config"].get("layers", [])
        shapes = [layer["config"]["target_shape"] for layer in layers if layer["config"].get("name") == "reshape"]
        return {int(shape[-1]) for shape in shapes}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise file.error(
            "attribute model_config", f"no readable model ({error!r})", "the JSON of a Keras 2 model"
        ) from error


def _check_set(file: _File, expected: dict[str, Tensor]) -> None:
    missing, extra = sorted(set(expected) - set(file.datasets)), sorted(set(file.datasets) - set(expected))
    if missing or extra:
        said = [f"missing {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}"] if missing else []
        said += [f"not known {', '.join(extra[:3])}{' ...' if len(extra) > 3 else ''}"] if extra else []
        raise file.error(
            "tensors", f"{len(file.datasets)} ({'; '.join(said)})", f"exactly the {len(expected)} of a PAT {file.kind}"
        )
    for name, tensor in expected.items():
        dataset = file.datasets[name]
        if tuple(dataset.shape) != tensor.shape:
            raise file.error(name, f"shape {tuple(dataset.shape)}", f"shape {tensor.shape}")
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize != 4:
            raise file.error(name, f"type {dataset.dtype}", "type float32")


def _read_tensor(file: _File, name: str, tensor: Tensor) -> np.ndarray:
    try:
        array = np.asarray(file.datasets[name][()], dtype=np.float32)
    except OSError as error:
        raise file.error(name, f"unreadable values ({error})", "a whole tensor") from error
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise file.error(name, f"{bad} values that are NaN or infinite", "finite values")
    return array


def _new_model(kind: str, config: EncoderConfig) -> Model:
    if kind == "encoder":
        return PATEncoder(config)
    if kind == "classifier":
        return PATClassifier(config)
    return PATMaskedAutoencoder(config, order="original")


def _assign(model: Model, layers: tuple[FileLayer, ...], arrays: dict[str, np.ndarray]) -> None:
    for name, tensor in tensor_paths(layers).items():
        find_variable(model, tensor.variable).assign(arrays[name])


def _kind(model: Model) -> str:
    kinds: dict[type, str] = {
        PATEncoder: "encoder",
        PATClassifier: "classifier",
        PATMaskedAutoencoder: "autoencoder",
    }
    for cls, kind in kinds.items():
        if isinstance(model, cls):
            return kind
    raise CheckpointError(
        f"found a {type(model).__name__}, expected a PATEncoder, PATClassifier or PATMaskedAutoencoder."
    )


def _config(model: Model) -> EncoderConfig:
    return model.config if isinstance(model, PATEncoder) else model.encoder.config


def _shape_settings(config: EncoderConfig) -> dict[str, Any]:
    """What the tensors depend on: all settings but the dropout rate, with the kernel size spelled out."""
    settings = {name: value for name, value in config.to_dict().items() if name not in ("dropout", "conv_filters")}
    return {**settings, "conv_kernel_size": config.kernel_size}


def _describe(config: EncoderConfig) -> str:
    name = f"PAT {config.size}" if config.size else f"a PAT of {config.num_layers} blocks and {config.num_heads} heads"
    return f"{name} with the {config.embedding} embedding and patches of {config.patch_size} minutes"


def _value(variable: Any) -> np.ndarray:
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable, dtype=np.float32)


def _check_writable(model: Model, kind: str, config: EncoderConfig, path: pathlib.Path, overwrite: bool) -> None:
    if config.embedding == "conv_linear":
        raise ConfigError(
            "save_official: found the conv_linear embedding, which the original does not have; expected linear or conv. "
            "Save the model with model.save('name.keras')."
        )
    if kind == "classifier" and (model.head != "official" or model.task != "binary"):
        raise ConfigError(
            f"save_official: found a {model.task} model with the {model.head} head; the original has a binary one with "
            "the official head only. Save model.encoder, or the model with model.save('name.keras')."
        )
    if path.exists() and not overwrite:
        raise CheckpointError(
            f"{path}: found an existing file, expected a free path. Choose another, or pass overwrite=True."
        )
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: found no folder {path.parent}, expected an existing one. Create it first.")


def _write_atomically(path: pathlib.Path, fill: Callable[[h5py.File], None]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        with h5py.File(temporary, "w") as file:
            fill(file)
        os.replace(temporary, path)
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)


def _fill(file: h5py.File, layers: tuple[FileLayer, ...], arrays: dict[str, np.ndarray]) -> None:
    """Write layers as Keras 2 does: groups with `weight_names`, in order, and the names of all layers at the root."""
    text = h5py.string_dtype()
    file.attrs["layer_names"] = np.array([layer.name for layer in layers], dtype=text)
    file.attrs["backend"] = "tensorflow"
    # The version of the layout, which Keras 2 reads to decide on conversions; the writer is named beside it.
    file.attrs["keras_version"] = "2.15.0"
    file.attrs["written_by"] = f"pat_keras {__version__}"
    for layer in (*layers, FileLayer("top_level_model_weights")):
        group = file.create_group(layer.name)
        group.attrs["weight_names"] = np.array([tensor.name for tensor in layer.tensors], dtype=text)
        for tensor in layer.tensors:
            group.create_dataset(tensor.name, data=arrays[f"{layer.name}/{tensor.name}"])
