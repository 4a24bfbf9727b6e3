"""Rates by variable against Keras's own optimizers run separately, under TensorFlow and under JAX."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from pat_keras.config import EncoderConfig, FinetuneConfig
from pat_keras.models.classifier import PATClassifier
from pat_keras.training.optimizers import Adam, WarmupCosine, encoder_depths, make_optimizer

_RNG = np.random.default_rng(0)
_X = _RNG.normal(size=(24, 6)).astype("float32")
_Y = _RNG.integers(0, 2, size=24).astype("float32")


class TinyModel(keras.Model):
    """An "encoder" and a head, as `make_optimizer` tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([keras.layers.Dense(5, activation="tanh", name="inner")])
        self.encoder.blocks = self.encoder.layers
        self.output_layer = keras.layers.Dense(1, name="output")
        self.build((None, 6))

    def build(self, input_shape) -> None:
        self.encoder.build(input_shape)
        self.output_layer.build((None, 5))
        self.built = True

    def call(self, x):
        return self.output_layer(self.encoder(x))


def _start() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape).astype("float32") for shape in ((6, 5), (5,), (5, 1), (1,))]


def _train(optimizer_of, steps: int = 5) -> list[np.ndarray]:
    """Weights after some steps of full batches."""
    model = TinyModel()
    model.set_weights(_start())
    model.compile(optimizer_of(model), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(_X, _Y, batch_size=24, epochs=steps, shuffle=False, verbose=0)
    return model.get_weights()


def _ours(**settings):
    config = FinetuneConfig(
        **{"schedule": "constant", "warmup_epochs": 0, "encoder_learning_rate": 0.002, "head_learning_rate": 0.05}
        | settings
    )
    return lambda model: make_optimizer(config, model, 5, 1)


def test_first_step_is_the_rate_of_each_variable() -> None:
    # Adam's first step is rate x sign(gradient).
    moved = [np.abs(a - b) for a, b in zip(_train(_ours(), steps=1), _start(), strict=True)]
    for change, rate in zip(moved, (0.002, 0.002, 0.05, 0.05), strict=True):
        np.testing.assert_allclose(change, rate, rtol=1e-2)


def _two_adams() -> list[np.ndarray]:
    """Each step's gradients, given to one Keras Adam for the encoder and to another for the head.

    The gradients are what plain gradient descent of rate 1 moves the weights by.
    """
    model = TinyModel()
    model.set_weights(_start())
    model.compile(keras.optimizers.SGD(1.0), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    optimizers = keras.optimizers.Adam(0.002), keras.optimizers.Adam(0.05)
    variables = model.trainable_variables[:2], model.trainable_variables[2:]
    for _ in range(5):
        before = [np.array(weights) for weights in model.get_weights()]
        model.fit(_X, _Y, batch_size=24, shuffle=False, verbose=0)
        gradients = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
        model.set_weights(before)
        for optimizer, own, part in zip(optimizers, variables, (gradients[:2], gradients[2:]), strict=True):
            optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in part], own)
    return model.get_weights()


def test_equals_two_adams_run_separately() -> None:
    for found, expected in zip(_train(_ours()), _two_adams(), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_decay_equals_adamw_and_spares_biases() -> None:
    settings = {"encoder_learning_rate": 0.01, "head_learning_rate": 0.01, "weight_decay": 0.3}

    def adamw(model):
        optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.3)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    decayed, plain = _train(_ours(**settings)), _train(_ours(**settings | {"weight_decay": 0.0}))
    for found, expected in zip(decayed, _train(adamw), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(decayed[0], plain[0], atol=1e-3)


def test_decay_goes_by_the_rate_of_the_variable() -> None:
    with_decay = _train(_ours(weight_decay=0.5), steps=1)
    without = _train(_ours(), steps=1)
    for place, rate in ((0, 0.002), (2, 0.05)):
        np.testing.assert_allclose(without[place] - with_decay[place], rate * 0.5 * _start()[place], atol=1e-6)
    for place in (1, 3):
        np.testing.assert_array_equal(with_decay[place], without[place])


def test_momentum_of_sgd_equals_keras() -> None:
    ours = _train(_ours(optimizer="sgd", encoder_learning_rate=0.01, head_learning_rate=0.01))
    theirs = _train(lambda model: keras.optimizers.SGD(0.01, momentum=0.9))
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


# --- by depth ---


class DeepModel(keras.Model):
    """An encoder of an embedding and three blocks, and a head."""

    def __init__(self) -> None:
        super().__init__()
        keras.utils.set_random_seed(0)
        self.encoder = keras.Sequential([keras.layers.Dense(5, activation="tanh", name=f"d{i}") for i in range(4)])
        self.encoder.build((None, 6))
        self.encoder.blocks = self.encoder.layers[1:]
        self.output_layer = keras.layers.Dense(1, name="output")
        self.output_layer.build((None, 5))
        self.built = True

    def call(self, x):
        return self.output_layer(self.encoder(x))

    @property
    def depths(self) -> list[list[np.ndarray]]:
        """Weights of the head, the last block, ..., the embedding."""
        parts = [self.output_layer, *reversed(self.encoder.layers)]
        return [[np.array(weights) for weights in part.get_weights()] for part in parts]


def _largest_changes(before: list[list[np.ndarray]], after: list[list[np.ndarray]]) -> list[float]:
    return [
        max(float(np.abs(a - b).max()) for a, b in zip(old, new, strict=True))
        for old, new in zip(before, after, strict=True)
    ]


def _steps_by_depth(steps: int, steps_per_epoch: int, **settings) -> list[list[float]]:
    """The largest step of each part of a DeepModel, head first, in each of some steps."""
    config = FinetuneConfig(**{"schedule": "constant", "warmup_epochs": 0} | settings)
    model = DeepModel()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(make_optimizer(config, model, 5, steps_per_epoch), loss=loss)
    moved = []
    for _ in range(steps):
        before = model.depths
        model.fit(_X, _Y, batch_size=24, shuffle=False, verbose=0)
        moved.append(_largest_changes(before, model.depths))
    return moved


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_rate_decays_with_the_depth_of_the_layer(optimizer: str) -> None:
    rates = {"encoder_learning_rate": 1e-2, "head_learning_rate": 3e-2, "optimizer": optimizer}
    (found,) = _steps_by_depth(1, 1, layer_decay=0.5, **rates)
    (plain,) = _steps_by_depth(1, 1, **rates)
    np.testing.assert_allclose(np.divide(found, plain), [1, 1, 0.5, 0.25, 0.125], rtol=1e-2)
    if optimizer == "adam":  # whose first step is the rate
        np.testing.assert_allclose(found, [3e-2, 1e-2, 5e-3, 2.5e-3, 1.25e-3], rtol=1e-2)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_frozen_parts_do_not_move_at_any_rate_before_their_epoch(optimizer: str) -> None:
    """Two steps an epoch, two epochs a part; weight decay would move what a zero gradient leaves."""
    moved = np.array(_steps_by_depth(18, 2, unfreeze_epochs=2, optimizer=optimizer, weight_decay=0.1))
    for depth in range(5):  # head, last block, ..., embedding
        begins = depth * 4
        assert (moved[:begins, depth] == 0.0).all()
        assert (moved[begins:, depth] > 0.0).all()


def test_first_step_of_an_unfrozen_block_is_not_larger_than_its_rate() -> None:
    """Adam with moments of zero, late in training, would begin with a step of three times the rate."""
    moved = _steps_by_depth(6, 2, unfreeze_epochs=2, encoder_learning_rate=1e-2)
    assert 0 < moved[4][1] < 1.1e-2


def test_depths_of_pat_by_rate() -> None:
    model = PATClassifier(EncoderConfig.large())
    depths = encoder_depths(model)
    by_depth = {}
    for variable in model.encoder.trainable_variables:
        by_depth.setdefault(depths[id(variable)], set()).add(variable.path.split("/")[1])
    assert by_depth == {
        4: {"patch_embedding"},
        3: {"encoder_layer_1"},
        2: {"encoder_layer_2"},
        1: {"encoder_layer_3"},
        0: {"encoder_layer_4"},
    }
    assert len(depths) == len(model.encoder.trainable_variables)


# --- averages ---


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_average_over_the_steps_by_hand(optimizer: str) -> None:
    rates = {"encoder_learning_rate": 0.05, "head_learning_rate": 0.05}
    config = FinetuneConfig(averaging="ema", ema_decay=0.7, optimizer=optimizer, **rates)
    model = TinyModel()
    model.set_weights(_start())
    model.compile(make_optimizer(config, model, 6, 1), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    seen = []
    for _ in range(6):
        model.fit(_X, _Y, batch_size=24, shuffle=False, verbose=0)
        seen.append([np.array(weights, dtype=np.float64) for weights in model.get_weights()])
    weight = 0.7 ** np.arange(5, -1, -1)
    expected = [np.average(steps, axis=0, weights=weight) for steps in zip(*seen, strict=True)]
    for average, values in zip(model.optimizer.averages, expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(average), values, atol=1e-6)
    assert not np.allclose(expected[2], seen[-1][2], atol=1e-4)


def test_average_leaves_training_as_it_is_and_what_has_no_gradient() -> None:
    averaged = _train(_ours(averaging="ema"))
    for found, expected in zip(averaged, _train(_ours()), strict=True):
        np.testing.assert_array_equal(found, expected)


def _rates(schedule: WarmupCosine, steps: int) -> list[float]:
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(steps)]


def test_schedule_rises_then_falls_along_a_cosine() -> None:
    rates = _rates(WarmupCosine(0.1, warmup=4, total=12, cosine=True), 14)
    rise = [0.1 * (step + 1) / 5 for step in range(5)]
    fall = [0.05 * (1 + np.cos(np.pi * (step - 4) / 8)) for step in range(5, 12)]
    np.testing.assert_allclose(rates, [*rise, *fall, 0.0, 0.0], atol=1e-8)


def test_schedule_without_cosine_stays() -> None:
    np.testing.assert_allclose(_rates(WarmupCosine(0.1, 1, 4, cosine=False), 6), [0.05] + 5 * [0.1], rtol=1e-6)
    np.testing.assert_allclose(_rates(WarmupCosine(0.1, 0, 4, cosine=False), 2), [0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(("schedule_epochs", "total"), [(None, 30), (7, 21)])
def test_a_cosine_falls_over_the_stage_or_as_asked(schedule_epochs: int | None, total: int) -> None:
    config = FinetuneConfig(schedule_epochs=schedule_epochs, warmup_epochs=2)
    schedule = make_optimizer(config, TinyModel(), 10, 3)._learning_rate
    assert (schedule.warmup, schedule.total, schedule.cosine) == (6, total, True)


def test_schedule_and_optimizer_survive_their_config() -> None:
    schedule = WarmupCosine(0.1, 4, 12, True)
    assert _rates(WarmupCosine.from_config(schedule.get_config()), 5) == _rates(schedule, 5)
    assert Adam(0.1).get_config()["learning_rate"] == pytest.approx(0.1)


def test_the_same_under_jax() -> None:
    if keras.backend.backend() == "jax":
        return
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    here = pathlib.Path(__file__).resolve()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "rate or adam or average",
        f"{here}",
    ]
    done = subprocess.run(command, env=environment, cwd=here.parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
