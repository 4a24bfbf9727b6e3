"""The encoder and a model of plain Keras layers are one function: in tokens, and in the gradient of every weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.models import attention
from pat_keras.models.encoder import PATEncoder
from tests.models import reference
from tests.models.plain import copy_weights, paired_weights, plain_encoder

MEDIUM = EncoderConfig.medium()
# Patches and people: two days as PAT-M sees them, and a short window whose people go through attention together.
LENGTHS = {"two days": (160, 3), "short": (30, 4)}
PERSON_BYTES = 4 * MEDIUM.num_heads * 160**2
# Bytes of scores kept for the backward pass: everybody's, nobody's (all computed again), those of the first of three.
KEPT = {"kept": 2**29, "again": 0, "mixed": PERSON_BYTES, "kept more than there are": 8 * PERSON_BYTES}


def _models(config: EncoderConfig, patches: int) -> tuple[PATEncoder, keras.Model]:
    encoder = reference.randomize(PATEncoder(config))
    plain = plain_encoder(config, patches * config.patch_size)
    copy_weights(encoder, plain)
    return encoder, plain


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as training runs it: in a graph which does not know the number of people (argument 0)."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    def unknown_people(x: Any, *weights: Any) -> Any:
        return tf.function(function).get_concrete_function(
            tf.TensorSpec((None, x.shape[1])), *[tf.TensorSpec(w.shape) for w in weights]
        )(x, *weights)

    return unknown_people


def _loss(model: keras.Model, target: np.ndarray) -> Callable[..., Any]:
    states = [ops.convert_to_tensor(v) for v in model.non_trainable_variables]

    def loss(x: Any, *weights: Any) -> Any:
        tokens, _ = model.stateless_call(list(weights), states, x, training=False)
        return ops.mean(ops.square(tokens - target))

    return _compiled(loss)


def _gradients(model: keras.Model, x: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    weights = model.trainable_weights
    found = reference.gradients(_loss(model, target), x, *[ops.convert_to_numpy(w) for w in weights])
    return dict(zip(["input", *(w.path for w in weights)], found, strict=True))


@pytest.mark.parametrize("size", ["small", "medium"])
def test_tokens_of_a_week(size: str) -> None:
    config = EncoderConfig.of_size(size)
    encoder, plain = _models(config, 10080 // config.patch_size)
    x = np.random.default_rng(0).normal(size=(2, 10080)).astype(np.float32)
    np.testing.assert_allclose(encoder.predict_on_batch(x), plain.predict_on_batch(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("length", "kept"), [("two days", kept) for kept in KEPT] + [("short", "kept")])
def test_gradients(length: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1e-5 of the largest of each tensor, on every way that attention takes."""
    monkeypatch.setattr(attention, "KEPT_BYTES", KEPT[kept])
    patches, people = LENGTHS[length]
    encoder, plain = _models(MEDIUM, patches)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(people, patches * MEDIUM.patch_size)).astype(np.float32)
    target = rng.normal(size=(people, patches, MEDIUM.embed_dim)).astype(np.float32)
    found, expected = _gradients(encoder, x, target), _gradients(plain, x, target)
    pairs = [(ours.path, theirs.path) for ours, theirs in paired_weights(encoder, plain)]
    for ours, theirs in [("input", "input"), *pairs]:
        difference = np.abs(found[ours] - expected[theirs]).max()
        if ours.endswith("key_bias"):
            # The softmax cancels it: zero for us, rounding for the plain model.
            assert np.abs(found[ours]).max() == 0.0
            assert difference <= 1e-5 * np.abs(expected[theirs.replace("key", "query")]).max()
            continue
        assert difference <= 1e-5 * np.abs(expected[theirs]).max(), (ours, difference)
