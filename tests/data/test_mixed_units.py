"""Groups of people a thousand times apart are two units; people who hardly move are not."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.data.mixed_units import MeanLevels, words_of

_RNG = np.random.default_rng(0)


def _people(n: int, mean: float) -> list[np.ndarray]:
    """Weeks of ENMO whose means differ from person to person by a factor of three."""
    return [_RNG.gamma(0.4, mean / 0.4 * factor, (2, 1440)) for factor in np.geomspace(0.6, 1.8, n)]


def _found(people: list[np.ndarray], unit: str = "ENMO"):
    levels = MeanLevels(unit)
    for weeks in people:
        weeks[0, :30] = np.nan
        levels.add(weeks.astype(np.float32))
    return levels.two_units()


@pytest.mark.parametrize(("in_g", "in_mg"), [(12, 12), (2, 60), (60, 2), (1, 9), (1, 1)])
@pytest.mark.parametrize("unit", ["ENMO", "unknown unit"])
def test_g_and_mg_are_found(in_g, in_mg, unit) -> None:
    found = _found(_people(in_mg, 46.0) + _people(in_g, 0.046), unit)
    assert (found["people_low"], found["people_high"]) == (in_g, in_mg)
    assert 300 < found["factor"] < 3000
    words = words_of(found, unit)
    assert (
        f" {unit} of {in_g} people is about {found['factor']:,.0f} times lower than that of the other {in_mg}," in words
    )


def test_constant_people_count_too() -> None:
    assert _found([np.full((1, 1440), mean) for mean in (0.046, 0.046, 46.0, 46.0)])["people_low"] == 2


def test_an_idle_device_beside_them_hides_nothing() -> None:
    idle = [np.where(np.arange(1440) < 1, 1e-4, 0.0)[np.newaxis]]
    assert _found(_people(9, 46.0) + _people(9, 0.046) + idle)["people_high"] == 9


def test_people_who_hardly_move_are_no_second_unit() -> None:
    moving = _people(20, 46.0)
    noise = [0.04 + 0.004 * _RNG.standard_normal((2, 1440)) for _ in range(5)]
    jolts = [np.where(_RNG.random((2, 1440)) < 0.002, 23.0, 0.0) for _ in range(5)]
    for idle in (noise, jolts, [np.zeros((2, 1440))] * 5, [np.full((2, 1440), np.nan)] * 5):
        assert _found(moving + idle) is None


def test_other_spreads_are_no_second_unit() -> None:
    assert _found(_people(30, 46.0)) is None
    assert _found(_people(10, 46.0) + _people(10, 0.46)) is None  # a hundred times
    assert _found(_people(10, 46.0) + _people(10, 0.0046)) is None  # ten thousand times
    assert _found(_people(60, 46.0) + _people(1, 0.046)) is None  # a single one of many
    assert _found(_people(10, 46.0) + _people(3, 1.4) + _people(10, 0.046)) is None  # with people between
    assert _found(_people(10, 46.0) + _people(10, 0.046), "counts") is None
    assert _found([]) is None and _found(_people(1, 46.0)) is None
