"""Weeks changed in training: by what, by how much, before which scaling, and the same again after a resume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.training.augmentation import (
    Augmentation,
    augments,
    mask_hours,
    scale_activity,
    shift_days,
    shift_minutes,
)

_DAY = 1440
_EVERYTHING = {"augment_days": True, "augment_minutes": 60, "augment_scale": 0.2, "augment_mask_hours": 3}


def _weeks(windows: int = 40, days: int = 3, seed: int = 0) -> np.ndarray:
    """Counts that are never 0, so that a hidden minute can be told from a quiet one."""
    return np.random.default_rng(seed).integers(1, 4000, (windows, days * _DAY)).astype(np.float32)


def _augmentation(kind: str = "cohort", **settings: Any) -> Augmentation:
    activity = _weeks()
    return Augmentation(activity, Standardizer.fit(activity, kind), FinetuneConfig(**settings))


def test_shift_by_days_is_a_rotation_of_whole_days() -> None:
    weeks = _weeks(days=7)
    shifted = shift_days(weeks, np.random.default_rng(0))
    first = []
    for week, changed in zip(weeks.reshape(-1, 7, _DAY), shifted.reshape(-1, 7, _DAY), strict=True):
        start = next(day for day in range(7) if np.array_equal(week[day], changed[0]))
        np.testing.assert_array_equal(changed, week[[(start + day) % 7 for day in range(7)]])
        first.append(start)
    assert set(first) == set(range(7))


def test_shift_by_minutes_is_a_rotation_within_its_limits() -> None:
    weeks = _weeks(windows=300, days=1)
    shifted = shift_minutes(weeks, 2, np.random.default_rng(0))
    found = [
        next(shift for shift in range(-700, 700) if np.array_equal(np.roll(week, shift), changed))
        for week, changed in zip(weeks, shifted, strict=True)
    ]
    assert set(found) == {-2, -1, 0, 1, 2}


def test_scale_is_one_log_normal_factor_a_window() -> None:
    weeks = _weeks(windows=4000, days=1)[:, :60]
    scaled = scale_activity(weeks, 0.3, np.random.default_rng(0))
    assert scaled.dtype == np.float32
    ratio = scaled / weeks
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(60, axis=1), rtol=1e-5)
    logs = np.log(ratio[:, 0])
    assert abs(logs.mean()) < 0.02
    assert logs.std() == pytest.approx(0.3, rel=0.05)


def test_masked_hours_are_whole_and_as_many_as_asked() -> None:
    weeks = _weeks(windows=300, days=1)
    masked = mask_hours(weeks, 5, np.random.default_rng(0))
    hidden = np.isnan(masked).reshape(len(weeks), -1, 60)
    assert set(hidden.mean(axis=2).ravel()) == {0.0, 1.0}
    assert (hidden[:, :, 0].sum(axis=1) == 5).all()
    assert hidden[:, :, 0].any(axis=0).all()  # every hour, somewhere
    np.testing.assert_array_equal(masked[~np.isnan(masked)], weeks[~np.isnan(masked)])
    assert not np.isnan(weeks).any()  # the windows themselves are left as they are


def test_minutes_beyond_the_last_whole_hour_are_never_hidden() -> None:
    masked = mask_hours(_weeks(days=1)[:, :150], 2, np.random.default_rng(0))
    assert np.isnan(masked[:, :120]).all()
    assert not np.isnan(masked[:, 120:]).any()


@pytest.mark.parametrize("kind", ["per_minute", "per_recording", "cohort", "none"])
def test_scaling_comes_after(kind: str) -> None:
    """A factor on raw activity stays visible behind a fitted scaling; one on scaled activity would move its zero."""
    augmentation = _augmentation(kind, augment_scale=0.5)
    seen, raw = augmentation(3), augmentation.activity
    factors = np.exp(0.5 * np.random.default_rng([0, 3, 1]).standard_normal((len(raw), 1))).astype(np.float32)
    np.testing.assert_array_equal(seen, augmentation.scaling.apply(raw * factors))
    if kind == "per_recording":  # which takes the factor out again
        np.testing.assert_allclose(seen, augmentation.scaling.apply(raw), atol=1e-5)
    else:
        assert np.abs(seen - augmentation.scaling.apply(raw)).max() > 0.1


@pytest.mark.parametrize("kind", ["per_minute", "per_recording", "cohort", "none"])
def test_hidden_minutes_are_the_mean_or_missing(kind: str) -> None:
    masked = _augmentation(kind, augment_mask_hours=4, missing="mask")(0)
    filled = _augmentation(kind, augment_mask_hours=4)(0)
    hidden = np.isnan(masked)
    assert hidden.sum() == 40 * 4 * 60
    np.testing.assert_array_equal(filled[~hidden], masked[~hidden])
    expected = _weeks().mean() if kind == "none" else 0.0
    np.testing.assert_allclose(filled[hidden], expected, rtol=1e-6)


def test_epochs_differ_and_repeat_under_the_seed() -> None:
    first, again = _augmentation(**_EVERYTHING), _augmentation(**_EVERYTHING)
    np.testing.assert_array_equal(first(7), again(7))  # not asked for epochs 0 to 6 before: as after a resume
    assert not np.array_equal(first(7), first(8))
    assert not np.array_equal(first(7), _augmentation(seed=1, **_EVERYTHING)(7))


def test_off_by_default() -> None:
    assert not augments(FinetuneConfig())
    for name, value in _EVERYTHING.items():
        assert augments(FinetuneConfig(**{name: value}))
    np.testing.assert_array_equal(_augmentation()(0), _augmentation().scaling.apply(_weeks()))


def test_what_does_not_fit_the_windows() -> None:
    scaling = Standardizer("none", np.zeros(1), np.ones(1))
    with pytest.raises(ConfigError, match=r"2000 minutes, .*expected a multiple of 1440"):
        Augmentation(_weeks()[:, :2000], scaling, FinetuneConfig(augment_days=True))
    with pytest.raises(ConfigError, match="augment_mask_hours is 24, and the windows have 24 whole hours"):
        Augmentation(_weeks(days=1), scaling, FinetuneConfig(augment_mask_hours=24))
