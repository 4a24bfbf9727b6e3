"""Features of a window of activity by wavelets: how much of it happens at which time scale.

Axes: B windows, T minutes, F features.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 256  # windows held in float64 at once: 21 MB of weeks
WAVELET, MODE = "db4", "periodization"


def wavelet_features(activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Features of each level of the discrete wavelet transform of each window of raw activity, one sample a minute.

    Ruan et al. (arXiv 2411.15240) say "wavelet features" and no more; the choices are ours:
    - Daubechies' wavelet with four vanishing moments (db4), continued periodically, so that the transform keeps energy
      (sums of squares): exactly as long as a level has an even number of coefficients, nearly where it hasn't;
    - all levels that the window has room for, ten for a week. Level j holds changes over about 2^j to 2^(j + 1)
      minutes: level 1 is minute by minute, level 10 holds 24 hours, `slow` what is slower than all levels;
    - the window's mean is subtracted (it is a feature of its own, as log(1 + mean)), missing minutes take it.
    Of each level: `_log_energy`, log(1 + mean square of its coefficients); `_share`, its part of the whole energy;
    `_spread`, the entropy of its coefficients' energies, divided by that of equal ones: 1 if the level's changes are
    spread evenly over the window, near 0 if they happen at once (Rosso et al., Journal of Neuroscience Methods 105,
    2001, for the entropy).

    Args:
        activity: (B, T) counts or another measure from 0 upwards, NaN = missing.

    Returns:
        ((B, F) float64, NaN for a window without a known minute; the F names).

    Raises:
        ValueError: if `activity` is not two-dimensional, or has fewer than 14 minutes, too few for a level.
    """
    import pywt  # here, so that other baselines do without it

    levels = pywt.dwt_max_level(activity.shape[1], WAVELET) if activity.ndim == 2 else 0
    if levels < 1:
        raise ValueError(
            f"activity has the shape {activity.shape}, expected (windows, minutes) with 14 or more minutes"
        )
    scales = ["slow", *(f"level_{level}" for level in range(levels, 0, -1))]  # the order of pywt.wavedec
    names = ["log_mean", *(f"{scale}_{measure}" for scale in scales for measure in ("log_energy", "share", "spread"))]
    features = np.empty((len(activity), len(names)))
    for first in range(0, len(activity), _BLOCK):
        block = activity[first : first + _BLOCK].astype(np.float64)
        known = ~np.isnan(block)
        count = known.sum(axis=1, keepdims=True)
        mean = np.where(known, block, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
        columns = [np.log1p(np.maximum(mean[:, 0], 0.0)), *_of_levels(np.where(known, block - mean, 0.0), levels)]
        features[first : first + _BLOCK] = np.where(count > 0, np.stack(columns, axis=1), np.nan)
    return features, names


def _of_levels(centred: np.ndarray, levels: int) -> list[np.ndarray]:
    """Three features of each scale, each (B,)."""
    import pywt

    squares = [c**2 for c in pywt.wavedec(centred, WAVELET, mode=MODE, level=levels, axis=1)]
    whole = sum(of_scale.sum(axis=1) for of_scale in squares)
    columns = []
    for of_scale in squares:
        energy = of_scale.sum(axis=1)
        part = of_scale / np.where(energy > 0, energy, 1.0)[:, None]
        entropy = -np.sum(part * np.log(np.where(part > 0, part, 1.0)), axis=1)
        columns += [
            np.log1p(energy / of_scale.shape[1]),
            energy / np.where(whole > 0, whole, 1.0),
            entropy / np.log(max(of_scale.shape[1], 2)),
        ]
    return columns
