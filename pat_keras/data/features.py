"""Features of a window of activity, for baselines to stand beside a transformer. NumPy alone.

Axes: B windows, T minutes, F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pat_keras.data.rhythm import (
    DAY_MINUTES,
    LAGS,
    active_and_quiet_hours,
    autocorrelation,
    average_day,
    hourly_means,
    interdaily_stability,
    intradaily_variability,
    mean_of_known,
    sd_of_days,
)

_PERCENTILES = (25, 50, 75, 90, 99)
_BLOCK = 256  # windows held in float64 at once: 21 MB of weeks
_Columns = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class CutPoints:
    """Where sitting ends and effort begins, in the unit of the activity a minute.

    Attributes:
        sedentary: minutes below it are sedentary.
        mvpa: minutes from it on are of moderate to vigorous physical activity.
        reference: where the two numbers come from, and for what device and place on the body.
    """

    sedentary: float
    mvpa: float
    reference: str


HIP_ACTIGRAPH_COUNTS = CutPoints(
    100.0,
    2020.0,
    "Troiano et al., Medicine & Science in Sports & Exercise 40, 2008 (NHANES 2003-2006, ActiGraph 7164 at the hip, "
    "adults: 2,020 counts a minute); Matthews et al., American Journal of Epidemiology 167, 2008 (100 counts a minute)",
)


def cut_points_of(metadata: Mapping[str, Any]) -> CutPoints | None:
    """The cut-points that hold for a cohort of this metadata, or None if none are known to.

    Counts of one device, or place on the body, are not those of another: of cohorts of ours only NHANES 2003-2006 was
    measured as these cut-points were. For others give your own `CutPoints`.
    """
    from_the_hip = metadata.get("source") in ("NHANES 2003-2004", "NHANES 2005-2006")
    return HIP_ACTIGRAPH_COUNTS if from_the_hip and metadata.get("unit") == "counts" else None


def simple_daily_features(activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Features of each window of raw activity, one sample a minute.

    - `mean`, `sd`, `zero_share`: the three of Garcia-Ceja et al., "Depresjon: a motor activity database of depression
      episodes in unipolar and bipolar patients", MMSys 2018 (there of a day, here of the window).
    - `log_mean`: log(1 + mean); `p25` ... `p99`: percentiles.
    - of the average day, for windows of at least a day: `m10`, `l5`, `relative_amplitude` and onsets
      (`rhythm.active_and_quiet_hours`). The day begins with the window: onsets compare people only if all windows start
      at the same time of day.

    Args:
        activity: (B, T) counts or another measure from 0 upwards, NaN = missing.

    Returns:
        ((B, F) float64, NaN where a window has no minute to tell by; the F names).

    Raises:
        ValueError: if `activity` is not two-dimensional or has no minutes.
    """
    return _by_block(activity, _simple)


def field_features(activity: np.ndarray, cut_points: CutPoints | None = None) -> tuple[np.ndarray, list[str]]:
    """What actigraphy's literature computes of each window of raw activity, one sample a minute.

    Those of `simple_daily_features`, and (formulas and references in `pat_keras.data.rhythm`)
    - `intradaily_variability`, `interdaily_stability`, of hourly means;
    - `autocorrelation_1min`, `_1h`, `_24h`;
    - `daily_total_sd`: standard deviation of the days' totals; `daily_total_cv`: divided by their mean;
    - `sedentary_minutes`, `mvpa_minutes`, a day: the share of known minutes x 1440; with `cut_points` alone, since
      there is no cut-point that holds for every device. Zeros of a device that was not worn count as sedentary,
      unless they are NaN.
    What needs a day or more (24 h autocorrelation, stability, totals: two) is left out of shorter windows.

    Args:
        activity: (B, T) counts or another measure from 0 upwards, NaN = missing.
        cut_points: see `cut_points_of`.

    Returns:
        ((B, F) float64, NaN where a window doesn't tell; the F names).

    Raises:
        ValueError: if `activity` is not two-dimensional or has no minutes.
    """

    def columns(block: np.ndarray) -> _Columns:
        return _simple(block) | _of_rhythm(block) | ({} if cut_points is None else _intensity(block, cut_points))

    return _by_block(activity, columns)


def _by_block(activity: np.ndarray, columns_of: Callable[[np.ndarray], _Columns]) -> tuple[np.ndarray, list[str]]:
    """Features of all windows, some at a time."""
    if activity.ndim != 2 or activity.shape[1] == 0:
        raise ValueError(f"activity has the shape {activity.shape}, expected (windows, minutes)")
    names = list(columns_of(activity[:1].astype(np.float64)))
    features = np.empty((len(activity), len(names)))
    for first in range(0, len(activity), _BLOCK):
        columns = columns_of(activity[first : first + _BLOCK].astype(np.float64))
        features[first : first + _BLOCK] = np.stack([columns[name] for name in names], axis=1)
    return features, names


def _simple(block: np.ndarray) -> _Columns:
    columns = _distribution(block)
    return columns | active_and_quiet_hours(average_day(block)) if block.shape[1] >= DAY_MINUTES else columns


def _distribution(block: np.ndarray) -> _Columns:
    """Features of the values in any order, each (B,)."""
    mean = mean_of_known(block, axis=1)
    columns = {
        "mean": mean,
        "sd": np.sqrt(mean_of_known((block - mean[:, None]) ** 2, axis=1)),
        "zero_share": mean_of_known(np.where(np.isnan(block), np.nan, block == 0), axis=1),
        # Smoothed activity may be below zero.
        "log_mean": np.log1p(np.maximum(mean, 0.0)),
    }
    ordered = np.sort(block, axis=1)  # NaN last
    known = (~np.isnan(block)).sum(axis=1)
    rows = np.arange(len(block))
    for percentile in _PERCENTILES:
        place = np.maximum(known - 1, 0) * percentile / 100  # linear interpolation, as np.percentile
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(known - 1, 0))
        low, high = ordered[rows, below], ordered[rows, above]
        columns[f"p{percentile}"] = low + (high - low) * (place - below)
    return columns


def _of_rhythm(block: np.ndarray) -> _Columns:
    """Variability, stability, autocorrelation and differences between days, each (B,)."""
    minutes = block.shape[1]
    hours = hourly_means(block)
    columns = {}
    if minutes >= 120:
        columns["intradaily_variability"] = intradaily_variability(hours)
    for name, lag in LAGS.items():
        if minutes >= 2 * lag:
            columns[f"autocorrelation_{name}"] = autocorrelation(block, lag)
    if minutes >= 2 * DAY_MINUTES:
        columns["interdaily_stability"] = interdaily_stability(hours)
        columns["daily_total_sd"] = sd = sd_of_days(block)
        mean = mean_of_known(block, axis=1) * DAY_MINUTES
        columns["daily_total_cv"] = np.where(mean > 0, sd / np.where(mean > 0, mean, 1.0), np.nan)
    return columns


def _intensity(block: np.ndarray, cut_points: CutPoints) -> _Columns:
    """Minutes a day of little and of much effort, each (B,)."""
    missing = np.isnan(block)

    def minutes_a_day(chosen: np.ndarray) -> np.ndarray:
        return mean_of_known(np.where(missing, np.nan, chosen), axis=1) * DAY_MINUTES

    return {
        "sedentary_minutes": minutes_a_day(block < cut_points.sedentary),
        "mvpa_minutes": minutes_a_day(block >= cut_points.mvpa),
    }
