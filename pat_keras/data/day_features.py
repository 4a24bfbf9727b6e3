"""Features of single days of activity, for a person's days to be summed up by their mean and standard deviation.

Made for cohorts of a few dozen people with days each, where weeks are too few to learn from. What they hold is what the
literature on depression and movement names: how much, how it is spread over the day, how broken it is (Burton et al.,
Journal of Affective Disorders 145, 2013; Jakobsen et al., PLoS ONE 15, 2020).

Axes: B days, F features.
"""

from __future__ import annotations

import numpy as np

from pat_keras.data.features import simple_daily_features
from pat_keras.data.rhythm import autocorrelation
from pat_keras.errors import CohortError

DAY_MINUTES = 24 * 60
REST_COUNTS = 20  # a minute with at most so many counts is one of rest: of an Actiwatch on the wrist

_QUARTERS = ("night", "morning", "afternoon", "evening")  # of six hours each, from midnight
_LAGS = (1, 30, 120)  # minutes


def day_features(activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """44 features of each day from midnight to midnight.

    - the 16 of `simple_daily_features`;
    - of log(1 + counts): mean, standard deviation, mean of each quarter of the day, autocorrelation at 1, 30 and 120
      minutes, intradaily variability of the hourly means, and the first two harmonics of 24 hours (cosine, sine,
      amplitude);
    - of counts: the coefficient of variation, and the root mean square of successive differences over the standard
      deviation;
    - of rest (at most `REST_COUNTS`): its share of each quarter, the chance that rest follows an active minute and the
      other way round, and log(1 + minutes) of the mean and the longest bout of
      rest and of activity.

    Args:
        activity: (B, 1440) counts, from midnight, nothing missing.

    Returns:
        ((B, 44) float64, the names).

    Raises:
        CohortError: as `check_days`.
    """
    check_days(activity)
    counts = activity.astype(np.float64)
    simple, names = simple_daily_features(activity)
    columns = dict(zip(names, simple.T, strict=True))
    columns |= _of_logarithms(np.log1p(counts)) | _of_steps(counts) | _of_rest(counts <= REST_COUNTS)
    return np.stack(list(columns.values()), axis=1), list(columns)


def check_days(activity: np.ndarray) -> None:
    """Raise a CohortError for anything but whole days, (B, 1440), or for missing minutes."""
    if activity.ndim != 2 or activity.shape[1] != DAY_MINUTES:
        raise CohortError(
            f"features of days: found windows of {activity.shape[-1]} minutes, expected {DAY_MINUTES}. Prepare the "
            "cohort with pat-prepare --window_days=1."
        )
    missing = int(np.isnan(activity).any(axis=1).sum())
    if missing:
        raise CohortError(
            f"features of days: {missing} of {len(activity)} days have missing minutes, expected none. Prepare the "
            "cohort with complete days alone."
        )


def mean_and_sd_by_person(features: np.ndarray, participant_id: np.ndarray) -> np.ndarray:
    """Each window's features in place of its person's mean and standard deviation (n - 1): (B, F) -> (B, 2 F).

    NaN is left out; a person with one known value has no standard deviation (NaN).
    """
    _, place = np.unique(participant_id, return_inverse=True)
    of_person = np.eye(place.max() + 1)[place]  # (B, people)
    known = ~np.isnan(features)
    count = of_person.T @ known
    with np.errstate(invalid="ignore", divide="ignore"):  # nothing known: NaN
        mean = of_person.T @ np.where(known, features, 0.0) / np.where(count > 0, count, np.nan)
        deviation = np.where(known, features - mean[place], 0.0)
        variance = of_person.T @ deviation**2 / np.where(count > 1, count - 1, np.nan)
    return np.concatenate([mean, np.sqrt(variance)], axis=1)[place]


def _of_logarithms(log: np.ndarray) -> dict[str, np.ndarray]:
    columns = {"log_counts_mean": log.mean(axis=1), "log_counts_sd": log.std(axis=1)}
    quarters = log.reshape(len(log), 4, -1).mean(axis=2)
    columns |= {f"log_counts_{name}": quarters[:, i] for i, name in enumerate(_QUARTERS)}
    columns |= {f"autocorrelation_{lag}": np.nan_to_num(autocorrelation(log, lag)) for lag in _LAGS}
    hours = log.reshape(len(log), 24, 60).mean(axis=2)
    columns["hourly_variability"] = _ratio((np.diff(hours, axis=1) ** 2).mean(axis=1), hours.var(axis=1))
    angle = 2 * np.pi * np.arange(DAY_MINUTES) / DAY_MINUTES
    for harmonic in (1, 2):
        cosine = 2 * (log * np.cos(harmonic * angle)).mean(axis=1)
        sine = 2 * (log * np.sin(harmonic * angle)).mean(axis=1)
        columns |= {
            f"harmonic_{harmonic}_cos": cosine,
            f"harmonic_{harmonic}_sin": sine,
            f"harmonic_{harmonic}_amplitude": np.hypot(cosine, sine),
        }
    return columns


def _of_steps(counts: np.ndarray) -> dict[str, np.ndarray]:
    sd = counts.std(axis=1)
    successive = np.sqrt((np.diff(counts, axis=1) ** 2).mean(axis=1))
    return {"variation": _ratio(sd, counts.mean(axis=1)), "successive_over_sd": _ratio(successive, sd)}


def _of_rest(rest: np.ndarray) -> dict[str, np.ndarray]:
    quarters = rest.reshape(len(rest), 4, -1).mean(axis=2)
    columns = {f"rest_{name}": quarters[:, i] for i, name in enumerate(_QUARTERS)}
    before, after = rest[:, :-1], rest[:, 1:]
    columns["active_to_rest"] = _ratio((~before & after).sum(axis=1), (~before).sum(axis=1))
    columns["rest_to_active"] = _ratio((before & ~after).sum(axis=1), before.sum(axis=1))
    for name, state in (("rest", rest), ("active", ~rest)):
        mean, longest = _bouts(state)
        columns |= {f"{name}_bout_mean": np.log1p(mean), f"{name}_bout_longest": np.log1p(longest)}
    return columns


def _bouts(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and longest bout of true minutes in each row of (B, T), each (B,); 0 where there is none."""
    edges = np.diff(np.pad(state, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, first = np.nonzero(edges == 1)
    length = np.nonzero(edges == -1)[1] - first
    number = np.bincount(row, minlength=len(state))
    longest = np.zeros(len(state))
    np.maximum.at(longest, row, length)
    return state.sum(axis=1) / np.maximum(number, 1), longest


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and 0 where below is 0."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)
