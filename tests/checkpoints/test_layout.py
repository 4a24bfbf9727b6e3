"""The table of tensors covers each model exactly, and is the original's own, name by name."""

from __future__ import annotations

import pathlib

import h5py
import pytest

from pat_keras.checkpoints.layout import KINDS, FileLayer, find_variable, layout, tensor_paths
from pat_keras.config import SIZES, EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder

MODELS = {"encoder": PATEncoder, "classifier": PATClassifier, "autoencoder": PATMaskedAutoencoder}
GOLDEN = {
    "PAT-S_weights": ("encoder", "small", "linear"),
    "PAT-M_weights": ("encoder", "medium", "linear"),
    "PAT-L_weights": ("encoder", "large", "linear"),
    "PAT-Conv-S_weights": ("encoder", "small", "conv"),
    "PAT-Conv-L_weights": ("encoder", "large", "conv"),
    "PAT-S_finetuned_weights": ("classifier", "small", "linear"),
    "PAT-Conv-S_finetuned_weights": ("classifier", "small", "conv"),
    "PAT-S_mae_weights": ("autoencoder", "small", "linear"),
    "PAT-Conv-S_mae_weights": ("autoencoder", "small", "conv"),
    "PAT-Conv-L_mae_weights": ("autoencoder", "large", "conv"),
}


@pytest.mark.parametrize("embedding", ["linear", "conv"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_once_with_its_shape(kind: str, embedding: str) -> None:
    config = EncoderConfig.medium(embedding=embedding)
    model = MODELS[kind](config)
    variables = []
    for path, tensor in tensor_paths(layout(kind, config)).items():
        variable = find_variable(model, tensor.variable)
        assert tuple(variable.shape) == tensor.shape, path
        variables.append(id(variable))
    assert sorted(variables) == sorted(id(weight) for weight in model.trainable_weights)


@pytest.mark.parametrize("size", SIZES)
def test_paths_are_unique(size: str) -> None:
    for kind in KINDS:
        layers = layout(kind, EncoderConfig.of_size(size))
        assert len(tensor_paths(layers)) == sum(len(layer.tensors) for layer in layers)
        assert len({layer.name for layer in layers}) == len(layers)


def test_no_place_for_conv_linear() -> None:
    with pytest.raises(ConfigError, match="no conv_linear"):
        layout("encoder", EncoderConfig.small(embedding="conv_linear"))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_original_s_layout(name: str, golden: pathlib.Path) -> None:
    """Layers, tensors, their order and their shapes, as the original's program wrote them."""
    kind, size, embedding = GOLDEN[name]
    with h5py.File(golden / f"{name}.h5") as file:
        found = [
            (layer, [(tensor, file[layer][tensor].shape) for tensor in file[layer].attrs["weight_names"]])
            for layer in file.attrs["layer_names"]
        ]

    def described(layer: FileLayer) -> tuple[str, list[tuple[str, tuple[int, ...]]]]:
        return layer.name, [(tensor.name, tensor.shape) for tensor in layer.tensors]

    assert found == [described(layer) for layer in layout(kind, EncoderConfig.of_size(size, embedding=embedding))]
