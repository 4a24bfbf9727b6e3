"""PATMaskedAutoencoder: what it hides stays hidden, and each order puts tokens where it says."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.layers import positions
from pat_keras.models.mae import PATMaskedAutoencoder
from tests.models import reference
from tests.models.reference import TINY

PATCHES = 10
MINUTES = PATCHES * TINY.patch_size
RATIO = 0.7


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def _model(order: str = "restored", **arguments: Any) -> PATMaskedAutoencoder:
    return reference.randomize(PATMaskedAutoencoder(TINY, mask_ratio=RATIO, order=order, **arguments))


def _weeks(people: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(people, MINUTES)).astype(np.float32)


def _expected(model: PATMaskedAutoencoder, x: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """The forward pass written out, with one permutation for everybody."""
    weights = reference.weights_of(model)
    masked, visible = np.split(permutation, [model.num_masked(len(permutation))])
    within = lambda part: lambda path: weights(f"{part}.{path}")  # noqa: E731
    embedded = reference.embed(within("encoder"), TINY, x)
    encoded, _ = reference.blocks(within("encoder"), TINY, embedded[:, visible])
    tokens = np.zeros_like(embedded)
    if model.order == "restored":
        tokens[:, visible], tokens[:, masked] = encoded, weights("mask_token")
    else:  # the first places of the permutation, which are masked ones, get the encoded patches
        tokens[:, permutation[: len(visible)]] = encoded
        tokens[:, permutation[len(visible) :]] = weights("mask_token")
    tokens = tokens + reference.positions(len(permutation), TINY.embed_dim)
    decoded, _ = reference.block(within("decoder_block"), tokens)
    minutes = 2 * np.tanh(decoded @ weights("decoder_dense.kernel") + weights("decoder_dense.bias"))
    return minutes.reshape(x.shape)


@pytest.mark.parametrize("order", ["restored", "original"])
def test_numbers_of_the_formulas(order: str) -> None:
    model, x = _model(order), _weeks()
    permutation = model.draw_permutation(PATCHES, seed=4)
    found = _numpy(model(x, permutation))
    np.testing.assert_allclose(found, _expected(model, x, permutation), atol=1e-5)
    assert np.abs(found).max() <= 2.0


def test_the_orders_differ() -> None:
    model, x = _model(), _weeks()
    other = _model("original")
    permutation = model.draw_permutation(PATCHES, seed=4)
    assert np.abs(_numpy(model(x, permutation)) - _numpy(other(x, permutation))).max() > 0.1


def test_masked_minutes_are_not_seen() -> None:
    model, x = _model(), _weeks()
    permutation = model.draw_permutation(PATCHES, seed=4)
    before = _numpy(model(x, permutation))
    for patch in range(PATCHES):
        changed = x.copy()
        changed[:, patch * TINY.patch_size] += 5.0
        moved = np.abs(_numpy(model(changed, permutation)) - before).max()
        assert (moved == 0) == (patch in permutation[: model.num_masked(PATCHES)])


def test_a_permutation_for_each_person() -> None:
    model, x = _model(), _weeks()
    permutations = model.draw_permutation(PATCHES, seed=4, people=3)
    assert permutations.shape == (3, PATCHES)
    assert len({tuple(row) for row in permutations}) == 3
    together = _numpy(model(x, permutations))
    for i in range(3):
        np.testing.assert_allclose(together[i : i + 1], _expected(model, x[i : i + 1], permutations[i]), atol=1e-5)


def test_permutations_repeat_under_a_seed() -> None:
    model = _model()
    first = model.draw_permutation(PATCHES, seed=1)
    np.testing.assert_array_equal(np.sort(first), np.arange(PATCHES))
    np.testing.assert_array_equal(first, model.draw_permutation(PATCHES, seed=1))
    assert (first != model.draw_permutation(PATCHES, seed=2)).any()


@pytest.mark.parametrize(("patches", "masked"), [(560, 504), (1120, 1008), (2016, 1814), (15, 14), (5, 4)])
def test_number_masked(patches: int, masked: int) -> None:
    assert PATMaskedAutoencoder(TINY).num_masked(patches) == masked


@pytest.mark.parametrize(
    "arguments", [{"order": "sorted"}, {"mask_ratio": 0.0}, {"mask_ratio": 1.0}, {"mask_ratio": float("nan")}]
)
def test_impossible_settings(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="one of restored, original, one of tanh, linear and a number between 0 and"):
        PATMaskedAutoencoder(TINY, **arguments)


def test_nothing_left_to_see() -> None:
    model = PATMaskedAutoencoder(TINY, mask_ratio=0.9)
    with pytest.raises(ConfigError, match="no patch"):
        model(np.zeros((1, 2 * TINY.patch_size), np.float32), np.array([1, 0]))


def test_a_permutation_of_another_length() -> None:
    with pytest.raises(ConfigError, match="permutation of 9 patches"):
        _model()(_weeks(), np.arange(9))


@pytest.mark.parametrize("order", ["restored", "original"])
def test_configuration_and_saving(order: str, tmp_path: pathlib.Path) -> None:
    model, x = _model(order), _weeks()
    permutation = model.draw_permutation(PATCHES, seed=4)
    expected = _numpy(model(x, permutation))
    again = PATMaskedAutoencoder.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    model.save(tmp_path / "model.keras")
    for other in (again, keras.saving.load_model(tmp_path / "model.keras")):
        assert (other.order, other.mask_ratio, other.encoder.config) == (order, RATIO, TINY)
        np.testing.assert_array_equal(_numpy(other(x, permutation)), expected)


def test_mimetic_decoder_begins_by_looking_at_what_is_near() -> None:
    """Attention from the places masked, over the visible patches, sharpens around each place; drawn, it does not."""

    def near(mimetic: bool) -> float:
        keras.utils.set_random_seed(3)
        model = PATMaskedAutoencoder(EncoderConfig.small())
        if mimetic:
            model.start_mimetic()
        table = _numpy(positions(560, 96))[None]
        _, scores = model.decoder_block(table, return_attention_scores=True)  # mask tokens are nearly nothing
        distance = np.abs(np.arange(560)[:, None] - np.arange(560))
        return float((_numpy(scores)[0].mean(0) * (distance <= 5)).sum(1).mean())

    drawn, mimetic = near(mimetic=False), near(mimetic=True)
    assert drawn < 1.5 * 11 / 560  # as if it looked everywhere alike
    assert mimetic > 5 * drawn


def test_mimetic_kernels_are_equal_and_not_shared() -> None:
    model = PATMaskedAutoencoder(TINY)
    model.start_mimetic()
    attention = model.decoder_block.attention
    np.testing.assert_array_equal(_numpy(attention.query_kernel), _numpy(attention.key_kernel))
    attention.key_kernel.assign(0.0 * attention.key_kernel)
    assert np.abs(_numpy(attention.query_kernel)).max() > 0


def test_different_lengths_in_one_compiled_function() -> None:
    model = _model()
    if keras.backend.backend() == "jax":
        import jax

        function: Any = jax.jit(lambda x, permutation: model(x, permutation))
    else:
        import tensorflow as tf

        shapes = [tf.TensorSpec((None, None), tf.float32), tf.TensorSpec((None,), tf.int32)]
        function = tf.function(model, input_signature=shapes)
    for patches in (10, 7):
        x = _weeks()[:, : patches * TINY.patch_size]
        permutation = model.draw_permutation(patches, seed=4)
        np.testing.assert_allclose(_numpy(function(x, permutation)), _expected(model, x, permutation), atol=1e-5)


def test_every_weight_has_a_gradient() -> None:
    model, x = _model(), _weeks()
    permutation = model.draw_permutation(PATCHES, seed=4)
    weights = [_numpy(weight.value) for weight in model.trainable_weights]
    others = [_numpy(state.value) for state in model.non_trainable_variables]  # of dropout

    def loss(*weights: Any) -> Any:
        return ops.sum(ops.square(model.stateless_call(weights, others, x, permutation)[0] - x))

    for weight, gradient in zip(model.trainable_weights, reference.gradients(loss, *weights), strict=True):
        assert ("key_bias" in weight.path) == (np.abs(gradient).max() < 1e-6), weight.path
