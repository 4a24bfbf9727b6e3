"""Readers on real files, compared with what is counted by another path: other columns, other programs, other files."""

from __future__ import annotations

import collections
import csv
import datetime
import gzip
import io
import math
import re
import sqlite3
import xml.etree.ElementTree
import zipfile

import numpy as np
import pytest

from pat_keras.data.epochs import to_minutes
from pat_keras.data.readers.actigraph import read_actigraph_csv
from pat_keras.data.readers.actigraph_agd import read_agd
from pat_keras.data.readers.actiware import read_actiware
from pat_keras.data.readers.actiwatch import read_awd
from pat_keras.data.readers.condor import read_condor
from pat_keras.data.readers.daqtometer import read_daqtometer
from pat_keras.data.readers.device_study import read_devices
from pat_keras.data.readers.devices import DEVICES
from pat_keras.data.readers.fitbit import read_fitbit_intensity, read_fitbit_steps
from pat_keras.data.readers.mesa import read_mesa
from pat_keras.data.readers.motionwatch import read_mtn
from pat_keras.data.readers.raw_acceleration import read_raw_acceleration
from pat_keras.data.readers.tempatilumi import read_tempatilumi
from pat_keras.errors import RecordingError

PY = "pyActigraphy/pyActigraphy/tests/data"
GGIR = "GGIR/inst/testfiles"
SLEEPR = "actigraph.sleepr/inst/extdata"


@pytest.fixture(scope="module")
def samples(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    with zipfile.ZipFile(shared_data / "device_samples.zip") as archive:
        archive.extractall(folder)
    return folder


def rows_of(path):
    """Fields of all lines, packed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("name", "skip", "start", "seconds"),
    [
        (f"{GGIR}/ActiGraph13.csv", 10, "2013-08-26 09:00:00", 15),
        (f"{GGIR}/ActiGraph61.csv", 10, "2016-08-15 21:35:00", 5),
        ("SummarizedActigraphy/inst/extdata/721431sec.csv.gz", 10, "2000-01-08 11:40:00", 1),
    ],
)
def test_actigraph_without_titles(samples, name, skip, start, seconds):
    rows = rows_of(samples / name)[skip:]
    (one,) = read_actigraph_csv(samples / name)
    assert (str(one.start), one.epoch_length, len(one)) == (start, seconds, len(rows))
    assert one.activity.sum(dtype=np.float64) == sum(int(row[0]) for row in rows)
    (magnitude,) = read_actigraph_csv(samples / name, axis="vector_magnitude")
    per_minute = 60 // seconds
    for minute in (0, 7, len(magnitude) - 1):
        axes = [sum(int(r[axis]) for r in rows[minute * per_minute : (minute + 1) * per_minute]) for axis in range(3)]
        assert magnitude.activity[minute] == pytest.approx(math.hypot(*axes), rel=1e-6)


def test_actigraph_with_titles(samples):
    """The header contradicts itself (dd/MM/yyyy, and 09-19-2017); the rows' own times count."""
    (one,) = read_actigraph_csv(samples / GGIR / "ActiGraph13_timestamps_headers.csv")
    rows = rows_of(samples / GGIR / "ActiGraph13_timestamps_headers.csv")[11:]
    assert (str(one.start), one.epoch_length, len(one)) == ("2017-09-12 15:00:00", 1, len(rows))
    assert one.activity.tolist() == [float(row[1]) for row in rows]


@pytest.mark.parametrize("name", [f"{SLEEPR}/GT3XPlus-RawData-Day01", f"{SLEEPR}/ActiSleepPlus-RawData-Day01"])
@pytest.mark.parametrize("axis", ["vertical", "vector_magnitude"])
def test_agd_and_csv_of_one_recording_agree(samples, name, axis):
    (database,) = read_agd(samples / f"{name}.agd", axis=axis)
    (text,) = read_actigraph_csv(samples / f"{name}.csv", axis=axis)
    assert (database.start, database.epoch_length) == (text.start, text.epoch_length)
    np.testing.assert_array_equal(database.activity, text.activity)


def test_agd(samples):
    path = samples / PY / "test_sample.agd"
    (one,) = read_agd(path)
    connection = sqlite3.connect(path)
    count, total = connection.execute("SELECT count(*), sum(axis1) FROM data").fetchone()
    (said,) = connection.execute("SELECT settingValue FROM settings WHERE settingName = 'epochcount'").fetchone()
    connection.close()
    assert (len(one), one.activity.sum(dtype=np.float64)) == (count, total)
    assert len(one) == int(said)
    assert (str(one.start), one.epoch_length) == ("2019-04-15 15:00:00", 10)


AWD = {  # file -> start, epoch length
    "example_01": ("1918-01-23 13:58:00", 60),
    "example_05": ("1918-01-30 11:15:00", 60),
    "test_sample": ("2018-01-01 08:30:00", 60),
    "test_sample_aw4": ("2011-02-22 12:00:00", 60),
    "test_sample_aw7": ("2009-11-17 19:30:00", 15),
    "test_sample_awi": ("2002-10-10 17:34:00", 60),
    "test_sample_awl": ("1996-11-10 16:22:00", 60),
    "test_sample_awlp": ("1997-04-22 09:38:00", 60),
    "test_sample_awmk2": ("2016-05-25 14:30:00", 30),
    "test_sample_aws": ("1999-01-14 15:07:00", 60),
    "test_sample_awt": ("2001-01-30 18:11:00", 60),
}


@pytest.mark.parametrize("name", AWD)
def test_awd(samples, name):
    path = samples / PY / f"{name}.AWD"
    (one,) = read_awd(path)
    numbers = [int(re.match(r"\d+", line)[0]) for line in path.read_text().split("\n")[7:] if line.strip()]
    assert (str(one.start), one.epoch_length) == AWD[name]
    assert one.activity.tolist() == numbers


def test_all_awd_files_of_the_samples(samples):
    found = {one.participant_id: one for one in read_devices("actiwatch", samples).recordings}
    assert len(found) == 16
    assert len(found["Actiwatch"]) == 329  # of GGIR, with decimal commas
    assert len(found["test_sample_aw7"]) == 30623 // 4


ACTIWARE = {  # file -> start, epoch length, epochs as the preamble says (None where the file was shortened)
    f"{PY}/test_sample.csv": ("2015-02-04 11:45:00", 60, 11581),
    f"{PY}/test_sample_rpx_eng.csv": ("2015-07-04 09:45:00", 30, 20160),
    f"{PY}/test_sample_rpx_fr.csv": ("2015-02-04 11:45:00", 60, 11581),
    f"{PY}/test_sample_rpx_ger_no_light.csv": ("2020-01-24 09:05:00", 30, 20160),
    f"{PY}/test_sample_rpx_ger_with_light.csv": ("2019-09-19 14:00:00", 30, 20160),
    f"{GGIR}/Actiwatch.csv": ("2019-11-23 06:00:00", 15, None),
}


@pytest.mark.parametrize("name", ACTIWARE)
def test_actiware(samples, name):
    start, seconds, count = ACTIWARE[name]
    (one,) = read_actiware(samples / name)
    rows = rows_of(samples / name)
    names = ("Activity", "Activité", "Aktivität", "Activiteit")
    titles = [row for row in rows if any(title in row for title in names)][-1]
    column = next(at for at, title in enumerate(titles) if title in names)
    values = [row[column] for row in rows[rows.index(titles) + 1 :] if row and row[0].isdigit()]
    numbers = [float(value) if re.fullmatch(r"\d+", value) else math.nan for value in values]
    assert (str(one.start), one.epoch_length) == (start, seconds)
    np.testing.assert_array_equal(one.activity, np.float32(numbers))
    assert count is None or len(one) == count


def test_actiware_agrees_with_its_own_statistics(samples):
    """Total activity of each interval, as Actiware printed it above the epochs."""
    path = samples / PY / "test_sample_rpx_ger_no_light.csv"
    (one,) = read_actiware(path)
    checked = 0
    for row in rows_of(path)[60:110]:
        if len(row) < 10 or row[0] not in ("RUHE", "AKTIV", "SCHLAF") or not row[9].isdigit():
            continue
        begin, end = (datetime.datetime.strptime(f"{row[at]} {row[at + 1]}", "%d.%m.%Y %H:%M:%S") for at in (2, 4))
        if not one.start <= begin < end <= one.end:
            continue
        first, last = ((time - one.start) // datetime.timedelta(seconds=30) for time in (begin, end))
        assert np.nansum(one.activity[first:last]) == float(row[9]), row[:6]
        # the column with minutes off the wrist
        assert (~one.wear[first:last]).sum() / 2 == float(row[7].replace(",", "."))
        checked += 1
    assert checked >= 14


def test_motionwatch(samples):
    path = samples / PY / "test_sample.mtn"
    (one,) = read_mtn(path)
    tree = xml.etree.ElementTree.fromstring(path.read_text(encoding="utf-8-sig"))
    channel = next(one for one in tree.iter("channel") if one.findtext("name") == "motion")
    numbers = [float(text) for text in channel.findtext("data").replace("\n", "").split(",") if text]
    assert (str(one.start), one.epoch_length) == ("2018-05-23 17:30:00", 5)
    assert one.activity.tolist() == numbers


@pytest.mark.parametrize(("measure", "column"), [("PIM", 6), ("TAT", 8), ("ZCM", 10)])
def test_condor(samples, measure, column):
    path = samples / PY / "test_sample_atr.txt"
    (one,) = read_condor(path, measure=measure)
    lines = path.read_text().splitlines()[25:]
    assert one.activity.tolist() == [float(line.split(";")[column]) for line in lines]
    assert (str(one.start), one.epoch_length, one.n_missing) == ("1918-01-01 09:00:00", 60, 0)
    assert str(one.end) == "1918-01-05 09:00:00"


def test_condor_in_a_zip(samples):
    (one,) = read_devices("condor", samples / "LightLogR").recordings  # __MACOSX beside it is left out
    assert str(one.start) == "2023-08-28 08:48:04"  # the first epoch that begins in the first 10 s of its minute
    (path,) = (samples / "LightLogR" / "inst" / "extdata").iterdir()
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    minutes = collections.Counter()
    for line in lines[34:]:
        minutes[line[:16]] += float(line.split(";")[6])
    assert one.activity[:3].tolist() == [minutes[f"28/08/2023 08:{minute}"] for minute in (48, 49, 50)]


def test_daqtometer(samples):
    path = samples / PY / "test_sample_dqt.csv"
    (one,) = read_daqtometer(path, gmt_to="UTC")
    lines = path.read_text().splitlines()
    assert (str(one.start), str(one.end)) == (lines[0][7:26], "2000-01-28 07:00:00")
    assert one.activity.tolist() == [float(line.split(",")[1]) for line in lines if line.startswith("2000-")]
    assert len(to_minutes(one)) == 12 * 60


def test_tempatilumi(samples):
    path = samples / PY / "test_sample_tal.txt"
    (one,) = read_tempatilumi(path)
    assert (str(one.start), len(one)) == ("2000-01-01 00:00:00", 7 * 1440)
    rows = [line.split(";") for line in path.read_text().splitlines() if line.startswith("2000/")]
    assert one.activity.tolist() == [float(row[4]) for row in rows]


def test_mesa(samples):
    (one,) = read_mesa(samples / PY / "test_sample_mesa.csv")
    np.testing.assert_array_equal(one.activity, np.float32([np.nan, 100, 40, 0]))
    assert one.start.isoweekday() == 4  # dayofweek 5, from Sunday


@pytest.fixture(scope="module")
def fitbit(shared_data):
    with zipfile.ZipFile(shared_data / "fitbit_2016_fitabase.zip") as archive:
        return {name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def test_fitbit_steps_agree_with_the_daily_file(fitbit, shared_data):
    """Fitbit's own totals of the same days; it corrected some of them later."""
    recordings = list(read_devices("fitbit_steps", shared_data / "fitbit_2016_fitabase.zip").recordings)
    assert len(recordings) == 33
    rows = list(csv.reader(io.StringIO(fitbit["minuteStepsWide_merged.csv"])))[1:]
    assert sum(len(one) for one in recordings) == 60 * len(rows)
    total = sum(one.activity.sum(dtype=np.float64) for one in recordings)
    assert total == sum(int(value) for row in rows for value in row[2:])
    daily = {
        (row["Id"], row["ActivityDate"]): int(row["TotalSteps"])
        for row in csv.DictReader(io.StringIO(fitbit["dailyActivity_merged.csv"]))
    }
    equal = compared = not_worn = 0
    for one in recordings:
        first = -(one.start.hour * 60 + one.start.minute) % 1440
        for begin in range(first, len(one) - 1439, 1440):
            day = one.start + datetime.timedelta(minutes=begin)
            steps = one.activity[begin : begin + 1440].sum()
            not_worn += not one.wear[begin : begin + 1440].any()
            if said := daily.get((one.participant_id, f"{day.month}/{day.day}/{day.year}")):
                compared += 1
                equal += steps == said
    assert not_worn == 74
    assert compared > 800
    assert equal / compared > 0.8


def test_fitbit_intensities(fitbit, tmp_path):
    path = tmp_path / "minuteIntensitiesWide_merged.csv"
    path.write_text(fitbit[path.name])
    recordings = read_fitbit_intensity(path)
    assert {value for one in recordings for value in np.unique(one.activity)} == {0, 1, 2, 3}
    daily = list(csv.DictReader(io.StringIO(fitbit["dailyActivity_merged.csv"])))
    very = sum(int(row["VeryActiveMinutes"]) for row in daily)
    assert sum(int((one.activity == 3).sum()) for one in recordings) == pytest.approx(very, rel=0.1)
    with pytest.raises(RecordingError, match="expected Id, ActivityMinute, Steps"):
        read_fitbit_steps(path)


# Mean ENMO (mg) of minutes 10:13 to 10:17, from another library's samples (pygt3x, which fills idle sleep likewise).
ENMO = [23.523, 61.523, 24.015, 11.830, 2.804]


def test_raw_acceleration(samples):
    pytest.importorskip("actfast", reason="the extra raw is not installed")
    path = samples / GGIR / "actigraph_testfile.gt3x"
    (one,) = read_raw_acceleration(path, idle="still")
    assert (str(one.start), len(one), one.unit) == ("2020-08-26 10:09:00", 29, "ENMO")
    np.testing.assert_allclose(one.activity[4:9], ENMO, atol=5e-4)
    (holes,) = read_raw_acceleration(path)
    assert (str(holes.start), len(holes), holes.n_missing) == ("2020-08-26 10:14:00", 20, 18)
    np.testing.assert_allclose(holes.activity[[0, -1]], one.activity[[5, 24]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pygt3x/tests/resources/neo.gt3x", r"missing required file 'log\.bin'.* export counts with ActiLife"),
        ("pygt3x/tests/resources/ISM_Disabled.gt3x", "finds no sample of acceleration"),
        ("SummarizedActigraphy/inst/extdata/TAS1H30182785_2019-09-17.gt3x", "finds no sample of acceleration"),
        (f"{PY}/test_sample_aw4.AWD", "actfast can't read it"),
    ],
)
def test_raw_acceleration_that_cannot_be_read(samples, name, message):
    pytest.importorskip("actfast", reason="the extra raw is not installed")
    with pytest.raises(RecordingError, match=message):
        read_raw_acceleration(samples / name)


REAL_ERRORS = {
    "raw export": ("actigraph", "pygt3x/tests/resources/neo.csv", "marks raw acceleration, not counts"),
    "UK Biobank": ("actigraph", f"{GGIR}/ukbiobank.csv", "line 1: it begins with 'acceleration"),
    "a spreadsheet": ("actiware", f"{PY}/example_sstlog.xlsx", "not a text file"),
    "old spreadsheet": ("actiwatch", f"{GGIR}/sensewear.xls", "not a text file"),
    "Daqtometer as Actiware": ("actiware", f"{PY}/test_sample_dqt.csv", "no line with the titles Date, Time"),
    "JSON": ("condor", f"{PY}/sample-summary.json", "no 'Condor Instruments Report'"),
    "text as database": ("actigraph_agd", f"{SLEEPR}/GT3XPlus-RawData-Day01.csv", "not an SQLite database"),
    "database as text": ("actigraph", f"{PY}/test_sample.agd", "not a text file"),
}


@pytest.mark.parametrize("name", REAL_ERRORS)
def test_real_files_of_other_kinds(samples, name):
    device, path, message = REAL_ERRORS[name]
    with pytest.raises(RecordingError, match=message):
        list(read_devices(device, samples / path).recordings)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("actigraph_agd", f"{PY}/test_sample.agd"),
        ("motionwatch", f"{PY}/test_sample.mtn"),
        ("raw_acceleration", f"{GGIR}/actigraph_testfile.gt3x"),
    ],
)
def test_real_files_cut_short(samples, tmp_path, device, name, share):
    data = (samples / name).read_bytes()
    path = tmp_path / (samples / name).name
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(RecordingError, match=re.escape(path.name)):
        list(read_devices(device, path).recordings)


def test_the_table_says_where_each_was_tested():
    for name, device in DEVICES.items():
        assert device.tested_on, name
