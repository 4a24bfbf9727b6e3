"""Folded attention equals the plain formula in values and in gradients, and never holds a batch's scores unasked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.models import attention
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.layers import Attention
from tests.models import reference

PEOPLE, PATCHES, WIDTH, HEADS = 5, 7, 8, 3
PERSON_BYTES = 4 * HEADS * PATCHES**2
# (KEPT_BYTES, TOGETHER_BYTES): everybody at once; one by one with all scores kept; none kept; some kept.
LIMITS = {"together": (0, 2**20), "kept": (2**20, 0), "again": (0, 0), "mixed": (2 * PERSON_BYTES, 0)}


@pytest.fixture(params=LIMITS)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kept, together = LIMITS[request.param]
    monkeypatch.setattr(attention, "KEPT_BYTES", kept)
    monkeypatch.setattr(attention, "TOGETHER_BYTES", together)
    return str(request.param)


def _layer() -> Attention:
    layer = Attention(HEADS)
    layer.build((None, None, WIDTH))
    return reference.randomize(layer)


def _tokens(people: int = PEOPLE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(people, PATCHES, WIDTH)).astype(np.float32)


def _plain(x: Any, *weights: Any) -> Any:
    """Keras' MultiHeadAttention by its formula, for automatic differentiation."""
    query_kernel, query_bias, key_kernel, key_bias, value_kernel, value_bias, output_kernel, output_bias = weights
    query = ops.einsum("bnd,dhk->bhnk", x, query_kernel) + ops.expand_dims(query_bias, 1)
    key = ops.einsum("bnd,dhk->bhnk", x, key_kernel) + ops.expand_dims(key_bias, 1)
    value = ops.einsum("bnd,dhk->bhnk", x, value_kernel) + ops.expand_dims(value_bias, 1)
    scores = ops.softmax(ops.einsum("bhnk,bhmk->bhnm", query, key) / np.sqrt(np.float32(WIDTH)))
    gathered = ops.einsum("bhnm,bhmk->bhnk", scores, value)
    return ops.einsum("bhnk,hkd->bnd", gathered, output_kernel) + output_bias


def test_values(limits: str) -> None:
    layer, x = _layer(), _tokens()
    expected, expected_scores = reference.attention(reference.weights_of(layer), x.astype(np.float64))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-5)
    output, scores = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(output), expected, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(scores), expected_scores, atol=1e-6)


def test_gradients_are_the_plain_formula_s(limits: str) -> None:
    """Of the tokens and of all eight weights, by the backend's differentiation of the formula as it is written."""
    layer, x = _layer(), _tokens()
    weights = [ops.convert_to_numpy(weight.value) for weight in layer.trainable_weights]
    names = ["x", *(weight.name for weight in layer.trainable_weights)]
    assert names[1:] == [f"{p}_{t}" for p in ("query", "key", "value", "output") for t in ("kernel", "bias")]
    direction = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)

    def folded(x: Any, *weights: Any) -> Any:
        return ops.sum(direction * layer.stateless_call(weights, [], x)[0])

    found = reference.gradients(folded, x, *weights)
    expected = reference.gradients(lambda *t: ops.sum(direction * _plain(*t)), x, *weights)
    for name, ours, plain in zip(names, found, expected, strict=True):
        # The key bias cancels: its gradient is zero but for rounding.
        scale = 1.0 if name == "key_bias" else np.abs(plain).max()
        assert np.abs(ours - plain).max() <= 1e-5 * scale, name
        assert name == "key_bias" or np.abs(plain).max() > 0.01, name


def test_extreme_scores_stay_finite(limits: str) -> None:
    layer, x = _layer(), _tokens() * 300
    assert np.isfinite(ops.convert_to_numpy(layer(x))).all()
    weights = [ops.convert_to_numpy(weight.value) for weight in layer.trainable_weights]
    loss = lambda x: ops.sum(layer.stateless_call(weights, [], x)[0])  # noqa: E731
    assert np.isfinite(reference.gradients(loss, x)[0]).all()


def test_one_person(limits: str) -> None:
    layer, x = _layer(), _tokens()
    alone = np.concatenate([ops.convert_to_numpy(layer(x[i : i + 1])) for i in range(PEOPLE)])
    np.testing.assert_allclose(alone, ops.convert_to_numpy(layer(x)), atol=1e-6)


def _sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Elements of every array of scores that is computed from now on."""
    sizes: list[int] = []
    scores = attention.scores

    def recorded(*arguments: Any) -> Any:
        result = scores(*arguments)
        sizes.append(int(np.prod([n or 10**9 for n in result.shape])))
        return result

    monkeypatch.setattr(attention, "scores", recorded)
    return sizes


def test_a_batch_s_scores_are_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    config = EncoderConfig.small(num_layers=2)
    encoder, x = PATEncoder(config), np.zeros((3, 40 * 18), np.float32)
    person = config.num_heads * 40**2
    monkeypatch.setattr(attention, "TOGETHER_BYTES", 0)
    sizes = _sizes(monkeypatch)
    encoder(x)
    encoder.predict_on_batch(x)
    assert sizes and max(sizes) <= person
    sizes.clear()
    encoder(x, return_attention_scores=True)
    assert sizes == [3 * person] * 2


def test_people_go_together_only_while_that_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A week of the smallest PAT is already past the limit."""
    sizes = _sizes(monkeypatch)
    PATEncoder(EncoderConfig.small()).predict_on_batch(np.zeros((2, 10080), np.float32))
    assert max(sizes) == 6 * 560**2
