"""Scaling: equal to scikit-learn's, blind to missing minutes; and earlier scalings are recognised and undone."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from pat_keras.data.standardize import KINDS, Standardizer, detect_scaling, undo_fixed_scaling
from pat_keras.errors import CohortError


def counts(n_windows: int = 60, days: int = 2, seed: int = 0) -> np.ndarray:
    """Weeks in small: still nights, lively days, people who differ."""
    rng = np.random.default_rng(seed)
    minute = np.arange(days * 1440) % 1440
    day = 0.02 + np.clip(np.sin((minute - 420) / 900 * np.pi), 0, None)
    level = rng.lognormal(5, 0.4, (n_windows, 1))
    values = rng.exponential(level * day)
    values[rng.random(values.shape) < np.where(day > 0.1, 0.2, 0.8)] = 0
    return np.floor(values).astype(np.float32)


@pytest.fixture(scope="module")
def raw() -> np.ndarray:
    return counts()


def test_per_minute_equals_scikit_learn(raw: np.ndarray) -> None:
    activity = raw.copy()
    activity[:, 7], activity[:, 8] = 0, 0.1  # minutes that are the same in everybody
    activity[3, 9] = 32767
    expected = StandardScaler().fit(activity.astype(np.float64)).transform(activity.astype(np.float64))
    scaled = Standardizer.fit(activity, "per_minute").apply(activity)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)


def test_the_other_kinds(raw: np.ndarray) -> None:
    wide = raw.astype(np.float64)
    rows = Standardizer.fit(raw[:1], "per_recording").apply(raw)
    expected = (wide - wide.mean(axis=1, keepdims=True)) / wide.std(axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected, rtol=1e-6, atol=1e-6)
    whole = Standardizer.fit(raw, "cohort")
    assert whole.mean.shape == (1,)
    np.testing.assert_allclose(whole.apply(raw), (wide - wide.mean()) / wide.std(), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(Standardizer.fit(raw, "none").apply(raw), raw)
    assert Standardizer.fit(raw, "none").apply(raw) is not raw


def test_a_small_variance_beside_a_large_mean() -> None:
    activity = (16000 + np.random.default_rng(0).integers(0, 2, (700, 5))).astype(np.float32)
    scaled = Standardizer.fit(activity, "per_minute").apply(activity)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_minutes_are_ignored_and_stay(raw: np.ndarray, kind: str) -> None:
    activity = raw.copy()
    missing = np.random.default_rng(1).random(activity.shape) < 0.1
    activity[missing] = np.nan
    scaler = Standardizer.fit(activity, kind)
    scaled = scaler.apply(activity)
    np.testing.assert_array_equal(np.isnan(scaled), missing)
    if kind == "per_minute":
        np.testing.assert_allclose(scaler.mean, np.nanmean(activity.astype(np.float64), axis=0), rtol=1e-6)
        np.testing.assert_allclose(np.nanstd(scaled[:, :300], axis=0)[scaler.scale[:300] != 1], 1, rtol=1e-4)
    if kind == "per_recording":
        np.testing.assert_allclose(np.nanmean(scaled, axis=1, dtype=np.float64), 0, atol=1e-6)
        np.testing.assert_allclose(np.nanstd(scaled, axis=1, dtype=np.float64), 1, atol=1e-6)
    activity[0] = np.nan
    assert np.isnan(Standardizer.fit(activity, kind).apply(activity)[0]).all()


def test_windows_without_variation() -> None:
    for kind in ("per_minute", "per_recording", "cohort"):
        activity = np.full((4, 6), 3.3, np.float32)
        np.testing.assert_allclose(Standardizer.fit(activity, kind).apply(activity), 0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_is_the_same(tmp_path: pathlib.Path, raw: np.ndarray, kind: str) -> None:
    scaler = Standardizer.fit(raw, kind)
    scaler.save(tmp_path / "s.json")
    back = Standardizer.load(tmp_path / "s.json")
    assert back.kind == kind
    np.testing.assert_array_equal(back.mean, scaler.mean)
    np.testing.assert_array_equal(back.apply(raw), scaler.apply(raw))
    with pytest.raises(CohortError, match="already there"):
        scaler.save(tmp_path / "s.json")


def test_what_it_refuses(tmp_path: pathlib.Path, raw: np.ndarray) -> None:
    with pytest.raises(CohortError, match="expected one of per_minute"):
        Standardizer.fit(raw, "zscore")
    with pytest.raises(CohortError, match=r"shape \(2880,\)"):
        Standardizer.fit(raw[0], "cohort")
    with pytest.raises(CohortError, match="fitted on windows of 2880 minutes, these have 1440"):
        Standardizer.fit(raw, "per_minute").apply(raw[:, :1440])
    gap = raw.copy()
    gap[:, 100:103] = np.nan
    with pytest.raises(CohortError, match=r"3 of 2880 minutes .*minute 100"):
        Standardizer.fit(gap, "per_minute")
    with pytest.raises(CohortError, match="positive"):
        Standardizer("cohort", np.zeros(1), np.zeros(1))
    with pytest.raises(CohortError, match="shape"):
        Standardizer("cohort", np.zeros(2), np.ones(2))
    for text in ("", "[]", '{"kind": "cohort"}', '{"kind": "cohort", "mean": ["a"], "scale": [1]}'):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(CohortError, match=r"s\.json"):
            Standardizer.load(tmp_path / "s.json")
    with pytest.raises(CohortError, match=r"none\.json"):
        Standardizer.load(tmp_path / "none.json")


# What was done to the data before


def test_raw_activity_raises_no_suspicion(raw: np.ndarray) -> None:
    assert detect_scaling(raw) is None
    with_gaps = raw.copy()
    with_gaps[:5, ::3] = np.nan
    with_gaps[6] = 0
    assert detect_scaling(with_gaps) is None
    assert detect_scaling(raw[:1]) is None
    assert detect_scaling(np.full((3, 4), np.nan, np.float32)) is None
    assert detect_scaling(np.log1p(raw)) is None


@pytest.mark.parametrize("kind", ["per_minute", "per_recording", "cohort"])
def test_standardised_data_are_recognised(raw: np.ndarray, kind: str) -> None:
    scaled = Standardizer.fit(raw, kind).apply(raw)
    finding = detect_scaling(scaled)
    assert finding is not None and finding.kind == kind
    assert "--standardize=none" in finding.message
    scaled[2, :100] = np.nan
    finding = detect_scaling(scaled)
    assert finding is not None and finding.kind == kind


def test_a_part_of_standardised_data_is_recognised(raw: np.ndarray) -> None:
    scaled = Standardizer.fit(counts(300, seed=3), "per_minute").apply(raw)
    finding = detect_scaling(scaled)
    assert finding is not None and finding.kind == "per_minute"


@pytest.mark.parametrize("transform", [np.copy, np.log1p, lambda x: x / 70], ids=["counts", "log counts", "MIMS"])
def test_the_known_fixed_scaling_is_recognised_and_undone(raw: np.ndarray, transform: np.ufunc) -> None:
    before = transform(raw).astype(np.float32)
    before[0, :50] = np.nan
    scaled = (before - np.float32(2.5)) / np.float32(2.0)
    finding = detect_scaling(scaled)
    assert finding is not None and (finding.kind, finding.mean, finding.std) == ("fixed", 2.5, 2.0)
    assert "--repair_fixed_scaling=2.5,2" in finding.message and "-1.25" in finding.message
    undone = undo_fixed_scaling(scaled, 2.5, 2.0)
    np.testing.assert_allclose(undone, before, rtol=1e-6, atol=1e-6)
    assert (undone[before == 0] == 0).all()
    assert detect_scaling(undone) is None


def test_counts_come_back_exactly(raw: np.ndarray) -> None:
    large = raw.copy()
    large[0, 0] = 32767
    scaled = ((large - 2.5) / 2.0).astype(np.float32)
    np.testing.assert_array_equal(undo_fixed_scaling(scaled, 2.5, 2.0), large)


def test_another_fixed_scaling_is_told_from_the_grid_of_counts(raw: np.ndarray) -> None:
    finding = detect_scaling(((raw - 31.7) / 88.1).astype(np.float32))
    assert finding is not None and finding.kind == "fixed"
    assert finding.mean == pytest.approx(31.7, rel=1e-3) and finding.std == pytest.approx(88.1, rel=1e-3)
    finding = detect_scaling(((np.log1p(raw) - 1.7) / 0.3).astype(np.float32))
    assert finding is not None and (finding.kind, finding.mean) == ("fixed", None)


def test_recordings_that_share_one_mean(raw: np.ndarray) -> None:
    centred = raw - raw.mean(axis=1, keepdims=True)
    finding = detect_scaling(centred)
    assert finding is not None and finding.kind == "shared_mean"
    finding = detect_scaling(centred + 5000)
    assert finding is not None and finding.kind == "shared_mean" and "5000" in finding.message


@pytest.mark.parametrize("kind", ["per_recording", "per_minute"])
def test_a_fixed_scaling_on_top_of_standardised_data(raw: np.ndarray, kind: str) -> None:
    standardised = Standardizer.fit(raw, kind).apply(raw)
    scaled = (standardised - np.float32(2.5)) / np.float32(2.0)
    finding = detect_scaling(scaled)
    assert finding is not None and finding.kind == "fixed" and finding.mean is not None
    assert (finding.mean, finding.std) == (pytest.approx(2.5, rel=1e-2), pytest.approx(2.0, rel=1e-2))
    np.testing.assert_allclose(undo_fixed_scaling(scaled, 2.5, 2.0), standardised, atol=1e-5)


def test_stray_negative_values(raw: np.ndarray) -> None:
    marked = raw.copy()
    marked[:, 5] = -0.01
    finding = detect_scaling(marked)
    assert finding is not None and finding.kind == "negative" and "-0.01" in finding.message


@pytest.mark.parametrize(("mean", "std"), [(2.5, 2.0), (1.0, 2.0), (3.0, 2.0), (2.5, 0.0), (np.nan, 1.0)])
def test_a_repair_that_does_not_fit_is_refused(raw: np.ndarray, mean: float, std: float) -> None:
    scaled = raw if (mean, std) == (2.5, 2.0) else (raw - 2.5) / 2.0
    with pytest.raises(CohortError, match="--repair_fixed_scaling"):
        undo_fixed_scaling(scaled, mean, std)
