import datetime

import numpy as np
import polars as pl
import pytest

from pat_keras.data.account import Accountant, label_counts
from pat_keras.data.assembly import assemble
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.recording import Recording
from pat_keras.data.windows import WindowConfig, cut_windows

MONDAY = datetime.datetime(2024, 1, 1)
DAYS = WindowConfig(days=2)


def counts(seed, days=2):
    return np.random.default_rng(seed).integers(1, 500, days * 1440).astype(np.float32)


def recording(participant_id, activity, start=MONDAY):
    return Recording(participant_id, start, 60, activity, "counts", "a.csv")


def study(items, **columns):
    people = pl.DataFrame({"participant_id": [item.participant_id for item in items], **columns})
    meanings = {name: f"what {name} means" for name in columns}
    return Study("A study", people, iter(items), len(items), meanings, lambda *_: "no label", "counts", None, True,
                 "Someone 2024", "for tests")  # fmt: skip


def test_without_shared_days_there_is_no_group():
    made = assemble(study([recording(name, counts(ord(name))) for name in "abc"]), DAYS).cohort
    assert "same_recording_group" not in made.table.columns
    assert "same_recordings" not in made.metadata


def test_people_who_share_a_day_are_one_group():
    days = {name: counts(ord(name)).reshape(2, 1440) for name in "abcdefg"}
    days["b"][1] = days["f"][0]
    days["d"][0] = days["a"][0]
    days["g"][1] = days["d"][1]  # a, d and g hang together by two different days
    made = assemble(study([recording(name, values.ravel()) for name, values in days.items()]), DAYS).cohort
    groups = dict(made.table.select("participant_id", "same_recording_group").iter_rows())
    assert groups == {"a": 1, "b": 2, "c": None, "d": 1, "e": None, "f": 2, "g": 1}
    assert made.table.schema["same_recording_group"] == pl.Int32
    assert made.metadata["same_recordings"] == {"people": 5, "pairs": 3, "groups": 2}
    assert "same_recording_group" in made.metadata["columns"]
    assert [one.name for one in label_counts(made)] == []


def test_a_groups_windows_all_carry_its_number():
    shared = counts(0, days=4)
    made = assemble(study([recording("a", shared), recording("b", shared), recording("c", counts(1, 4))]), DAYS).cohort
    assert made.table["same_recording_group"].to_list() == [1] * 4 + [None] * 2


def test_worn_and_moving_minutes_of_each_day():
    activity = counts(0)
    activity[100:300] = 0  # 200 minutes of non-wear on the first day
    activity[2000:2050] = 0  # sitting on the second
    made = assemble(study([recording("a", activity)]), WindowConfig(days=2, nonwear="choi"))
    assert made.account.worn.tolist() == [1240, 1440]
    assert made.account.moving.tolist() == [1240, 1390]
    assert made.cohort.metadata["windows"]["nonwear_minutes"] == 200
    assert np.isnan(made.cohort.activity).sum() == 200


@pytest.mark.parametrize("hour", [0, 7])
def test_average_days_are_by_the_clock(hour):
    clock = np.arange(1440) // 15
    activity = np.concatenate([clock, clock + 10, clock]).astype(np.float32)[hour * 60 :]
    activity[:30] = np.nan
    config = WindowConfig(days=2, start="first_sample", max_missing=0.1)
    made = assemble(study([recording("a", activity, MONDAY + datetime.timedelta(hours=hour))]), config)
    # Two windows' days begin at this hour: each quarter is there once on a day with and once on one without the 10.
    expected = np.arange(96) + 5.0
    expected[hour * 4 : hour * 4 + 2] += 5  # the first half hour is missing on the first day
    np.testing.assert_allclose(made.account.average_days, [expected])


def test_a_person_who_never_wore_it_has_no_average_day():
    windows = cut_windows(recording("a", np.zeros(2880)), WindowConfig(days=2, nonwear="troiano", min_moving_minutes=0))
    accountant = Accountant()
    accountant.keep(recording("a", np.zeros(2880)), windows)
    assert np.isnan(accountant.account().average_days).all()
    assert accountant.account().worn.tolist() == [0, 0]


def test_examples_are_the_first_kept_and_the_first_refused_for_its_windows():
    items = [
        Rejection("r", "unreadable"),
        recording("s", counts(0, 1)),
        recording("k", counts(1, 3), MONDAY + datetime.timedelta(hours=6)),
        recording("z", np.zeros(2880)),
    ]
    account = assemble(study(items), DAYS).account
    assert account.rejected.recording.participant_id == "s"
    assert account.rejected.reason == "recorded for fewer than 2 whole days from midnight"
    assert account.kept.recording.participant_id == "k"
    assert account.kept.recording.start == MONDAY + datetime.timedelta(days=1)  # its first window, not all of it
    assert len(account.kept.recording) == 2 * 1440 == len(account.kept.nonwear)


def test_label_counts_count_people():
    items = [recording(name, counts(ord(name), 4)) for name in "abc"]
    cohort = assemble(study(items, ill=[1.0, 0.0, None], age=[20.0, 40.5, 90.0], site=["x", "y", "y"]), DAYS).cohort
    assert cohort.n_windows == 6
    found = [(one.name, one.people, one.missing, one.values, one.meaning) for one in label_counts(cohort)]
    assert found == [
        ("ill", 2, 1, "1: 1, 0: 1", "what ill means"),
        ("age", 3, 0, "20 to 90, median 40.5", "what age means"),
        ("site", 3, 0, "2 different values", "what site means"),
    ]
    nobody = cohort.with_columns(ill=pl.lit(None, dtype=pl.Float64))
    assert label_counts(nobody)[0].values == "none"
