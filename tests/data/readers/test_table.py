import datetime
import zipfile

import numpy as np
import polars as pl
import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.data.readers.study import Rejection
from pat_keras.data.readers.table import read_tables
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError
from tests.data.readers.plain_tables import START, plain, table_text, times, write, write_all, zip_all

SAMPLES = "pyActigraphy/pyActigraphy/tests/data/"


def items(raw, files=None, **config):
    """The study and what its recordings give."""
    study = read_tables(raw, TableConfig(**config), files=files)
    return study, list(study.recordings)


def one(raw, files=None, **config):
    study, (recording,) = items(raw, files, **config)
    assert isinstance(recording, Recording), recording
    return study, recording


DAY = datetime.timedelta(days=1)
VALUES = [0, 12, 3.5, 1000, 7, 250] * 40


@pytest.mark.parametrize(("separator", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\r"), ("|", "\n")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_separators_line_ends_and_encodings(tmp_path, separator, end, encoding):
    text = table_text(times(240), VALUES, separator=separator, end=end, header="temps,activité")
    study, recording = one(write(tmp_path / "0012.csv", text, encoding))
    assert (recording.participant_id, recording.start, recording.epoch_length) == ("0012", START, 60)
    np.testing.assert_array_equal(recording.activity, np.float32(VALUES))
    assert study.reading["columns"] == "temps, activité"
    expected = {"utf-16-le": "utf-16-le", "latin-1": "latin-1"}.get(encoding, encoding)
    assert study.reading["encoding"] == expected


FORMS = {
    "%d.%m.%Y %H:%M": "%d.%m.%Y %H:%M",
    "%m/%d/%Y %H:%M:%S": "%m/%d/%Y %H:%M:%S",
    "%Y/%m/%dT%H:%M": "%Y/%m/%dT%H:%M",
    "%d-%b-%Y %H:%M:%S": "%d-%B-%Y %H:%M:%S",
    "%d.%m.%y %H:%M": "%d.%m.%y %H:%M",
    "%Y-%m-%d %H:%M:%S:000": "%Y-%m-%d %H:%M:%S%.f",
    "%Y%m%d %H:%M": "%Y%m%d %H:%M",
    "%m/%d/%Y %I:%M:%S %p": "%m/%d/%Y %I:%M:%S %p",
    "%Y-%m-%d  %H:%M:%S.000": "%Y-%m-%d  %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S+0200": "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S.5+02:00 [Europe/Oslo]": "%Y-%m-%d %H:%M:%S%.f%z",
}


@pytest.mark.parametrize("form", FORMS)
def test_date_formats_are_found_and_shown(tmp_path, form):
    study, recording = one(write(tmp_path / "a.csv", table_text(times(2000), VALUES[:200] * 10, form=form)))
    assert recording.start.replace(microsecond=0) == START
    assert len(recording) == 2000
    assert study.reading["times"].startswith(f"'timestamp' as {FORMS[form]} (")


@pytest.mark.parametrize(
    ("form", "given"),
    [
        ("%Y-%m-%dT%H:%M:%SZ", None),
        ("%Y-%m-%d %H:%M:%S UTC", None),
        ("%Y-%m-%d %H:%M:%S GMT", "%Y-%m-%d %H:%M:%S %Z"),
        ("%Y-%m-%d %H:%M:%S.%fZ", None),
        ("%Y-%m-%d %H:%M:%S +00:00", "%Y-%m-%d %H:%M:%S %z"),
        ("%m/%d/%Y %I:%M%p", None),
        ("%m/%d/%Y %I:%M:%S p.m.", "%m/%d/%Y %I:%M:%S %p"),
        ("%p %I:%M %m/%d/%Y", None),
        ("%d.%m.%Y %H:%M:%S,%f", None),
        ("%d.%m.%Y %H:%M:%S:000", "%d.%m.%Y %H:%M:%S:%f"),
        ("%d.%m.%Y %H:%M:%S:000", None),
        ("%Y-%m-%d %H:%M:%S CEST", "%Y-%m-%d %H:%M:%S %Z"),
    ],
)
def test_a_format_given_is_one_for_the_texts_as_written(tmp_path, form, given):
    """Though these are brought to one way of writing zones, halves of the day and fractions."""
    start = datetime.datetime(2024, 3, 4, 14, 37)
    raw = write(tmp_path / "a.csv", table_text(times(60, start), range(60), form=form, separator=";"))
    config = {"timestamp_format": given or form, "timestamp_column": ("timestamp",)}
    if not form.endswith(("Z", "UTC", "GMT", "+00:00")):
        assert one(raw, **config)[1].start == start
        return
    with pytest.raises(RecordingError, match="the times are in UTC"):
        items(raw, **config)
    assert one(raw, **config, timezone="Europe/Oslo")[1].start == start + datetime.timedelta(hours=1)


def test_day_or_month_first_is_told_by_the_data_or_an_error(tmp_path):
    few_days = datetime.datetime(2024, 3, 4, 12)
    text = table_text(times(3000, few_days), range(3000), form="%d/%m/%Y %H:%M")
    study, recording = one(write(tmp_path / "a.csv", text))
    assert recording.start == few_days
    assert "in another order of day and month the times jump by more than a day" in study.reading["times"]
    one_day = write(tmp_path / "b" / "b.csv", table_text(times(100, few_days), range(100), form="%d/%m/%Y %H:%M"))
    with pytest.raises(RecordingError) as caught:
        items(one_day)
    message = str(caught.value)
    assert "b.csv" in message
    assert "'04/03/2024 12:00' is 4 March 2024 by %d/%m/%Y %H:%M or 3 April 2024 by %m/%d/%Y %H:%M" in message
    assert "--timestamp_format='%d/%m/%Y %H:%M'" in message
    assert one(one_day, timestamp_format="%m/%d/%Y %H:%M")[1].start == datetime.datetime(2024, 4, 3, 12)
    same = datetime.datetime(2024, 3, 3, 12)
    assert one(write(tmp_path / "c.csv", table_text(times(9, same), range(9), form="%d/%m/%Y %H:%M")))[1].start == same


def test_other_files_tell_the_order_of_day_and_month(tmp_path):
    unclear = table_text(times(100, datetime.datetime(2024, 3, 4)), range(100), form="%d/%m/%Y %H:%M")
    clear = table_text(times(100, datetime.datetime(2024, 3, 14)), range(100), form="%d/%m/%Y %H:%M")
    folder = write_all(tmp_path / "raw", {"a.csv": unclear, "b.csv": clear, "c.csv": unclear})
    study, recordings = items(folder)
    assert [made.start.day for made in recordings] == [4, 14, 4]
    assert "other files tell the order of day and month (2)" in study.reading["times"]
    american = table_text(times(100, datetime.datetime(2024, 3, 15)), range(100), form="%m/%d/%Y %H:%M")
    write(folder / "d.csv", american)
    with pytest.raises(RecordingError, match=r"d\.csv: its dates can only be %m/%d/%Y %H:%M, those of .*b\.csv only"):
        items(folder)


def test_date_and_time_in_two_columns(tmp_path):
    rows = [f"{moment:%d.%m.%Y};{moment:%H:%M};{number},5" for number, moment in enumerate(times(50))]
    path = write(tmp_path / "a.txt", "Datum;Zeit;Activity\n" + "\n".join(rows))
    study, recording = one(path)
    assert recording.start == START
    assert recording.activity[3] == 3.5
    assert study.reading["times"].startswith("'Datum', 'Zeit' as %d.%m.%Y %H:%M")
    assert study.reading["values"] == "'Activity' in counts, decimal comma"
    assert one(path, timestamp_column=("Datum", "Zeit"), value_column="Activity")[1].activity[4] == 4.5
    spaces = "\n".join(f"{moment}  {number}" for number, moment in enumerate(times(50)))
    assert one(write(tmp_path / "b.txt", spaces))[1].activity[49] == 49


@pytest.mark.parametrize(
    "midnight", ["%Y-%m-%d 00:00:00", "%d/%m/%Y 0:00", "%m/%d/%Y 12:00:00 AM", "%Y-%m-%dT00:00:00.000"]
)
def test_dates_at_midnight_beside_times_of_day(tmp_path, midnight):
    """As spreadsheets write dates."""
    path = write(
        tmp_path / "a.csv", table_text(times(2000), range(2000), form=midnight + ",%H:%M:%S", header="d,t,count")
    )
    assert one(path)[1].start == START and one(path, timestamp_column=("d", "t"))[1].start == START
    moments = pl.DataFrame({"t": times(2000), "count": range(2000)})
    days = pl.col("t").dt.truncate("1d").alias("d")
    for number, time in enumerate((pl.col("t").dt.time(), pl.col("t").dt.strftime("%H:%M:%S"))):
        raw = tmp_path / f"{number}.parquet"
        moments.select(days, time, "count").write_parquet(raw)
        assert one(raw)[1].start == START and one(raw, timestamp_column=("d", "t"))[1].start == START


def test_a_second_column_of_times_is_not_left_out(tmp_path):
    moments = pl.DataFrame({"d": times(20), "count": range(20)}).with_columns(t=pl.col("d").dt.time())
    moments.write_parquet(tmp_path / "a.parquet")
    assert one(tmp_path / "a.parquet")[1].start == START
    with pytest.raises(RecordingError, match=r"line 1: d is 2024-05-20 08:30:00 .* beside the times of day of 't'"):
        items(tmp_path / "a.parquet", timestamp_column=("d", "t"))


@pytest.mark.parametrize("form", ["%d.%m.%Y,%I:%M:%S,%p", "%d.%m.%Y %I:%M,%p"])
def test_halves_of_the_day_in_a_column_of_their_own(tmp_path, form):
    names = "Date,Time" if "," in form[:9] else "Time"
    text = table_text(times(2000), range(2000), form=form, header=f"{names},Half,activity")
    with pytest.raises(RecordingError, match=r"line 272: Half is 'PM', .* all from 1 to 12; .* into one column"):
        items(write(tmp_path / "a.csv", text))
    text = table_text(times(2000), range(2000), form=form.replace("%I", "%H"), header=f"{names},Half,activity")
    assert one(write(tmp_path / "a.csv", text))[1].start == START


@pytest.mark.parametrize("lines", [1, 3, 60, 3000])
@pytest.mark.parametrize("padding", ["", ",,,"])
def test_preambles_of_any_length(tmp_path, lines, padding):
    preamble = [f"Device: X{number}{padding}" for number in range(lines)]
    preamble[0] = f"Start Date 5/20/2024{padding}"
    text = table_text(times(100), VALUES[:100], preamble=preamble)
    study, recording = one(write(tmp_path / "a.csv", text))
    assert study.reading["header"] == f"line {lines + 1}"
    np.testing.assert_array_equal(recording.activity, np.float32(VALUES[:100]))
    headless = table_text(times(100), VALUES[:100], preamble=preamble, header=None)
    study, recording = one(write(tmp_path / "b.csv", headless))
    assert (study.reading["header"], len(recording)) == ("none", 100)
    assert study.reading["values"].startswith("'column_2'")


@pytest.mark.parametrize("rows", [200, 20, 120])
def test_skipped_rows_are_not_read(tmp_path, rows):
    """Dated rows among them, too: the longer part is not taken for the data where it is to be skipped."""
    path = write(tmp_path / "a.csv", plain(300))
    _, recording = one(path, skip_rows=rows + 1)
    assert recording.start == START + datetime.timedelta(minutes=rows)
    np.testing.assert_array_equal(recording.activity, np.arange(rows, 300) % 50)
    parts = plain(200) + "other device\n" + table_text(times(100, START + DAY), range(100), header=None)
    study, recording = one(write(tmp_path / "b.csv", parts), skip_rows=202)
    assert (recording.start, len(recording), study.reading["header"]) == (START + DAY, 100, "none")


@pytest.mark.parametrize("separator", [", ", "; ", " ,", "\t "])
@pytest.mark.parametrize("header", ["timestamp,activity", "Time,Mean SVM (g)", None])
def test_blanks_beside_the_separator(tmp_path, separator, header):
    text = table_text(times(100), VALUES[:100], separator=separator, header=header)
    _, recording = one(write(tmp_path / "a.csv", text))
    assert recording.start == START
    np.testing.assert_array_equal(recording.activity, np.float32(VALUES[:100]))


def test_a_preamble_with_dates_above_rows_without_names(tmp_path):
    """As GENEActiv's program writes means of epochs."""
    preamble = [
        "Device Type,GENEActiv",
        *("Calibration Date,2013-05-01 00:00:00:000", "", "Measurement Frequency,85.7", "Time Zone,GMT +01:00"),
        *("Start Time,2024-05-20 08:30:00:000", "Last measurement,2024-05-20 10:10:00:000", "Subject Code,007"),
        *("Date of Birth,1970-01-01", "Height,", "Config Time,2024-05-19 10:00:00:000", *[""] * 60),
    ]
    rows = [f"0.0123,-0.5,0.3,{number % 30},0,25.5,{number},0.01" for number in range(100)]
    text = table_text(times(100), rows, form="%Y-%m-%d %H:%M:%S:500", header=None, preamble=preamble)
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(RecordingError, match="more than one column may be the activity"):
        items(path)
    study, recording = one(path, value_column="column_8")
    assert (recording.start, study.reading["header"]) == (START + datetime.timedelta(milliseconds=500), "none")
    np.testing.assert_array_equal(recording.activity, np.arange(100))


def test_folders_patterns_zips_and_packed_files(tmp_path):
    files = {"x/0012.csv": plain(), "x/12.tsv": plain().replace(",", "\t"), "README.md": "", "x/.hidden.csv": ""}
    folder = write_all(tmp_path / "raw", files)
    archive = zip_all(tmp_path / "raw.zip", {**files, "__MACOSX/x/0012.csv": "", "../../evil.csv": plain()})
    for raw, pattern, people in (
        (folder, None, ["0012", "12"]),
        (folder, "x/0*", ["0012"]),
        (folder / "x" / "*.csv", None, ["0012"]),
        (archive, None, ["evil", "0012", "12"]),
        (archive, "x/*.tsv", ["12"]),
        (write(tmp_path / "7.csv.gz", plain()), None, ["7"]),
    ):
        study, recordings = items(raw, pattern)
        assert [made.participant_id for made in recordings] == people
        assert study.expected_people == len(people)
    assert items(folder)[0].reading["files"] == "2; 1 others left out: README.md"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7.csv.gz", "raw", "raw.zip"]


def test_names_of_the_values_may_differ_in_capital_letters_and_blanks(tmp_path):
    names = ("Activity Counts", "activity counts", "ActivityCounts")
    texts = {f"{name}.csv": plain().replace("activity", name) for name in names}
    _, made = items(write_all(tmp_path / "raw", texts))
    assert [len(item) for item in made] == [200, 200, 200]


def test_a_long_file_with_ids(tmp_path):
    rows = [f"{who},{moment},{number}" for number, moment in enumerate(times(60)) for who in ("0012", "12", "b c")]
    path = write(tmp_path / "all.csv", "pid,time,steps\n" + "\n".join([*rows, f"lone,{START},1"]))
    study, made = items(path, id_column="pid")
    assert [item.participant_id for item in made] == ["0012", "12", "b c", "lone"]
    assert isinstance(made[3], Rejection)
    assert made[3].reason == "fewer than two samples"
    assert study.expected_people == 4
    assert study.unit == "steps"
    np.testing.assert_array_equal(made[1].activity, np.arange(60))
    with pytest.raises(RecordingError, match=r"the column 'pid' has 4 different values.*Give --id_column=pid"):
        items(path)


@pytest.mark.parametrize("column", ["Name", "Code", "initials", "First Name"])
@pytest.mark.parametrize("layout", ["one after the other", "at the same times", "in turns", "weeks apart"])
def test_people_by_name_or_code_are_not_one_person(tmp_path, column, layout):
    """Whatever becomes of their doubled times."""
    apart = DAY * 7 if layout == "weeks apart" else DAY * 0
    rows = [
        (who, moment + number * apart, number) for number, who in enumerate(("Anna", "Ben")) for moment in times(60)
    ]
    if layout == "at the same times":
        rows = [(who, moment, i) for i, moment in enumerate(times(60)) for who in ("Anna", "Ben")]
    if layout == "in turns":
        rows.sort(key=lambda row: (row[1] - START) // datetime.timedelta(minutes=10))
    path = write(tmp_path / "all.csv", f"{column},time,steps\n" + "\n".join(",".join(map(str, row)) for row in rows))
    merging = {"unsorted": "sort", "duplicates": "mean"}
    for config in ({}, merging):
        with pytest.raises(RecordingError, match=rf"all\.csv: the column '{column}' has 2 .* --id_column={column}"):
            items(path, **config)
    assert [item.participant_id for item in items(path, id_column=column)[1]] == ["Anna", "Ben"]
    assert [item.participant_id for item in items(path, id_column="", **merging)[1]] == ["all"]


def test_a_name_or_code_of_states_is_no_id(tmp_path):
    """They come back, are there in part, or are one; and other columns are not asked."""
    for column, code in (
        ("Code", lambda i: "WS"[i // 20 % 2]),
        ("Name", lambda i: "walk" if i > 100 else ""),
        ("Name", lambda i: "wGT3X"),
        ("Code", lambda i: str(i)),
        ("state", lambda i: "ab"[i // 100]),
    ):
        rows = [f"{code(i)},{moment},{i % 50}" for i, moment in enumerate(times(200))]
        path = write(tmp_path / "7.csv", f"{column},time,steps\n" + "\n".join(rows))
        _, (made,) = items(path, value_column="steps")
        assert (made.participant_id, len(made)) == ("7", 200)


def test_parquet(tmp_path):
    moments = pl.Series("t", times(120))
    for number, table in enumerate(
        [
            pl.DataFrame({"t": moments, "counts": range(120)}),
            pl.DataFrame({"t": moments.cast(pl.Datetime("ns")), "counts": pl.Series(range(120), dtype=pl.UInt16)}),
            pl.DataFrame({"t": moments.cast(pl.String), "counts": [float(n) for n in range(120)]}),
            pl.DataFrame({"t": moments.dt.replace_time_zone("Europe/Oslo"), "counts": range(120)}),
            pl.DataFrame({"d": moments.dt.date(), "t": moments.dt.time(), "counts": range(120)}),
        ]
    ):
        path = tmp_path / f"{number}.parquet"
        table.write_parquet(path)
        _, recording = one(path)
        assert recording.start == START
        np.testing.assert_array_equal(recording.activity, np.arange(120))
    milliseconds = moments.dt.epoch("ms").cast(pl.Float64)  # pandas makes such numbers of a column with gaps
    for name, since_1970 in (("ms", milliseconds), ("s", milliseconds / 1000)):
        pl.DataFrame({"t": since_1970, "counts": range(120)}).write_parquet(tmp_path / f"{name}.parquet")
        assert one(tmp_path / f"{name}.parquet", timezone="UTC")[1].start == START
    ids = pl.DataFrame({"t": pl.concat([moments, moments]), "v": range(240), "id": [12.0] * 120 + [7.0] * 120})
    ids.write_parquet(tmp_path / "ids.parquet")
    _, made = items(tmp_path / "ids.parquet", id_column="id")
    assert [item.participant_id for item in made] == ["12", "7"]
    utc = pl.DataFrame({"t": moments.dt.replace_time_zone("UTC"), "v": range(120)})
    utc.write_parquet(tmp_path / "utc.parquet")
    with pytest.raises(RecordingError, match="the times are in UTC"):
        items(tmp_path / "utc.parquet")
    hours = one(tmp_path / "utc.parquet", timezone="Europe/Oslo")[1].start - START
    assert hours == datetime.timedelta(hours=2)


@pytest.mark.parametrize(
    "name", ["timestamp_utc", "UTC time", "Time (GMT)", "datetime_gmt", "timeUTC", "utcTime", "Time (UTC+00:00)"]
)
def test_times_in_a_column_named_utc_are_in_utc(tmp_path, name):
    path = write(tmp_path / "a.csv", table_text(times(60), range(60), header=f"{name},activity"))
    pl.DataFrame({name: times(60), "activity": range(60)}).write_parquet(tmp_path / "a.parquet")
    for raw in (path, tmp_path / "a.parquet"):
        with pytest.raises(RecordingError, match=r"line [12]: the times are in UTC .*or their column is named so"):
            items(raw)
        study, recording = one(raw, timezone="America/New_York")
        assert recording.start == START - datetime.timedelta(hours=4)
        assert study.reading["times"].endswith("in UTC by its name")
        assert one(raw, timezone="UTC")[1].start == START


@pytest.mark.parametrize("name", ["Time (UTC+1)", "time GMT-05:00", "utcome", "outcome_time"])
def test_times_of_a_zone_beside_utc_are_local(tmp_path, name):
    path = write(tmp_path / "a.csv", table_text(times(60), range(60), header=f"{name},activity"))
    assert one(path)[1].start == START


@pytest.mark.parametrize("header", ["row,timestamp,activity", "Nr,Zeit,activity", "activity,t"])
def test_a_separator_at_the_end_of_rows(tmp_path, header):
    row = "{i},{t}," if header.startswith("activity") else "{i},{t},{i},"
    rows = [row.format(i=number, t=moment) for number, moment in enumerate(times(60))]
    np.testing.assert_array_equal(one(write(tmp_path / "a.csv", "\n".join([header, *rows])))[1].activity, np.arange(60))


def test_gaps_and_missing_values_stay_missing(tmp_path):
    lines = plain(300).splitlines()
    lines[5] = lines[5].rpartition(",")[0] + ","
    lines[6] = lines[6].rpartition(",")[0] + ",NaN"
    lines[7] = lines[7].rpartition(",")[0] + ",-1"
    del lines[100:160]
    lines.insert(50, "")
    path = write(tmp_path / "a.csv", "\n".join(lines) + "\n\n,\n")
    _, recording = one(path, missing_values=("-1",))
    assert np.flatnonzero(np.isnan(recording.activity)).tolist() == [4, 5, 6, *range(99, 159)]
    assert len(recording) == 300


def test_quoted_fields_may_hold_the_separator_and_control_characters(tmp_path):
    rows = "".join(f'"{i}","a, ""b""\x1fc","{moment}","{i},5"\n' for i, moment in enumerate(times(100)))
    path = write(tmp_path / "a.csv", '"","id","time","activity"\n' + rows)
    study, recording = one(path, id_column="id", value_column="activity")
    assert recording.participant_id == 'a, "b"\x1fc' and study.reading["separator"] == "comma"
    np.testing.assert_array_equal(recording.activity, np.arange(100) + 0.5)


@pytest.mark.parametrize(("header", "first"), [("row;time;activity", "{i};"), ("time;Aktivität", "")])
def test_a_code_for_missing_values_makes_no_text_of_a_column(tmp_path, header, first):
    rows = "".join(f"{first.format(i=i)}{t};{i if i % 4 else '.'}\n" for i, t in enumerate(times(100)))
    path = write(tmp_path / "a.csv", f"{header}\n{rows}")
    study, recording = one(path, missing_values=(".",))
    assert study.reading["values"].startswith(repr(header.rpartition(";")[2]))
    np.testing.assert_array_equal(recording.activity, [i if i % 4 else np.nan for i in range(100)])


@pytest.mark.parametrize(
    "header",
    [
        "activity,light",
        "activity,Activity type",
        "activity,temperature",
        "acc,MVPA",
        "ENMO,anglez",
        "ACC,invalidepoch",
        "steps,heart_rate",
        "steps,activeTimeInMs",
        "count,light (lux)",
        "value,record_id",
    ],
)
def test_columns_beside_one_of_a_known_name(tmp_path, header):
    """What is plainly no activity does not compete with a column that is known to be."""
    text = table_text(times(50), [f"{number},2" for number in range(50)], header=f"timestamp,{header}")
    study, recording = one(write(tmp_path / "a.csv", text))
    np.testing.assert_array_equal(recording.activity, np.arange(50))
    assert study.reading["values"].startswith(repr(header.partition(",")[0]))


@pytest.mark.parametrize(("unit", "rule"), [("counts", "summed"), ("STEPS", "summed"), ("ENMO", "averaged")])
@pytest.mark.parametrize("step", [1, 10, 30])
def test_short_epochs_become_minutes_and_the_rule_is_told(tmp_path, unit, rule, step):
    n = 600 // step
    text = table_text(times(n, START, step), range(n))
    study, recording = one(write(tmp_path / "a.csv", text), unit=unit)
    epochs = np.arange(n).reshape(10, -1)
    expected = epochs.sum(axis=1) if rule == "summed" else epochs.mean(axis=1)
    np.testing.assert_allclose(recording.activity, expected)
    assert recording.epoch_length == 60
    unit = unit.lower() if unit == "STEPS" else unit
    assert study.reading["minutes"] == f"{unit} of {step} s {rule} to minutes"


def test_rows_left_out_where_nothing_was_worn(tmp_path):
    moments = [*times(60, START, 300), *times(3, START + datetime.timedelta(hours=6))]
    path = write(tmp_path / "a.csv", table_text(moments, range(63)))
    with pytest.raises(RecordingError, match=r"300 s apart .median., expected a minute or less.*--epoch_length=60"):
        items(path)
    _, recording = one(path, epoch_length=60)
    assert (len(recording), recording.n_missing) == (363, 300)


def test_midnight_without_a_time_of_day(tmp_path):
    """R writes 2024-05-21 for 2024-05-21 00:00:00."""
    text = plain(3000).replace(" 00:00:00", "")
    study, recording = one(write(tmp_path / "a.csv", text))
    assert (len(recording), recording.n_missing) == (3000, 0)
    assert study.reading["midnight"] == "2 dates without a time of day read as 0:00"


AUTUMN = datetime.datetime(2003, 10, 26, 1, 30)
DOUBLED = [*times(90, AUTUMN), *times(90, datetime.datetime(2003, 10, 26, 2))]


@pytest.mark.parametrize(("policy", "value"), [("first", 30), ("second", 90), ("mean", 60)])
def test_the_doubled_hour(tmp_path, policy, value):
    path = write(tmp_path / "a.csv", table_text(DOUBLED, range(180)))
    study, recording = one(path, timezone="Europe/Oslo", doubled_hour=policy)
    assert (len(recording), recording.n_missing, recording.start) == (120, 0, AUTUMN)
    assert recording.activity[[0, 29, 30, 89, 90, 119]].tolist() == [0, 29, value, value + 59, 150, 179]
    assert study.reading[f"samples in an hour that the clock showed twice (--doubled_hour={policy})"] == "120"
    with pytest.raises(RecordingError) as caught:
        items(path)
    for part in ("a.csv, line 92", "2003-10-26 02:00:00", "line 32", "60 such lines", "--timezone=Europe/Oslo"):
        assert part in str(caught.value)
    assert "autumn clock change of 2003-10-26" in str(caught.value)


def test_the_doubled_hour_with_offsets_and_in_other_orders(tmp_path):
    offsets = [f"{moment}{'+0200' if number < 90 else '+0100'},{number}" for number, moment in enumerate(DOUBLED)]
    path = write(tmp_path / "a.csv", "t,v\n" + "\n".join(offsets))
    for zone in (None, "Europe/Oslo"):
        _, recording = one(path, timezone=zone)
        assert recording.activity[[29, 30, 89, 90]].tolist() == [29, 30, 89, 150]
    rows = sorted(zip(DOUBLED, range(180), strict=True))  # another program sorted them by the clock
    path = write(tmp_path / "b.csv", table_text([row[0] for row in rows], [row[1] for row in rows]))
    assert one(path, timezone="Europe/Oslo")[1].activity[[29, 30, 89, 90]].tolist() == [29, 30, 89, 150]
    del rows[40]  # the first pass lacks a minute of it
    lacking = [row for row in zip(DOUBLED, range(180), strict=True) if row[1] != 45]
    path = write(tmp_path / "c.csv", table_text([row[0] for row in lacking], [row[1] for row in lacking]))
    assert one(path, timezone="Europe/Oslo")[1].activity[[44, 45, 46]].tolist() == [44, 105, 46]


def test_the_missing_hour_in_spring(tmp_path):
    before = datetime.datetime(2024, 3, 31, 1)
    moments = [*times(60, before), *times(60, before + datetime.timedelta(hours=2))]
    path = write(tmp_path / "a.csv", table_text(moments, range(120)))
    for zone in (None, "Europe/Oslo"):
        _, recording = one(path, timezone=zone)
        assert np.flatnonzero(np.isnan(recording.activity)).tolist() == list(range(60, 120))
    unchanged = write(tmp_path / "b.csv", table_text(times(180, before), range(180)))
    assert one(unchanged)[1].n_missing == 0
    with pytest.raises(RecordingError, match=r"b\.csv, line 62: 2024-03-31 02:00:00 never was in Europe/Oslo"):
        items(unchanged, timezone="Europe/Oslo")


def test_duplicates_and_order_by_policy(tmp_path):
    moments, values = times(100), list(range(100))
    doubled = write(
        tmp_path / "a.csv", table_text([*moments[:50], moments[49], *moments[50:]], [*values[:50], 7, *values[50:]])
    )
    for policy, value in (("first", 49), ("last", 7), ("mean", 28), ("sum", 56)):
        study, recording = one(doubled, duplicates=policy)
        assert (len(recording), recording.activity[49], recording.activity[50]) == (100, value, 50)
        assert study.reading[f"samples with a time that is there more than once (--duplicates={policy})"] == "2"
    backwards = write(tmp_path / "b.csv", table_text(moments[::-1], values[::-1]))
    np.testing.assert_array_equal(one(backwards, unsorted="sort")[1].activity, values)


def test_bad_files_are_an_error_or_rejected(tmp_path):
    files = {"a.csv": "x", "b.csv": plain(), "c.csv": plain()[:-3] + "many\n", "d.csv": plain()}
    folder = write_all(tmp_path / "raw", files)
    with pytest.raises(RecordingError, match=r"a\.csv: no line has a date"):
        items(folder)
    study, made = items(folder, on_bad_file="reject")
    assert [item.participant_id for item in made] == ["a", "b", "c", "d"]
    assert [type(item) for item in made] == [Rejection, Recording, Rejection, Recording]
    assert made[0].reason == made[2].reason == "can't be read (--on_bad_file=reject)"
    assert "c.csv, line 201: activity is" in made[2].detail
    assert study.expected_people == 4
    with pytest.raises(RecordingError, match="none of the 1 files can be read"):
        items(write(tmp_path / "e.csv", "x"), on_bad_file="reject")


def test_a_bad_person_of_a_long_file_is_rejected_alone(tmp_path):
    rows = [f"{who},{moment},{number}" for who in "abc" for number, moment in enumerate(times(60))]
    rows[70] = rows[69]
    path = write(tmp_path / "all.csv", "id,t,v\n" + "\n".join(rows))
    _, made = items(path, id_column="id", on_bad_file="reject")
    assert [type(item) for item in made] == [Recording, Rejection, Recording]
    with pytest.raises(RecordingError, match=r"line 72: .* of participant 'b' is there already, in line 71"):
        items(path, id_column="id")


def visit(who, start, n=200, column="participant_id", times_=None):
    """A file of one person, who is named in every row."""
    rows = [f"{who},{moment},{number % 50}" for number, moment in enumerate(times_ or times(n, start))]
    return f"{column},timestamp,activity\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize("column", ["participant_id", "SUBJECT", "id", "participant_full_id"])
def test_two_files_of_one_id_are_not_two_people(tmp_path, column):
    files = {f"P0{k}_visit{v}.csv": visit(f"P0{k}", START + v * DAY, column=column) for k in (1, 2) for v in (1, 2)}
    raw = write_all(tmp_path / "raw", files)
    words = rf"P01_visit2\.csv: its column '{column}' is 'P01' in every row, as that of .*P01_visit1\.csv is"
    with pytest.raises(RecordingError, match=rf"{words}.*--id_column={column}: .*--id_column= with nothing"):
        items(raw)
    _, made = items(raw, on_bad_file="reject")
    assert [type(item) for item in made] == [Recording, Rejection] * 2  # nobody is there as two people
    study, made = items(raw, id_column=column)
    assert [(item.participant_id, len(item)) for item in made] == [(who, 1440 + 200) for who in ("P01", "P02")]
    assert study.reading["several files of a person"] == "2 people; their recordings are joined in order of time"
    _, made = items(raw, id_column="")
    assert [item.participant_id for item in made] == [name[:-4] for name in sorted(files)]


def test_a_pattern_may_say_what_a_column_does(tmp_path):
    """Two files that a column of ids gives to one person are refused unless both have one id by their names, too."""
    files = {f"P0{k}_visit{v}.csv": visit(f"P0{k}", START + v * DAY) for k in (1, 2) for v in (1, 2)}
    raw = write_all(tmp_path / "raw", files)
    _, made = items(raw, id_pattern="^P[0-9]+")
    assert [(item.participant_id, len(item)) for item in made] == [(who, 1440 + 200) for who in ("P01", "P02")]
    with pytest.raises(RecordingError, match=r"'participant_id' is 'P01' in every row, as that of .*visit1"):
        items(raw, id_pattern="visit[0-9]$")
    (raw / "P01_visit2.csv").write_text("no table")
    _, made = items(raw, id_pattern="^P[0-9]+", on_bad_file="reject")
    assert [(item.participant_id, type(item)) for item in made] == [("P01", Rejection), ("P02", Recording)]


def test_what_names_nobody_is_no_id(tmp_path):
    """Blanks, another id in each file, and the columns that are read."""
    things = ("device", "device_id", "Device Identifier", "epoch id", "row id", "valid", "grid", "user_visit_id")
    for column, whose in (
        ("id", ("", "")),
        ("id", ("na", "NA")),
        ("id", ("1", "2")),
        *((thing, ("x", "x")) for thing in things),
    ):
        texts = {f"{name}.csv": visit(who, START, column=column) for name, who in zip("ab", whose, strict=True)}
        assert len(items(write_all(tmp_path / "raw", texts), value_column="activity")[1]) == 2
    several = visit("x", START).replace("x,", "y,", 100)
    assert len(items(write(tmp_path / "s.csv", several), id_column="")[1]) == 1
    with pytest.raises(RecordingError, match=r"Give --id_column=participant_id; .* or give --id_column= with nothing"):
        items(tmp_path / "s.csv")


def test_whole_numbers_with_a_decimal_point_are_the_ids_without_it(tmp_path):
    """As pandas writes a column of which some were missing."""
    files = {"1.csv": visit("12.0", START), "2.csv": visit("12", START + DAY), "3.csv": visit("12.5", START)}
    _, made = items(write_all(tmp_path / "raw", files), id_column="participant_id")
    assert [(item.participant_id, len(item)) for item in made] == [("12", 1440 + 200), ("12.5", 200)]


def test_files_of_a_person_are_joined_in_order_of_time(tmp_path):
    files = {"x10.csv": visit("a", START + 2 * DAY), "x2.csv": visit("b", START), "x9.csv": visit("a", START)}
    _, (a, b) = items(write_all(tmp_path / "raw", files), id_column="participant_id")
    values = np.arange(200) % 50
    assert (a.participant_id, a.start, len(a), b.participant_id) == ("a", START, 2 * 1440 + 200, "b")
    np.testing.assert_array_equal(a.activity[:200], values)
    np.testing.assert_array_equal(a.activity[-200:], values)
    assert np.isnan(a.activity[200:-200]).all()


def test_files_of_a_person_that_can_not_be_joined(tmp_path):
    later = START + datetime.timedelta(minutes=150)
    files = {"1.csv": visit("a", START), "2.csv": visit("a", later), "3.csv": visit("b", START)}
    raw = write_all(tmp_path / "raw", files)
    with pytest.raises(RecordingError, match=r"2\.csv: .* overlaps with the one in .*1\.csv: both hold .* .50 min"):
        items(raw, id_column="participant_id")
    _, made = items(raw, id_column="participant_id", on_bad_file="reject")
    assert [(item.participant_id, type(item)) for item in made] == [("a", Rejection), ("b", Recording)]
    assert "overlaps with the one in" in made[0].detail
    write(raw / "2.csv", visit("a", later + DAY, 1))
    _, made = items(raw, id_column="participant_id")
    assert (made[0].reason, len(made)) == ("fewer than two samples", 2)
    assert made[0].detail.endswith("2.csv (one of 2 files of this person)")


def test_what_pat_keras_wrote_among_recordings_is_named(tmp_path):
    raw = write_all(tmp_path / "raw", {"a.csv": plain(), "b.csv": plain()})
    Cohort.from_arrays(np.ones((2, 1440))).write(raw / "all.parquet")
    with pytest.raises(RecordingError, match=r"all\.parquet: is a cohort, as pat-prepare makes them, not a recording"):
        items(raw)
    assert len(items(raw, "?.csv")[1]) == 2
    pl.DataFrame({"x": [1]}).write_parquet(raw / "all.parquet", metadata={"pat_keras_embeddings": "{}"})
    with pytest.raises(RecordingError, match=r"all\.parquet: is a table of pat-embed, .* by --files"):
        items(raw)
    (raw / "all.parquet").unlink()
    write(raw / "c.rejected.csv", "participant_id,reason,detail\n1,why,\n")
    with pytest.raises(RecordingError, match=r"c\.rejected\.csv: is a list of who was rejected"):
        items(raw)


GRIDS = {
    "drift": ([60.0 + (number > 99) for number in range(199)], "floor"),
    "a clock that is late": ([60.0 if number % 3 else 61.0 for number in range(100)], "floor"),
    "started anew": ([80.0 if number == 99 else 60.0 for number in range(199)], "floor"),
    "jitter": ([60 + 0.4 * (-1) ** number for number in range(199)], "floor"),
    "jitter, mostly longer": ([60.3 if number % 3 else 59.4 for number in range(199)], "round"),
    "jitter about the minute": ([60 - 0.4 * (-1) ** number for number in range(199)], "round"),
}


@pytest.mark.parametrize("case", GRIDS)
def test_the_way_onto_the_grid_works(tmp_path, case):
    steps, way = GRIDS[case]
    moments = pl.Series([START + datetime.timedelta(seconds=passed) for passed in np.cumsum([0.0, *steps])])
    values = list(range(len(moments)))
    frame = pl.DataFrame({"timestamp": moments.cast(pl.Datetime("us")), "activity": values})
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(RecordingError, match=rf"(number of|expected) 60 s.* in pandas by \.dt\.{way}\('60s'\)") as told:
        items(tmp_path / "a.parquet")
    assert "--epoch_length" not in str(told.value) and "twice" not in str(told.value)
    onto = {"floor": pl.col("timestamp").dt.truncate("60s"), "round": pl.col("timestamp").dt.round("60s")}[way]
    frame.with_columns(onto).write_parquet(tmp_path / "a.parquet")
    recording = one(tmp_path / "a.parquet")[1]
    np.testing.assert_array_equal(recording.activity[~np.isnan(recording.activity)], values)
    assert recording.start == START


def test_a_wrong_epoch_length_is_told(tmp_path):
    raw = write(tmp_path / "a.csv", plain(step=30))
    with pytest.raises(
        RecordingError, match=r"30 s apart .median.: leave --epoch_length out, or give --epoch_length=30"
    ):
        items(raw, epoch_length=60)


@pytest.mark.parametrize("american", [slice(0, 3 * 1440), slice(1440, 5 * 1440)])
def test_a_mix_of_orders_of_day_and_month_is_told(tmp_path, american):
    """As a spreadsheet makes it, which takes 12/03 for a day of December and writes it in its own way."""
    moments = times(6 * 1440, datetime.datetime(2024, 3, 10))
    texts = [f"{moment:%d/%m/%Y %H:%M}" for moment in moments]
    for number in range(*american.indices(len(texts))):
        if moments[number].day <= 12:
            texts[number] = f"{moments[number]:%m/%d/%Y %H:%M}"
    rows = [f"{text},{number}" for number, text in enumerate(texts)]
    path = write(tmp_path / "a.csv", "timestamp,activity\n" + "\n".join(rows))
    with pytest.raises(
        RecordingError, match=r"a mix of day-first and month-first dates.*would keep wrong dates"
    ) as told:
        items(path)
    assert "2024-03-13 00:00:00 would follow 2024-03-12 23:59:00" in str(told.value)


# Real files


def test_depresjon_as_plain_tables(shared_data):
    archive = shared_data / "depresjon.zip"
    study, made = items(archive, "*/con*/*_1*.csv")
    assert "timestamp, date, activity" in study.reading["columns"]
    for item in made:
        with zipfile.ZipFile(archive) as files:
            name = next(n for n in files.namelist() if n.endswith(f"/{item.participant_id}.csv"))
            lines = files.read(name).decode().split()[1:]  # a blank stands between date and time
        assert len(lines) // 2 == len(item) - item.n_missing
        assert np.nansum(item.activity) == sum(int(line.rpartition(",")[2]) for line in lines[1::2])


def test_psykose_patients_over_the_autumn_clock_change(shared_data):
    archive = shared_data / "psykose.zip"
    with pytest.raises(RecordingError) as caught:
        items(archive, "*/patient_11.csv")
    for part in ("patient_11.csv, line 16922", "2003-10-26 02:00:00", "line 16862", "60 such", "Europe/Oslo"):
        assert part in str(caught.value)
    study, made = items(archive, "*/patient_1[1-6].csv", timezone="Europe/Oslo")
    assert study.reading["samples in an hour that the clock showed twice (--doubled_hour=first)"] == "720"
    with zipfile.ZipFile(archive) as files:
        for item in made:
            rows = files.read(f"psykose/patient/{item.participant_id}.csv").decode().splitlines()[1:]
            first = {}
            for row in rows:
                first.setdefault(row[:19], float(row.rpartition(",")[2]))
            assert len(rows) - len(item) == 60
            assert item.n_missing == 0
            np.testing.assert_array_equal(item.activity, list(first.values()))


REAL = {
    "test_sample_tal.txt": ({"value_column": "Atividade"}, datetime.datetime(2000, 1, 1), 10080),
    "test_sample_rpx_eng.csv": ({}, datetime.datetime(2015, 7, 4, 9, 45), 10080),
    "test_sample_rpx_fr.csv": ({"value_column": "Activité"}, datetime.datetime(2015, 2, 4, 11, 45), 11581),
    "test_sample_dqt.csv": (
        {"skip_rows": 14, "value_column": "column_2", "unit": "counts"},
        datetime.datetime(2000, 1, 27, 19),
        720,
    ),
    "sample-timeSeries.csv.gz": ({"unit": "ENMO"}, datetime.datetime(2014, 5, 7, 13, 30, 20, 439000), 8420),
}


@pytest.mark.parametrize("name", REAL)
def test_exports_of_devices_that_are_plain(shared_data, name):
    config, start, minutes = REAL[name]
    _, recording = one(shared_data / "device_samples.zip", SAMPLES + name, **config)
    assert (recording.start, len(recording)) == (start, minutes)
