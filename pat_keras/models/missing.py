"""Missing minutes that a model can't take, counted before anything is computed.

Axes: B windows, T minutes, N patches.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pat_keras.errors import CohortError

_BLOCK = 1024  # windows looked at together


def check_complete(activity: np.ndarray, instead: str) -> None:
    """See that no minute is missing of windows (B, T).

    Args:
        activity: an array, or anything that gives one when it is sliced.
        instead: what to do, for the message.

    Raises:
        CohortError: if some are missing.
    """
    missing = sum(int(np.isnan(block).any(axis=1).sum()) for block in _blocks(activity))
    if missing:
        raise CohortError(
            f"{missing} of {len(activity)} windows have missing minutes (NaN), expected none. Prepare windows that are "
            f"complete, or {instead}."
        )


def check_seen(activity: np.ndarray, patch_size: int, min_worn_share: float) -> None:
    """See that every window has a patch that a model which masks missing minutes looks at.

    Args:
        activity: as above.
        patch_size: minutes of a patch.
        min_worn_share: of these, that must be known.

    Raises:
        CohortError: if a window has none.
    """
    unseen = 0
    for block in _blocks(activity):
        known = ~np.isnan(block).reshape(len(block), -1, patch_size)  # (b, N, P)
        unseen += int((~(known.mean(axis=2) >= min_worn_share).any(axis=1)).sum())
    if unseen:
        raise CohortError(
            f"{unseen} of {len(activity)} windows have no patch of {patch_size} minutes of which a share of "
            f"{min_worn_share:g} is known, expected some in every window. Leave out windows that were hardly "
            "worn (pat-prepare --min_worn_minutes --min_valid_days), or lower --min_worn_share."
        )


def _blocks(activity: np.ndarray) -> Iterator[np.ndarray]:
    return (activity[first : first + _BLOCK] for first in range(0, len(activity), _BLOCK))
