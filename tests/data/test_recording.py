import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pat_keras.data.recording import Recording
from pat_keras.errors import PATError, RecordingError

START = datetime.datetime(2003, 5, 7, 12, 0)


def recording(**changes: Any) -> Recording:
    values: dict[str, Any] = {
        "participant_id": "0012",
        "start": START,
        "epoch_length": 60,
        "activity": np.arange(10),
        "unit": "counts",
        "source": "a.csv",
    }
    return Recording(**{**values, **changes})


def from_times(times: Any, values: Any = None, **changes: Any) -> Recording:
    values = range(len(times)) if values is None else values
    given: dict[str, Any] = {"participant_id": "p", "epoch_length": 60, "unit": "counts", "source": "a.csv"}
    return Recording.from_timestamps(times, list(values), **{**given, **changes})


def test_keeps_id_as_text_and_arrays_as_read_only_copies():
    activity, wear = np.arange(10, dtype=np.float32), np.ones(10, dtype=bool)
    made = recording(activity=activity, wear=wear)
    activity[0], wear[0] = 5, False
    assert made.participant_id == "0012"
    assert made.activity.dtype == np.float32
    assert made.activity[0] == 0 and made.wear is not None and made.wear[0]
    with pytest.raises(ValueError, match="read-only"):
        made.activity[0] = 1


def test_end_length_and_missing():
    made = recording(activity=[1.0, np.nan, 3.0])
    assert (len(made), made.n_missing, made.end) == (3, 1, START + datetime.timedelta(minutes=3))


def test_repr_shows_no_activity():
    assert "activity" not in repr(recording(activity=[4321.0]))


def test_slice_moves_the_start_and_the_wear():
    part = recording(wear=np.arange(10) > 4).slice(4, 6)
    assert part.start == START + datetime.timedelta(minutes=4)
    assert part.activity.tolist() == [4, 5]
    assert part.wear is not None and part.wear.tolist() == [False, True]
    with pytest.raises(RecordingError, match="samples 8 to 11 asked for, but it has samples 0 to 10"):
        recording().slice(8, 11)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"participant_id": ""}, "participant_id is empty"),
        ({"participant_id": " 1"}, "without blanks"),
        ({"participant_id": 12}, "expected text"),
        ({"start": "2003"}, "expected a datetime"),
        ({"start": START.replace(tzinfo=datetime.timezone.utc)}, "without a time zone"),
        ({"epoch_length": 0}, "1 or more"),
        ({"epoch_length": 60.0}, "whole seconds"),
        ({"activity": []}, "at least one"),
        ({"activity": np.zeros((2, 5))}, r"shape \(2, 5\)"),
        ({"activity": ["a"]}, "expected a row of numbers"),
        ({"activity": [1.0, -0.01]}, "sample 2 of 2 is -0.00.* counts .* never negative"),
        ({"activity": [np.inf]}, "sample 1 of 1 is inf"),
        ({"activity": [1e39]}, "finite"),
        ({"wear": np.ones(10)}, "expected bool"),
        ({"wear": np.ones(9, dtype=bool)}, r"shape \(9,\)"),
    ],
)
def test_refuses_what_is_no_recording(changes, message):
    with pytest.raises(RecordingError, match=message) as caught:
        recording(**changes)
    assert isinstance(caught.value, PATError)
    assert str(caught.value).startswith("a.csv: recording of")


def test_gaps_become_missing_and_not_worn():
    minutes = [START + datetime.timedelta(minutes=m) for m in (0, 1, 4)]
    made = from_times(minutes, [5, 6, 7], wear=[True, False, True])
    np.testing.assert_array_equal(made.activity, [5, 6, np.nan, np.nan, 7])
    assert made.wear is not None and made.wear.tolist() == [True, False, False, False, True]
    assert made.start == START


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ([0, 60, 60], r"line 4 .*2003-05-07 12:01:00 is the same time as the line above it.*\(1 such lines\)"),
        ([0, 120, 60], r"line 4 .*2003-05-07 12:01:00 comes before the line above it, 2003-05-07 12:02:00"),
        ([0, 60, 90], r"line 4 .*12:01:30 is not a whole number of 60 s after the first sample"),
        ([0, 60, 400 * 86400], "comes 399 days after the line above it"),
    ],
)
def test_times_that_make_no_grid(seconds, message):
    with pytest.raises(RecordingError, match=message):
        from_times([START + datetime.timedelta(seconds=s) for s in seconds], first_line=2)


def test_missing_time_and_unequal_lengths():
    with pytest.raises(RecordingError, match=r"line 2 .*the time is missing"):
        from_times([START, np.datetime64("NaT")])
    with pytest.raises(RecordingError, match="2 times and 1 values"):
        from_times([START, START], [1])


@given(st.sets(st.integers(0, 3000), min_size=1), st.sampled_from([1, 15, 30, 60]))
def test_every_sample_lands_at_its_own_time(positions, epoch_length):
    order = sorted(positions)
    times = [START + datetime.timedelta(seconds=p * epoch_length) for p in order]
    made = from_times(times, order, epoch_length=epoch_length)
    assert len(made) == order[-1] - order[0] + 1
    assert made.n_missing == len(made) - len(order)
    for time, value in zip(times, order, strict=True):
        assert made.activity[(time - made.start) // datetime.timedelta(seconds=epoch_length)] == value
