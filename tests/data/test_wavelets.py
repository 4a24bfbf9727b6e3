"""Wavelet features: energy is kept, a rhythm is found at its level, bursts are told from steady change."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.data.wavelets import wavelet_features

WEEK = 7 * 1440


def _named(activity: np.ndarray) -> dict[str, np.ndarray]:
    features, names = wavelet_features(activity)
    assert features.shape == (len(activity), len(names)) and len(set(names)) == len(names)
    return dict(zip(names, features.T, strict=True))


def _noise(minutes: int = WEEK) -> np.ndarray:
    return np.random.default_rng(0).gamma(0.5, 200.0, (3, minutes))


def test_a_week_has_ten_levels() -> None:
    names = wavelet_features(_noise())[1]
    assert len(names) == 1 + 3 * 11 and names[:2] == ["log_mean", "slow_log_energy"]
    assert {"level_10_share", "level_1_spread"} < set(names)


def test_shares_add_up_and_energy_is_kept() -> None:
    x = _noise(1024)
    found = _named(x)
    shares = [found[name] for name in found if name.endswith("_share")]
    np.testing.assert_allclose(np.sum(shares, axis=0), 1.0)
    lengths = {"slow": 8, **{f"level_{level}": 1024 >> level for level in range(1, 8)}}
    energy = sum(np.expm1(found[f"{scale}_log_energy"]) * length for scale, length in lengths.items())
    np.testing.assert_allclose(energy, ((x - x.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))


@pytest.mark.parametrize(("period", "level"), [(3, 1), (24, 4), (96, 6), (1440, 10)])
def test_a_rhythm_is_in_the_level_of_its_period(period: int, level: int) -> None:
    found = _named(100 + 50 * np.sin(2 * np.pi * np.arange(WEEK) / period)[None])
    shares = {name: float(found[name][0]) for name in found if name.endswith("_share")}
    assert max(shares, key=shares.__getitem__) == f"level_{level}_share"
    assert shares[f"level_{level}_share"] > 0.6


def test_a_burst_is_less_spread_than_noise() -> None:
    x = np.zeros((2, WEEK))
    x[0, 5000:5003] = 1000
    x[1] = _noise()[0]
    found = _named(x)
    assert found["level_1_spread"][0] < 0.2 and found["level_1_spread"][1] > 0.8


def test_gaps_count_as_the_mean() -> None:
    x = _noise()
    x[0, 100:900] = np.nan
    filled = x.copy()
    filled[0, 100:900] = np.nanmean(x[0])
    np.testing.assert_allclose(wavelet_features(x)[0], wavelet_features(filled)[0])


def test_windows_that_tell_nothing() -> None:
    x = _noise()
    x[0], x[1] = np.nan, 7.0
    features, _ = wavelet_features(x)
    assert np.isnan(features[0]).all() and np.isfinite(features[1:]).all()
    with pytest.raises(ValueError, match="14 or more"):
        wavelet_features(x[:, :13])
    with pytest.raises(ValueError, match="shape"):
        wavelet_features(x[0])


def test_blocks_of_windows_join() -> None:
    x = np.random.default_rng(0).gamma(0.5, 200.0, (300, 200))
    np.testing.assert_array_equal(wavelet_features(x)[0][299], wavelet_features(x[299:])[0][0])
