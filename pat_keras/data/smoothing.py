"""Savitzky-Golay smoothing of weeks, as the paper did it.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from pat_keras.errors import CohortError

# Ruan et al., arXiv 2411.15240 (and its notebooks); it did not help them.
WINDOW, ORDER = 51, 3
HALF = WINDOW // 2
_BLOCK = 256  # windows held in float64 at once: 21 MB of weeks


def smooth(activity: np.ndarray) -> np.ndarray:
    """Each window smoothed by itself: (B, T) raw minutes -> (B, T) float32.

    A polynomial of order 3 is fitted by least squares to the 51 minutes round each minute (at the edges, to the first
    and the last 51), and read off at that minute: `scipy.signal.savgol_filter(x, 51, 3, mode="interp")`, after Savitzky
    and Golay, Analytical Chemistry 36, 1964. Near bursts it goes below zero, which activity never does; that is kept.

    A missing minute (NaN) counts as the mean of the known ones up to 25 minutes from it (where there is none, of the
    window's known ones), and is missing again afterwards: filled by the mean of the whole week, a gap at night would
    pull up the minutes beside it.

    Raises:
        CohortError: if the array is not (B, T), or has fewer than 51 minutes.
    """
    if activity.ndim != 2 or activity.shape[1] < WINDOW:
        raise CohortError(
            f"Savitzky-Golay smoothing: activity has the shape {activity.shape}, expected (windows, minutes) with at "
            f"least {WINDOW} minutes. Use longer windows, or no smoothing."
        )
    smoothed = np.empty(activity.shape, np.float32)
    for first in range(0, len(activity), _BLOCK):
        block = activity[first : first + _BLOCK].astype(np.float64)
        missing = np.isnan(block)
        if missing.any():
            block = _filled(block, missing)
        block = signal.savgol_filter(block, WINDOW, ORDER, axis=1, mode="interp")
        smoothed[first : first + _BLOCK] = np.where(missing, np.nan, block)
    return smoothed


def _filled(block: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The same minutes with every missing one filled."""
    zeros = np.where(missing, 0.0, block)
    weeks = zeros.sum(axis=1, keepdims=True) / np.maximum((~missing).sum(axis=1, keepdims=True), 1)
    # In whole numbers: sums that run along a week leave a rest, which must not pass for a known minute.
    count = WINDOW * ndimage.uniform_filter1d((~missing).astype(np.float64), WINDOW, axis=1, mode="constant")
    count = np.rint(count)
    sums = WINDOW * ndimage.uniform_filter1d(zeros, WINDOW, axis=1, mode="constant")
    near = np.where(count > 0, sums / np.maximum(count, 1.0), weeks)
    return np.where(missing, near, block)
