"""The daily rhythm of a window of activity, in the measures that its field uses. NumPy alone.

Axes: B windows, T minutes, K hours.

References:
    Witting et al., Biological Psychiatry 27, 1990 (intradaily variability, interdaily stability, relative amplitude).
    Van Someren et al., Chronobiology International 16, 1999 (M10, L5, of weeks with hourly means).
    Gonçalves et al., "Nonparametric methods in actigraphy: an update", Sleep Science 7, 2014 (the formulas below).
"""

from __future__ import annotations

import numpy as np

DAY_MINUTES = 24 * 60
M10_MINUTES, L5_MINUTES = 10 * 60, 5 * 60
LAGS = {"1min": 1, "1h": 60, "24h": DAY_MINUTES}  # of the autocorrelation, in minutes


def average_day(activity: np.ndarray) -> np.ndarray:
    """(B, 1440) mean of each minute of the day over the days of (B, T); NaN where it is missing on all of them.

    A last day that is cut off counts for the minutes it has.
    """
    return mean_of_known(in_pieces(activity, DAY_MINUTES), axis=1)


def in_pieces(activity: np.ndarray, minutes: int) -> np.ndarray:
    """(B, T) -> (B, T / minutes, minutes), the last piece filled up with NaN."""
    rest = -activity.shape[1] % minutes
    filled = np.pad(activity, ((0, 0), (0, rest)), constant_values=np.nan) if rest else activity
    return filled.reshape(len(activity), -1, minutes)


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean without NaN, and NaN without a warning where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def hourly_means(activity: np.ndarray) -> np.ndarray:
    """(B, T) -> (B, K) mean of each hour from the window's start; NaN where fewer than 30 of its minutes are known."""
    hours = in_pieces(activity, 60)
    return np.where((~np.isnan(hours)).sum(axis=2) >= 30, mean_of_known(hours, axis=2), np.nan)


def intradaily_variability(hours: np.ndarray) -> np.ndarray:
    """How much activity changes from one hour to the next: 0 for a smooth rhythm, about 2 for white noise.

    IV = [sum of (x_i - x_(i-1))^2 / (n - 1)] / [sum of (x_i - mean)^2 / n], x the hourly means. Where hours are
    missing, the upper mean is over the pairs of neighbours that are known, the lower one over the known hours.

    Args:
        hours: (B, K) hourly means, NaN = missing.

    Returns:
        (B,); NaN without two neighbouring hours, or if all hours are equal.
    """
    return _ratio(mean_of_known(np.diff(hours, axis=1) ** 2, axis=1), _variance(hours))


def interdaily_stability(hours: np.ndarray) -> np.ndarray:
    """How alike the days are: 1 if every day is the same, about 1 / days for white noise.

    IS = [n sum over h of (m_h - mean)^2] / [24 sum over i of (x_i - mean)^2], with x the hourly means, m_h those of
    hour h of the day averaged over days. Where hours are missing, each m_h counts as often as its hour is known: the
    same formula where none is, and IS stays the share of the variance that is between hours of the day, from 0 to 1.

    Args:
        hours: (B, K) hourly means, NaN = missing.

    Returns:
        (B,); NaN if all hours are equal, or no hour of the day is known on two days, so that nothing tells.
    """
    by_day = in_pieces(hours, 24)  # (B, days, 24)
    count = (~np.isnan(by_day)).sum(axis=1)
    deviation = mean_of_known(by_day, axis=1) - mean_of_known(hours, axis=1)[:, None]
    between = np.where(count > 0, count * deviation**2, 0.0).sum(axis=1) / np.maximum(count.sum(axis=1), 1)
    return np.where((count > 1).any(axis=1), _ratio(between, _variance(hours)), np.nan)


def autocorrelation(activity: np.ndarray, lag: int) -> np.ndarray:
    """Correlation of each minute with the one `lag` minutes later: (B, T) -> (B,).

    The mean of (x_t - mean) (x_(t + lag) - mean) over the pairs whose minutes are both known, divided by the variance
    of the known minutes: 1 for a window that repeats itself after `lag` minutes. NaN for a window that is constant, or
    has no pair.
    """
    if lag >= activity.shape[1]:
        return np.full(len(activity), np.nan)
    deviation = activity - mean_of_known(activity, axis=1)[:, None]
    return _ratio(mean_of_known(deviation[:, :-lag] * deviation[:, lag:], axis=1), _variance(activity))


def daily_totals(activity: np.ndarray) -> np.ndarray:
    """(B, T) -> (B, days) activity of a day: the mean of its known minutes x 1440.

    NaN for a day with fewer than 720 known minutes, as a last day that is cut off may be.
    """
    days = in_pieces(activity, DAY_MINUTES)
    enough = (~np.isnan(days)).sum(axis=2) >= DAY_MINUTES / 2
    return np.where(enough, mean_of_known(days, axis=2) * DAY_MINUTES, np.nan)


def sd_of_days(activity: np.ndarray) -> np.ndarray:
    """(B, T) -> (B,) standard deviation (n - 1) of the daily totals; NaN for fewer than two days."""
    totals = daily_totals(activity)
    count = (~np.isnan(totals)).sum(axis=1)
    variance = mean_of_known((totals - mean_of_known(totals, axis=1)[:, None]) ** 2, axis=1)
    return np.where(count > 1, np.sqrt(variance * count / np.maximum(count - 1, 1)), np.nan)


def active_and_quiet_hours(day: np.ndarray) -> dict[str, np.ndarray]:
    """M10, L5, relative amplitude and onsets, of average days (B, 1440): name -> (B,).

    `m10` and `l5` are the means of the most active ten and the least active five hours on end (round midnight too);
    `relative_amplitude` is (m10 - l5) / (m10 + l5); onsets are given as cosine and sine of the angle, since minute 1439
    is beside minute 0.
    """
    m10_means, l5_means = _means_from_each_minute(day, M10_MINUTES), _means_from_each_minute(day, L5_MINUTES)
    m10_onset = np.argmax(np.nan_to_num(m10_means, nan=-np.inf), axis=1)
    l5_onset = np.argmin(np.nan_to_num(l5_means, nan=np.inf), axis=1)
    rows = np.arange(len(day))
    m10, l5 = m10_means[rows, m10_onset], l5_means[rows, l5_onset]
    total = m10 + l5
    features = {
        "m10": m10,
        "l5": l5,
        "relative_amplitude": np.where(total == 0, 0.0, (m10 - l5) / np.where(total == 0, 1.0, total)),
    }
    for name, mean, onset in (("m10", m10, m10_onset), ("l5", l5, l5_onset)):
        angle = np.where(np.isnan(mean), np.nan, onset * (2 * np.pi / DAY_MINUTES))
        features[f"{name}_onset_cos"], features[f"{name}_onset_sin"] = np.cos(angle), np.sin(angle)
    return features


def _means_from_each_minute(day: np.ndarray, length: int) -> np.ndarray:
    """(B, 1440) mean of the `length` minutes that begin at each minute, going on past midnight at the day's start.

    NaN where less than half of these minutes are known.
    """
    known = ~np.isnan(day)

    def window_sums(values: np.ndarray) -> np.ndarray:
        sums = np.cumsum(np.concatenate([values[:, -1:] * 0, values, values[:, :length]], axis=1), axis=1)
        return sums[:, length : length + DAY_MINUTES] - sums[:, :DAY_MINUTES]

    count = window_sums(known.astype(np.float64))
    return np.where(count >= length / 2, window_sums(np.where(known, day, 0.0)) / np.maximum(count, 1.0), np.nan)


def _variance(values: np.ndarray) -> np.ndarray:
    """(B, n) -> (B,); what rounding leaves of equal values is 0."""
    mean = mean_of_known(values, axis=1)
    variance = mean_of_known((values - mean[:, None]) ** 2, axis=1)
    return np.where(variance <= 1e-24 * mean**2, 0.0, variance)


def _ratio(above: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """NaN where the variance is zero."""
    positive = variance > 0
    return np.where(positive, above / np.where(positive, variance, 1.0), np.nan)
