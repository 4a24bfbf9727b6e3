"""The paper's networks: their sizes counted by hand, learning, saving, and the same numbers under JAX."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.networks import NETWORKS, BaselineNetwork
from tests.models import reference

WEEK = 10_080
LENGTHS = {"lstm": 60, "cnn1d": 60, "cnn3d": WEEK, "convlstm": WEEK}
# kernel x inputs x filters + biases of every layer; an LSTM has four of each, on the input and on its own state.
COUNTS = {
    "lstm": 4 * ((1 + 50) * 50 + 50) + (50 * 100 + 100) + (100 + 1),
    "cnn1d": (3 * 32 + 32) + (3 * 32 * 64 + 64) + (64 * 64 + 64) + (64 + 1),
    "cnn3d": (27 * 32 + 32) + (27 * 32 * 64 + 64) + (1 * 6 * 15 * 64 * 128 + 128) + (128 + 1),
    "convlstm": 4 * (25 * (1 + 32) * 32 + 32) + 4 * (4 * (32 + 64) * 64 + 64) + (9 * 27 * 64 * 100 + 100) + (100 + 1),
}


def _weeks(kind: str, people: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(people, LENGTHS[kind])).astype(np.float32)


def _random(kind: str, **settings: object) -> BaselineNetwork:
    return reference.randomize(BaselineNetwork(kind, LENGTHS[kind], **settings))


@pytest.mark.parametrize("kind", NETWORKS)
def test_number_of_weights_and_shape_of_the_output(kind: str) -> None:
    model = BaselineNetwork(kind, WEEK)
    assert model.count_params() == COUNTS[kind]
    assert (model.task, model.num_classes, model.num_outputs) == ("binary", 2, 1)
    classes = BaselineNetwork(kind, LENGTHS[kind], "multiclass", 3)
    assert classes.predict_logits(_weeks(kind), batch_size=2).shape == (3, 3)
    assert classes.count_params() - COUNTS[kind] == 2 * (classes.output_layer.kernel.shape[0] + 1)
    assert classes.predict_proba(_weeks(kind)).sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_lowers_the_loss(kind: str) -> None:
    keras.utils.set_random_seed(0)
    y = np.arange(16) % 2
    x = _weeks(kind, 16) * 0.3 + (2.0 * y[:, None] - 1.0).astype(np.float32)
    model = BaselineNetwork(kind, LENGTHS[kind])
    before = model.get_weights()
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    losses = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert all(np.abs(new - old).max() > 0 for new, old in zip(model.get_weights(), before, strict=True) if new.ndim)


@pytest.mark.parametrize("kind", NETWORKS)
def test_saved_and_loaded_with_its_scaling(kind: str, tmp_path: pathlib.Path) -> None:
    x = 50 + 20 * _weeks(kind)
    standardizer = Standardizer.fit(x, "per_minute")
    model = _random(kind, task="regression")
    raw = model.taking_raw(standardizer, "savitzky_golay")
    raw.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, BaselineNetwork)
    assert (loaded.kind, loaded.length, loaded.task, loaded.smoothing) == (
        kind,
        LENGTHS[kind],
        "regression",
        "savitzky_golay",
    )
    np.testing.assert_array_equal(loaded.predict_logits(x), raw.predict_logits(x))
    plain = model.taking_raw(standardizer)
    expected = model.predict_logits(standardizer.apply(x))
    np.testing.assert_allclose(plain.predict_logits(x), expected, rtol=1e-4, atol=1e-4)


def test_missing_minutes_count_as_the_mean() -> None:
    x = 50 + 20 * _weeks("cnn1d", 30)
    standardizer = Standardizer.fit(x, "per_minute")
    model = _random("cnn1d").taking_raw(standardizer)
    gaps, filled = x[:2].copy(), x[:2].copy()
    gaps[:, 20:40] = np.nan
    filled[:, 20:40] = standardizer.mean[20:40]
    np.testing.assert_allclose(model.predict_logits(gaps), model.predict_logits(filled), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_layers_are_the_facts(kind: str) -> None:
    """The same weights in plain Keras models, written down from the paper's description."""
    keras_layers = keras.layers
    # Keras 2's default for ConvLSTM2D, which the authors left as it was: 0 below -2.5, 1 above 2.5, a line between.
    gates = {"recurrent_activation": lambda x: ops.minimum(ops.maximum(0.0, 0.5 + x / 5.0), 1.0)}
    plain = {
        "lstm": lambda: [keras_layers.LSTM(50), keras_layers.Dense(100, "relu")],
        "cnn1d": lambda: [
            *(keras_layers.Conv1D(32, 3, activation="relu"), keras_layers.MaxPooling1D(2)),
            *(keras_layers.Conv1D(64, 3, activation="relu"), keras_layers.MaxPooling1D(2)),
            *(keras_layers.GlobalAveragePooling1D(), keras_layers.Dense(64, "relu"), keras_layers.Dropout(0.5)),
        ],
        "cnn3d": lambda: [
            *(keras_layers.Conv3D(32, (3, 3, 3), padding="same", activation="relu"), keras_layers.MaxPooling3D()),
            *(keras_layers.Conv3D(64, (3, 3, 3), padding="same", activation="relu"), keras_layers.MaxPooling3D()),
            *(keras_layers.Flatten(), keras_layers.Dense(128, "relu"), keras_layers.Dropout(0.5)),
        ],
        "convlstm": lambda: [
            keras_layers.ConvLSTM2D(32, (5, 5), **gates, activation="relu", return_sequences=True),
            *(keras_layers.Activation("relu"), keras_layers.MaxPooling3D(pool_size=(1, 2, 2))),
            *(keras_layers.ConvLSTM2D(64, (2, 2), **gates), keras_layers.Dropout(0.2), keras_layers.Flatten()),
            *(keras_layers.Dropout(0.2), keras_layers.Dense(100, "relu")),
        ],
    }[kind]()
    shape = (7, 24, 60, 1) if kind in ("cnn3d", "convlstm") else (LENGTHS[kind], 1)
    expected = keras.Sequential([keras_layers.Input(shape), *plain, keras_layers.Dense(1, "sigmoid")])
    model, x = _random(kind), _weeks(kind)
    expected.set_weights(model.get_weights())
    rates = [
        [layer.rate for layer in stack if isinstance(layer, keras_layers.Dropout)] for stack in (model.stack, plain)
    ]
    assert rates[0] == rates[1]
    found = model.predict_proba(x)[:, 1:]
    np.testing.assert_allclose(found, expected.predict_on_batch(x.reshape(-1, *shape)), rtol=1e-4, atol=1e-5)


def test_a_convlstm_from_before_there_were_gates_keeps_its_sigmoid() -> None:
    config = BaselineNetwork("convlstm").get_config()
    assert config.pop("gates") == "hard"
    assert BaselineNetwork.from_config(config).stack[0].cell.recurrent_activation is keras.activations.sigmoid


def test_in_bfloat16_logits_stay_float32() -> None:
    model = BaselineNetwork("cnn1d", 60, dtype="mixed_bfloat16")
    assert model(_weeks("cnn1d")).dtype == "float32" and model.stack[0].compute_dtype == "bfloat16"
    assert BaselineNetwork("lstm", 60, dtype="mixed_bfloat16").stack[0].compute_dtype == "float32"


@pytest.mark.parametrize(
    ("kind", "length", "message"),
    [
        ("gru", WEEK, "lstm, cnn1d, cnn3d, convlstm"),
        ("cnn3d", 1440, "7 whole days"),
        ("convlstm", 2 * WEEK, "7 whole days"),
        ("cnn1d", 9, "at least 10"),
    ],
)
def test_impossible_networks(kind: str, length: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BaselineNetwork(kind, length)


def test_wrong_inputs() -> None:
    model = BaselineNetwork("cnn1d", 60)
    for shape in ((2, 61), (2, 60, 1)):
        with pytest.raises(ConfigError, match="60 minutes"):
            model.predict_logits(np.zeros(shape, np.float32))


def test_the_same_numbers_under_jax(tmp_path: pathlib.Path) -> None:
    for kind in NETWORKS:
        model = _random(kind)
        model.save(tmp_path / f"{kind}.keras")
        np.save(tmp_path / f"{kind}_x.npy", _weeks(kind))
        np.save(tmp_path / f"{kind}_y.npy", model.predict_logits(_weeks(kind)))
    program = (
        "import sys, keras, numpy as np\n"
        "from pat_keras.models.networks import NETWORKS\n"
        "assert keras.backend.backend() == 'jax'\n"
        "for kind in NETWORKS:\n"
        "    path = f'{sys.argv[1]}/{kind}'\n"
        "    model = keras.saving.load_model(path + '.keras')\n"
        "    x, y = np.load(path + '_x.npy'), np.load(path + '_y.npy')\n"
        "    print(np.abs(model.predict_logits(x) - y).max(), flush=True)\n"
        "    if kind != 'convlstm':  # compiling its gradient takes half a minute\n"
        "        model.compile('adam', keras.losses.BinaryCrossentropy(from_logits=True))\n"
        "        assert np.isfinite(model.fit(x, np.array([0, 1, 0]), verbose=0).history['loss'][0])\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 4 and max(float(line) for line in done.stdout.split()) < 1e-3
