"""Attention profiles are what the scores say, computed without holding them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.errors import ConfigError
from pat_keras.evaluation import attention
from pat_keras.evaluation.attention import attention_by_hour, attention_profile, attention_rollout
from pat_keras.evaluation.clock import Clock
from pat_keras.models.networks import BaselineNetwork
from tests.evaluation.explained import CONFIG, counts, raw_classifier, tiny_classifier, with_gaps

BLOCKS = range(CONFIG.num_layers)


@pytest.fixture(scope="module")
def weeks() -> np.ndarray:
    return counts()


def _scores(model, x: np.ndarray) -> list[np.ndarray]:
    """Of every block, (B, H, N, N)."""
    _, scores = model.encoder(model.prepare(ops.convert_to_tensor(x)), return_attention_scores=True)
    return [np.asarray(ops.convert_to_numpy(each), dtype=np.float64) for each in scores]


@pytest.mark.parametrize("together", [1, 2**26])
def test_profile_is_computed_from_the_scores(weeks, together: int, monkeypatch) -> None:
    monkeypatch.setattr(attention, "_BATCH_BYTES", together)
    model = raw_classifier(weeks)
    for block, scores in zip(BLOCKS, _scores(model, weeks), strict=True):
        expected = scores.sum(axis=2).mean(axis=1)
        expected /= expected.sum(axis=1, keepdims=True)
        found = attention_profile(model, weeks, block)
        np.testing.assert_allclose(found, expected, atol=1e-7)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
        assert found.max() > 1.5 / found.shape[1]  # these weights do not attend evenly
    np.testing.assert_array_equal(attention_profile(model, weeks), attention_profile(model, weeks, BLOCKS[-1]))


def test_an_encoder_takes_standardised_minutes(weeks) -> None:
    model = raw_classifier(weeks)
    prepared = np.asarray(ops.convert_to_numpy(model.prepare(ops.convert_to_tensor(weeks))))
    np.testing.assert_array_equal(attention_profile(model.encoder, prepared), attention_profile(model, weeks))


def test_rollout_is_the_product_of_the_blocks(weeks) -> None:
    model = raw_classifier(weeks)
    product = np.eye(weeks.shape[1] // CONFIG.patch_size)[None]
    for scores in _scores(model, weeks):
        product = (scores.mean(axis=1) + np.eye(scores.shape[-1])) / 2 @ product
    found = attention_rollout(model, weeks)
    np.testing.assert_allclose(found, product.mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_patches_left_out_neither_give_nor_receive(weeks) -> None:
    """The profile is that of an encoder which never had these patches."""
    model, x = tiny_classifier(min_worn_share=0.5), with_gaps(counts() / 100 - 1)
    kept = ~np.isnan(x[0]).reshape(-1, CONFIG.patch_size).any(axis=1)
    tokens = model.encoder.embed_patches(ops.convert_to_tensor(np.nan_to_num(x[:1])))
    _, scores = model.encoder.encode(ops.take(tokens, np.flatnonzero(kept), axis=1), return_attention_scores=True)
    expected = np.asarray(ops.convert_to_numpy(scores[-1])).sum(axis=2).mean(axis=1)[0]
    found = attention_profile(model, x)
    assert (found[:, ~kept] == 0).all()
    np.testing.assert_allclose(found[0, kept], expected / expected.sum(), atol=1e-6)
    rolled = attention_rollout(model, x)
    assert (rolled[:, ~kept] == 0).all()
    np.testing.assert_allclose(rolled.sum(axis=1), 1, atol=1e-6)


def test_a_window_never_worn_gives_no_nan_in_float16() -> None:
    model = tiny_classifier(min_worn_share=0.5, dtype="mixed_float16")
    never = np.full_like(counts()[:1], np.nan)
    assert (attention_profile(model, never) == 0).all() and (attention_rollout(model, never) == 0).all()


def test_hours_share_the_attention_of_their_patches(weeks) -> None:
    model, clock = raw_classifier(weeks), Clock(weeks.shape[1], first=15)  # patches of 30 minutes over hours' ends
    scores = _scores(model, weeks)[-1][1].mean(axis=0)
    minutes = np.repeat(np.repeat(scores, 30, axis=0), 30, axis=1) / 30
    expected = np.zeros((clock.n_hours, clock.n_hours))
    np.add.at(expected, (clock.hour[:, None], clock.hour[None]), minutes)
    expected /= np.bincount(clock.hour)[:, None]
    found = attention_by_hour(model, weeks[1], clock)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_what_has_no_attention_is_refused(weeks) -> None:
    model = raw_classifier(weeks)
    with pytest.raises(ConfigError, match="the model is a cnn1d, which has none"):
        attention_profile(BaselineNetwork("cnn1d", 1440), weeks)
    with pytest.raises(ConfigError, match="which has none"):
        attention_rollout(keras.Sequential(), weeks)
    with pytest.raises(ConfigError, match="block is 3, and the encoder has 2: 0 to 1"):
        attention_profile(model, weeks, 3)
    with pytest.raises(ConfigError, match="4 of 4 windows have missing minutes"):
        attention_profile(model, with_gaps(weeks))
    with pytest.raises(ConfigError, match="not a multiple"):
        attention_profile(model, weeks[:, :100])
