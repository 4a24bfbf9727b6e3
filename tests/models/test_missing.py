"""Weeks with missing minutes: what is masked is not seen, and nothing else changes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig
from pat_keras.models.classifier import PATClassifier, Standardization
from pat_keras.models.encoder import PATEncoder

DAY = 1440
CONFIG = EncoderConfig.small(num_layers=2)


@pytest.fixture(scope="module")
def encoder() -> PATEncoder:
    keras.utils.set_random_seed(3)
    return PATEncoder(CONFIG)


@pytest.fixture(scope="module")
def weeks() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 3 * DAY)).astype("float32")


def to_numpy(x: object) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x))


def test_nothing_missing_is_bit_identical(encoder: PATEncoder, weeks: np.ndarray) -> None:
    wear = np.ones(weeks.shape, dtype=bool)
    tokens, scores = encoder(weeks, return_attention_scores=True)
    masked_tokens, masked_scores = encoder(weeks, return_attention_scores=True, wear=wear)
    assert np.array_equal(to_numpy(encoder(weeks)), to_numpy(encoder(weeks, wear=wear)))
    assert np.array_equal(to_numpy(tokens), to_numpy(masked_tokens))
    assert np.array_equal(to_numpy(scores[-1]), to_numpy(masked_scores[-1]))
    assert np.array_equal(to_numpy(encoder.pool(weeks)), to_numpy(encoder.pool(weeks, wear=wear)))


def test_a_missing_day_equals_the_encoder_without_its_patches(encoder: PATEncoder, weeks: np.ndarray) -> None:
    wear = np.ones(weeks.shape, dtype=bool)
    wear[:, DAY : 2 * DAY] = False
    missing = np.where(wear, weeks, np.nan).astype("float32")  # what is not worn must not matter, NaN or not
    per_day = DAY // CONFIG.patch_size
    kept = np.r_[0:per_day, 2 * per_day : 3 * per_day]
    expected = to_numpy(encoder.encode(ops.take(encoder.embed_patches(weeks), kept, axis=1)))
    found = to_numpy(encoder(missing, wear=wear))
    np.testing.assert_allclose(found[:, kept], expected, atol=2e-6)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(to_numpy(encoder.pool(missing, wear=wear)), expected.mean(axis=1), atol=2e-6)
    np.testing.assert_allclose(encoder.embed(missing, wear=wear), expected.mean(axis=1), atol=2e-6)
    _, scores = encoder(missing, return_attention_scores=True, wear=wear)
    hidden = np.setdiff1d(np.arange(3 * per_day), kept)
    assert to_numpy(scores[-1])[..., hidden].max() == 0.0


def test_each_person_has_a_mask_of_their_own(encoder: PATEncoder, weeks: np.ndarray) -> None:
    wear = np.ones(weeks.shape, dtype=bool)
    wear[1, :DAY] = False
    together = to_numpy(encoder(weeks, wear=wear))
    for person in range(3):
        alone = to_numpy(encoder(weeks[person : person + 1], wear=wear[person : person + 1]))
        np.testing.assert_allclose(together[person], alone[0], atol=2e-6)


def test_patches_are_seen_by_their_share_of_worn_minutes(encoder: PATEncoder, weeks: np.ndarray) -> None:
    wear = np.ones(weeks.shape, dtype=bool)
    wear[0, :9] = False  # half of the first patch of 18
    wear[0, 18:28] = False  # more than half of the second
    assert to_numpy(encoder.patches_seen(wear))[0, :3].tolist() == [True, False, True]
    assert to_numpy(encoder.patches_seen(wear, 0.4))[0, :3].tolist() == [True, True, True]
    assert to_numpy(encoder.patches_seen(wear, 1.0))[0, :3].tolist() == [False, False, True]


def test_a_recording_that_was_never_worn_gives_no_nan(encoder: PATEncoder, weeks: np.ndarray) -> None:
    assert np.isfinite(to_numpy(encoder.pool(weeks, wear=np.zeros(weeks.shape, dtype=bool)))).all()


def test_a_recording_that_was_never_worn_gives_no_nan_in_float16(weeks: np.ndarray) -> None:
    found = PATEncoder(EncoderConfig.small(), dtype="mixed_float16").embed(weeks, wear=np.zeros(weeks.shape, bool))
    assert (found == 0.0).all()


@pytest.mark.parametrize("embedding", ["linear", "conv", "conv_linear"])
def test_missing_minutes_that_are_not_masked_give_nan(embedding: str, weeks: np.ndarray) -> None:
    """And no number: what a relu makes of NaN depends on who compiled it."""
    model = PATClassifier(EncoderConfig.small(embedding=embedding))
    gaps = weeks[:, :DAY].copy()
    gaps[1, 40] = np.nan
    for found in (model.predict_proba(gaps), model.encoder.embed(gaps), to_numpy(model(gaps))):
        assert np.isnan(found).all(axis=1).tolist() == [False, True, False]


def test_gradients_do_not_flow_from_missing_minutes(weeks: np.ndarray) -> None:
    model = PATClassifier(EncoderConfig.small(), min_worn_share=0.5, dropout=0.0)
    missing = weeks.copy()
    missing[:, DAY : 2 * DAY + 5] = np.nan
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    loss = model.train_on_batch(missing, np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(loss)
    assert all(np.isfinite(to_numpy(variable)).all() for variable in model.trainable_variables)


@pytest.mark.parametrize("kind", ["per_recording", "cohort"])
def test_a_saved_model_takes_raw_minutes_with_gaps(kind: str, weeks: np.ndarray, tmp_path) -> None:
    raw = np.abs(weeks) * 100
    raw[0, 100:400] = np.nan
    scaling = Standardization(kind)
    model = PATClassifier(EncoderConfig.small(), standardization=scaling, min_worn_share=0.5)
    if kind == "cohort":
        scaling.set_statistics(np.array([80.0]), np.array([60.0]))
        scaled = (raw - 80.0) / 60.0
    else:
        scaled = (raw - np.nanmean(raw, axis=1, keepdims=True)) / np.nanstd(raw, axis=1, keepdims=True)
    pooled = model.encoder.embed(scaled, wear=~np.isnan(raw))
    expected = to_numpy(model.call_head(pooled))
    np.testing.assert_allclose(model.predict_logits(raw), expected, atol=1e-5)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert np.array_equal(again.predict_logits(raw), model.predict_logits(raw))
