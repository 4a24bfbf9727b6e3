"""Finding and opening files, texts in several encodings, tables, clocks, XML."""

from __future__ import annotations

import gzip
import os
import zipfile

import numpy as np
import pytest

from pat_keras.data.readers.clock import one_table, read_clock, read_duration, usual_step
from pat_keras.data.readers.device_files import DeviceFile, find_device_files
from pat_keras.data.readers.safe_xml import parse_xml
from pat_keras.data.readers.text_table import read_table
from pat_keras.errors import RecordingError


@pytest.fixture
def folder(tmp_path):
    """Files of two people, one in a folder below, one in a zip, and what should be left out."""
    (tmp_path / "below").mkdir()
    (tmp_path / "0012.AWD").write_text("a")
    (tmp_path / "below" / "7.awd.gz").write_bytes(gzip.compress(b"b"))
    (tmp_path / ".hidden.awd").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        for name in ("sub/8.awd", "../../9.awd", "__MACOSX/._8.awd", "sub/.10.awd", "sub/readme.md"):
            archive.writestr(name, name)
    return tmp_path


PATTERNS = ("*.awd", "*.awd.gz")


def test_folder(folder):
    found, left_out = find_device_files(folder, PATTERNS)
    assert [one.stem for one in found] == ["0012", "7", "8"]  # names with .. are hidden ones, too
    assert [one.read() for one in found] == [b"a", b"b", b"sub/8.awd"]
    assert left_out == ["more.zip: sub/readme.md", "notes.txt"]
    assert found[2].where == f"{folder / 'more.zip'}: sub/8.awd"
    assert (found[0].path, found[1].path, found[2].path) == (folder / "0012.AWD", None, None)


def test_single_file_zip_and_pattern(folder):
    assert [one.name for one in find_device_files(folder / "notes.txt", PATTERNS)[0]] == ["notes.txt"]
    found, left_out = find_device_files(folder / "more.zip", PATTERNS)
    assert ([one.name for one in found], left_out) == (["8.awd"], ["sub/readme.md"])
    assert [one.name for one in find_device_files(f"{folder}/*.AWD", PATTERNS)[0]] == ["0012.AWD"]
    assert [one.name for one in find_device_files(f"{folder}/**/7*", PATTERNS)[0]] == ["7.awd.gz"]


def test_nothing_there(folder):
    for raw, message in (
        (folder / "nowhere", "no such file or folder"),
        (f"{folder}/*.xyz", "no file that matches"),
        (folder / "below", r"no file in it has a name like \*\.agd; found 7\.awd\.gz"),
    ):
        with pytest.raises(RecordingError, match=message):
            find_device_files(raw, ("*.agd",))
    with pytest.raises(RecordingError, match="a folder, not a file"):
        DeviceFile.of(folder)
    (folder / "bad.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(RecordingError, match="not a readable zip"):
        find_device_files(folder, PATTERNS)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions hold back")
def test_forbidden(tmp_path):
    path = tmp_path / "1.awd"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(RecordingError, match="Permission denied"):
        DeviceFile.of(path).read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding):
    assert DeviceFile.of_bytes("x", "Aktivität;é".encode(encoding)).text() == "Aktivität;é"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"a\0b", "byte 2 is 0"), (b"\xff\xfea", "utf-16 does not have"), (b"\x81\x8d", "cp1252")],
)
def test_no_text(data, message):
    with pytest.raises(RecordingError, match=message):
        DeviceFile.of_bytes("x", data).text()


def test_table_keeps_the_numbers_of_lines():
    table = read_table(["1,a", "", ",,", '2,"b,c"', "3"], 10, ",", ["number", "text"], "f.csv")
    assert table.lines.tolist() == [10, 13, 14]
    assert table.number("number").tolist() == [1, 2, 3]
    with pytest.raises(RecordingError, match=r"f\.csv, line 14: the line ends before the column 'text'"):
        table.text("text")
    with pytest.raises(RecordingError, match="quotation mark is not closed"):
        read_table(['1,"a', '2",b'], 1, ",", ["number"], "f.csv")


CLOCKS = [
    ("2012-04-04T13:29:00Z", "2012-04-04 13:29:00"),
    ("2000/1/1 00:01:00", "2000-01-01 00:01:00"),
    ("4/13/2016 0:00", "2016-04-13 00:00:00"),
    ("4/13/2016 12:05:00 AM", "2016-04-13 00:05:00"),
    ("4/13/16 12:05 pm", "2016-04-13 12:05:00"),
    ("24.01.2020 09:05:00", "2020-01-24 09:05:00"),
    ("2020-02-29 23:59:59.25", "2020-02-29 23:59:59.250000"),
    ("05-05-2021 10:00", "2021-05-05 10:00:00"),  # the same in both orders
]


@pytest.mark.parametrize(("text", "expected"), CLOCKS)
def test_clock(text, expected):
    texts, table = one_table([text], 7, "f.csv")
    assert str(read_clock(texts, table)[0].item()) == expected


@pytest.mark.parametrize("text", ["", "2021-13-01 10:00", "2021-02-29 10:00", "10:00", "13/13/2021 10:00", "NA", "1e5"])
def test_no_clock(text):
    texts, table = one_table([text], 7, "f.csv")
    with pytest.raises(RecordingError, match=r"f\.csv, line 7"):
        read_clock(texts, table)


def test_order_of_day_and_month():
    def months(*texts, **options):
        texts, table = one_table(texts, 7, "f.csv")
        return [time.item().month for time in read_clock(texts, table, **options)]

    assert months("04/07/2015 23:59", "05/07/2015 00:00", "06/07/2015 00:00") == [7, 7, 7]  # days go on
    assert months("07/04/2015 23:59", "07/05/2015 00:00") == [7, 7]
    assert months("04/07/2015 23:59", "13/07/2015 00:00", increasing=False) == [7, 7]
    for options in ({"increasing": False}, {}):
        with pytest.raises(RecordingError, match="04 July 2015 with the day first and 07 April 2015"):
            months("04/07/2015 10:00", "04/07/2015 10:01", **options)
    with pytest.raises(RecordingError, match="line 7: the month comes first here"):
        months("04/17/2015 10:00", "17/04/2015 10:01")


def test_years_of_two_digits_may_come_first():
    def starts(*texts, **options):
        texts, table = one_table(texts, 7, "f.csv")
        return str(read_clock(texts, table, **options)[0].item().date())

    assert starts("15-04-08 23:59", "15-04-09 00:00") == "2015-04-08"
    assert starts("08-04-08 10:00", "08-04-19 10:00", "08-04-18 10:00") == "2008-04-08"  # whatever the holes
    assert starts("15-04-08 23:59", "16-04-08 00:00", "26-04-08 00:00") == "2008-04-15"
    assert starts("30-12-14 10:00", "02-01-15 10:00") == "2014-12-30"
    assert starts("04/07/15 23:59", "04/08/15 00:00") == "2015-04-07"
    assert starts("15-04-08 10:00", date_order="year_first") == "2015-04-08"
    assert starts("15-04-08 10:00", date_order="day_first") == "2008-04-15"
    assert starts("15-04-32 10:00") == "2032-04-15"
    with pytest.raises(
        RecordingError, match=r"15 April 2008 with the day first and 08 April 2015 .* --date_order=day_f"
    ):
        starts("15-04-08 10:00", "15-04-08 10:01")
    with pytest.raises(RecordingError, match=r"day_first or month_first or year_first"):
        starts("05-04-08 10:00")
    with pytest.raises(RecordingError, match=r"line 7: '31-04-15 10:00' is no date"):
        starts("30-04-15 10:00", "31-04-15 10:00")


def test_durations_and_steps():
    assert read_duration("01:00:15", "x", "f.csv") == 3615

    def step(*milliseconds):
        return usual_step(np.array(milliseconds, dtype="datetime64[ms]").astype("datetime64[us]"), "f.csv")

    assert step(0, 30_000, 60_000, 150_000) == 30
    # one sample; half a second; nothing usual; time that stands still
    for times in ([0], [0, 500, 1000], [0, 1000, 3000, 6000], [0, 0, 0]):
        with pytest.raises(RecordingError, match=r"^f\.csv"):
            step(*times)


def test_xml_is_streamed():
    found = []
    text = "<a><b x='1'>" + "y" * 3_000_000 + "</b><b x='2'/></a>"
    parse_xml(
        DeviceFile.of_bytes("f.xml", text.encode()),
        lambda name, attributes: found.append((name, dict(attributes))),
        lambda name, inside: found.append((name, len(inside))),
    )
    assert found == [("a", {}), ("b", {"x": "1"}), ("b", 3_000_000), ("b", {"x": "2"}), ("b", 0), ("a", 0)]


@pytest.mark.parametrize(
    "declaration", ['<!ENTITY a "b">', '<!ENTITY % p "b">', '<!ENTITY e SYSTEM "file:///etc/hostname">']
)
def test_xml_entities_are_refused(declaration):
    text = f"<!DOCTYPE a [{declaration}]><a/>"
    with pytest.raises(RecordingError, match=r"f\.xml, line 1: it declares the entity"):
        parse_xml(DeviceFile.of_bytes("f.xml", text.encode()), lambda *_: None)
