"""When a device was not worn: its own finding, or a long run of zeros.

The two rules for runs were made for one-minute counts of an ActiGraph at the hip, worn by day; sleep without movement
looks to both like non-wear.

- Troiano RP, Berrigan D, Dodd KW, Mâsse LC, Tilert T, McDowell M. Physical activity in the United States measured by
  accelerometer. Med Sci Sports Exerc 40(1), 2008, 181-188. doi:10.1249/mss.0b013e31815a51b3
- Choi L, Liu Z, Matthews CE, Buchowski MS. Validation of accelerometer wear and nonwear time classification algorithm.
  Med Sci Sports Exerc 43(2), 2011, 357-364. doi:10.1249/MSS.0b013e3181ed61a3

Axes: n minutes of a recording.
"""

from __future__ import annotations

import numpy as np

from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

METHODS = ("none", "device", "troiano", "choi")

TROIANO_MINUTES = 60
TROIANO_SPIKE = 2  # minutes
TROIANO_SPIKE_COUNTS = 100
CHOI_MINUTES = 90
CHOI_SPIKE = 2  # minutes
CHOI_AROUND = 30  # minutes without a count before and after a spike


def find_nonwear(recording: Recording, method: str) -> np.ndarray:
    """(n,) bool, the minutes with a value at which the device was not worn.

    Args:
        recording: of one-minute epochs.
        method: "none" (no minute), "device" (the recording's `wear`), "troiano" or "choi".

    Raises:
        RecordingError: for "device" without a finding of the device, or a rule for counts with another unit.
    """
    place = f"{recording.source}: recording of {recording.participant_id!r}"
    if method == "none":
        return np.zeros(len(recording), dtype=np.bool_)
    if method == "device":
        if recording.wear is None:
            raise RecordingError(
                f"{place}: the device says nothing about wear, but non-wear is to be its own finding (device). Choose "
                "none, or troiano or choi for counts."
            )
        return ~recording.wear & ~np.isnan(recording.activity)
    if recording.unit != "counts":
        raise RecordingError(
            f"{place}: its unit is {recording.unit!r}, but the non-wear rule {method} is one for counts a minute. "
            "Choose none, or device where the device itself says when it was worn."
        )
    return {"troiano": troiano, "choi": choi}[method](recording.activity)


def troiano(counts: np.ndarray) -> np.ndarray:
    """Non-wear by Troiano et al. 2008: 60 minutes or more of zeros, with 1 or 2 minutes of up to 100 counts allowed.

    As in the authors' SAS program for NHANES, a period begins and ends with a zero, may hold any number of such spikes,
    and is ended by a count above 100, by three minutes in a row with counts, or by a missing minute. Their program
    works through one day after the other, so that midnight ends a period too; here it doesn't.

    Args:
        counts: (n,) counts a minute, NaN = missing.

    Returns:
        (n,) bool.
    """
    zero = counts == 0
    spikes = true_runs((counts > 0) & (counts <= TROIANO_SPIKE_COUNTS))
    spikes = spikes[spikes[:, 1] - spikes[:, 0] <= TROIANO_SPIKE]
    spikes = spikes[(spikes[:, 0] > 0) & (spikes[:, 1] < len(counts))]
    spikes = spikes[zero[spikes[:, 0] - 1] & zero[spikes[:, 1]]]
    return _long_runs(zero | _in_runs(spikes, len(counts)), TROIANO_MINUTES)


def choi(counts: np.ndarray) -> np.ndarray:
    """Non-wear by Choi et al. 2011: 90 minutes or more of zeros, with spikes of 1 or 2 minutes allowed.

    A spike is allowed if there is no count in the 30 minutes before and the 30 minutes after it. Minutes that are
    missing, or lie before or after the recording, hold no count; a missing minute ends a period.

    Args:
        counts: (n,) counts a minute, NaN = missing.

    Returns:
        (n,) bool.
    """
    active = counts > 0
    n_active = np.concatenate([[0], np.cumsum(active)])
    spikes = true_runs(active)
    spikes = spikes[spikes[:, 1] - spikes[:, 0] <= CHOI_SPIKE]
    begin, end = spikes.T
    before = n_active[begin] - n_active[np.maximum(begin - CHOI_AROUND, 0)]
    after = n_active[np.minimum(end + CHOI_AROUND, len(counts))] - n_active[end]
    allowed = spikes[(before == 0) & (after == 0)]
    return _long_runs((counts == 0) | _in_runs(allowed, len(counts)), CHOI_MINUTES)


def true_runs(mask: np.ndarray) -> np.ndarray:
    """The runs of true values of a (n,) mask: (k, 2), the first place of each, and the first one after it."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2)


def _long_runs(mask: np.ndarray, least: int) -> np.ndarray:
    """The mask without its runs shorter than `least`."""
    runs = true_runs(mask)
    return _in_runs(runs[runs[:, 1] - runs[:, 0] >= least], len(mask))


def _in_runs(runs: np.ndarray, length: int) -> np.ndarray:
    """The mask (length,) that is true in `runs` (k, 2), which don't touch each other."""
    step = np.zeros(length + 1, dtype=np.int8)
    step[runs[:, 0]] = 1
    step[runs[:, 1]] = -1
    return np.cumsum(step[:-1], dtype=np.int8).astype(np.bool_)
