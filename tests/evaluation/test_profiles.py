"""Where in the day groups differ: found where it was planted, and nowhere else more often than it says."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.errors import LabelError
from pat_keras.evaluation.clock import Clock
from pat_keras.evaluation.profiles import compare_profiles, relative_day, summed_day

NAMES = ["no", "yes"]


def _people(rng: np.random.Generator, n: int = 40) -> np.ndarray:
    """Profiles whose neighbouring hours are alike, as those of people are."""
    noise = rng.normal(size=(n, 24)) + 2 * rng.normal(size=(n, 1))
    return noise + np.roll(noise, 1, axis=1)


def test_a_planted_window_is_found() -> None:
    profiles, group = _people(np.random.default_rng(0)), np.arange(40) % 2
    profiles[group == 1, 5:8] += 6
    found = compare_profiles(profiles, group, NAMES, permutations=500)
    (window,) = found.windows
    assert (window.start, window.end, window.higher) == (5, 8, "yes")
    assert window.words().startswith("between 05:00 and 08:00 (higher in yes, corrected p = 0.0")
    assert (found.p[5:8] <= 0.05).all()
    assert found.counts == [20, 20]
    np.testing.assert_allclose(found.mean[1], profiles[group == 1].mean(axis=0))
    assert ((found.low < found.mean) & (found.mean < found.high)).all()


def test_windows_go_over_midnight_and_tell_directions_apart() -> None:
    profiles, group = 0.1 * _people(np.random.default_rng(1)), np.arange(40) % 2
    profiles[group == 1, 22:] += 5
    profiles[group == 1, :2] += 5
    profiles[group == 0, 2:4] += 5
    found = compare_profiles(profiles, group, NAMES, permutations=200)
    assert {(each.start, each.end, each.higher) for each in found.windows} == {(22, 2, "yes"), (2, 4, "no")}


@pytest.mark.parametrize("groups", [2, 3])
def test_the_test_holds_its_level(groups: int) -> None:
    """Where there is nothing, an hour is found in about 5 of 100 cohorts; the chance of over 15 of 150 is 1 in 200."""
    rng = np.random.default_rng(2)
    names = [str(k) for k in range(groups)]
    found = 0
    for seed in range(150):
        profiles = _people(rng, 24)
        found += bool(compare_profiles(profiles, np.arange(24) % groups, names, permutations=99, seed=seed).windows)
    assert 2 <= found <= 15


def test_people_change_groups_within_their_stratum_alone() -> None:
    """Two models that give other levels, and explain other shares of the groups, are no difference between groups."""
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1], 30)
    group = np.where(rng.random(60) < np.where(strata == 1, 0.8, 0.2), 1, 0)
    profiles = 0.1 * _people(rng, 60) + 3 * strata[:, None]
    assert len(compare_profiles(profiles, group, NAMES, permutations=200).windows) == 1
    assert not compare_profiles(profiles, group, NAMES, strata, permutations=200).windows


def test_too_few_people() -> None:
    profiles, group = _people(np.random.default_rng(0), 12), np.repeat([0, 1], [8, 4])
    with pytest.raises(LabelError, match="8 of no, 4 of yes; expected two groups or more, each of at least 5"):
        compare_profiles(profiles, group, NAMES)
    with pytest.raises(LabelError, match="there are 12 of no;"):
        compare_profiles(profiles, 0 * group, NAMES[:1])


def test_people_who_cannot_change_groups() -> None:
    """A model for each person (leave one out), or one for each group: no p-value can be small, so there is none."""
    profiles, group = _people(np.random.default_rng(0), 12), np.repeat([0, 1], 6)
    for strata in (np.arange(12), group):
        with pytest.raises(LabelError, match="there are 1 ways to do so; expected 20 or more"):
            compare_profiles(profiles + 9 * group[:, None], group, NAMES, strata)
    assert compare_profiles(profiles, group, NAMES, np.repeat([0, 1, 2], 4) * 0, permutations=100).counts == [6, 6]


def test_average_days() -> None:
    clock = Clock(2 * 1440)
    weights = np.ones((1, 2880))
    weights[:, clock.hour_of_day == 3] = 5
    weights[:, :1440][:, clock.hour_of_day[:1440] == 7] = np.nan  # left out on the first day
    found = relative_day(weights / np.nansum(weights), clock)[0]
    assert found[3] == pytest.approx(5 * found[4])
    assert found[7] == pytest.approx(found[4])
    assert relative_day(np.ones((1, 2880)), clock)[0] == pytest.approx(np.ones(24))
    assert summed_day(np.ones((2, 2880)), clock).tolist() == [[120.0] * 24] * 2
