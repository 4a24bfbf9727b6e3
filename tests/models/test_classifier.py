"""PATClassifier: heads, tasks, scaling inside the model, probabilities, saving."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import KINDS, EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.classifier import PATClassifier, Standardization
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.outputs import probabilities
from tests.models import reference
from tests.models.reference import TINY

MINUTES = 4 * TINY.patch_size
MODELS: dict[str, dict[str, Any]] = {
    "official": {"head": "official"},
    "linear": {"head": "linear"},
    "classes": {"head": "official", "task": "multiclass", "num_classes": 3},
    "regression": {"head": "linear", "task": "regression"},
}


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def _weeks(people: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(people, MINUTES)).astype(np.float32)


def _model(**arguments: Any) -> PATClassifier:
    return reference.randomize(PATClassifier(TINY, **arguments))


def _expected(model: PATClassifier, x: np.ndarray) -> np.ndarray:
    weights = reference.weights_of(model)
    pooled = reference.encode(lambda path: weights(f"encoder.{path}"), TINY, x)[0].mean(axis=1)
    if model.head == "official":
        pooled = np.maximum(pooled @ weights("hidden.kernel") + weights("hidden.bias"), 0.0)
    return pooled @ weights("output_layer.kernel") + weights("output_layer.bias")


@pytest.mark.parametrize("kind", MODELS)
def test_numbers_of_the_formulas(kind: str) -> None:
    model, x = _model(**MODELS[kind]), _weeks()
    expected = _expected(model, x)
    assert expected.shape == (3, model.num_outputs)
    np.testing.assert_allclose(_numpy(model(x)), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict_logits(x, batch_size=2), expected, atol=1e-5)
    np.testing.assert_allclose(_numpy(model.call_head(model.pool(x))), expected, atol=1e-5)


def test_number_of_weights() -> None:
    encoder = PATEncoder(TINY).count_params()
    assert PATClassifier(TINY).count_params() == encoder + 8 * 128 + 128 + 128 + 1
    assert PATClassifier(TINY, head="linear").count_params() == encoder + 8 + 1
    assert PATClassifier(EncoderConfig.small(), head="linear").count_params() == 274_720 + 97


def test_probabilities_of_two_classes() -> None:
    model, x = _model(), _weeks()
    logits = _expected(model, x)[:, 0]
    found = model.predict_proba(x, batch_size=2)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_probabilities_of_three_classes() -> None:
    model, x = _model(**MODELS["classes"]), _weeks()
    odds = np.exp(_expected(model, x))
    np.testing.assert_allclose(model.predict_proba(x), odds / odds.sum(axis=1, keepdims=True), atol=1e-6)


def test_probabilities_of_extreme_logits() -> None:
    found = probabilities(np.array([[-2000.0], [0.0], [2000.0]]), "binary")
    np.testing.assert_array_equal(found, [[1, 0], [0.5, 0.5], [0, 1]])


def test_a_regression_has_no_probabilities() -> None:
    with pytest.raises(ConfigError, match="predict_logits"):
        _model(**MODELS["regression"]).predict_proba(_weeks())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "mlp"}, "official, linear"),
        ({"task": "survival"}, "binary, multiclass, regression"),
        ({"task": "multiclass", "num_classes": 1}, "num_classes is 1"),
        ({"num_classes": 3}, "num_classes is 3, which a binary task"),
    ],
)
def test_impossible_models(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PATClassifier(TINY, **arguments)


def test_wrong_inputs() -> None:
    model = _model()
    with pytest.raises(ConfigError, match="not a multiple"):
        model.predict_proba(np.zeros((2, MINUTES + 1), np.float32))
    with pytest.raises(ConfigError, match=r"\(people, minutes\)"):
        model.predict_logits(np.zeros((2, MINUTES, 1), np.float32))


def test_dropout_only_in_training() -> None:
    model, x = _model(dropout=0.5), _weeks()
    np.testing.assert_array_equal(_numpy(model(x)), _numpy(model(x, training=False)))
    pooled = model.pool(x)
    assert np.abs(_numpy(model.call_head(pooled, training=True)) - _numpy(model.call_head(pooled))).max() > 1e-3


def test_an_encoder_is_shared_not_copied() -> None:
    encoder = PATEncoder(TINY)
    model = PATClassifier(encoder)
    assert model.encoder is encoder
    encoder.trainable = False
    assert len(model.trainable_weights) == 4


# Scaling inside the model.


def _counts(people: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    counts = rng.gamma(0.5, 200.0, size=(people, MINUTES)).astype(np.float32)
    counts[:, 3] = 7.3  # a minute that is the same in everybody
    counts[1] = 0.1  # a recording without any variation
    return counts


def _with_scaling(kind: str) -> tuple[PATClassifier, Standardizer]:
    standardizer = Standardizer.fit(_counts(), kind)
    scaling = Standardization(kind, len(standardizer.mean))
    model = _model(standardization=scaling)
    scaling.set_statistics(standardizer.mean, standardizer.scale)
    return model, standardizer


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_inside_is_the_standardizer_s(kind: str) -> None:
    model, standardizer = _with_scaling(kind)
    scaled = standardizer.apply(_counts())
    assert model.standardization is not None
    np.testing.assert_allclose(_numpy(model.standardization(_counts())), scaled, rtol=1e-5, atol=1e-5)
    bare = PATClassifier(model.encoder)
    for name in ("hidden", "output_layer"):
        getattr(bare, name).set_weights(getattr(model, name).get_weights())
    np.testing.assert_allclose(model.predict_logits(_counts()), bare.predict_logits(scaled), atol=2e-5)


def test_scaling_is_never_trained() -> None:
    model, _ = _with_scaling("per_minute")
    assert len(model.non_trainable_weights) >= 2
    assert not any("standardization" in weight.path for weight in model.trainable_weights)


def test_scaling_sees_counts_in_full_precision() -> None:
    """In a bfloat16 model 32,767 counts must not be 32,768 before they are scaled."""
    scaling = Standardization("cohort")
    model = PATClassifier(TINY, standardization=scaling, dtype="mixed_bfloat16")
    scaling.set_statistics(np.array([32_000.0]), np.array([1.0]))
    seen = []
    call = model.encoder.call
    model.encoder.call = lambda x, **rest: (seen.append(_numpy(ops.cast(x, "float32"))), call(x, **rest))[1]
    model(np.full((1, MINUTES), 32_003.0, np.float32))
    np.testing.assert_array_equal(seen[0], np.full((1, MINUTES), 3.0))


def test_scaling_of_another_length() -> None:
    model, _ = _with_scaling("per_minute")
    with pytest.raises(ConfigError, match=f"one mean for each of {MINUTES}"):
        model(np.zeros((2, MINUTES + TINY.patch_size), np.float32))
    with pytest.raises(ConfigError, match="per_minute, per_recording, cohort, none"):
        Standardization("robust")


# Saving.


@pytest.mark.parametrize("kind", MODELS)
def test_configuration_and_back(kind: str) -> None:
    model, x = _model(**MODELS[kind], dropout=0.3), _weeks()
    again = PATClassifier.from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(_numpy(again(x)), _numpy(model(x)))


@pytest.mark.parametrize("kind", MODELS)
def test_saved_and_loaded(kind: str, tmp_path: pathlib.Path) -> None:
    model, x = _model(**MODELS[kind], dropout=0.3), _weeks()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, PATClassifier)
    np.testing.assert_array_equal(_numpy(loaded(x)), _numpy(model(x)))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_with_its_scaling(kind: str, tmp_path: pathlib.Path) -> None:
    model, _ = _with_scaling(kind)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_proba(_counts()), model.predict_proba(_counts()))


def test_saved_frozen_and_narrow(tmp_path: pathlib.Path) -> None:
    model = PATClassifier(TINY, dtype="mixed_bfloat16")
    model.encoder.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not loaded.encoder.trainable and loaded.dtype_policy.name == "mixed_bfloat16"
    np.testing.assert_array_equal(loaded.predict_logits(_weeks()), model.predict_logits(_weeks()))
