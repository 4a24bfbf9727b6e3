import numpy as np
import polars as pl
import pytest

from pat_keras.data.label_codes import likely_codes, warning_of

SCORES = [*range(20), 3, 5, 27]
AGES = [18, 25, 34, 41, 52, 63, 70, 77, 81, 88, 90, 99]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 99, 14, -9, None], {-9: 1, 99: 1}),
        ([*SCORES, 77, 77, 88], {77: 2, 88: 1}),
        ([*SCORES, -1, -1], {-1: 2}),
        ([*SCORES, -1, -3], {-3: 1, -1: 1}),
        ([70.5, 66.25, 81, -99], {-99: 1}),
        ([21.5, 30.25, 25, 999], {999: 1}),
        ([-1.5, 0.5, 1.25, -0.5, 999, -999], {-999: 1, 999: 1}),
        ([1, 2] * 6 + [9, 7], {7: 1, 9: 1}),
        ([0, 1] * 6 + [-8], {-8: 1}),
    ],
)
def test_codes_are_found(values, expected):
    assert likely_codes(pl.Series(values, dtype=pl.Float64)) == expected


@pytest.mark.parametrize(
    "values",
    [
        SCORES,
        AGES,
        [99, 80],
        [7, 9, 3, 4, 12] * 3,  # among other scores
        [0, 1, 1, 0],
        [120, 999, 8888, 20000, 777],  # steps
        [40, 66, 77, 88, 99],
        [-8, -3, 0, 4, 12, 25],  # degrees
        [-7.5, 12.25, 20, 3],
        [-5, -3, -1, 0, 2, 4] * 3,  # changes of a score
        np.random.default_rng(0).normal(size=500).round(2),
        np.random.default_rng(0).normal(size=500).round(0),
        [99, 99],
        [],
        [None],
    ],
)
def test_true_values_are_no_codes(values):
    assert likely_codes(pl.Series(values, dtype=pl.Float64)) == {}
    assert warning_of("x", pl.Series(values, dtype=pl.Float64), "a.csv") is None


def test_the_warning_says_how_many_and_what_to_do():
    words = warning_of("phq9", pl.Series([3.0, 99, 14, -9, -9, None, 5]), "a.csv")
    assert words is not None
    assert words.startswith("phq9 of a.csv has the value -9 (2 people), 99 (1 person); all others are from 3 to 14. If")
    assert "--label_missing_values=phq9:-9,phq9:99. If it is a true value" in words
