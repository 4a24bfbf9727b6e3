"""A catalogue of files that are damaged, or of another device: each is an error that says where, what and what to "
"do."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile

import pytest

from pat_keras.apps import prepare
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.device_study import reader_of
from pat_keras.data.readers.devices import DEVICES
from pat_keras.errors import RecordingError
from tests.data.readers import generate_devices as make

WHOLE = {  # device -> a file of its own that can be read, with the options it needs
    "actigraph": (make.actigraph(), {}),
    "actiwatch": (make.awd(), {}),
    "actiware": (make.actiware(date="%d.%m.%Y"), {"date_order": "day_first"}),
    "motionwatch": (make.motionwatch(), {}),
    "condor": (make.condor(), {"date_order": "day_first"}),
    "daqtometer": (make.daqtometer(), {"gmt_to": "UTC"}),
    "tempatilumi": (make.tempatilumi(), {}),
    "mesa": (make.mesa(), {}),
    "fitbit_steps": (make.fitbit(True), {}),
    "fitbit_intensity": (make.fitbit(False, "Intensity"), {}),
    "apple_health": (make.apple_health([("P", "2021-03-09 10:05:30", "2021-03-09 10:07:30", 9)]), {}),
}


def read(device, data, **options):
    data = data.encode() if isinstance(data, str) else data
    return reader_of(DEVICES[device])(DeviceFile.of_bytes("sub 1.txt", data), **{**WHOLE[device][1], **options})


@pytest.mark.parametrize("device", WHOLE)
def test_the_whole_file_is_read(device):
    assert read(device, WHOLE[device][0])


@pytest.mark.parametrize("device", WHOLE)
@pytest.mark.parametrize("data", [b"", b"\n\n", b"\0" * 500, bytes(range(256)) * 40, b"PK\x03\x04" + b"\0\1" * 99])
def test_garbage(device, data):
    with pytest.raises(RecordingError, match=r"^sub 1") as caught:
        read(device, data)
    assert str(caught.value).count(". ") >= 1  # what was found, then what to do


@pytest.mark.parametrize("device", WHOLE)
def test_files_of_other_devices(device):
    for other, (text, _) in WHOLE.items():
        if other != device:
            with pytest.raises(RecordingError, match=r"^sub 1"):
                read(device, text)


def changed(device, old, new, count=1):
    text = WHOLE[device][0]
    assert old in text
    return text.replace(old, new, count)


def cut(device, share):
    text = WHOLE[device][0]
    return text[: int(len(text) * share)]


A, W = "actigraph", "actiware"
CATALOGUE = {
    # ActiGraph text
    "raw": (A, make.actigraph(length="00:00:00"), "the epoch period is 00:00:00, which marks raw acceleration"),
    "epoch text": (A, make.actigraph(length="00:15"), "Epoch Period is '00:15', expected hours:minutes:seconds"),
    "no start date": (A, changed(A, "Start Date", "Begin Date"), "there is no Start Date, and the rows have no times"),
    "no epoch": (A, changed(A, "Epoch Period", "Epochs"), r"there is no Epoch Period \(hh:mm:ss\)"),
    "impossible date": (A, make.actigraph(date="13/32/2021"), "line 1: '13/32/2021 10:05:00' is no date and time"),
    "unclear date": (A, make.actigraph(format="?"), "03 September 2021 with the day first and 09 March 2021"),
    "no mode": (A, changed(A, "Mode = 13", ""), "line 8: the columns have no titles and the header no mode"),
    "mode": (A, make.actigraph(mode=61), "line 8: there are 4 fields; mode 61 of the header has 9"),
    "block not closed": (A, make.actigraph().replace(make.DASHES, ""), "no closing line of dashes"),
    "no rows": (A, make.actigraph(0), "nothing below the header block"),
    "no rows below titles": (A, make.actigraph(0, titles=True), "line 9: there is no row of data"),
    "text for a count": (A, changed(A, "5,50,500,0", "x,50,500,0"), "line 13: axis1 is 'x', expected a number"),
    "cut in a row": (A, make.actigraph(titles=True)[:-16], "line 32: the line ends before the column 'axis1'"),
    "negative": (A, changed(A, "5,50,500,0", "-5,50,500,0"), "sample 6 of 24 is -5.0 counts"),
    "infinite": (A, changed(A, "5,50,500,0", "inf,50,500,0"), "axis1 is 'inf', expected a number"),
    "doubled": (A, make.actigraph(titles=True).replace("10:05:30", "10:05:15"), "line 11 .* is the same time as"),
    "back": (A, make.actigraph(titles=True).replace("10:05:30", "10:04:30"), "line 11 .* comes before"),
    "off the grid": (A, make.actigraph(titles=True).replace("10:05:30", "10:05:31"), "not a whole number of 15 s"),
    "time text": (
        A,
        make.actigraph(titles=True).replace("10:05:30", "later"),
        "line 11: '03/09/2021 later' is no date",
    ),
    "hour": (A, make.actigraph(titles=True).replace("10:05:30", "25:05:30"), "line 11: '03/09/2021 25:05:30' is no"),
    "magnitude of one axis": (A, "timestamp,axis1\n2021-03-09 10:05:00,1\n", "one sample alone", {}),
    # Actiwatch
    "awd short": ("actiwatch", cut("actiwatch", 0.3), "3 lines, expected a header of 7"),
    "awd code": ("actiwatch", make.awd(code="5"), "line 4: the code of the epoch length is '5', expected one of 1, 2"),
    "awd date": ("actiwatch", make.awd(date="09-Mrz-2021"), "line 2: '09-Mrz-2021' is no date"),
    "awd day": ("actiwatch", make.awd(date="31-Feb-2021"), "lines 2 and 3: '31-Feb-2021' and '10:05' are no date"),
    "awd time": ("actiwatch", make.awd(time="10.05"), "lines 2 and 3: .* '10.05' are no date"),
    "awd no epoch": ("actiwatch", make.awd(["", ""]), "no epoch below the header"),
    "awd epoch": ("actiwatch", make.awd(["1", "2", "m3"]), "line 10: 'm3' is no epoch"),
    "awd hole": ("actiwatch", make.awd(["1", "", "3"]), "line 9: '' is no epoch"),
    "awd negative": ("actiwatch", make.awd(["1", "-3"]), "line 9: '-3' is no epoch"),
    # Actiware
    "another language": (W, changed(W, "Activity", "Attività"), "no line with the titles Date, Time and Activity"),
    "titles only": (W, changed(W, '"1","09.03', "", 1).split('"1","')[0], "no row of data from here on"),
    "epoch length": (W, changed(W, '"30"', '"60"'), "line 3: the epoch length is '60', but the epochs below are 30 s"),
    "off wrist": (W, changed(W, '"1","NaN"', '"2","NaN"'), "line 14: off-wrist status is 2, expected 0 or 1"),
    "activity": (W, changed(W, '"40"', '"4O"'), "line 16: activity is '4O', expected a number or 'NaN', 'kZ', ''"),
    "cut in quotes": (W, cut(W, 0.95), "line|quotation"),
    "wrong order": (
        W,
        make.actiware(date="%d.%m.%Y", count=9000)
        .replace("10.03.2021", "13.03.2021")
        .replace("11.03.2021", "03.13.2021"),
        "the month comes first here, but the day first in other lines",
        {"date_order": None},
    ),
    # MotionWatch
    "entity": (
        "motionwatch",
        changed("motionwatch", "?>", '?><!DOCTYPE m [<!ENTITY a "b">]>'),
        "declares the entity 'a'",
    ),
    "cut xml": ("motionwatch", cut("motionwatch", 0.8), "not well-formed XML"),
    "other xml": ("motionwatch", "<html><p/></html>", "the XML is a <html>, expected a <motionfile>"),
    "no motion": ("motionwatch", make.motionwatch(name="noise"), r"0 channels are called motion \(channels: noise, L"),
    "mtn epoch": ("motionwatch", make.motionwatch(epoch="0"), "epoch of the motion channel is '0'"),
    "mtn start": (
        "motionwatch",
        make.motionwatch(start="9/3/2021"),
        "=StartTime is '9/3/2021', expected a time such as",
    ),
    "mtn count": ("motionwatch", make.motionwatch("1,2,x,"), "sample 3 of the motion channel is 'x'"),
    "mtn empty": ("motionwatch", make.motionwatch(""), "the data of the motion channel is nothing"),
    "base64": ("motionwatch", changed("motionwatch", '"text"', '"base64"'), "has the encoding 'base64'"),
    # the others
    "condor measure": ("condor", make.condor(titles="DATE/TIME;MS;EVENT;TAT"), "line 4: there is no column PIM"),
    "condor one row": ("condor", make.condor(1), "one sample alone"),
    "condor uneven": ("condor", make.condor(5).replace(";1;", ";0;"), "is not a whole number of 60 s"),
    "zone": ("daqtometer", make.daqtometer(), "line 1: the times are in GMT", {"gmt_to": None}),
    "two channels": ("daqtometer", changed("daqtometer", "Light", "Acc Z"), "2 channels are named for acceleration"),
    "tal row": ("tempatilumi", changed("tempatilumi", " 3;", " drei;"), "line 9: Atividade is 'drei'"),
    "mesa clock": (
        "mesa",
        changed("mesa", "00:00:30", "00:00:31"),
        r"line 5 \(participant '0012'\): line and linetime",
    ),
    "mesa off wrist": ("mesa", changed("mesa", ",1,,0", ",3,,0"), "line 3: offwrist is '3'"),
    "mesa people": ("mesa", make.mesa(("1", "2", "1")), "rows of a mesaid do not stand together"),
    "fitbit people": (
        "fitbit_steps",
        make.fitbit(True, people=("1", "2", "1")),
        "lines of an Id do not stand together",
    ),
    "fitbit order": (
        "fitbit_steps",
        changed("fitbit_steps", "4/13/2016 1:00", "13/4/2016 1:00"),
        "the month comes first",
    ),
    "fitbit measure": ("fitbit_steps", make.fitbit(True, "Intensity"), "expected Id, ActivityMinute, Steps or Id,"),
    "apple none": ("apple_health", make.apple_health([]), "no record of steps"),
    "apple value": ("apple_health", changed("apple_health", 'value="9"', 'value="?"'), "a record of steps has"),
    "apple time": ("apple_health", changed("apple_health", " +0100", ""), "expected two times such as"),
    "apple backwards": ("apple_health", changed("apple_health", "10:07:30", "10:04:30"), "has 9 steps from"),
    "apple overlap": (
        "apple_health",
        make.apple_health([("P", f"2021-03-09 10:0{at}:00", "2021-03-09 10:09:00", 9) for at in (1, 5)]),
        "begins before the one from",
    ),
    "apple years": (
        "apple_health",
        make.apple_health([("P", f"{year}-03-09 10:00:00", f"{year}-03-09 10:01:00", 9) for year in (1999, 2021)]),
        "no record for more than a year",
    ),
    "billion laughs": (
        "apple_health",
        make.apple_health([], before='<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">\n'),
        "line 4: it declares the entity 'a'",
    ),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue(name):
    device, text, message, *options = CATALOGUE[name]
    with pytest.raises(RecordingError, match=message) as caught:
        read(device, text, **(options[0] if options else {}))
    assert str(caught.value).startswith("sub 1.txt")


def test_size_of_the_catalogue():
    assert len(CATALOGUE) >= 60


AGD = {
    "not a database": (lambda path: path.write_bytes(b"MZ" * 99), "not an SQLite database: it begins with b'MZMZ"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "the database can't be read"),
    "another program": ("DROP TABLE settings", "has the tables data; expected settings and data"),
    "view": ("ALTER TABLE data RENAME TO d; CREATE VIEW data AS SELECT * FROM d", "expected settings and data"),
    "no axis": ("ALTER TABLE data DROP COLUMN axis1", "table data: there is no axis1 for axis=vertical"),
    "no rows": ("DELETE FROM data", "the table data has no row"),
    "epoch": ("UPDATE settings SET settingValue = '1m'", "epochlength of the settings is '1m'"),
    "text": ("UPDATE data SET axis1 = 'x' WHERE axis1 = 5", "row 6 of the table data is"),
    "doubled": ("INSERT INTO data SELECT * FROM data WHERE axis1 = 5", "is the same time as"),
}


@pytest.mark.parametrize("name", AGD)
def test_agd(tmp_path, name):
    change, message = AGD[name]
    path = make.agd(tmp_path / "1.agd", 2000)
    if isinstance(change, str):
        with sqlite3.connect(path) as database:
            database.executescript(change)
        database.close()
    else:
        change(path)
    with pytest.raises(RecordingError, match=message):
        reader_of(DEVICES["actigraph_agd"])(path)


def test_zips_and_packed_files(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("people/1.awd", make.awd() * 50)
    path.write_bytes(path.read_bytes().replace(b"V665936", b"V665937"))  # its checksum is wrong now
    (tmp_path / "2.csv.gz").write_bytes(gzip.compress(make.actigraph().encode())[:-9])
    for source, raw in (("actiwatch", path), ("actigraph", tmp_path / "2.csv.gz")):
        from pat_keras.data.readers.device_study import read_devices

        with pytest.raises(RecordingError, match="can't be unpacked"):
            list(read_devices(source, raw).recordings)


def test_command_prints_one_paragraph(tmp_path, capsys):
    (tmp_path / "1.awd").write_text(make.awd(code="5"))
    out = tmp_path / "o.parquet"
    assert prepare.main(["pat-prepare", "--source=actiwatch", f"--raw={tmp_path}", f"--out={out}"]) == 2
    error = capsys.readouterr().err
    assert "line 4: the code of the epoch length is '5'" in error
    assert "Traceback" not in error
    assert not out.exists()
