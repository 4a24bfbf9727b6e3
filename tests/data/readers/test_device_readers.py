"""Every device's reader on generated files: the numbers, the clock, what is missing, the options."""

from __future__ import annotations

import datetime
import inspect
import shutil
import zipfile

import numpy as np
import pytest

from pat_keras.data.epochs import to_minutes
from pat_keras.data.readers.actigraph import read_actigraph_csv
from pat_keras.data.readers.actigraph_agd import read_agd
from pat_keras.data.readers.actiware import read_actiware
from pat_keras.data.readers.actiwatch import read_awd
from pat_keras.data.readers.apple_health import read_apple_health
from pat_keras.data.readers.condor import read_condor
from pat_keras.data.readers.daqtometer import read_daqtometer
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.device_study import read_devices, reader_of
from pat_keras.data.readers.devices import DEVICES, OPTIONS
from pat_keras.data.readers.fitbit import read_fitbit_intensity, read_fitbit_steps
from pat_keras.data.readers.mesa import read_mesa
from pat_keras.data.readers.motionwatch import read_mtn
from pat_keras.data.readers.tempatilumi import read_tempatilumi
from pat_keras.errors import ConfigError, RecordingError
from tests.data.readers import generate_devices as make
from tests.data.readers.generate_devices import START


def of(text, name="0012.csv", encoding="utf-8"):
    return DeviceFile.of_bytes(name, text.encode(encoding))


@pytest.mark.parametrize("titles", [False, True])
@pytest.mark.parametrize("seconds", [1, 15, 60])
def test_actigraph(titles, seconds):
    (one,) = read_actigraph_csv(of(make.actigraph(120, seconds, titles)))
    assert (one.participant_id, one.start, one.epoch_length, one.unit) == ("0012", START, seconds, "counts")
    assert one.activity.tolist() == list(range(120))


def test_actigraph_magnitude_is_of_the_axes_of_a_minute():
    (one,) = read_actigraph_csv(of(make.actigraph(8, 15)), axis="vector_magnitude")
    assert one.epoch_length == 60
    np.testing.assert_allclose(one.activity, np.array([6, 22]) * np.sqrt(1 + 10**2 + 100**2), rtol=1e-6)


def test_actigraph_columns_follow_the_mode():
    text = make.actigraph(4, mode=61).replace("0,0,0,0\r\n", "0,0,0,0,1,2,3,4,5\r\n", 1)
    assert read_actigraph_csv(of(text))[0].activity[0] == 0
    one_axis = "\r\n".join(line.split(",")[0] for line in make.actigraph(4, mode=0).splitlines())
    assert read_actigraph_csv(of(one_axis))[0].activity.tolist() == [0, 1, 2, 3]
    with pytest.raises(RecordingError, match="no axis2, axis3 for axis=vector_magnitude; found axis1"):
        read_actigraph_csv(of(one_axis), axis="vector_magnitude")


@pytest.mark.parametrize(
    ("date", "form", "start"),
    [
        ("3/9/2021", "M/d/yyyy", START),
        ("09-03-2021", "dd-MM-yyyy", START),
        ("9/3/2021", "d/M/yyyy", START),
        ("21-03-09", "yy-MM-dd", START),
        ("09-03-21", "dd-MM-yy", START),
    ],
)
def test_actigraph_dates_are_as_the_header_says(date, form, start):
    assert read_actigraph_csv(of(make.actigraph(date=date, format=form)))[0].start == start
    other = read_actigraph_csv(of(make.actigraph(date="3/9/2021", format="?")), date_order="day_first")[0]
    assert other.start == datetime.datetime(2021, 9, 3, 10, 5)


def test_agd(tmp_path):
    path = make.agd(tmp_path / "0012.agd")
    (one,) = read_agd(path)
    assert (one.participant_id, one.start, one.epoch_length) == ("0012", START, 15)
    assert one.activity.tolist() == list(range(24))
    (magnitude,) = read_agd(DeviceFile.of_bytes("x.agd", path.read_bytes()), axis="vector_magnitude")
    (from_text,) = read_actigraph_csv(of(make.actigraph()), axis="vector_magnitude")
    np.testing.assert_array_equal(magnitude.activity, from_text.activity)
    assert [one.name for one in tmp_path.iterdir()] == ["0012.agd"]  # no journal


@pytest.mark.parametrize(("code", "seconds"), [("1", 15), (" 2", 30), (" 4 ", 60), ("8", 120), ("81", 2), ("c1", 5)])
def test_awd(code, seconds):
    (one,) = read_awd(of(make.awd(code=code), "x.AWD"))
    assert (one.start, one.epoch_length) == (START, seconds)
    assert one.activity.tolist() == [0, 17, 8, 9, 1204]


@pytest.mark.parametrize(
    ("time", "hour", "second"), [("10:05", 10, 0), ("10:05:07 AM ", 10, 7), ("12:05:00 am", 0, 0), ("10:05 PM", 22, 0)]
)
def test_awd_times(time, hour, second):
    assert read_awd(of(make.awd(time=time)))[0].start == START.replace(hour=hour, second=second)


@pytest.mark.parametrize("language", make.ACTIWARE)
@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "cp1252"), ("\t", "utf-16")])
def test_actiware(language, separator, encoding):
    text = make.actiware(language, separator=separator)
    (one,) = read_actiware(of(text, encoding=encoding), date_order="day_first")
    assert (one.start, one.epoch_length) == (START, 30)
    np.testing.assert_array_equal(one.activity, np.float32([0, 10, np.nan, np.nan, 40, 50, 60, 70]))
    assert one.wear.tolist() == [True, True, False, False, True, True, True, True]
    minutes = to_minutes(one)
    np.testing.assert_array_equal(minutes.activity, np.float32([10, np.nan, 90, 130]))


def test_order_of_day_and_month_is_read_off_or_asked_for():
    week = make.actiware(count=3 * 2880)  # 9, 10, 11 March
    assert read_actiware(of(week))[0].start == START
    with pytest.raises(
        RecordingError, match="line 12: '09/03/2021 10:05:00' is 09 March 2021 with the day first and 03 "
    ):
        read_actiware(of(make.actiware()))
    assert read_actiware(of(make.actiware()), date_order="month_first")[0].start.month == 9
    with pytest.raises(ConfigError, match="date_order is 'x'"):
        read_actiware(of(make.actiware()), date_order="x")


def test_motionwatch():
    (one,) = read_mtn(of(make.motionwatch(), "x.mtn"))
    assert (one.start, one.epoch_length) == (START, 30)
    assert one.activity.tolist() == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize(("measure", "factor"), [("PIM", 10), ("TAT", 1), ("ZCM", 2)])
def test_condor(measure, factor):
    (one,) = read_condor(of(make.condor()), measure=measure, date_order="day_first")
    assert (one.start, one.epoch_length, one.unit) == (START, 60, measure)
    assert one.activity.tolist() == [at * factor for at in range(5)]  # the one with the button, too


def test_daqtometer():
    (one,) = read_daqtometer(of(make.daqtometer()), gmt_to="America/New_York")
    assert one.start == START - datetime.timedelta(hours=5)
    assert to_minutes(one).activity.tolist() == [sum(range(60)), sum(range(60, 120))]
    assert read_daqtometer(of(make.daqtometer(zone="")))[0].start == START


def test_tempatilumi():
    (one,) = read_tempatilumi(of(make.tempatilumi(), encoding="cp1252"))
    assert (one.start, one.activity.tolist()) == (START, [0, 1, 2, 3, 4])


def test_mesa():
    first, second = read_mesa(of(make.mesa()))
    assert (first.participant_id, second.participant_id) == ("0012", "0013")
    assert (first.start.isoweekday(), first.start.time()) == (4, datetime.time(23, 59))
    np.testing.assert_array_equal(first.activity, np.float32([0, np.nan, 2, 3, 4, 5]))
    assert first.wear.tolist() == [True, False, True, True, True, True]


@pytest.mark.parametrize("wide", [True, False])
def test_fitbit(wide):
    first, second = read_fitbit_steps(of(make.fitbit(wide)))
    assert (first.participant_id, second.participant_id) == ("15", "22")
    assert first.start == datetime.datetime(2016, 4, 12, 23)
    hours = np.arange(50)
    hours[1:25] = 0
    np.testing.assert_array_equal(first.activity, np.repeat(hours, 60).astype(np.float32))
    assert first.unit == "steps"
    # 13 April is all zeros, so not worn; the zeros of the hour before it, of 12 April, may be rest.
    assert np.flatnonzero(~first.wear).tolist() == list(range(60, 25 * 60))
    assert read_fitbit_intensity(of(make.fitbit(wide, "Intensity")))[0].unit == "intensity"


def test_fitbit_hours_that_are_not_there():
    lines = make.fitbit(True).splitlines()
    del lines[30:32]
    first, _ = read_fitbit_steps(of("\n".join(lines)))
    assert np.flatnonzero(np.isnan(first.activity)).tolist() == list(range(29 * 60, 31 * 60))


APPLE = [
    ("Phone", "2021-03-09 10:05:30", "2021-03-09 10:07:30", 120),  # 30, 60, 30 in three minutes
    ("Phone", "2021-03-09 10:07:30", "2021-03-09 10:07:40", 5),
    ("Phone", "2021-03-09 23:59:00", "2021-03-10 00:01:00", 40),
    ("Phone", "2021-03-12 08:00:00", "2021-03-12 08:00:00", 7),  # no duration
]


def test_apple_health():
    (one,) = read_apple_health(of(make.apple_health(APPLE[::-1]), "anna.xml"))
    assert (one.participant_id, one.start, one.unit) == ("anna", START, "steps")
    assert one.activity[:4].tolist() == [30, 60, 35, 0]
    midnight = 24 * 60 - (10 * 60 + 5)
    assert one.activity[midnight - 1 : midnight + 2].tolist() == [20, 20, 0]
    assert np.isnan(one.activity[midnight + 1440 : midnight + 2880]).all()  # 11 March has no record
    assert one.n_missing == 1440
    assert one.activity[-1] == 7
    assert np.nansum(one.activity) == 120 + 5 + 40 + 7


def test_apple_health_of_the_hour_that_the_clock_showed_twice():
    text = make.apple_health(
        [
            ("Phone", "2021-10-31 01:59:00", "2021-10-31 02:01:00", 20),
            ("Phone", "2021-10-31 02:30:00", "2021-10-31 02:31:00", 7),
            ("Phone", "2021-10-31 02:58:00", "2021-10-31 02:02:00", 40),  # over the change: four minutes
            ("Phone", "2021-10-31 02:10:00", "2021-10-31 02:12:00", 99),  # the second time
            ("Phone", "2021-10-31 03:05:00", "2021-10-31 03:06:00", 3),
        ]
    )
    for clock in ("01:59", "02:01", "02:30", "02:31", "02:58"):  # in summer time
        text = text.replace(f"{clock}:00 +0100", f"{clock}:00 +0200")
    (one,) = read_apple_health(of(text))
    assert one.start == datetime.datetime(2021, 10, 31, 1, 59)
    found = {minute: steps for minute, steps in enumerate(one.activity.tolist()) if steps}
    assert found == {0: 10, 1: 10, 31: 7, 59: 10, 60: 10, 61: 10, 62: 10, 66: 3}


def test_apple_health_never_adds_devices_up():
    watch = [("Anna\xa0Watch", *APPLE[0][1:3], 118)]
    text = make.apple_health(APPLE + watch)
    with pytest.raises(RecordingError, match=r"2 devices .*: 'Anna Watch' \(1 records\), 'Phone' \(4 records\)"):
        read_apple_health(of(text))
    assert read_apple_health(of(text), recorded_by="Anna Watch")[0].activity.sum() == 118
    with pytest.raises(RecordingError, match="recorded_by 'Nobody'; expected one of 'Anna Watch'"):
        read_apple_health(of(text), recorded_by="Nobody")


def test_apple_health_is_named_by_its_zip_or_folder(tmp_path):
    folder = tmp_path / "bert" / "apple_health_export"
    folder.mkdir(parents=True)
    (folder / "export.xml").write_text(make.apple_health(APPLE))
    (tmp_path / "bert" / "Export.xml").write_text(make.apple_health(APPLE))
    for file in (folder / "export.xml", tmp_path / "bert" / "Export.xml"):
        assert read_apple_health(file)[0].participant_id == "bert"
    shutil.rmtree(tmp_path / "bert")
    for name, zipped in (("007/export.zip", ""), ("008/Export.zip", ""), ("009.zip", ""), ("all.zip", "010/")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(f"{zipped}apple_health_export/export.xml", make.apple_health(APPLE))
            archive.writestr(f"{zipped}apple_health_export/export_cda.xml", "<x/>")
    study = read_devices("apple_health", tmp_path)
    assert [one.participant_id for one in study.recordings] == ["007", "008", "009", "010"]
    (tmp_path / "007" / "export.xml").write_text(make.apple_health(APPLE))
    with pytest.raises(RecordingError, match=r"'007' was read already.* Rename one of the folders or zips"):
        list(read_devices("apple_health", tmp_path).recordings)


def test_table_of_devices_is_whole():
    for name, device in DEVICES.items():
        parameters = inspect.signature(reader_of(device)).parameters
        assert set(device.options) == set(parameters) - {"source", "participant_id"}, name
        for option in device.options:
            assert parameters[option].default == OPTIONS[option].default, (name, option)
    used = {option for device in DEVICES.values() for option in device.options}
    assert used == set(OPTIONS)


def test_study_of_a_folder(tmp_path):
    for number, code in (("0012", "4"), ("7", "1"), ("8", "1")):
        (tmp_path / f"{number}.AWD").write_text(make.awd(["3"] * 16, code=code))
    (tmp_path / "notes.txt").write_text("x")
    study = read_devices("actiwatch", tmp_path)
    recordings = list(study.recordings)
    assert study.reading["files"] == "3; 1 others left out: notes.txt"
    assert [one.participant_id for one in recordings] == ["0012", "7", "8"]
    assert [one.activity.tolist() for one in recordings] == [[3] * 16, [12] * 4, [12] * 4]
    assert study.reading["minutes"] == (
        "counts a minute, as recorded (1 people); counts of 15 s summed to minutes (2 people)"
    )


def test_study_refuses(tmp_path):
    with pytest.raises(ConfigError, match="source is 'nothing', expected one of actigraph"):
        read_devices("nothing", tmp_path)
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "1.awd").write_text(make.awd())
    with pytest.raises(ConfigError, match="actiwatch has no option 'axis'"):
        read_devices("actiwatch", tmp_path, {"axis": "vertical"})
    with pytest.raises(RecordingError, match="participant '1' was read already, from "):
        list(read_devices("actiwatch", tmp_path).recordings)
