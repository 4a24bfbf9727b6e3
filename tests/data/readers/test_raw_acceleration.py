"""Raw acceleration to minutes, with samples made up in place of the library that reads the files."""

from __future__ import annotations

import datetime
import sys
import types

import numpy as np
import pytest

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.raw_acceleration import read_raw_acceleration
from pat_keras.errors import ConfigError, RecordingError

RATE = 10  # Hz
START = 1_600_000_020_000_000_000  # ns; 2020-09-13 12:27:00


def read(monkeypatch, times, acceleration, **options):
    series = {"acceleration": {"datetime": np.asarray(times, dtype=np.int64), "acceleration": acceleration}}
    contents = {"format": "made up", "timeseries": series, "metadata": {}, "warnings": []}
    monkeypatch.setitem(sys.modules, "actfast", types.SimpleNamespace(read=lambda path: contents))
    return read_raw_acceleration(DeviceFile.of_bytes("0012.cwa", b"x"), **options)[0]


def samples(minutes, lead=0.0):
    """Minute k has an acceleration of 1 g + k mg along z, with a start `lead` s after the full minute."""
    at = np.arange(int(minutes * 60 * RATE)) / RATE + lead
    acceleration = np.zeros((len(at), 3), dtype=np.float32)
    acceleration[:, 2] = -(1 + (at // 60) / 1000)
    return START + (at * 1e9).astype(np.int64), acceleration


def test_mean_of_each_minute(monkeypatch):
    one = read(monkeypatch, *samples(5))
    assert (one.participant_id, one.start, one.unit) == ("0012", datetime.datetime(2020, 9, 13, 12, 27), "ENMO")
    np.testing.assert_allclose(one.activity, [0, 1, 2, 3, 4], atol=1e-4)


def test_incomplete_minutes_at_the_ends_are_left_out(monkeypatch):
    one = read(monkeypatch, *samples(4, lead=30.0))
    assert one.start == datetime.datetime(2020, 9, 13, 12, 28)
    np.testing.assert_allclose(one.activity, [1, 2, 3], atol=1e-4)


def test_below_one_g_is_zero(monkeypatch):
    times, acceleration = samples(2)
    assert read(monkeypatch, times, acceleration * np.float32(0.5)).activity.tolist() == [0, 0]


@pytest.mark.parametrize("idle", ["missing", "still"])
def test_holes(monkeypatch, idle):
    times, acceleration = samples(5)
    kept = np.ones(len(times), dtype=bool)
    kept[90 * RATE : 200 * RATE] = False  # from 1:30 to 3:20
    one = read(monkeypatch, times[kept], acceleration[kept], idle=idle)
    held = [0, 1, 1, 1 / 3 * 1 + 2 / 3 * 3, 4]  # the last sample before the hole has 1 mg
    expected = held if idle == "still" else [0, np.nan, np.nan, np.nan, 4]
    np.testing.assert_allclose(one.activity, expected, atol=1e-3)


def test_refused(monkeypatch):
    times, acceleration = samples(2)
    with pytest.raises(ConfigError, match="idle is 'x'"):
        read(monkeypatch, times, acceleration, idle="x")
    with pytest.raises(RecordingError, match=r"0012\.cwa: actfast finds no sample"):
        read(monkeypatch, times[:0], acceleration[:0])
    with pytest.raises(RecordingError, match="do not always increase"):
        read(monkeypatch, times[::-1], acceleration)
    with pytest.raises(RecordingError, match="fill no whole minute"):
        read(monkeypatch, times[:300], acceleration[:300])
    monkeypatch.setitem(sys.modules, "actfast", None)
    with pytest.raises(RecordingError, match=r"not installed. Run: pip install 'pat_keras\[raw\]'"):
        read_raw_acceleration(DeviceFile.of_bytes("0012.cwa", b"x"))
