import datetime
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pat_keras.data.nonwear import choi, find_nonwear, troiano, true_runs
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

ZERO, NAN = 0.0, float("nan")


def literal_troiano(counts):
    """The rule as its authors' SAS program words it, one minute after the other."""
    nonwear = [False] * len(counts)
    for start, first in enumerate(counts):
        if first != 0 or nonwear[start]:
            continue
        end, in_a_row = start, 0  # end: the last zero of the period so far
        for minute in range(start, len(counts)):
            count = counts[minute]
            if count == 0:
                end, in_a_row = minute, 0
                continue
            in_a_row += 1
            if count != count or count > 100 or in_a_row == 3:
                break
        if end - start + 1 >= 60:
            nonwear[start : end + 1] = [True] * (end - start + 1)
    return nonwear


def literal_choi(counts):
    """The rule as published, one minute after the other."""
    quiet = [count == 0 for count in counts]
    minute = 0
    while minute < len(counts):
        end = minute
        while end < len(counts) and counts[end] > 0:
            end += 1
        if 1 <= end - minute <= 2:
            around = [*counts[max(minute - 30, 0) : minute], *counts[end : end + 30]]
            if not any(count > 0 for count in around):
                quiet[minute:end] = [True] * (end - minute)
        minute = max(end, minute + 1)
    nonwear = [False] * len(counts)
    for start in range(len(counts) - 89):
        if all(quiet[start : start + 90]):
            nonwear[start : start + 90] = [True] * 90
    return nonwear


# Runs of one value each, so that the lengths at which the rules change come up often.
runs = st.lists(
    st.tuples(
        st.sampled_from([ZERO, ZERO, ZERO, 1.0, 99.0, 100.0, 101.0, 5000.0, NAN]),
        st.one_of(st.integers(1, 3), st.integers(25, 35), st.integers(55, 65), st.integers(85, 95)),
    ),
    min_size=1,
    max_size=14,
)
RULES = [(troiano, literal_troiano), (choi, literal_choi)]


@pytest.mark.parametrize(("rule", "literal"), RULES, ids=["troiano", "choi"])
@given(runs=runs)
def test_as_the_literal_rule(rule, literal, runs):
    counts = [count for count, length in runs for _ in range(length)]
    assert rule(np.array(counts, dtype=np.float32)).tolist() == literal(counts)


@pytest.mark.parametrize(("rule", "literal"), RULES, ids=["troiano", "choi"])
def test_as_the_literal_rule_on_real_weeks(shared_data, rule, literal):
    with np.load(shared_data / "nhanes_2005_2006" / "paxraw_d.npz") as arrays:
        weeks = arrays["paxinten"][:: 5955 // 10]
    for counts in weeks:
        assert rule(counts.astype(np.float32)).tolist() == literal(counts.tolist())


def nonwear_runs(rule, *parts):
    """The runs that a rule finds in parts (value, length) one after the other."""
    counts = np.concatenate([np.full(length, value, dtype=np.float32) for value, length in parts])
    return true_runs(rule(counts)).tolist()


def test_troiano_by_hand():
    wear = (500, 10)
    assert nonwear_runs(troiano, wear, (0, 60), wear) == [[10, 70]]
    assert nonwear_runs(troiano, wear, (0, 59), wear) == []
    # Two minutes of 100 counts are allowed and count for the hour; a third, or a count of 101, ends the period.
    assert nonwear_runs(troiano, (0, 30), (100, 2), (0, 28)) == [[0, 60]]
    assert nonwear_runs(troiano, (0, 30), (100, 3), (0, 59)) == []
    assert nonwear_runs(troiano, (0, 30), (101, 1), (0, 60)) == [[31, 91]]
    # Any number of spikes, but the period ends with a zero; a spike beside wear belongs to it.
    assert nonwear_runs(troiano, wear, (0, 20), (5, 2), (0, 20), (5, 1), (0, 20), (5, 2), wear) == [[10, 73]]
    assert nonwear_runs(troiano, (0, 59), (5, 2)) == []
    assert nonwear_runs(troiano, (5, 2), (0, 60)) == [[2, 62]]
    assert nonwear_runs(troiano, (0, 40), (NAN, 1), (0, 40)) == []


def test_choi_by_hand():
    wear = (500, 10)
    assert nonwear_runs(choi, wear, (0, 90), wear) == [[10, 100]]
    assert nonwear_runs(choi, wear, (0, 89), wear) == []
    # A spike of any height is allowed if it lasts two minutes at most and lies 30 minutes from every other count.
    assert nonwear_runs(choi, wear, (0, 40), (9000, 2), (0, 48), wear) == [[10, 100]]
    assert nonwear_runs(choi, wear, (0, 80), (9000, 3), (0, 80), wear) == []
    assert nonwear_runs(choi, wear, (0, 60), (1, 1), (0, 29), wear) == []
    assert nonwear_runs(choi, wear, (0, 60), (1, 1), (0, 30), wear) == [[10, 101]]
    assert nonwear_runs(choi, (0, 89), (1, 1), (0, 29), (1, 1), (0, 89)) == []
    assert nonwear_runs(choi, (0, 90), (1, 1), (0, 29), (1, 1), (0, 90)) == [[0, 90], [121, 211]]
    assert nonwear_runs(choi, (7, 1), (0, 89)) == [[0, 90]]
    assert nonwear_runs(choi, (0, 60), (NAN, 1), (0, 60)) == []


def recording(**changes):
    settings = {"activity": np.array([0, 5, NAN, 7]), "unit": "counts", "wear": None, **changes}
    return Recording("p", datetime.datetime(2024, 1, 1), 60, source="a.csv", **settings)


def test_the_devices_own_finding():
    worn = np.array([False, True, False, False])
    assert find_nonwear(recording(wear=worn), "device").tolist() == [True, False, False, True]
    assert not find_nonwear(recording(wear=worn), "none").any()
    with pytest.raises(RecordingError, match=r"a\.csv: recording of 'p': the device says nothing about wear"):
        find_nonwear(recording(), "device")


@pytest.mark.parametrize("method", ["troiano", "choi"])
def test_rules_for_counts_refuse_other_units(method):
    assert find_nonwear(recording(activity=np.zeros(90)), method).all()
    with pytest.raises(RecordingError, match=f"its unit is 'MIMS', but the non-wear rule {method} is one for counts"):
        find_nonwear(recording(unit="MIMS"), method)


@pytest.mark.parametrize("rule", [troiano, choi])
def test_thousands_of_weeks_take_less_than_a_minute(rule):
    rng = np.random.default_rng(0)
    weeks = [(rng.random(10080) < 0.3) * rng.random(10080).astype(np.float32) * 300 for _ in range(50)]
    begin = time.thread_time()
    for counts in weeks:
        rule(counts)
    assert (time.thread_time() - begin) / len(weeks) * 5955 < 60  # seconds for all of NHANES 2005-06; about 5 alone
