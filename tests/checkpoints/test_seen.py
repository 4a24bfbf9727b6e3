"""Whether test people are held out from pretraining."""

from __future__ import annotations

import pytest

from pat_keras.checkpoints.presets import PRESETS
from pat_keras.checkpoints.seen import seen_in_pretraining, seen_note
from pat_keras.data.people import read_people

_LISTED = read_people("nhanes_2005_2006_pretraining")


@pytest.mark.parametrize(
    ("weights", "source", "people", "seen"),
    [
        ("pat_small_nhanes2005", "NHANES 2005-2006", ["1", "2", _LISTED.test[0], _LISTED.validation[0]], 2),
        ("pat_small_nhanes2005", "NHANES 2005-2006", _LISTED.test, 0),
        ("pat_small_nhanes2005", "NHANES 2003-2004", ["1"], 0),
        ("pat_large_29k", "NHANES 2005-2006", _LISTED.test, 1000),
        ("pat_large_29k", "NHANES 2013-2014", ["1"], 1),
        ("pat_large_21k", "NHANES 2013-2014", ["1"], 0),
        ("pat_large_21k", "NHANES 2011-2012", ["1"], 1),
        ("pat_large_29k", "Depresjon", ["1"], 0),
        ("pat_large_29k", None, ["1"], 0),
        ("runs/mine", "NHANES 2005-2006", ["1"], 0),
        ("", "NHANES 2005-2006", ["1"], 0),
    ],
)
def test_people_seen(weights: str, source: str | None, people: list[str], seen: int) -> None:
    assert seen_in_pretraining(weights, source, people) == seen


def test_says_where_to_test() -> None:
    assert "--test_people=nhanes_2005_2006" in seen_note("pat_small_nhanes2005", 3, 9)
    assert seen_note("pat_large_29k", 3, 9).startswith("3 of 9 test people were in the pretraining of pat_large_29k")


def test_the_advice_is_a_list_of_people_whom_pretraining_left_out() -> None:
    for name, preset in PRESETS.items():
        if preset.left_out:
            listed = seen_note(name, 1, 2).split("--test_people=")[1].rstrip(".")
            assert seen_in_pretraining(name, "NHANES 2005-2006", read_people(listed).test) == 0
