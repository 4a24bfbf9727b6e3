"""A synthetic cohort for the demo and the tests: plausible weeks of people who do not exist.

Axes: P people, T minutes.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from pat_keras.data.cohort import Cohort
from pat_keras.errors import ConfigError

_DAY_MINUTES = 24 * 60
_BOUT_MINUTES = 15  # a walk, a chore, an hour at a desk: activity keeps its level for a while
_BLOCK = 128  # people simulated at once
_POSITIVE_SHARE = 0.4


def simulate_cohort(n_people: int = 400, seed: int = 0, days: int = 7, effect: float = 1.0) -> Cohort:
    """Weeks of counts with sleep, bouts, naps, weekends and hours of non-wear (as zeros), one window a person.

    Two in five people have `label` 1. Their rhythm is, by `effect` times an hour and a half, later; and it is flatter
    (livelier nights, quieter days) and lower, as reviewed for depression by Burton et al., Journal of Affective
    Disorders 145, 2013. The sizes are chosen to make a small model's AUC about 0.8, not estimated from anybody. `age`
    and `sex` are drawn without regard to the label.

    Args:
        n_people: at least 4.
        seed: of everything that is drawn.
        days: whole days of a window, which starts at midnight of a random weekday.
        effect: size of the difference between the labels; 0 makes the label pure chance.

    Returns:
        A cohort whose metadata say `synthetic` and whose ids read synthetic_0001, ...

    Raises:
        ConfigError: for numbers that make no cohort.

    Example:
        >>> cohort = simulate_cohort(n_people=10, days=1)
        >>> cohort.activity.shape, cohort.columns, cohort.metadata["synthetic"]
        ((10, 1440), ['label', 'age', 'sex'], True)
    """
    if n_people < 4 or days < 1 or not np.isfinite(effect):
        raise ConfigError(
            f"simulate_cohort: {n_people} people, {days} days and an effect of {effect}; expected at least 4 people, "
            "at least 1 day and a finite effect."
        )
    rng = np.random.default_rng(seed)
    label = np.zeros(n_people, dtype=np.int32)
    label[rng.permutation(n_people)[: max(round(_POSITIVE_SHARE * n_people), 1)]] = 1
    age = rng.integers(20, 80, n_people)
    first_weekday = rng.integers(0, 7, n_people)
    habits = _Habits.draw(rng, label * effect, age)
    activity = np.empty((n_people, days * _DAY_MINUTES), np.float32)
    for first in range(0, n_people, _BLOCK):
        block = slice(first, first + _BLOCK)
        activity[block] = _counts(rng, habits.of(block), first_weekday[block], days)
    monday = datetime.datetime(2024, 1, 1)
    table = pl.DataFrame(
        {
            "participant_id": [f"synthetic_{number:04d}" for number in range(1, n_people + 1)],
            "start": [monday + datetime.timedelta(days=int(weekday)) for weekday in first_weekday],
            "label": label,
            "age": age.astype(np.int32),
            "sex": rng.integers(0, 2, n_people).astype(np.int32),
        }
    )
    metadata = {
        "source": "synthetic",
        "unit": "counts",
        "epoch_length": 60,
        "synthetic": True,
        "citation": "simulated by pat_keras: no real people, no real effect",
        "simulation": {"n_people": n_people, "seed": seed, "days": days, "effect": effect},
    }
    return Cohort(activity, table, metadata)


@dataclasses.dataclass(frozen=True)
class _Habits:
    """What each person is like, (P, 1) each: times in minutes of the day, levels in counts per minute."""

    wake: np.ndarray
    bed: np.ndarray
    level: np.ndarray  # of an active minute by day
    restlessness: np.ndarray  # share of minutes with movement at night
    idleness: np.ndarray  # share of bouts without movement by day
    naps: np.ndarray  # chance of a nap on a day
    removals: np.ndarray  # chance that the device is off for some hours of a day

    @classmethod
    def draw(cls, rng: np.random.Generator, shift: np.ndarray, age: np.ndarray) -> _Habits:
        """People around plausible middles; `shift` (P,) moves them as the label does."""
        n_people = len(shift)
        wake = rng.normal(7.0, 1.0, n_people) - (age - 50) / 60 + 1.5 * shift
        asleep = rng.normal(7.75, 0.8, n_people) + 0.2 * shift
        level = rng.lognormal(5.2, 0.45, n_people) * np.exp(-0.006 * (age - 50) - 0.25 * shift)
        restlessness = 0.06 * rng.lognormal(0.0, 0.5, n_people) * np.exp(0.3 * shift)
        idleness = np.clip(rng.normal(0.25, 0.08, n_people) + 0.03 * shift, 0.02, 0.9)
        naps = np.clip(rng.beta(1, 6, n_people) + 0.1 * shift, 0, 1)
        removals = rng.beta(1, 12, n_people)
        minutes = (60 * wake, 60 * (wake - asleep))
        return cls(*(values[:, None] for values in (*minutes, level, restlessness, idleness, naps, removals)))

    def of(self, people: slice) -> _Habits:
        """The habits of some of them."""
        return _Habits(*(getattr(self, field.name)[people] for field in dataclasses.fields(self)))


def _counts(rng: np.random.Generator, habits: _Habits, first_weekday: np.ndarray, days: int) -> np.ndarray:
    """(P, T) counts of people with these habits."""
    n_people, length = len(first_weekday), days * _DAY_MINUTES
    awake = _awake(rng, habits, first_weekday, days)
    # Bouts: a level, or none, for a quarter of an hour.
    n_bouts = -(-length // _BOUT_MINUTES)
    bout = rng.standard_gamma(1.2, (n_people, n_bouts), dtype=np.float32)
    bout *= rng.random((n_people, n_bouts), dtype=np.float32) >= habits.idleness
    by_day = np.repeat(bout, _BOUT_MINUTES, axis=1)[:, :length] * habits.level.astype(np.float32)
    moving = rng.random((n_people, length), dtype=np.float32)
    quiet = 0.15 * habits.level.astype(np.float32) * (moving < habits.restlessness)
    rate = np.where(awake & (moving > 0.15), by_day, quiet)
    counts = np.floor(rate * rng.standard_exponential((n_people, length), dtype=np.float32))
    counts[_on_some_days(rng, habits.removals, days, (120, 600))] = 0
    return np.minimum(counts, 32767)


def _awake(rng: np.random.Generator, habits: _Habits, first_weekday: np.ndarray, days: int) -> np.ndarray:
    """(P, T) true where somebody is up: from waking to bedtime, later at weekends, without naps."""
    n_people = len(first_weekday)
    weekend = (first_weekday[:, None] + np.arange(days)) % 7 >= 5
    wake = habits.wake + rng.normal(0, 30, (n_people, days)) + 60 * weekend
    to_bed = habits.bed % _DAY_MINUTES + rng.normal(0, 30, (n_people, days)) + 40 * weekend
    to_bed = np.where(to_bed < 720, to_bed + _DAY_MINUTES, to_bed)  # past midnight: on the next date
    time = np.arange(days * _DAY_MINUTES).reshape(days, _DAY_MINUTES) - np.arange(days)[:, None] * _DAY_MINUTES
    today = (time >= wake[..., None]) & (time < to_bed[..., None])
    # The part of yesterday's evening that lies after midnight; before the first day an evening as the first one's.
    yesterday = np.concatenate([to_bed[:, :1], to_bed[:, :-1]], axis=1) - _DAY_MINUTES
    awake = (today | (time < yesterday[..., None])).reshape(n_people, -1)
    return awake & ~_on_some_days(rng, habits.naps, days, (30, 100), around=(780, 1020))


def _on_some_days(
    rng: np.random.Generator,
    chance: np.ndarray,
    days: int,
    minutes: tuple[int, int],
    around: tuple[int, int] = (0, _DAY_MINUTES),
) -> np.ndarray:
    """(P, T) true during one stretch of random length and place on each of some random days, within the day."""
    n_people = len(chance)
    happens = rng.random((n_people, days)) < chance
    start = rng.integers(*around, (n_people, days))
    length = np.where(happens, rng.integers(*minutes, (n_people, days)), 0)
    time = np.arange(_DAY_MINUTES)
    during = (time >= start[..., None]) & (time < (start + length)[..., None])
    return during.reshape(n_people, -1)
