"""Whether a probability of 0.3 comes true three times in ten.

Legend: n people.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from pat_keras.evaluation.bootstrap import LEVEL


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
