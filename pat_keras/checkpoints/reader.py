"""An official HDF5 file read as data: opened, checked in full, and only then handed on.

Nothing in a file is ever executed; its `model_config` is at most parsed as JSON. Links are refused, so that every value
comes from the file itself. Names, shapes, types and values are compared with the one table in `layout`.

Facts about the files: the notebooks of github.com/njacobsonlab/Pretrained-Actigraphy-Transformer (CC BY 4.0).
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import re
from typing import Any

import h5py
import numpy as np

from pat_keras.checkpoints.damage import find_damage
from pat_keras.checkpoints.layout import ORDER_ATTRIBUTE, RATIO_ATTRIBUTE, Tensor, layout, tensor_paths
from pat_keras.config import SIZES, EncoderConfig
from pat_keras.errors import CheckpointError, PATError
from pat_keras.models.mae import ORDERS

ADVICE = "Fetch or write the file again; a file of another program needs converting first."

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py raises when its C library stumbles over a damaged file.
_DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError, MemoryError)
# The notebooks leave the linear embedding unnamed, so that Keras 2 numbers it when a session builds several models.
_NUMBERED_DENSE = re.compile(r"dense_\d+")
# Written by Keras 2 beside a compiled model's weights; of no use here.
_IGNORED_GROUPS = ("optimizer_weights",)
_MAX_DEPTH = 8
_AUTHORS_MASK_RATIO = 0.9


@dataclasses.dataclass(frozen=True)
class Contents:
    """A file's kind ("encoder", "classifier" or "autoencoder"), shape, and tensors by their path.

    `order` and `mask_ratio` are those of a masked autoencoder: "original" and the authors' unless our own
    `save_official` noted others.
    """

    kind: str
    config: EncoderConfig
    arrays: dict[str, np.ndarray]
    order: str
    mask_ratio: float


def read(path: pathlib.Path, config: EncoderConfig | None = None) -> Contents:
    """Everything in a file, validated.

    Args:
        path: the file.
        config: the shape it must have; None reads the size off its tensors.

    Raises:
        CheckpointError: if anything about the file is not as it should be.
    """
    try:
        _check_hdf5(path)
        with h5py.File(path, "r") as handle:
            file = _File(path, handle)
            config = config or _config_of(file)
            expected = tensor_paths(layout(file.kind, config))
            _check_set(file, expected)
            arrays = {name: _read_tensor(file, name) for name in expected}
            return Contents(file.kind, config, arrays, _order(file), _mask_ratio(file))
    except PATError:
        raise
    except _DAMAGE as error:
        raise CheckpointError(
            f"{path}: found a damaged or cut HDF5 file, or one that can't be read ({error}), expected a whole one. "
            f"{ADVICE}"
        ) from error


class _File:
    """An open official file: its tensors by path, free of links, as its lists name them; and its kind."""

    def __init__(self, path: pathlib.Path, file: h5py.File) -> None:
        self.path = path
        self.top = file
        self.root = self._model_weights(file)
        self.groups: dict[str, h5py.Group] = {}
        self.datasets: dict[str, h5py.Dataset] = {}
        self._seen: dict[Any, str] = {}
        self._walk(self.root, "", 0)
        self._check_listing()
        self.kind = self._kind()
        self.datasets = self._with_usual_names()

    def error(self, place: str, found: str, expected: str) -> CheckpointError:
        """The error for one place in the file."""
        return CheckpointError(f"{self.path}: {place}: found {found}, expected {expected}. {ADVICE}")

    def shape(self, name: str, axes: int) -> tuple[int, ...]:
        """Shape of the tensor of that name, in whichever layer.

        Raises:
            CheckpointError: if there is none, or it has another number of axes.
        """
        for path, dataset in self.datasets.items():
            if path.endswith(f"/{name}"):
                if len(dataset.shape) != axes:
                    raise self.error(path, f"shape {dataset.shape}", f"{axes} axes")
                return tuple(dataset.shape)
        raise self.error(name, "nothing", "a tensor")

    def _model_weights(self, file: h5py.File) -> h5py.Group:
        """The group that holds the layers: the root of a weights file, `model_weights` in a whole model."""
        if "model_weights" not in list(file):
            return file
        for name in sorted(set(file) - {"model_weights", *_IGNORED_GROUPS}):
            raise self.error(_printable(_decoded(name)), "something beside model_weights", "nothing")
        item = self._follow(file, "model_weights", "model_weights")
        if not isinstance(item, h5py.Group):
            raise self.error("model_weights", "a tensor", "a group of layers")
        return item

    def _follow(self, group: h5py.Group, name: str, path: str) -> Any:
        """What a group holds under a name, if it is there itself and not behind a link."""
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise self.error(path, f"a link ({type(link).__name__}) to another place", "a tensor or a group")
        return group[name]

    def _walk(self, group: h5py.Group, prefix: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise self.error(prefix, f"groups nested more than {_MAX_DEPTH} deep", "the layout of a PAT file")
        for name in group:
            path = prefix + _printable(_decoded(name))
            item = self._follow(group, name, path)
            # Two names for one thing can form a circle, or pass one tensor off as two.
            first = self._seen.setdefault(item.id, path)
            if first != path:
                raise self.error(path, f"a second name of {first}", "a tensor or a group of its own")
            if isinstance(item, h5py.Group):
                self.groups[path] = item
                self._walk(item, f"{path}/", depth + 1)
            elif not isinstance(item, h5py.Dataset):
                raise self.error(path, f"an HDF5 {type(item).__name__}", "a tensor or a group")
            elif item.external or item.is_virtual:
                raise self.error(path, "a tensor stored in another file", "a tensor stored in this file")
            elif item.shape is None:
                raise self.error(path, "a tensor without values", "a tensor")
            else:
                self.datasets[path] = item

    def _names(self, group: h5py.Group, attribute: str) -> list[str]:
        """A list of names that Keras 2 keeps in an attribute, split over several where it is long."""
        if attribute in group.attrs:
            return [_printable(name) for name in self._texts(group, attribute)]
        names, part = [], 0
        while f"{attribute}{part}" in group.attrs:
            names += self._texts(group, f"{attribute}{part}")
            part += 1
        if part == 0:
            raise self.error(
                f"attribute {attribute} of {_printable(group.name)}", "nothing", "a list of names, as Keras 2 writes it"
            )
        return [_printable(name) for name in names]

    def text(self, attribute: str) -> str | None:
        """An attribute of the whole file, or None if it is not there."""
        texts = self._texts(self.top, attribute) if attribute in self.top.attrs else []
        return texts[0] if texts else None

    def _texts(self, group: h5py.Group, attribute: str) -> list[str]:
        """The texts in an attribute. Its type is looked at first: to read a damaged one can crash the library."""
        stored = group.attrs.get_id(attribute)
        if 0 in stored.shape:  # of numbers, when Keras 2 had no names to write
            return []
        if not isinstance(stored.get_type(), h5py.h5t.TypeStringID):
            raise self.error(f"attribute {attribute} of {_printable(group.name)}", "something else", "text")
        return [_decoded(text) for text in np.ravel(group.attrs[attribute])]

    def _check_listing(self) -> None:
        """The tensors that the file lists must be those it holds: Keras 2 reads the lists, others read the tensors."""
        layers = self._names(self.root, "layer_names")
        listed = []
        for layer in layers:
            if layer not in self.groups or "/" in layer:
                raise self.error(layer, "no group", "a group, since the file's layer_names list it")
            listed += [f"{layer}/{name}" for name in self._names(self.groups[layer], "weight_names")]
        for names in (layers, listed):
            for name in sorted({name for name in names if names.count(name) > 1}):
                raise self.error(name, "a name listed twice", "each layer and tensor listed once")
        for path in sorted(set(listed) - set(self.datasets)):
            found = "a group" if path in self.groups else "nothing"
            raise self.error(path, found, "a tensor, since the file's weight_names list it")
        for path in sorted(set(self.datasets) - set(listed)):
            raise self.error(path, "a tensor", "none, since the file's weight_names don't list it")

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

    def _with_usual_names(self) -> dict[str, h5py.Dataset]:
        """The tensors with the linear embedding under its plain name, whatever number Keras 2 gave it."""
        named: dict[str, h5py.Dataset] = {}
        for path, dataset in self.datasets.items():
            steps = path.split("/")
            if self.kind == "classifier":
                if steps[0] == "encoder_model" and _NUMBERED_DENSE.fullmatch(steps[1]):
                    steps[1] = "dense"
            elif _NUMBERED_DENSE.fullmatch(steps[0]) and steps[:1] == steps[1:2]:
                steps[:2] = ["dense", "dense"]
            if (usual := "/".join(steps)) in named:
                raise self.error(path, f"a second {usual}", "one")
            named[usual] = dataset
        return named


def _decoded(text: Any) -> str:
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else str(text)


def _printable(name: str) -> str:
    """A name as found in a file, fit for a message of one line."""
    return name if name.isprintable() else ascii(name)


def _check_hdf5(path: pathlib.Path) -> None:
    if not path.exists():
        raise CheckpointError(f"{path}: found no such file, expected a PAT weights file (.h5). Check the path.")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "something that is not a file"
        raise CheckpointError(f"{path}: found {what}, expected a PAT weights file (.h5). Name the file itself.")
    with path.open("rb") as file:
        start = file.read(512)
    what = "something else"
    if not start:
        what = "an empty file"
    elif start[:2] == b"PK":
        what = "a zip archive (a .keras file is one: load_model reads that)"
    elif b"<html" in start.lower() or b"<!doctype" in start.lower():
        what = "a web page"
    if start[:8] != _SIGNATURE:
        raise CheckpointError(f"{path}: found {what}, expected an HDF5 file. {ADVICE}")
    if damage := find_damage(path):
        raise CheckpointError(f"{path}: found {damage}, expected a whole HDF5 file. {ADVICE}")


def _config_of(file: _File) -> EncoderConfig:
    """Size and embedding, read off the tensors; the file must be of a size that the original has."""
    embed_dim, num_heads, key_dim = file.shape("encoder_layer_1_attention/query/kernel:0", 3)
    ff_dim = file.shape("encoder_layer_1_ff1/kernel:0", 2)[1]
    blocks = re.findall(r"encoder_layer_(\d+)_attention/query/kernel:0", "\n".join(file.datasets))
    conv = any("conv1d_patch_embedding" in name for name in file.datasets)
    found = {"num_heads": num_heads, "num_layers": max(int(number) for number in blocks), "ff_dim": ff_dim}
    found |= {"embed_dim": embed_dim, "key_dim": key_dim}
    if patch_size := _patch_size(file, conv):
        found["patch_size"] = patch_size
    sizes = [EncoderConfig.of_size(size, embedding="conv" if conv else "linear") for size in SIZES]
    for config in sizes:
        if all(getattr(config, name) == value for name, value in found.items()):
            return config
    known = "; ".join(f"{c.size} ({', '.join(f'{name} {getattr(c, name)}' for name in found)})" for c in sizes)
    raise CheckpointError(
        f"{file.path}: blocks encoder_layer_1 to encoder_layer_{found['num_layers']}: found a model of "
        f"{', '.join(f'{name} {value}' for name, value in found.items())}, expected one of {known}. If blocks are "
        "missing, fetch the file again; if the size is meant, pass config=EncoderConfig(...) to load_official."
    )


def _patch_size(file: _File, conv: bool) -> int | None:
    """P where the tensors or the stored configuration tell it; a convolution's kernel does not."""
    told = set()
    if not conv:
        told.add(file.shape("dense/kernel:0", 2)[0])
    if file.kind == "autoencoder":
        told.add(file.shape("decoder_dense/kernel:0", 2)[1])
    if (model_config := file.text("model_config")) is not None:
        told |= _stored_patch_sizes(file, model_config)
    if len(told) > 1:
        raise file.error("patch size", f"both {' and '.join(map(str, sorted(told)))}", "one patch size throughout")
    return told.pop() if told else None


def _stored_patch_sizes(file: _File, model_config: str) -> set[int]:
    """The patch size by the model_config of a whole model: the last number of the layer `reshape`'s target shape."""
    try:
        layers = list(json.loads(model_config)["config"]["layers"])
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
        if not _is_written(dataset):
            raise file.error(name, "values that were never written", "a whole tensor")


def _is_written(dataset: h5py.Dataset) -> bool:
    """Whether all of a tensor is stored: HDF5 gives zeros for what a program that was stopped left out."""
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size())
    chunks = math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    return bool(dataset.id.get_num_chunks() == chunks)


def _read_tensor(file: _File, name: str) -> np.ndarray:
    try:
        array = np.asarray(file.datasets[name][()], dtype=np.float32)
    except _DAMAGE as error:
        raise file.error(name, f"unreadable values ({error})", "a whole tensor") from error
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise file.error(name, f"{bad} values that are NaN or infinite", "finite values")
    return array


def _order(file: _File) -> str:
    """Where a masked autoencoder's decoder expects the tokens. Only our own files say so."""
    order = file.text(ORDER_ATTRIBUTE) or "original"
    if order not in ORDERS:
        raise file.error(f"attribute {ORDER_ATTRIBUTE}", ascii(order), f"one of {', '.join(ORDERS)}")
    return order


def _mask_ratio(file: _File) -> float:
    """The share of patches that a masked autoencoder was trained to fill in. Only our own files say so."""
    noted = file.text(RATIO_ATTRIBUTE)
    if noted is None:
        return _AUTHORS_MASK_RATIO
    try:
        ratio = float(noted)
    except ValueError:
        ratio = 0.0
    if not 0.0 < ratio < 1.0:
        raise file.error(f"attribute {RATIO_ATTRIBUTE}", ascii(noted), "a number between 0 and 1")
    return ratio
