"""NHANES 2005-06 as it is: how many people are left after each rule, and what they answered to the PHQ-9."""

import datetime

import numpy as np
import polars as pl
import pytest

from pat_keras.data.assembly import assemble
from pat_keras.data.nonwear import choi, troiano
from pat_keras.data.readers.nhanes_labels import missing_reason, read_labels
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.xpt import read_xpt
from pat_keras.data.recording import Recording
from pat_keras.data.windows import WindowConfig

SUNDAY = datetime.datetime(2006, 1, 1)

# Of 3,600 people: not at all, several days, more than half the days, nearly every day, don't know. Nobody refused.
PHQ9 = {
    "DPQ010": (2861, 488, 151, 91, 9),
    "DPQ020": (2790, 582, 135, 89, 4),
    "DPQ030": (2377, 781, 205, 230, 7),
    "DPQ040": (1802, 1272, 282, 239, 5),
    "DPQ050": (2813, 530, 125, 129, 3),
    "DPQ060": (3068, 393, 68, 66, 5),
    "DPQ070": (3015, 415, 89, 78, 3),
    "DPQ080": (3238, 259, 59, 36, 8),
    "DPQ090": (3474, 90, 26, 8, 2),
}
UNUSABLE = {"PAXCAL": 291, "PAXSTAT": 251}


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "nhanes_2005_2006"


@pytest.fixture(scope="module")
def arrays(folder):
    with np.load(folder / "paxraw_d.npz") as file:
        return {name: file[name] for name in file.files}


def study(arrays, folder):
    """The arrays as a study; its files' own reader is tested with the whole 3.8 GB in tests/apps/test_prepare.py."""

    def recordings():
        columns = ("seqn", "paxstat", "paxcal", "n_minutes", "start_paxday", "paxinten")
        for seqn, paxstat, paxcal, minutes, weekday, counts in zip(*(arrays[name] for name in columns), strict=True):
            if paxstat != 1 or paxcal != 1:
                yield Rejection(str(seqn), "PAXSTAT" if paxstat != 1 else "PAXCAL")
                continue
            start = SUNDAY + datetime.timedelta(days=int(weekday) - 1)
            yield Recording(str(seqn), start, 60, counts[:minutes], "counts", "paxraw_d.npz")

    people, meanings = read_labels(folder, "D", "depression")
    ages = dict(people.select("participant_id", "age").iter_rows())
    return Study(
        "NHANES 2005-2006", people, recordings(), 5955, meanings, lambda name, who: missing_reason(name, ages.get(who)),
        "counts", 32767, False, "NCHS", "statistics only",
    )  # fmt: skip


def funnel(assembly):
    return {step["reason"] or step["step"]: step["people"] for step in assembly.cohort.metadata["funnel"]}


def print_counts(counts):
    print("\n" + "\n".join(f"{people:>6,}  {reason}" for reason, people in counts.items()))


def test_phq9_item_by_item(folder):
    table = read_xpt(folder / "DPQ_D.xpt", ["SEQN", *PHQ9])
    found = {item: tuple(table.filter(pl.col(item) == code).height for code in (0, 1, 2, 3, 9)) for item in PHQ9}
    print_counts({f"{item}: {counts}": sum(counts) for item, counts in found.items()})
    assert found == PHQ9
    assert table.height == 3600 and all(sum(counts) == 3600 for counts in found.values())
    people, _ = read_labels(folder, "D", "depression")
    phq9 = people.select("phq9", "depression").drop_nulls()
    answers = table.to_numpy()[:, 1:]
    complete = answers[(answers <= 3).all(axis=1)].sum(axis=1)
    assert sorted(phq9["phq9"]) == sorted(complete)  # everybody asked was an adult
    assert (phq9.height, phq9["depression"].sum()) == (3565, 221) == (len(complete), (complete >= 10).sum())


def test_people_after_each_rule_of_the_paper(arrays, folder):
    made = assemble(study(arrays, folder), WindowConfig(), "depression")
    counts = funnel(made)
    print_counts(counts)
    assert counts == {
        "read": 5955,
        **UNUSABLE,
        "only zeros in every window of 7 days": 5,
        "recorded for fewer than 7 whole days from midnight": 13,
        "no depression: younger than 18 years": 2164,
        "no depression: no PHQ-9, or not complete": 341,
        "kept": 2890,
    }
    assert made.cohort.label("depression").sum() == 180
    assert len(made.rejections) == 5955 - 2890
    assert made.account.worn.tolist() == [1440] * 7 * 2890
    assert made.cohort.metadata["windows"]["nonwear_minutes"] == 0
    # A device kept its last wearer's days: with their PHQ-9, few of these people are left.
    assert made.cohort.metadata["same_recordings"] == {"people": 6, "pairs": 3, "groups": 3}


@pytest.mark.parametrize(
    ("rule", "kept", "invalid", "never"),
    [(choi, 3958, 1418, 24), pytest.param(troiano, 3798, 1590, 12, marks=pytest.mark.slow)],
)
def test_people_with_four_days_of_ten_worn_hours(arrays, folder, rule, kept, invalid, never):
    config = WindowConfig(nonwear=rule.__name__, min_worn_minutes=600, min_valid_days=4)
    made = assemble(study(arrays, folder), config)
    counts = funnel(made)
    print_counts(counts)
    assert counts == {
        "read": 5955,
        **UNUSABLE,
        "fewer than 4 days with 600 worn minutes in every window of 7 days": invalid,
        "never worn, or only zeros, in every window of 7 days": never,
        "recorded for fewer than 7 whole days from midnight": 13,
        "kept": kept,
    }
    # The same, without windows: whole weeks of reliable devices, by day.
    whole = (arrays["paxstat"] == 1) & (arrays["paxcal"] == 1) & (arrays["n_minutes"] == 10080)
    weeks = arrays["paxinten"][whole].astype(np.float32)
    worn = np.stack([~rule(counts) for counts in weeks])
    valid = (worn.reshape(-1, 7, 1440).sum(axis=2) >= 600).sum(axis=1) >= 4
    assert made.cohort.participant_id.tolist() == [str(seqn) for seqn in arrays["seqn"][whole][valid]]
    np.testing.assert_array_equal(np.isnan(made.cohort.activity), ~worn[valid])
    np.testing.assert_array_equal(np.nan_to_num(made.cohort.activity), np.where(worn[valid], weeks[valid], 0))
