"""What the numbers of a cohort tell about how it was scaled before.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

_BLOCK = 256  # windows held in float64 at once: 21 MB of weeks


@dataclasses.dataclass(frozen=True)
class Moments:
    """Means and deviations, of many rows or columns, or of everything."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> Moments:
        """From the count, the sum and the sum of squares of each."""
        count = np.maximum(count, 1.0)
        mean = total / count
        return cls(mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0)))

    def common(self, tolerance: float) -> tuple[float, float, bool] | None:
        """The mean that all share, their typical deviation, and whether they share that too; None if no mean is shared.

        "All" is 95 % of those that vary; of fewer than three it can't be told.

        Args:
            tolerance: how far the means, and the deviations, may be from the shared one, in deviations.
        """
        varying = self.std > 1e-6
        if varying.sum() < 3:
            return None
        mean, std = self.mean[varying], self.std[varying]
        shared, typical = float(np.median(mean)), float(np.median(std))
        if np.mean(np.abs(mean - shared) <= tolerance * typical) < 0.95:
            return None
        return shared, typical, bool(np.mean(np.abs(std - typical) <= tolerance * typical) >= 0.95)


@dataclasses.dataclass(frozen=True)
class ScalingNumbers:
    """The few numbers of (B, T) windows that the detection looks at; NaN is ignored.

    Attributes:
        windows: moments of each window (B,).
        minutes: moments of each minute (T,).
        overall: moments of all values, ().
        lowest: the smallest value.
        share_negative: share of all values below zero.
        share_at_lowest: share of all values that equal the smallest.
        windows_at_lowest: share of windows that have it.
        minute_lowest: the smallest value of each minute (T,).
        share_at_minute_lowest: share of the windows that have it, the median over minutes.
    """

    windows: Moments
    minutes: Moments
    overall: Moments
    lowest: float
    share_negative: float
    share_at_lowest: float
    windows_at_lowest: float
    minute_lowest: np.ndarray
    share_at_minute_lowest: float

    @classmethod
    def of(cls, activity: np.ndarray) -> ScalingNumbers:
        """Two passes over blocks of windows: the smallest values first, then the rest."""
        blocks = range(0, len(activity), _BLOCK)
        minute_lowest = np.fmin.reduce([np.fmin.reduce(activity[i : i + _BLOCK], axis=0) for i in blocks])
        lowest = float(np.fmin.reduce(minute_lowest))
        rows, columns = [], np.zeros((3, activity.shape[1]))
        at_minute_lowest = np.zeros(activity.shape[1])
        negative = at_lowest = windows_at_lowest = 0
        for i in blocks:
            block = activity[i : i + _BLOCK].astype(np.float64)
            known = ~np.isnan(block)
            low = block <= _just_above(lowest)
            negative += int((block < 0).sum())
            at_lowest += int(low.sum())
            windows_at_lowest += int(low.any(axis=1).sum())
            at_minute_lowest += (block <= _just_above(minute_lowest)).sum(axis=0)
            block[~known] = 0.0
            rows.append([known.sum(axis=1), block.sum(axis=1), np.einsum("bt,bt->b", block, block)])
            columns += known.sum(axis=0), block.sum(axis=0), np.einsum("bt,bt->t", block, block)
        n_values = max(int(columns[0].sum()), 1)
        return cls(
            windows=Moments.of(*np.concatenate(rows, axis=1)),
            minutes=Moments.of(*columns),
            overall=Moments.of(*columns.sum(axis=1)),
            lowest=lowest,
            share_negative=negative / n_values,
            share_at_lowest=at_lowest / n_values,
            windows_at_lowest=windows_at_lowest / len(activity),
            minute_lowest=minute_lowest,
            share_at_minute_lowest=float(np.median(at_minute_lowest)) / len(activity),
        )


def _just_above(lowest: float | np.ndarray) -> np.ndarray:
    """What float32 rounding makes of one and the same number."""
    return np.asarray(lowest, dtype=np.float64) + 1e-5 * np.maximum(np.abs(lowest), 1e-3)


def whole_number_step(activity: np.ndarray, lowest: float) -> float | None:
    """The distance of neighbouring values, if all lie on a grid from `lowest` upwards, as scaled counts do.

    Looked at are the 200 smallest different values of the first windows: large ones have too few digits left.
    """
    values = np.unique(activity[:_BLOCK]).astype(np.float64)
    values = values[values > _just_above(lowest)][:200] - lowest
    if values.size < 3:
        return None
    steps = values / values[0]
    if np.abs(steps - np.rint(steps)).max() > 0.05:
        return None
    return float(values[-1] / np.rint(steps[-1]))
