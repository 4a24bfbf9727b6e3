"""Whether test people are held out from pretraining."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.checkpoints.presets import PRESETS
from pat_keras.checkpoints.seen import seen_by_weights, seen_in_pretraining, seen_note
from pat_keras.data.learned_days import LearnedDays
from pat_keras.data.people import read_people
from pat_keras.data.simulate import simulate_cohort

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


def test_people_whom_a_run_of_ours_learned_from(tmp_path) -> None:
    people = simulate_cohort(n_people=6, days=2)
    x, ids = people.activity, people.participant_id
    LearnedDays.of(x, [0, 1], "pat_small_nhanes2005", PRESETS).write(tmp_path / "first")
    LearnedDays.of(x, [2], str(tmp_path / "first" / "encoder.keras"), PRESETS).write(tmp_path / "next")
    renamed = np.array([f"x{name}" for name in ids])  # found by what they did, also on another day first
    moved = np.roll(x, 1440, axis=1)
    rows = [0, 2, 4, 5]
    for weights, seen in (("first", 1), ("next", 2), ("next/models/fold_1.keras", 2), ("other.h5", 0)):
        assert seen_by_weights(str(tmp_path / weights), "study", moved, renamed, rows) == seen
    assert seen_by_weights(str(tmp_path / "next"), "NHANES 2005-2006", x, ids, rows) == 4  # by the preset before
    assert seen_by_weights("", "study", x, ids, rows) == 0
    assert "4 of 9 test people were in the training of runs/mine" in seen_note("runs/mine", 4, 9)


def test_says_where_to_test() -> None:
    assert "--test_people=nhanes_2005_2006" in seen_note("pat_small_nhanes2005", 3, 9)
    assert seen_note("pat_large_29k", 3, 9).startswith("3 of 9 test people were in the pretraining of pat_large_29k")


def test_the_advice_is_a_list_of_people_whom_pretraining_left_out() -> None:
    for name, preset in PRESETS.items():
        if preset.left_out:
            listed = seen_note(name, 1, 2).split("--test_people=")[1].rstrip(".")
            assert seen_in_pretraining(name, "NHANES 2005-2006", read_people(listed).test) == 0
