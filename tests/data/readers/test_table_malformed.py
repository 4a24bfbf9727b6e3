"""A catalogue of tables that can't be read as they are: each gives one error with file, place, found, expected, fix."""

import datetime
import zipfile

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from pat_keras.data.readers.study import Rejection
from pat_keras.data.readers.table import read_tables
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, PATError, RecordingError
from tests.data.readers.plain_tables import START, plain, table_text, times, write, write_all

TEXT = plain()
LINES = TEXT.splitlines()
FIRST, SECOND, LAST = LINES[1], LINES[2], LINES[-1]
EARLY = datetime.datetime(2024, 3, 4)


def replaced(old, new, count=1):
    assert old in TEXT
    return TEXT.replace(old, new, count)


def line(number, text):
    """The table with line `number` (from 1) replaced."""
    lines = list(LINES)
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


def form(pattern, n=200, start=START):
    return table_text(times(n, start), range(n), form=pattern)


def columns(header, row, n=50):
    """A table of given columns; `row` is formatted with t (time) and i (number)."""
    return "\n".join([header, *(row.format(t=moment, i=i) for i, moment in enumerate(times(n)))]) + "\n"


# name -> content, how it is read, what the error says besides the name of the file
MALFORMED = {
    # no table at all
    "empty": ("", {}, r"a\.csv: the file is empty"),
    "blank lines": ("\n\n  \n", {}, "the file is empty"),
    "header alone": ("timestamp,activity\n", {}, "no line has a date, expected rows such as"),
    "prose": ("Dear all,\nhere are the data.\n", {}, "no line has a date"),
    "web page": ("<!DOCTYPE html>\n<p>404", {}, "web page or XML, expected a table"),
    "xml": ('<?xml version="1.0"?><a/>', {}, "web page or XML"),
    "spreadsheet": (b"PK\x03\x04" + bytes(50), {}, "a spreadsheet .*save the sheet as CSV"),
    "old spreadsheet": (b"\xd0\xcf\x11\xe0" + bytes(50), {}, r"\.xls\); save the sheet"),
    "database": (b"SQLite format 3\0" + bytes(50), {}, "SQLite database"),
    "parquet as csv": (b"PAR1" + bytes(50), {}, r"ending \.parquet"),
    "gzip as csv": (b"\x1f\x8b" + bytes(50), {}, r"ending \.gz, or, if it is R's own .*export the table as CSV"),
    "xz": (b"\xfd7zXZ\0" + bytes(50), {}, "an xz file; unpack it"),
    "R's data": (b"RDX3\nX\n" + bytes(50), {}, r"R's own file .*export the table as CSV"),
    "SPSS": (b"$FL2@(#) SPSS" + bytes(50), {}, r"an SPSS file \(\.sav\); export it as CSV"),
    "Stata": (b"<stata_dta><header>" + bytes(50), {}, r"a Stata file \(\.dta\); export it as CSV"),
    "Stata 10": (
        b"r\x02\x01\0\x02\0" + bytes(50),
        {},
        r"Stata file of before version 13 \(\.dta, format 114\); export",
    ),
    "SAS": (bytes(12) + b"\xc2\xea\x81\x60\xb3\x14" + bytes(50), {}, r"a SAS file \(\.sas7bdat\); export it as CSV"),
    "feather": (b"ARROW1\0\0" + bytes(50), {}, "a Feather or Arrow file; write it as Parquet"),
    "binary": (b"time,v\n2024-01-01 00:00:00,1\0\0\0\n", {}, "line 2: there are zero bytes"),
    # encoding
    "not the encoding given": (
        replaced("activity", "activité").encode("latin-1"),
        {"encoding": "utf-8"},
        "line 1: .*not utf-8",
    ),
    "utf-16 cut short": (TEXT.encode("utf-16")[:-1], {}, "are not utf-16 text.*cut short"),
    # header and columns
    "no such time column": (TEXT, {"timestamp_column": ("time",)}, "no column 'time' .*found 'timestamp', 'activity'"),
    "no such value column": (TEXT, {"value_column": "counts"}, "no column 'counts' .--value_column.; found"),
    "no such id column": (TEXT, {"id_column": "id"}, "no column 'id' .--id_column.; found 'timestamp'"),
    "a code for missing beside a row number": (
        columns("row,time,activity", "{i},{t},.") + columns("row,time,activity", "{i},{t},5").split("\n", 1)[1],
        {"value_column": None},
        r"line 2: activity is '\.', expected a number, NA or a blank .50 such lines.*--missing_values",
    ),
    "the same, of an unknown name": (
        columns("row;time;Aktivität", "{i};{t};.", 20) + columns("", "{i};{t};5").lstrip(),
        {},
        r"more than one column may be the activity; found 'row' .number., .*'Aktivität' .text.. Give --value_column",
    ),
    "light beside blank activity": (
        columns("light,time,activity", "{i},{t},"),
        {},
        r"more than one column may be the activity; found 'light' .number., .*'activity' .empty.. Give --value_column",
    ),
    "value is the time": (TEXT, {"value_column": "timestamp"}, "is the column of times or ids"),
    "doubled column": (columns("t,v,v", "{t},{i},1"), {}, "line 1: the header has the column 'v' more than once"),
    "two times": (columns("start,end,v", "{t},{t},{i}"), {}, "--timestamp_column=start or --timestamp_column=end"),
    "two values": (columns("t,axis1,axis2", "{t},{i},2"), {}, r"'axis1' \(number\), 'axis2' \(number\)\. Give --value"),
    **{
        f"two values, {names}": (
            columns(f"t,{names}", "{t},{i},2"),
            {},
            "more than one column may be the activity; found .*Give --value_column",
        )
        for names in (
            "mean_mg,count",
            "Activity (counts),steps",
            "VM counts,steps",
            "enmo_mg,steps",
            "activity_count,acc",
            "Counts/min,vm",
            "Counts per minute,vm",
            "mean_enmo,value",
            "mean,value",
        )
    },
    "a column a minute": (
        f"date,{','.join(f'min{i}' for i in range(1440))}\n2024-05-20{',1' * 1440}\n",
        {},
        r"no column has dates with times of day.*'min18' .number., \.\.\. .1,441 columns.\. Give",
    ),
    "no such column among many": (
        f"t,{','.join(f'x{i}' for i in range(300))}\n{START}{',1' * 300}\n",
        {"value_column": "y"},
        r"no column 'y' .--value_column.; found 't', 'x0', .*, \.\.\. .301 columns.\. Give one of these",
    ),
    "a header without a name for the numbers of rows": (
        "\n".join(["timestamp,activity,steps,note", *(f"{i + 1},{t},{i},0," for i, t in enumerate(times(50)))]),
        {},
        "line 1: the header has 4 names, the rows below have 5 fields, .* dates stand below 'activity'",
    ),
    "no value": (columns("t,state", "{t},still"), {}, "separator can't be told"),
    "value is text": (columns("t,v", "{t},still"), {"separator": "comma"}, "no column has numbers"),
    "date without time": (columns("t,v", "{t:%Y-%m-%d},{i}"), {}, "no column has dates with times of day"),
    "time without date": (columns("t,v", "{t:%H:%M:%S},{i}"), {}, "no line has a date"),
    "several people": (columns("subject,t,v", "s{t:%M},{t},{i}", 600), {}, "several people. Give --id_column=subject"),
    **{
        f"several people by {name}": (columns(f"{name},t,v", "s{t:%M},{t},{i}", 600), {}, f"Give --id_column={name}")
        for name in ("Participant ID", "record_id", "Patient-Nr.", "STUDYID", "Proband", "eid", "participant_full_id")
    },
    **{
        f"several people by {name}": (columns(f"{name},t,activity", "{t:%M}1,{t},{i}", 600), {}, "Give --id_column=")
        for name in (
            *("Participant Identifier", "Identifier", "idno", "id_number", "idnr", "IDs", "ID#", "mesaid", "projid"),
            *("hhidpn", "RID", "SID", "External ID", "patid", "resp_id", "individual_id", "dyadid", "sampleid"),
            *("screeningid", "pseudonym", "studynumber", "subject_label"),
        )
    },
    "blank id": (columns("id,t,v", "x,{t},{i}").replace("x", "", 1), {"id_column": "id"}, "line 2: id is '', expected"),
    "id that is missing": (
        columns("id,t,v", "x,{t},{i}").replace("x", "NA", 1),
        {"id_column": "id"},
        "line 2: id is 'NA', expected",
    ),
    "wrong separator": (TEXT, {"separator": "semicolon"}, "no column has numbers; found 'column_1'"),
    "separator of the header": (
        columns("t;a,b", "{t};{i},{t};{i}"),
        {},
        "line 2: has 3 fields, expected 2 as in the header",
    ),
    "two separators fit": (columns("a", "{t},7;{t}", 9), {"value_column": "b"}, "the separator can't be told"),
    "too many lines skipped": (TEXT, {"skip_rows": 500}, "--skip_rows=500 leaves nothing of its 201 lines"),
    "header skipped alone": (TEXT.splitlines()[0] + "\n", {"skip_rows": 0}, "line 1: no sample below the header"),
    "second header": (
        columns("a,b,c", "{t},{i},1").replace("\n", "\nx,y,z\n", 1),
        {},
        "line 2: .*line 1 above it looks like a header",
    ),
    "header broken off": (columns("t,v,w\nyesterday,,1", "{t},{i},1"), {}, "line 2: .* has 3 fields .* but is neither"),
    # rows
    "cut in a row": (TEXT[: -len(LAST)], {}, "line 201: has 1 fields, expected 2"),
    "row too short": (line(50, FIRST[:19]), {}, r"line 50: has 1 fields, expected 2 as in the header \(1 such"),
    "row too long": (line(50, FIRST + ",7"), {}, r"line 50: has 3 fields.*decimal comma between commas"),
    "decimal commas": (columns("t,v", "{t},{i},5"), {}, "line 2: has 3 fields, expected 2"),
    "quote not closed": (line(50, '"' + FIRST), {}, "line 50: a quotation mark is not closed"),
    "footer": (TEXT + "Total,4950\n", {}, "line 202: timestamp is 'Total', expected a time as %Y-%m-%d"),
    "two files joined": (TEXT + TEXT, {}, "line 202: timestamp is 'timestamp', expected"),
    "second row no date": (line(2, "yesterday,1"), {}, "line 2: .* has 2 fields as the rows below, but is neither"),
    "row in the middle no date": (line(150, "xx,12"), {}, "line 150: timestamp is 'xx'"),
    "early row no date": (line(20, "xx,12"), {}, "line 20: .* has 2 fields as the rows below, but is neither a header"),
    "early row with a comma in its date": (
        line(20, "2024,05-20 08:48:00,18"),
        {},
        "line 20: .* is no row, expected .*line 2 above",
    ),
    "byte order mark alone": (b"\xfe\xff", {}, "the file is empty"),
    "early row of text": (
        line(20, "xx,yy"),
        {},
        "line 20: was taken for the header .*line 2 above it looks like a row",
    ),
    # times
    "time missing": (line(50, ",3"), {}, "line 50: .* has 2 fields as the rows below, but is"),
    "late time missing": (line(150, ",3"), {}, "line 150: timestamp is missing, expected a time as"),
    "no such day": (
        replaced("2024-05-20 08:40", "2024-05-32 08:40"),
        {},
        "line 12: timestamp is '2024-05-32 08:40:00'",
    ),
    "no such hour": (replaced("08:40", "24:40"), {}, "line 12: timestamp is '2024-05-20 24:40:00'"),
    "year 19": (TEXT.replace("2024-", "0024-"), {}, "line 2: .* of the years 1900 to 2100"),
    "another format": (replaced("2024-05-20 11:30", "20.05.2024 11:30"), {}, "line 182: timestamp is '20.05.2024"),
    "month and day mixed": (
        table_text([datetime.datetime(2024, 5, 13)], [1], form="%d/%m/%Y %H:%M")
        + table_text([datetime.datetime(2024, 5, 14)] * 3, [1] * 3, form="%m/%d/%Y %H:%M", header=None),
        {},
        "expected a time as %",
    ),
    "day or month first": (form("%d/%m/%Y %H:%M", start=EARLY), {}, "4 March 2024 by %d/%m.* or 3 April 2024 by %m/%d"),
    "short years": (
        form("%d.%m.%y %H:%M", start=EARLY),
        {},
        "4 March 2024 by .* or 3 April 2024 by .* or 24 March 2004",
    ),
    "format given does not fit": (
        TEXT,
        {"timestamp_format": "%d.%m.%Y %H:%M"},
        "line 2: .*expected a time as %d.%m.%Y",
    ),
    "UTC": (form("%Y-%m-%dT%H:%M:%SZ"), {}, "line 2: the times are in UTC .*--timezone=UTC takes"),
    "unix": (columns("t,v", "17162{i:05}.0,1"), {}, "times are in UTC|separator can't be told"),
    "never was": (
        form("%Y-%m-%d %H:%M", 200, datetime.datetime(2024, 3, 31, 1)),
        {"timezone": "Europe/Oslo"},
        "line 62: .* never was in Europe/Oslo",
    ),
    "doubled": (line(3, FIRST), {}, r"line 3: the time .* is there already, in line 2 .*The values are the same, too"),
    "doubled, another value": (line(3, FIRST[:-1] + "9"), {}, "The values differ.*--duplicates=first"),
    "unsorted": ("\n".join([*LINES[:1], *LINES[:0:-1]]), {}, "line 3: .* comes before that of line 2.*--unsorted=sort"),
    "half sorted": ("\n".join([LINES[0], *LINES[100:], *LINES[1:100]]), {}, "line 103: .* comes before .* line 102"),
    "autumn": (
        table_text(
            [*times(60, datetime.datetime(2023, 11, 5, 1)), *times(60, datetime.datetime(2023, 11, 5, 1))], range(120)
        ),
        {},
        "autumn clock change of 2023-11-05: give --timezone=America/New_York",
    ),
    "autumn in the south": (
        table_text(
            [*times(60, datetime.datetime(2024, 4, 7, 2)), *times(60, datetime.datetime(2024, 4, 7, 2))], range(120)
        ),
        {},
        "clock change of 2024-04-07: give --timezone=Australia/Sydney",
    ),
    "off the grid": (replaced("08:40:00", "08:40:30"), {}, "line 12: .* not a whole number of 60 s after the first"),
    "a wrong century": (replaced(LAST[:4], "2034", -1).replace("2034", "2024", 199), {}, "more than a year is taken"),
    "hours": (table_text(times(50, step=3600), range(50)), {}, "3600 s apart .median., expected a minute or less"),
    "seven seconds": (table_text(times(50, step=7), range(50)), {}, "7 s apart .* has to divide a minute"),
    "raw acceleration": (
        table_text(times(50, step=0.01), range(50), form="%Y-%m-%d %H:%M:%S.%f"),
        {},
        "raw acceleration",
    ),
    "epoch given does not fit": (
        table_text(times(50, step=30), range(50)),
        {"epoch_length": 60},
        "line 3: .* not a whole number of 60 s",
    ),
    "unit without a rule": (
        columns("t,v", "{t},{i}").replace(":00,", ":00,"),
        {"epoch_length": 30},
        "Give --unit: counts",
    ),
    "less than a minute": (table_text(times(5, step=10), range(5)), {}, "fill no whole minute"),
    # values
    "text": (line(50, FIRST[:20] + "many"), {}, "line 50: activity is 'many', expected a number.*--missing_values"),
    "negative": (
        line(50, FIRST[:20] + "-7"),
        {},
        "line 50: activity is -7, expected .* 0 or more .*--missing_values=-7",
    ),
    "infinite": (line(50, FIRST[:20] + "inf"), {}, "line 50: activity is inf, expected|activity is 'inf'"),
    "points and commas": (columns("t;v", "{t};1.{i:03},5").replace("1.003,5", "2,25"), {}, "both points and commas"),
    "thousands": (
        columns("t;v", "{t};{i}").replace(";7\n", ";1,234\n"),
        {},
        r"'1,234', which is 1234 if the comma .*--decimal=comma",
    ),
    "thousands with points": (columns("t;v", "{t};{i}").replace(";7\n", ";1.234\n"), {}, "which is 1234 if the point"),
    "thousands in every row": (
        columns("t;v", "{t};3,{i:03}"),
        {},
        "line 2: v is '3,000', which is 3000 if the comma.*Give --decimal=comma, or take",
    ),
    "thousands in every row, between commas": (columns("t,v", '{t},"3,{i:03}"'), {}, "which is 3000 if the comma"),
    "thousands with points in every row": (
        columns("t;v", "{t};3.{i:03}"),
        {},
        "line 2: v is '3.000', which is 3000 if the point.*Give --decimal=point",
    ),
    "thousands with points beside a decimal comma": (
        columns("t\tv\tlux", "{t}\t3.{i:03}\t{i},5"),
        {"value_column": "v"},
        "which is 3000 if the point",
    ),
    "another decimal mark": (
        columns("t;v", "{t};{i},5"),
        {"decimal": "point"},
        "line 2: v is '0,5'.*give the other --decimal",
    ),
    "comma said, points found": (columns("t;v", "{t};{i}.5"), {"decimal": "comma"}, "line 2: v is '0.5'"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_tables(tmp_path, case):
    content, config, message = MALFORMED[case]
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(RecordingError, match=message) as caught:
        list(read_tables(path, TableConfig(**config)).recordings)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.endswith((".", "?"))
    assert "\n" not in text
    assert len(text) < 700
    study = read_tables(
        write_all(tmp_path / "raw", {"a.csv": content, "b.csv": TEXT}),
        TableConfig(**{k: v for k, v in config.items() if k == "encoding"}, on_bad_file="reject"),
    )
    made = list(study.recordings)
    assert [item.participant_id for item in made] == ["a", "b"]  # nobody is lost


def test_the_catalogue_is_long():
    assert len(MALFORMED) >= 70


FILES = {
    "no such file": (lambda folder: folder / "nowhere.csv", {}, "no such file or folder"),
    "empty folder": (lambda folder: folder, {}, r"no file that ends in \.csv, .*found nothing"),
    "no table in it": (lambda folder: write(folder / "a.xlsx", b"x").parent, {}, r"found a\.xlsx"),
    "pattern without match": (lambda folder: folder / "*.csv", {}, "no file has such a name"),
    "files without match": (lambda folder: write(folder / "a.csv", TEXT).parent, {"files": "b*"}, r"fits --files=b\*"),
    "files of one file": (lambda folder: write(folder / "a.csv", TEXT), {"files": "b*"}, "Leave --files out"),
    "same names": (
        lambda folder: write_all(folder, {"x/1.csv": TEXT, "y/1.txt": TEXT}),
        {},
        "has the same name as .*and the name is the participant_id",
    ),
    "no zip": (lambda folder: write(folder / "a.zip", "<html>"), {}, "not a readable zip file"),
    "gzip cut short": (lambda folder: _cut(write(folder / "a.csv.gz", TEXT)), {}, "can't be unpacked"),
    "no parquet": (lambda folder: write(folder / "a.parquet", "x"), {}, "not a readable Parquet file"),
    "other values": (
        lambda folder: write_all(folder, {"a.csv": TEXT, "b.csv": TEXT.replace("activity", "steps")}),
        {},
        r"b\.csv: its values are 'steps' \(steps\), those of .*a\.csv are 'activity' \(counts\)",
    ),
}


def _cut(path):
    path.write_bytes(path.read_bytes()[:-20])
    return path


@pytest.mark.parametrize("case", FILES)
def test_malformed_places(tmp_path, case):
    make, arguments, message = FILES[case]
    with pytest.raises(RecordingError, match=message) as caught:
        list(read_tables(make(tmp_path), **arguments).recordings)
    assert str(tmp_path) in str(caught.value)


def test_a_damaged_zip(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", TEXT)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"a\.zip: a\.csv: can't be unpacked"):
        read_tables(path)


PARQUET = {
    "no rows": (pl.DataFrame({"t": pl.Series([], dtype=pl.Datetime), "v": []}), {}, "has no row"),
    "no time": (pl.DataFrame({"a": [1.5, 2.5], "v": [1, 2]}), {}, "no column has dates with times of day"),
    "dates": (pl.DataFrame({"t": [START.date()] * 3, "v": [1, 2, 3]}), {}, "no column has dates with times of day"),
    "null time": (pl.DataFrame({"t": [START, None], "v": [1, 2]}), {}, "line 2: t is missing, expected a time"),
    "lists": (pl.DataFrame({"t": times(2), "v": [[1], [2]]}), {"value_column": "v"}, "type List.*expected numbers"),
    "half ids": (
        pl.DataFrame({"t": times(2), "v": [1, 2], "id": [1.5, 2.0]}),
        {"id_column": "id"},
        "line 1: id is 1.5",
    ),
    "negative": (pl.DataFrame({"t": times(2), "v": [1.0, -0.01]}), {}, "line 2: v is -0.01, expected"),
    "infinite": (pl.DataFrame({"t": times(2), "v": [1.0, float("inf")]}), {}, "line 2: v is inf, expected"),
}


@pytest.mark.parametrize("case", PARQUET)
def test_malformed_parquet(tmp_path, case):
    table, config, message = PARQUET[case]
    table.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(RecordingError, match=message) as caught:
        list(read_tables(tmp_path / "a.parquet", TableConfig(**config)).recordings)
    assert "a.parquet" in str(caught.value)


CONFIGS = {
    "separator": ({"separator": "dash"}, "--separator=dash: expected one of comma, semicolon"),
    "three times": ({"timestamp_column": ("a", "b", "c")}, "--timestamp_column=a,b,c: expected one column, or two"),
    "skip": ({"skip_rows": -1}, "--skip_rows=-1"),
    "epoch": ({"epoch_length": 45}, "--epoch_length=45: expected seconds that divide a minute"),
    "long epoch": ({"epoch_length": 300}, "--epoch_length=300"),
    "encoding": ({"encoding": "utf-99"}, "--encoding=utf-99: there is no such encoding"),
    "zone": ({"timezone": "Europe/Osla"}, "--timezone=Europe/Osla: there is no such zone"),
    "format": ({"timestamp_format": "%Y-%m-%d"}, "--timestamp_format=%Y-%m-%d: has no hour"),
    "duplicates": ({"duplicates": "drop"}, "--duplicates=drop: expected one of error, first"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_settings_that_make_no_sense(case):
    config, message = CONFIGS[case]
    with pytest.raises(ConfigError, match=message):
        TableConfig(**config)


# Real files, damaged


@pytest.fixture(scope="module")
def real(shared_data):
    with zipfile.ZipFile(shared_data / "depresjon.zip") as archive:
        return archive.read("depresjon/condition/condition_1.csv").decode()


DAMAGES = {
    "cut in the middle of a line": (
        lambda text: text[: text.index("2003-05-09 12:00") + 12],
        "timestamp is|has 1 fields",
    ),
    "spreadsheet dates": (
        lambda text: text.replace("2003-05-08 12:00:00", "5/8/2003 12:00"),
        "line 1442: timestamp is",
    ),
    "semicolons half way": (lambda text: text[:5000] + text[5000:].replace(",", ";"), "comma and semicolon both fit"),
    "a part copied twice": (lambda text: text[:5000] + text[24:], "comes before|is there already|has|timestamp is"),
    "counts in text": (
        lambda text: text.replace("12:01:00,2003-05-07,", "12:01:00,2003-05-07,c", 1),
        "line 3: activity is",
    ),
    "lines swapped": (
        lambda text: text.replace("12:05", "x").replace("12:06", "12:05").replace("x", "12:06"),
        "comes before",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_real_file_damaged(tmp_path, real, case):
    damage, message = DAMAGES[case]
    path = write(tmp_path / "condition_1.csv", damage(real))
    with pytest.raises(RecordingError, match=message) as caught:
        list(read_tables(path).recordings)
    assert "condition_1.csv, line " in str(caught.value)


# Anything at all

settings = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
notations = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ";", "\t", "|"]),
        "form": st.sampled_from(
            [
                "%Y-%m-%d %H:%M:%S",
                "%d.%m.%Y %H:%M",
                "%m/%d/%Y %H:%M",
                "%Y-%m-%dT%H:%M",
                "%d.%m.%y %H:%M:%S",
                "%Y%m%d %H:%M",
            ]
        ),
        "header": st.sampled_from(["timestamp,activity", "Zeitpunkt,Zähler", "time,counts", None]),
        "preamble": st.lists(
            st.sampled_from(["Device: X", "", "---- Data ----", "Start 1/2/2024", "n: 5", "é"]), max_size=9
        ),
        "end": st.sampled_from(["\n", "\r\n"]),
    }
)


@settings
@hypothesis.given(
    notation=notations,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    comma=st.booleans(),
    start=st.datetimes(datetime.datetime(2001, 1, 1), datetime.datetime(2030, 1, 1)),
    values=st.lists(st.none() | st.integers(0, 9000) | st.decimals(0, 999, places=1), min_size=30, max_size=60),
)
def test_what_is_written_is_read_or_refused(tmp_path_factory, notation, encoding, comma, start, values):
    """Never another value, never another minute: exactly what was written, or an error that asks for a flag."""
    start = start.replace(second=0, microsecond=0)
    comma = comma and notation["separator"] != ","
    texts = ["" if one is None else str(one).replace(".", "," if comma else ".") for one in values]
    text = table_text(times(len(values), start), texts, **notation)
    path = write(tmp_path_factory.mktemp("t") / "a.csv", text, encoding)
    expected = np.array([np.nan if one is None else float(one) for one in values], dtype=np.float32)
    try:
        (recording,) = read_tables(path).recordings
    except RecordingError as error:
        told = "day and month can't be told apart" in str(error)
        assert told or (all(one is None for one in values)), str(error)
        assert not told or start.day <= 12 or "%y" in notation["form"]
        return
    assert isinstance(recording, Recording)
    np.testing.assert_array_equal(recording.activity, expected)
    assert recording.start == start


@settings
@hypothesis.given(data=st.data())
def test_damage_is_an_error_or_leaves_the_rest_as_it_was(tmp_path_factory, data):
    """A character more, less or other: an error that names the file, or no other line than that one has changed."""
    at = data.draw(st.integers(0, len(TEXT) - 1))
    new = data.draw(st.sampled_from(["", "0", "7", "x", ",", ";", "\n", '"', "\t", " ", "-", "\u00e9", "\0"]))
    text = TEXT[:at] + new + TEXT[at + data.draw(st.integers(0, 1)) :]
    path = write(tmp_path_factory.mktemp("t") / "a.csv", text)
    try:
        (recording,) = read_tables(path).recordings
    except RecordingError as error:
        assert str(error).startswith(str(path))
        return
    assert isinstance(recording, Recording)
    expected = np.arange(200) % 50
    line_of = TEXT[:at].count("\n") - 1  # row of the damage
    kept = np.setdiff1d(np.arange(200), [line_of, line_of + 1])
    offset = round((recording.start - START).total_seconds() / 60)
    rows = kept[(kept >= offset) & (kept < offset + len(recording))]
    assert len(rows) >= len(kept) - 1
    np.testing.assert_array_equal(recording.activity[rows - offset], expected[rows])


@settings
@hypothesis.given(
    content=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore"))
    | st.lists(
        st.sampled_from([FIRST, SECOND, "a,b", ",", '"', "2024-13-45 99:99,1", "1;2", "\x1f", "é", ""]), max_size=20
    ).map(lambda lines: "\n".join(lines).encode())
)
def test_no_content_gives_a_traceback(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("t") / "a.csv", content)
    try:
        made = list(read_tables(path).recordings)
    except PATError as error:
        assert str(path) in str(error)
        return
    assert len(made) == 1
    assert isinstance(made[0], Recording | Rejection)
