"""Simple features of a window of activity, for baselines to stand beside a transformer. NumPy alone.

Axes: B windows, T minutes, F features.
"""

from __future__ import annotations

import numpy as np

_DAY_MINUTES = 24 * 60
_PERCENTILES = (25, 50, 75, 90, 99)
_BLOCK = 256  # windows held in float64 at once: 21 MB of weeks


def simple_daily_features(activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Features of each window of raw activity, one sample a minute.

    - `mean`, `sd`, `zero_share`: the three of Garcia-Ceja et al., "Depresjon: a motor activity database of depression
      episodes in unipolar and bipolar patients", MMSys 2018 (there of a day, here of the window).
    - `log_mean`: log(1 + mean); `p25` ... `p99`: percentiles.
    - of the average day, for windows of at least a day: `m10` and `l5`, the mean of the most active ten and the least
      active five hours on end (round midnight too); `relative_amplitude`, (m10 - l5) / (m10 + l5), of Witting et al.,
      Biological Psychiatry 27, 1990, and Van Someren et al., Chronobiology International 16, 1999; and where in the day
      they begin, as cosine and sine of the angle (`m10_onset_cos`, ...), since minute 1439 is beside minute 0. The day
      begins with the
      window: onsets compare people only if all windows start at the same time of day.

    Args:
        activity: (B, T) counts or another measure from 0 upwards, NaN = missing.

    Returns:
        ((B, F) float64, NaN where a window has no minute to tell by; the F names).

    Raises:
        ValueError: if `activity` is not two-dimensional or has no minutes.
    """
    if activity.ndim != 2 or activity.shape[1] == 0:
        raise ValueError(f"activity has the shape {activity.shape}, expected (windows, minutes)")
    names = ["mean", "sd", "zero_share", "log_mean", *(f"p{percentile}" for percentile in _PERCENTILES)]
    if activity.shape[1] >= _DAY_MINUTES:
        names += ["m10", "l5", "relative_amplitude"]
        names += [f"{part}_onset_{axis}" for part in ("m10", "l5") for axis in ("cos", "sin")]
    features = np.empty((len(activity), len(names)))
    for first in range(0, len(activity), _BLOCK):
        block = activity[first : first + _BLOCK].astype(np.float64)
        columns = _distribution(block)
        if activity.shape[1] >= _DAY_MINUTES:
            columns += _rhythm(average_day(block))
        features[first : first + _BLOCK] = np.stack(columns, axis=1)
    return features, names


def average_day(activity: np.ndarray) -> np.ndarray:
    """(B, 1440) mean of each minute of the day over the days of (B, T); NaN where it is missing on all of them.

    A last day that is cut off counts for the minutes it has.
    """
    rest = -activity.shape[1] % _DAY_MINUTES
    days = np.pad(activity, ((0, 0), (0, rest)), constant_values=np.nan).reshape(len(activity), -1, _DAY_MINUTES)
    return _mean(days, axis=1)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean without NaN, and NaN without a warning where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _distribution(block: np.ndarray) -> list[np.ndarray]:
    """Features of the values in any order, each (B,)."""
    mean = _mean(block, axis=1)
    sd = np.sqrt(_mean((block - mean[:, None]) ** 2, axis=1))
    zero_share = _mean(np.where(np.isnan(block), np.nan, block == 0), axis=1)
    ordered = np.sort(block, axis=1)  # NaN last
    known = (~np.isnan(block)).sum(axis=1)
    rows = np.arange(len(block))
    percentiles = []
    for percentile in _PERCENTILES:
        place = np.maximum(known - 1, 0) * percentile / 100  # linear interpolation, as np.percentile
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(known - 1, 0))
        low, high = ordered[rows, below], ordered[rows, above]
        percentiles.append(low + (high - low) * (place - below))
    return [mean, sd, zero_share, np.log1p(mean), *percentiles]


def _rhythm(day: np.ndarray) -> list[np.ndarray]:
    """Features of average days (B, 1440), each (B,)."""
    m10_means, l5_means = _means_from_each_minute(day, 600), _means_from_each_minute(day, 300)
    m10_onset = np.argmax(np.nan_to_num(m10_means, nan=-np.inf), axis=1)
    l5_onset = np.argmin(np.nan_to_num(l5_means, nan=np.inf), axis=1)
    rows = np.arange(len(day))
    m10, l5 = m10_means[rows, m10_onset], l5_means[rows, l5_onset]
    total = m10 + l5
    features = [m10, l5, np.where(total == 0, 0.0, (m10 - l5) / np.where(total == 0, 1.0, total))]
    for mean, onset in ((m10, m10_onset), (l5, l5_onset)):
        angle = np.where(np.isnan(mean), np.nan, onset * (2 * np.pi / _DAY_MINUTES))
        features += [np.cos(angle), np.sin(angle)]
    return features


def _means_from_each_minute(day: np.ndarray, length: int) -> np.ndarray:
    """(B, 1440) mean of the `length` minutes that begin at each minute, going on past midnight at the day's start.

    NaN where less than half of these minutes are known.
    """
    known = ~np.isnan(day)

    def window_sums(values: np.ndarray) -> np.ndarray:
        sums = np.cumsum(np.concatenate([values[:, -1:] * 0, values, values[:, :length]], axis=1), axis=1)
        return sums[:, length : length + _DAY_MINUTES] - sums[:, :_DAY_MINUTES]

    count = window_sums(known.astype(np.float64))
    return np.where(count >= length / 2, window_sums(np.where(known, day, 0.0)) / np.maximum(count, 1.0), np.nan)
