"""Whether a probability of 0.3 comes true three times in ten.

Legend: n people, R resamples. `draws` (R, n) says how often each person was drawn (see `bootstrap`).
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from pat_keras.evaluation.bootstrap import LEVEL

CLIP = 1e-6  # probabilities nearer than this to 0 or 1 count as this near

_STEPS = 40  # of Newton's method
_CLOSE = 1e-8  # last step of a solution
_LEAST_SPREAD = 1e-9  # of log-odds; below, predictions are equal but for rounding
_STEEPEST = 50.0  # slope on predictions of deviation 1; only classes that are apart have a steeper one


def calibration_groups(
    y: np.ndarray, p: np.ndarray, groups: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Groups of equally many people by predicted probability; equal predictions are never divided.

    Args:
        y: (n,) labels 0 or 1.
        p: (n,) predicted probability of 1.
        groups: at most; by default one for every 15 people, 2 at least and 10 at most.

    Returns:
        Mean prediction, observed share of 1, and the low and high end of its 95 % interval by Wilson's method (JASA
        1927, 22:209), one a group.
    """
    groups = groups or int(np.clip(len(y) // 15, 2, 10))
    edges = np.unique(np.quantile(p, np.linspace(0, 1, groups + 1)[1:-1], method="lower"))
    _, group, size = np.unique(np.searchsorted(edges, p, side="left"), return_inverse=True, return_counts=True)
    predicted, share = np.bincount(group, weights=p) / size, np.bincount(group, weights=y) / size
    z2 = scipy.stats.norm.ppf((1 + LEVEL) / 2) ** 2
    middle = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = np.sqrt(z2 * share * (1 - share) / size + z2**2 / (4 * size**2)) / (1 + z2 / size)
    # At a share of 0 or 1 the ends equal it but for rounding.
    return predicted, share, np.minimum(middle - half, share), np.maximum(middle + half, share)


def clipped_logit(p: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities; those nearer to 0 or 1 than `CLIP` count as that near, since 0 has no log-odds."""
    p = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    return np.log(p / (1 - p))


def calibration_slope(y: np.ndarray, p: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The slope b of y ~ a + b logit(p), a logistic regression (Cox 1958, Biometrika 45:562), of each resample.

    1 is right; below 1, predictions are too extreme, as those of an overfitted model are; see Van Calster et al. 2019,
    BMC Medicine 17:230.

    Args:
        y: (n,) labels 0 or 1.
        p: (n,) predicted probability of 1, clipped at `CLIP`.
        draws: (R, n).

    Returns:
        (R,), NaN where a class is absent, all predictions are equal or they separate the classes.
    """
    logit = clipped_logit(p)
    spread = float(logit.std())
    if spread < _LEAST_SPREAD:
        return np.full(len(draws), np.nan)
    scaled = (logit - logit.mean()) / spread
    start = _fit_slope(y, scaled, np.ones((1, len(y))), np.zeros((1, 2)))
    known = bool(np.isfinite(start).all())
    # A resample's solution is near the sample's, from where Newton's method needs few steps.
    first = np.tile(start if known else np.zeros((1, 2)), (len(draws), 1))
    return _fit_slope(y, scaled, draws.astype(np.float64), first)[:, 1] / spread


def calibration_intercept(y: np.ndarray, p: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Calibration in the large: the intercept a of y ~ a + logit(p), the slope held at 1, of each resample.

    0 is right; below 0, predictions are too high on average (Van Calster et al. 2019, as above).

    Args:
        y: (n,) labels 0 or 1.
        p: (n,) predicted probability of 1, clipped at `CLIP`.
        draws: (R, n).

    Returns:
        (R,), NaN where a class is absent.
    """
    logit, weight = clipped_logit(p), draws.astype(np.float64)
    positive, total = weight @ y, weight.sum(axis=1)
    shift = np.zeros(len(draws))
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-(logit + shift[:, None])))  # (R, n)
        slope = np.einsum("rn,rn->r", weight, chance * (1 - chance))
        step = np.clip((positive - np.einsum("rn,rn->r", weight, chance)) / np.maximum(slope, 1e-300), -2, 2)
        shift += step
        if np.abs(step).max(initial=0.0) < _CLOSE or not np.isfinite(shift).all():
            break
    return np.where((positive > 0) & (positive < total), shift, np.nan)


def calibration_curve(y: np.ndarray, p: np.ndarray, points: int = 101) -> tuple[np.ndarray, np.ndarray] | None:
    """The logistic regression of y on logit(p) as a curve: predicted probabilities, and what they come true as.

    Args:
        y: (n,) labels 0 or 1.
        p: (n,) predicted probability of 1.
        points: of the curve, from the smallest prediction to the largest.

    Returns:
        Two arrays (points,), or None where the regression has no finite solution.
    """
    logit = clipped_logit(p)
    spread, middle = float(logit.std()), float(logit.mean())
    if spread < _LEAST_SPREAD:
        return None
    ((intercept, slope),) = _fit_slope(y, (logit - middle) / spread, np.ones((1, len(y))), np.zeros((1, 2)))
    if not np.isfinite(slope):
        return None
    predicted = np.linspace(1 / (1 + np.exp(-logit.min())), 1 / (1 + np.exp(-logit.max())), points)
    eta = intercept + slope * (clipped_logit(predicted) - middle) / spread
    return predicted, 1 / (1 + np.exp(-eta))


def _fit_slope(y: np.ndarray, x: np.ndarray, weight: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(R, 2) intercept and slope of logistic regressions of y on x (n,), NaN where there is no finite solution."""
    beta = start.copy()
    positive = weight @ y
    possible = (positive > 0) & (positive < weight.sum(axis=1))
    size = np.full(len(beta), np.inf)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(beta[:, :1] + beta[:, 1:] * x, -500, 500)))  # (R, n)
        rest, bend = weight * (y - chance), weight * chance * (1 - chance)
        g0, g1 = rest.sum(axis=1), rest @ x
        h0, h1, h2 = bend.sum(axis=1), bend @ x, bend @ x**2
        determinant = h0 * h2 - h1**2
        possible &= determinant > 1e-12 * np.maximum(h0 * h2, 1e-300)
        divisor = np.where(possible, determinant, 1.0)
        step = np.stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0], axis=1) / divisor[:, None]
        step = np.where(possible[:, None], np.clip(step, -2, 2), 0.0)
        beta += step
        size = np.abs(step).max(axis=1, initial=0.0)
        if size.max(initial=0.0) < _CLOSE:
            break
    # Classes that the predictions separate have no solution: the slope grows without end.
    return np.where((possible & (size < _CLOSE) & (np.abs(beta[:, 1]) < _STEEPEST))[:, None], beta, np.nan)
