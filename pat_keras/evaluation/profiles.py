"""Average days of explanations: by person, by group, and where in the day groups differ.

Axes: B windows, T minutes, n people, 24 hours of the day, G groups, R permutations.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pat_keras.errors import LabelError
from pat_keras.evaluation import bootstrap
from pat_keras.evaluation.clock import DAY_HOURS, Clock, mean_by, total_by

LEAST_PEOPLE = 5  # of a group, for a comparison
LEVEL = 0.05

_LEAST_WAYS = 20  # to give people their groups: with fewer, no p-value can be as small as the level


@dataclasses.dataclass(frozen=True)
class Window:
    """A stretch of the day in which groups differ.

    Attributes:
        start: hour it begins at.
        end: hour it ends at, 24 for midnight; before `start` if it goes over midnight.
        p: the smallest corrected p-value in it.
        higher: the group whose mean is the highest there.
    """

    start: int
    end: int
    p: float
    higher: str

    def words(self) -> str:
        """Such as "between 05:00 and 08:00 (higher in 1, corrected p = 0.003)"."""
        return (
            f"between {self.start:02d}:00 and {self.end:02d}:00 (higher in {self.higher}, corrected p = {self.p:.2g})"
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Mean days of groups, and a test of where they differ.

    Attributes:
        names: of the groups.
        counts: people in each.
        mean: (G, 24).
        low: (G, 24) ends of pointwise 95 % bands by bootstrap over people.
        high: (G, 24).
        statistic: (24,) Welch's t of the second group less the first, or F of more groups.
        p: (24,) corrected for all hours.
        windows: where p is at most 0.05.
        permutations: R.
    """

    names: list[str]
    counts: list[int]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    statistic: np.ndarray
    p: np.ndarray
    windows: list[Window]
    permutations: int

    def words(self) -> str:
        """Where the groups differ, in one sentence."""
        groups = " and ".join(f"{name} (n = {n})" for name, n in zip(self.names, self.counts, strict=True))
        if not self.windows:
            return f"{groups} do not differ at any hour (smallest corrected p = {self.p.min():.2g})."
        return f"{groups} differ " + "; ".join(window.words() for window in self.windows) + "."


def relative_day(weights: np.ndarray, clock: Clock) -> np.ndarray:
    """Attention by hour of the day, as a multiple of what each minute would get if all got the same.

    Args:
        weights: (B, T), each minute's share; NaN for minutes that the model leaves out.
        clock: of the windows.

    Returns:
        (B, 24), NaN for an hour without a known minute.
    """
    even = np.nanmean(weights, axis=1, keepdims=True)
    return mean_by(weights / even, clock.hour_of_day)


def summed_day(attributions: np.ndarray, clock: Clock) -> np.ndarray:
    """What the minutes of each hour of the day, on all days together, added to the score: (B, T) -> (B, 24)."""
    return total_by(attributions, clock.hour_of_day)


def compare_profiles(
    profiles: np.ndarray,
    group: np.ndarray,
    names: Sequence[str],
    strata: np.ndarray | None = None,
    permutations: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Where in the day groups of people differ, with a permutation test that is corrected for looking everywhere.

    In each permutation people change their groups, and the largest statistic of any hour is kept: an hour's corrected
    p-value is the share of permutations whose largest reaches its own (Westfall and Young 1993; Nichols and Holmes,
    Human Brain Mapping 15, 2002). The chance that any hour at all is found where there is nothing is then 5 %.

    Args:
        profiles: (n, 24), one row a person: windows of one person are not independent and must be averaged before.
        group: (n,) number of each person's group.
        names: of the groups.
        strata: (n,) within which people change groups, such as the model that explains them; None for everybody.
        permutations: R.
        seed: of permutations and bootstrap.

    Raises:
        LabelError: if there are not two groups or more, each of 5 people or more, or people can't change groups within
            their strata.

    Example:
        >>> import numpy as np
        >>> import pat_keras as pat
        >>> days = np.random.default_rng(0).normal(size=(40, 24))
        >>> days[20:, 8:10] += 3  # the second group's mornings
        >>> found = pat.compare_profiles(days, np.repeat([0, 1], 20), ["0", "1"])
        >>> [(window.start, window.end) for window in found.windows]
        [(8, 10)]
    """
    counts = np.bincount(group, minlength=len(names))
    if len(names) < 2 or counts.min() < LEAST_PEOPLE:
        found = ", ".join(f"{n} of {name}" for name, n in zip(names, counts.tolist(), strict=True)) or "none"
        raise LabelError(
            f"Comparison of groups: there are {found}; expected two groups or more, each of at least {LEAST_PEOPLE} "
            "people who have values at every hour. Explain more people, or choose another column."
        )
    within = np.zeros(len(group), dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    if (ways := _ways(group, within)) < _LEAST_WAYS:
        raise LabelError(
            f"Comparison of groups: people can change groups only with those whom the same model explains, and there "
            f"are {ways} ways to do so; expected {_LEAST_WAYS} or more, since fewer find no difference however "
            "large. Where one person was left out at a time everybody has a model of their own: explain a run of fewer "
            "folds, or more people."
        )
    statistic = _statistic(profiles, group, len(names))
    rng = np.random.default_rng(seed)
    reached = np.ones(DAY_HOURS)
    for _ in range(permutations):
        changed = group.copy()
        for stratum in range(int(within.max()) + 1):
            own = np.flatnonzero(within == stratum)
            changed[own] = group[rng.permutation(own)]
        reached += np.abs(_statistic(profiles, changed, len(names))).max() >= np.abs(statistic) - 1e-12
    p = reached / (permutations + 1)
    mean = np.stack([profiles[group == k].mean(axis=0) for k in range(len(names))])
    low, high = _bands(profiles, group, len(names), seed)
    windows = _windows(p, mean, names)
    return Comparison(list(names), counts.tolist(), mean, low, high, statistic, p, windows, permutations)


def _ways(group: np.ndarray, within: np.ndarray) -> int:
    """In how many ways the groups can be dealt out within the strata; above what a float holds, a very large number."""
    total = 0.0
    for stratum in np.unique(within):
        counts = np.bincount(group[within == stratum])
        total += math.lgamma(counts.sum() + 1) - sum(math.lgamma(count + 1) for count in counts)
    return round(math.exp(min(total, 690.0)))


def _statistic(profiles: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """(24,) Welch's t of two groups, F of more; 0 where nobody differs from anybody."""
    member = (np.arange(groups)[:, None] == group).astype(np.float64)  # (G, n)
    count = member.sum(axis=1, keepdims=True)
    mean = member @ profiles / count
    spread = np.maximum(member @ profiles**2 - count * mean**2, 0.0)  # sums of squares within groups
    if groups == 2:
        error = np.sqrt((spread / (count * (count - 1))).sum(axis=0))
        return np.divide(mean[1] - mean[0], error, out=np.zeros_like(error), where=error > 1e-12)
    between = (count * (mean - profiles.mean(axis=0)) ** 2).sum(axis=0) / (groups - 1)
    error = spread.sum(axis=0) / (len(group) - groups)
    return np.divide(between, error, out=np.zeros_like(error), where=error > 1e-12)


def _bands(profiles: np.ndarray, group: np.ndarray, groups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(G, 24) ends of the 95 % bands of the means."""
    ends = np.zeros((2, groups, DAY_HOURS))
    for k in range(groups):
        own = profiles[group == k]
        drawn = np.concatenate(list(bootstrap.draw(np.zeros(len(own)), bootstrap.RESAMPLES, seed)))
        ends[:, k] = np.quantile(drawn @ own / len(own), [0.025, 0.975], axis=0)
    return ends[0], ends[1]


def _windows(p: np.ndarray, mean: np.ndarray, names: Sequence[str]) -> list[Window]:
    """Runs of hours whose p is small and whose highest group is the same, also over midnight."""
    highest = np.where(p <= LEVEL, mean.argmax(axis=0), -1)
    begins = [hour for hour in range(DAY_HOURS) if highest[hour] >= 0 and highest[hour - 1] != highest[hour]]
    if not begins and highest[0] >= 0:
        begins = [0]  # all day
    found = []
    for start in begins:
        length = 1
        while length < DAY_HOURS and highest[(start + length) % DAY_HOURS] == highest[start]:
            length += 1
        hours = (start + np.arange(length)) % DAY_HOURS
        end = int(hours[-1]) + 1
        found.append(Window(start, end, float(p[hours].min()), names[highest[start]]))
    return found
