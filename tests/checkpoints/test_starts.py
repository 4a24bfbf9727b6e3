"""Starts of a convolutional embedding: exact is exact, distilled comes close, and the blocks are the checkpoint's."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pat_keras.checkpoints.starts import likeness, with_embedding
from pat_keras.config import EncoderConfig
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import PATEncoder
from tests.models import reference

_TINY = EncoderConfig(patch_size=6, num_heads=2, num_layers=1, embed_dim=8, key_dim=8, ff_dim=16)


def _linear() -> PATEncoder:
    keras.utils.set_random_seed(0)
    return reference.randomize(PATEncoder(_TINY))


def _minutes(people: int = 8) -> np.ndarray:
    """As in weeks of people, neighbouring minutes are alike."""
    rng = np.random.default_rng(0)
    return (np.repeat(rng.normal(size=(people, 40)), 6, axis=1) + 0.3 * rng.normal(size=(people, 240))).astype("f4")


def _tokens(encoder: PATEncoder, x: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(encoder(x)))


def test_exact_gives_the_tokens_of_the_linear_model() -> None:
    linear = _linear()
    new = with_embedding(linear, "conv_linear", "exact")
    np.testing.assert_allclose(_tokens(new, _minutes()), _tokens(linear, _minutes()), atol=1e-6)
    assert new.config.embedding == "conv_linear"
    conv = np.asarray(new.patch_embedding.get_weights()[0])
    assert np.abs(conv[:, 0, 2:]).min() > 0  # the other filters can learn


@pytest.mark.parametrize(("embedding", "least"), [("conv", 0.05), ("conv_linear", 0.99)])
def test_distilled_is_closer_than_random_on_other_people_and_repeats(embedding: str, least: float) -> None:
    linear = _linear()
    seen, unseen = _minutes()[:6], _minutes()[6:]
    found = {}
    for start in ("random", "distilled"):
        keras.utils.set_random_seed(1)
        found[start] = with_embedding(linear, embedding, start, seen)
    assert likeness(found["distilled"], linear, unseen) > max(least, likeness(found["random"], linear, unseen) + 0.05)
    keras.utils.set_random_seed(1)
    again = with_embedding(linear, embedding, "distilled", seen)
    for a, b in zip(again.get_weights(), found["distilled"].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_missing_minutes_are_the_mean() -> None:
    x = _minutes()
    x[:, ::5] = np.nan
    new = with_embedding(_linear(), "conv_linear", "distilled", x)
    assert likeness(new, _linear(), x) > 0.99


@pytest.mark.parametrize("start", ["random", "distilled", "exact"])
def test_the_blocks_are_the_checkpoints(start: str) -> None:
    linear = _linear()
    new = with_embedding(linear, "conv_linear", start, _minutes())
    for a, b in zip(new.blocks[0].get_weights(), linear.blocks[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("embedding", "start", "message"),
    [
        ("conv", "exact", "never negative"),
        ("conv", "distilled", "needs minutes"),
        ("conv", "best", "expected one of random, distilled, exact"),
        ("linear", "random", "expected linear weights and conv"),
    ],
)
def test_what_does_not_go_together(embedding: str, start: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_embedding(_linear(), embedding, start)
