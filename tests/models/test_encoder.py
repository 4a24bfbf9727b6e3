"""PATEncoder computes the paper's formulas, for any length and batch, and can be saved."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder
from tests.models import reference
from tests.models.reference import TINY

# facts of the original's notebooks, and what its whole models say in Keras 2
COUNTS = {
    ("small", "linear"): 274_720,
    ("small", "conv"): 273_280,
    ("medium", "linear"): 993_440,
    ("medium", "conv"): 992_000,
    ("large", "linear"): 1_984_192,
    ("large", "conv"): 1_983_616,
    ("huge", "linear"): 3_967_040,
    ("huge", "conv"): 3_966_848,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "linear": {"embedding": "linear"},
    "conv": {"embedding": "conv"},
    "conv_linear": {"embedding": "conv_linear", "conv_filters": 4},
    "across": {"embedding": "conv_linear", "conv_across_patches": True, "conv_kernel_size": 7},
}


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def _weeks(people: int, minutes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(people, minutes)).astype(np.float32)


def _tiny(**changes: Any) -> PATEncoder:
    config = EncoderConfig.from_dict({**TINY.to_dict(), **changes})
    return reference.randomize(PATEncoder(config))


@pytest.mark.parametrize(("size", "embedding"), COUNTS)
def test_parameter_counts(size: str, embedding: str) -> None:
    assert PATEncoder(EncoderConfig.of_size(size, embedding=embedding)).count_params() == COUNTS[size, embedding]


@pytest.mark.parametrize("variant", VARIANTS)
def test_numbers_of_the_formulas(variant: str) -> None:
    encoder = _tiny(**VARIANTS[variant])
    x = _weeks(3, 4 * TINY.patch_size)
    expected, expected_scores = reference.encode(reference.weights_of(encoder), encoder.config, x)
    np.testing.assert_allclose(_numpy(encoder(x)), expected, atol=1e-5)
    tokens, scores = encoder(x, return_attention_scores=True)
    np.testing.assert_allclose(_numpy(tokens), expected, atol=1e-5)
    assert len(scores) == len(expected_scores) == TINY.num_layers
    for found, wanted in zip(scores, expected_scores, strict=True):
        np.testing.assert_allclose(_numpy(found), wanted, atol=1e-6)
        np.testing.assert_allclose(_numpy(found).sum(axis=-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("embedding", ["linear", "conv", "conv_linear"])
def test_numbers_at_full_width(embedding: str) -> None:
    encoder = reference.randomize(PATEncoder(EncoderConfig.small(embedding=embedding)))
    x = _weeks(2, 24 * 18)
    expected, (expected_scores,) = reference.encode(reference.weights_of(encoder), encoder.config, x)
    tokens, (scores,) = encoder(x, return_attention_scores=True)
    np.testing.assert_allclose(_numpy(tokens), expected, atol=1e-5)
    np.testing.assert_allclose(_numpy(scores), expected_scores, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_length_and_batch_through_one_compiled_model(variant: str) -> None:
    encoder = _tiny(**VARIANTS[variant])
    weights = reference.weights_of(encoder)
    for people, patches in [(3, 4), (1, 7), (2, 5), (3, 4)]:
        x = _weeks(people, patches * TINY.patch_size, seed=patches)
        expected, _ = reference.encode(weights, encoder.config, x)
        tokens = encoder.predict(x, verbose=0, batch_size=2)
        assert tokens.shape == (people, patches, TINY.embed_dim)
        np.testing.assert_allclose(tokens, expected, atol=1e-5)


def test_embed_is_the_mean_of_the_tokens() -> None:
    encoder = _tiny()
    x = _weeks(5, 4 * TINY.patch_size)
    vectors = encoder.embed(x, batch_size=2)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, _numpy(encoder(x)).mean(axis=1), atol=1e-6)
    assert encoder.embed(x[:0]).shape == (0, TINY.embed_dim)


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@pytest.mark.parametrize("worn", [False, True])
def test_pooling_inside_a_model_is_that_of_embed(worn: bool, pooling: str) -> None:
    encoder = PATEncoder(TINY)
    x = np.random.default_rng(0).normal(size=(3, 20 * TINY.patch_size)).astype(np.float32)
    given = {"wear": np.random.default_rng(1).random(x.shape) < 0.6} if worn else {}
    inside = ops.convert_to_numpy(encoder.pool(x, pooling=pooling, **given))
    np.testing.assert_allclose(inside, encoder.embed(x, pooling=pooling, **given), atol=2e-6)
    assert inside.shape[1] == TINY.embed_dim * (1 + (pooling == "mean_std"))


def test_another_pooling_is_refused() -> None:
    encoder, x = PATEncoder(TINY), np.zeros((1, 10080), np.float32)
    for way in (encoder.pool, encoder.embed):
        with pytest.raises(ConfigError, match="pooling is 'max', expected one of mean, mean_std"):
            way(x, pooling="max")


def test_scores_of_a_cohort_are_streamed() -> None:
    encoder = _tiny()
    x = _weeks(5, 4 * TINY.patch_size)
    _, scores = encoder(x, return_attention_scores=True)
    for block in (0, 1, -1):
        steps = list(encoder.iter_attention_scores(x, block=block, batch_size=2))
        assert [part for part, _ in steps] == [slice(0, 2), slice(2, 4), slice(4, 5)]
        for part, found in steps:
            np.testing.assert_allclose(found, _numpy(scores[block])[part], atol=1e-6)
    with pytest.raises(IndexError):
        next(encoder.iter_attention_scores(x, block=2))


@pytest.mark.parametrize("shape", [(2, 13), (2, 0), (12,), (2, 12, 1)])
def test_wrong_inputs(shape: tuple[int, ...]) -> None:
    encoder, x = _tiny(), np.zeros(shape, dtype=np.float32)
    for call in (encoder, encoder.embed, encoder.predict_on_batch, lambda x: next(encoder.iter_attention_scores(x))):
        with pytest.raises(ConfigError, match=r"not a multiple|\(people, minutes\)"):
            call(x)


@pytest.mark.parametrize("shape", [(1, 24), (2, 12), (24,), (3, 24)])
def test_wear_of_another_shape(shape: tuple[int, ...]) -> None:
    """One row for all people would spread over a batch, and be wrong in silence."""
    with pytest.raises(ConfigError, match="wear has the shape"):
        _tiny().embed(np.zeros((2, 24), np.float32), wear=np.ones(shape, dtype=bool))


def test_inside_a_model_of_keras() -> None:
    """Of whole weeks, whose scores are more than what is kept: there, JAX knows the number of people by a symbol."""
    encoder, x = PATEncoder(EncoderConfig.small()), _weeks(2, 10_080)
    inputs = keras.Input((10_080,))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(encoder(inputs)))
    np.testing.assert_allclose(model.predict(x, verbose=0), encoder.embed(x), atol=1e-5)


def test_an_input_of_unknown_length() -> None:
    """TensorFlow takes any; JAX compiles for one, and says so."""
    encoder, weeks = PATEncoder(EncoderConfig.small()), keras.Input(shape=(None,))
    if keras.backend.backend() == "jax":
        with pytest.raises(ConfigError, match=r"minutes of the input is not known.*keras.Input\(shape=\(10080,\)\)"):
            encoder(weeks)
    else:
        assert encoder(weeks).shape == (None, None, 96)


def test_config_is_required() -> None:
    with pytest.raises(ConfigError, match=r"EncoderConfig.small\(\)"):
        PATEncoder("small")  # type: ignore[arg-type]


def test_counts_as_whole_numbers() -> None:
    encoder = _tiny()
    counts = np.random.default_rng(0).integers(0, 5, (2, 2 * TINY.patch_size))
    expected = _numpy(encoder(counts.astype(np.float32)))
    for kind in (np.uint16, np.int64, np.float64):
        np.testing.assert_array_equal(_numpy(encoder(counts.astype(kind))), expected)


def test_dropout_only_in_training() -> None:
    encoder = _tiny(dropout=0.5)
    x = _weeks(3, 4 * TINY.patch_size)
    expected = _numpy(encoder(x, training=False))
    np.testing.assert_array_equal(_numpy(encoder(x)), expected)
    np.testing.assert_allclose(encoder.predict_on_batch(x), expected, atol=1e-5)
    assert np.abs(_numpy(encoder(x, training=True)) - expected).max() > 0.1


def test_bfloat16_is_near() -> None:
    encoder = _tiny()
    narrow = PATEncoder(encoder.config, dtype="mixed_bfloat16")
    narrow.set_weights(encoder.get_weights())
    x = _weeks(3, 4 * TINY.patch_size)
    tokens = narrow(x)
    assert keras.backend.standardize_dtype(tokens.dtype) == "bfloat16"
    difference = np.abs(_numpy(ops.cast(tokens, "float32")) - _numpy(encoder(x)))
    assert 0 < difference.max() < 0.2
    ((_, scores),) = narrow.iter_attention_scores(x, batch_size=3)
    np.testing.assert_allclose(scores.sum(axis=-1), 1.0, atol=0.02)


@pytest.mark.parametrize("variant", VARIANTS)
def test_configuration_and_back(variant: str) -> None:
    encoder = _tiny(**VARIANTS[variant])
    encoder.trainable = False
    again = PATEncoder.from_config(json.loads(json.dumps(encoder.get_config())))
    assert again.config == encoder.config and again.name == encoder.name
    assert not again.trainable and not again.trainable_weights
    again.set_weights(encoder.get_weights())
    x = _weeks(3, 4 * TINY.patch_size)
    np.testing.assert_array_equal(_numpy(again(x)), _numpy(encoder(x)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_and_loaded(variant: str, tmp_path: pathlib.Path) -> None:
    encoder = _tiny(**VARIANTS[variant], dropout=0.3)
    path = tmp_path / "encoder.keras"
    encoder.save(path)
    loaded = keras.saving.load_model(path)
    assert isinstance(loaded, PATEncoder) and loaded.config == encoder.config
    x = _weeks(3, 4 * TINY.patch_size)
    np.testing.assert_array_equal(_numpy(loaded(x)), _numpy(encoder(x)))
    np.testing.assert_array_equal(loaded.predict_on_batch(x), encoder.predict_on_batch(x))


@pytest.mark.parametrize(
    "program",
    [
        "import pat_keras; model = pat_keras.load_model(path)",
        "import keras, pat_keras; model = keras.saving.load_model(path)",
    ],
)
def test_loaded_in_a_new_process(program: str, tmp_path: pathlib.Path) -> None:
    encoder, x = _tiny(), _weeks(3, 4 * TINY.patch_size)
    encoder.save(tmp_path / "encoder.keras")
    np.save(tmp_path / "x.npy", x)
    text = f"""
import numpy as np
path = "encoder.keras"
{program}
np.save("tokens.npy", model.predict_on_batch(np.load("x.npy")))
"""
    subprocess.run([sys.executable, "-c", text], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "tokens.npy"), encoder.predict_on_batch(x))


def test_trained_by_keras() -> None:
    """Every weight gets a gradient through the compiled training step."""
    encoder = _tiny()
    before = [_numpy(weight.value) for weight in encoder.trainable_weights]
    encoder.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=encoder.jit_compile)
    x = _weeks(3, 4 * TINY.patch_size)
    encoder.fit(x, np.ones((3, 4, TINY.embed_dim), np.float32), epochs=1, verbose=0)
    for weight, old in zip(encoder.trainable_weights, before, strict=True):
        moved = np.abs(_numpy(weight.value) - old).max()
        if "key_bias" in weight.path:  # cancels in the softmax
            assert moved < 1e-6
        else:
            assert moved > 1e-7, weight.path
