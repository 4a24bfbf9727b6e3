"""Positions are the original's, nothing leaks between patches, and every layer survives its configuration."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models import layers as pat_layers
from tests.models import reference

PATCH = 6


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def test_rates_are_the_formula_in_float32() -> None:
    rates = pat_layers.position_rates(96)
    step = np.float32(np.log(np.float32(10000.0))) / np.float32(96)
    exact = np.exp(-np.float64(step) * np.arange(0, 96, 2))
    assert rates.dtype == np.float32 and rates.shape == (48,)
    assert rates[0] == 1.0
    np.testing.assert_allclose(rates, exact, rtol=4e-7)
    # In float64 throughout they would be others, and tokens would differ from the original's by 4e-5.
    wrong = np.exp(-np.log(10000.0) / 96 * np.arange(0, 96, 2)).astype(np.float32)
    assert (rates != wrong).sum() > 5


def test_positions_are_sines_then_cosines() -> None:
    found = _numpy(pat_layers.positions(560, 96))
    angles = np.arange(560, dtype=np.float32)[:, None] * pat_layers.position_rates(96)
    np.testing.assert_allclose(found, np.concatenate([np.sin(angles), np.cos(angles)], axis=1), atol=2e-6)
    np.testing.assert_array_equal(found[0], np.repeat([0.0, 1.0], 48))
    np.testing.assert_allclose(_numpy(pat_layers.positions(40, 8)), reference.positions(40, 8), atol=1e-5)


def test_positions_of_the_original(golden: pathlib.Path) -> None:
    """A whole-model file holds the original's positions as the constant of an addition."""
    with h5py.File(golden / "PAT-S_encoder_model.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    (node,) = next(layer["inbound_nodes"] for layer in layers if layer["name"].startswith("tf.__operators__.add"))
    stored = np.squeeze(np.array(node[-1]["y"], dtype=np.float32))
    assert stored.shape == (560, 96)
    np.testing.assert_allclose(_numpy(pat_layers.positions(560, 96)), stored, atol=3e-7)


def _embedding(kind: str, **changes: Any) -> keras.layers.Layer:
    config = EncoderConfig(PATCH, 2, 1, embed_dim=8, key_dim=8, embedding=kind, **changes)
    layer = pat_layers.patch_embedding(config)
    layer.build((None, None))
    return reference.randomize(layer)


def _touched(layer: keras.layers.Layer, minute: int) -> list[int]:
    """The patches whose embedding changes when one minute does."""
    x = np.random.default_rng(1).normal(size=(2, 5 * PATCH)).astype(np.float32)
    changed = x.copy()
    changed[:, minute] += 3.0
    difference = np.abs(_numpy(layer(x)) - _numpy(layer(changed))).max(axis=(0, 2))
    return np.flatnonzero(difference > 0).tolist()


@pytest.mark.parametrize("kind", ["linear", "conv", "conv_linear"])
def test_nothing_leaks_into_the_next_patch(kind: str) -> None:
    layer = _embedding(kind)
    for minute in range(5 * PATCH):
        assert _touched(layer, minute) == [minute // PATCH]


def test_leaks_when_asked() -> None:
    layer = _embedding("conv_linear", conv_across_patches=True)
    assert _touched(layer, 2 * PATCH) == [1, 2]  # a kernel of 5 sees two minutes to either side
    assert _touched(layer, 2 * PATCH + 1) == [1, 2]
    assert _touched(layer, 2 * PATCH + 2) == [2]
    assert _touched(layer, 3 * PATCH - 1) == [2, 3]
    assert _touched(layer, 0) == [0]


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_convolution_of_any_width(kernel_size: int) -> None:
    config = EncoderConfig(PATCH, 2, 1, embed_dim=8, key_dim=8, embedding="conv", conv_kernel_size=kernel_size)
    layer = _embedding("conv", conv_kernel_size=kernel_size)
    x = np.random.default_rng(0).normal(size=(2, 4 * PATCH)).astype(np.float32)
    weights = {"patch_embedding." + w.name: _numpy(w.value).astype(float) for w in layer.weights}
    expected = reference.embed(weights.__getitem__, config, x) - reference.positions(4, 8)
    np.testing.assert_allclose(_numpy(layer(x)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 13), "13 minutes, which is not a multiple of the patch size of 6 minutes. Cut it to 12"),
        ((2, 0), "0 minutes"),
        ((12,), r"shape \(12,\)"),
        ((2, 12, 1), r"shape \(2, 12, 1\)"),
    ],
)
def test_wrong_inputs(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pat_layers.split_patches(ops.zeros(shape), PATCH)


def _layers() -> list[keras.layers.Layer]:
    return [
        pat_layers.LinearPatchEmbedding(PATCH, 8),
        pat_layers.ConvPatchEmbedding(PATCH, 8, kernel_size=5),
        pat_layers.ConvLinearPatchEmbedding(PATCH, 8, filters=3, kernel_size=7, across_patches=True),
        pat_layers.Attention(3),
        pat_layers.TransformerBlock(3, ff_dim=20, dropout=0.3),
    ]


@pytest.mark.parametrize("layer", _layers(), ids=lambda layer: type(layer).__name__)
def test_configuration_and_back(layer: keras.layers.Layer, tmp_path: pathlib.Path) -> None:
    shape = (2, 4, 8) if isinstance(layer, pat_layers.Attention | pat_layers.TransformerBlock) else (2, 4 * PATCH)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    layer.build((None, *shape[1:]))
    reference.randomize(layer)
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    again.build((None, *shape[1:]))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(_numpy(again(x)), _numpy(layer(x)))

    inputs = keras.Input(shape[1:], batch_size=shape[0])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(_numpy(loaded(x)), _numpy(model(x)))


def test_block_dropout_only_in_training() -> None:
    layer = pat_layers.TransformerBlock(3, ff_dim=20, dropout=0.5)
    layer.build((None, None, 8))
    x = np.random.default_rng(0).normal(size=(2, 4, 8)).astype(np.float32)
    first, second = _numpy(layer(x)), _numpy(layer(x, training=False))
    np.testing.assert_array_equal(first, second)
    assert np.abs(_numpy(layer(x, training=True)) - _numpy(layer(x, training=True))).max() > 0.1
