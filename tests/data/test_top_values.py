"""A largest value that is there too often is no movement."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.data.top_values import TopValues, words_of


def _weeks(people: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.rint(rng.gamma(0.3, 600.0, (2, 1440))).astype(np.float32) for _ in range(people)]


def _found(weeks: list[np.ndarray]):
    top = TopValues()
    for week in weeks:
        top.add(week)
    return top.too_often()


def test_a_code_or_a_ceiling_is_found_and_movement_is_not() -> None:
    weeks = _weeks()
    assert _found(weeks) is None
    most = max(week.max() for week in weeks)
    weeks[1][0, :15] = weeks[4][1, 5:15] = 9999
    weeks[2][0, :3] = np.nan
    assert _found(weeks) == {"value": 9999.0, "minutes": 25, "people": 2, "next": most}
    assert words_of(_found(weeks), "counts").startswith(
        f"25 minutes of 2 people are 9,999 counts, the largest value there is, and the next is {most:,.10g}."
    )
    weeks = [week.clip(max=1000) for week in _weeks()]  # a device that counts to a thousand
    assert _found(weeks)["value"] == 1000


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [0] + [5] * 40, list(range(60))], ids=["levels", "two", "all alike"])
def test_few_or_common_values_are_what_they_are(values) -> None:
    assert _found([np.resize(np.array(values, dtype=np.float32), (1, 1440))] * 3) is None
    assert TopValues().too_often() is None
    assert _found([np.full((1, 1440), np.nan, dtype=np.float32)]) is None
