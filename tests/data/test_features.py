"""Features: equal to their definitions, blind to missing minutes, and quiet."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pat_keras.data.features import (
    HIP_ACTIGRAPH_COUNTS,
    CutPoints,
    cut_points_of,
    field_features,
    simple_daily_features,
)
from pat_keras.data.rhythm import (
    average_day,
    hourly_means,
    interdaily_stability,
    sd_of_days,
)


def weeks(n_windows: int = 5, days: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    minute = np.arange(days * 1440) % 1440
    values = rng.poisson(100 * np.clip(np.sin((minute - 400) / 900 * np.pi), 0, None), (n_windows, days * 1440))
    return values.astype(np.float32)


def as_dict(activity: np.ndarray) -> dict[str, np.ndarray]:
    features, names = simple_daily_features(activity)
    assert features.shape == (len(activity), len(names)) and features.dtype == np.float64
    assert len(set(names)) == len(names)
    return dict(zip(names, features.T, strict=True))


def test_distribution_equals_numpy() -> None:
    activity = weeks()
    activity[1, 100:900] = np.nan
    found = as_dict(activity)
    wide = activity.astype(np.float64)
    np.testing.assert_allclose(found["mean"], np.nanmean(wide, axis=1))
    np.testing.assert_allclose(found["log_mean"], np.log1p(np.nanmean(wide, axis=1)))
    np.testing.assert_allclose(found["sd"], np.nanstd(wide, axis=1))
    np.testing.assert_allclose(found["zero_share"], (wide == 0).sum(axis=1) / (~np.isnan(wide)).sum(axis=1))
    for percentile in (25, 50, 75, 90, 99):
        np.testing.assert_allclose(found[f"p{percentile}"], np.nanpercentile(wide, percentile, axis=1))


def test_rhythm_of_a_day_known_beforehand() -> None:
    day = np.full(1440, 10.0)
    day[540:1140] = 100  # ten hours from 9
    day[-120:], day[:180] = 1, 1  # five hours from 22, over midnight
    found = as_dict(np.tile(day, (2, 3)))
    np.testing.assert_allclose(found["m10"], 100)
    np.testing.assert_allclose(found["l5"], 1)
    np.testing.assert_allclose(found["relative_amplitude"], 99 / 101)
    np.testing.assert_allclose(found["m10_onset_cos"], np.cos(540 / 1440 * 2 * np.pi))
    np.testing.assert_allclose(found["l5_onset_sin"], np.sin(1320 / 1440 * 2 * np.pi))


def test_m10_and_l5_equal_a_plain_loop() -> None:
    activity = weeks(3)
    activity[0, 50:700] = np.nan
    day = average_day(activity)
    np.testing.assert_allclose(day, np.nanmean(activity.reshape(3, 7, 1440).astype(np.float64), axis=1), rtol=1e-6)
    double = np.concatenate([day, day], axis=1)
    found = as_dict(activity)
    for name, length, choose in (("m10", 600, np.max), ("l5", 300, np.min)):
        expected = choose([np.nanmean(double[:, i : i + length], axis=1) for i in range(1440)], axis=0)
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-9)


def test_other_lengths() -> None:
    short, names = simple_daily_features(weeks()[:, :700])
    assert "m10" not in names and np.isfinite(short).all()
    cut, names = simple_daily_features(weeks()[:, :2000])
    assert "m10" in names and np.isfinite(cut).all()
    np.testing.assert_allclose(average_day(weeks()[:, :2000])[:, 560:], weeks()[:, 560:1440])
    with pytest.raises(ValueError, match="shape"):
        simple_daily_features(weeks()[0])


def test_windows_that_tell_nothing() -> None:
    activity = weeks(3)
    activity[0], activity[1] = np.nan, 0
    features, names = simple_daily_features(activity)
    assert np.isnan(features[0]).all() and np.isfinite(features[1:]).all()
    assert features[1, names.index("relative_amplitude")] == 0
    activity[2, 900:] = np.nan
    assert np.isfinite(simple_daily_features(activity)[0][2]).all()
    activity[2, 100:] = np.nan  # too little for a rhythm, enough for a mean
    found = as_dict(activity)
    assert np.isfinite(found["mean"][2]) and all(np.isnan(found[name][2]) for name in names[9:])


def test_blocks_of_windows_join() -> None:
    activity = weeks(300, days=1)
    whole, _ = simple_daily_features(activity)
    np.testing.assert_array_equal(whole[299], simple_daily_features(activity[299:])[0][0])


def test_field_features_go_on_where_the_simple_ones_end() -> None:
    activity = weeks()
    activity[1, 100:900] = np.nan
    simple, simple_names = simple_daily_features(activity)
    features, names = field_features(activity)
    assert names[: len(simple_names)] == simple_names and len(set(names)) == len(names) == features.shape[1]
    np.testing.assert_array_equal(features[:, : len(simple_names)], simple)
    found = dict(zip(names, features.T, strict=True))
    wide = activity.astype(np.float64)
    np.testing.assert_allclose(found["interdaily_stability"], interdaily_stability(hourly_means(wide)))
    np.testing.assert_allclose(found["daily_total_sd"], sd_of_days(wide))
    np.testing.assert_allclose(found["daily_total_cv"], sd_of_days(wide) / (1440 * np.nanmean(wide, axis=1)))
    assert not {"sedentary_minutes", "mvpa_minutes"} & set(names)


def test_minutes_by_cut_points() -> None:
    day = np.zeros((2, 1440))
    day[0, :200], day[0, 200:230] = 99, 100
    day[0, 230:260], day[0, 260:290] = 2019, 2020
    day[1, :720] = np.nan
    day[1, 720:900] = 5000
    features, names = field_features(day, HIP_ACTIGRAPH_COUNTS)
    found = dict(zip(names, features.T, strict=True))
    np.testing.assert_allclose(found["sedentary_minutes"], [1440 - 90, 1440 * 540 / 720])
    np.testing.assert_allclose(found["mvpa_minutes"], [30, 1440 * 180 / 720])
    features, names = field_features(day, CutPoints(1, 6000, "mine"))
    assert features[1, names.index("mvpa_minutes")] == 0


def test_cut_points_are_never_those_of_another_device() -> None:
    assert cut_points_of({"source": "NHANES 2005-2006", "unit": "counts"}) is HIP_ACTIGRAPH_COUNTS
    for metadata in (
        {"source": "NHANES 2011-2012", "unit": "MIMS"},
        {"source": "Depresjon", "unit": "counts"},  # of an Actiwatch at the wrist
        {"source": "NHANES 2005-2006", "unit": "steps"},
        {},
    ):
        assert cut_points_of(metadata) is None


def test_field_features_of_other_lengths_and_of_nothing() -> None:
    hour, names = field_features(weeks()[:, 600:700])
    assert "autocorrelation_1min" in names and "intradaily_variability" not in names and np.isfinite(hour).all()
    day, names = field_features(weeks()[:, :2000])
    assert "autocorrelation_1h" in names and "interdaily_stability" not in names and np.isfinite(day).all()
    activity = weeks()[:, : 2 * 1440 + 100]
    activity[0] = np.nan
    features, names = field_features(activity)
    assert np.isnan(features[0]).all() and np.isfinite(features[1:]).all()


def test_smoothed_activity_below_zero_is_no_error() -> None:
    assert np.isfinite(field_features(weeks() - 5)[0]).all()


def test_needs_numpy_alone() -> None:
    code = (
        "import sys, pat_keras.data.features; "
        "print([name for name in ('polars', 'sklearn', 'scipy', 'keras') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
