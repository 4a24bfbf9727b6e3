import datetime

import numpy as np
import pytest

from pat_keras.data.epochs import describe_rule, to_minutes
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError


def made(values, epoch_length, start="2020-01-01 12:00:00", unit="counts", wear=None):
    return Recording("p", datetime.datetime.fromisoformat(start), epoch_length, np.array(values), unit, "f.csv", wear)


def test_counts_are_summed_and_rates_averaged():
    counts = to_minutes(made(np.arange(8.0), 15))
    assert counts.epoch_length == 60
    assert counts.activity.tolist() == [6, 22]
    assert to_minutes(made(np.arange(8.0), 15, unit="ENMO")).activity.tolist() == [1.5, 5.5]
    assert to_minutes(made(np.arange(8.0), 15, unit="mine"), "mean").activity.tolist() == [1.5, 5.5]
    assert describe_rule(made([1.0], 15)) == "counts of 15 s summed to minutes"
    assert to_minutes(made(np.arange(8.0), 15, unit="MIMS")).activity.tolist() == [6, 22]  # an area, as its hours are
    assert describe_rule(made([1.0], 10, unit="MIMS")) == "MIMS of 10 s summed to minutes"
    assert describe_rule(made([1.0], 10, unit="ENMO")) == "ENMO of 10 s averaged to minutes"
    assert describe_rule(made([1.0], 60)) == "counts a minute, as recorded"


@pytest.mark.parametrize(
    ("start", "first", "expected_start"),
    [
        ("12:00:00", 0, "12:00:00"),
        ("12:00:07", 0, "12:00:07"),  # no epoch begins at the full minute
        ("12:00:15", 3, "12:01:00"),
        ("12:00:45.5", 1, "12:01:00.500"),
        ("12:00:59", 1, "12:01:14"),
        ("23:59:30", 2, "00:00:00"),
    ],
)
def test_minutes_are_those_of_the_clock(start, first, expected_start):
    values = np.arange(41.0)
    recording = to_minutes(made(values, 15, f"2020-01-01 {start}"))
    assert recording.start.time() == datetime.time.fromisoformat(expected_start)
    whole = values[first : first + (41 - first) // 4 * 4].reshape(-1, 4)
    assert recording.activity.tolist() == whole.sum(axis=1).tolist()


def test_a_missing_epoch_makes_a_missing_minute_and_wear_needs_all():
    values = np.ones(180)
    values[61] = np.nan
    wear = np.ones(180, dtype=bool)
    wear[179] = False
    recording = to_minutes(made(values, 1, wear=wear))
    np.testing.assert_array_equal(recording.activity, np.float32([60, np.nan, 60]))
    assert recording.wear is not None
    assert recording.wear.tolist() == [True, True, False]


def test_minutes_stay_as_they_are():
    recording = made([1.0, np.nan], 60, "2020-01-01 12:00:31", unit="mine")
    assert to_minutes(recording) is recording


@pytest.mark.parametrize(
    ("values", "epoch_length", "unit", "rule", "error", "match"),
    [
        ([1.0] * 9, 300, "counts", None, RecordingError, "epochs last 300 s, expected 60 s or less"),
        ([1.0] * 99, 7, "counts", None, RecordingError, "7 s, which does not divide a minute"),
        ([1.0] * 3, 15, "counts", None, RecordingError, "3 epochs of 15 s fill no whole minute"),
        ([1.0] * 8, 15, "lux", None, RecordingError, "no rule to make minutes of epochs of 15 s in the unit 'lux'"),
        ([1.0] * 8, 15, "lux", "median", ConfigError, "'median', expected one of sum, mean"),
    ],
)
def test_refused(values, epoch_length, unit, rule, error, match):
    with pytest.raises(error, match=match):
        to_minutes(made(values, epoch_length, unit=unit), rule)
