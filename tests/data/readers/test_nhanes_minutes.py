"""NHANES 2011-2014: PAXMIN, PhysioNet's wide files, and the paper's counts."""

from __future__ import annotations

import datetime
import lzma

import numpy as np
import polars as pl
import pytest

from pat_keras.data.readers.nhanes import read_nhanes
from pat_keras.data.readers.nhanes_labels import PAPER_PEOPLE, read_labels
from pat_keras.data.readers.nhanes_minutes import MinutesConfig
from pat_keras.data.readers.study import Rejection
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError
from tests.data.readers.generate import change_row, nhanes_tables, write_xpt

DAY_1 = 500  # minutes of the first day


def paxmin_rows(seqn=73557, days=9, day_1=DAY_1, weekday=3, day="PAXDAYM", **changes):
    """One person's rows; the first day is a Tuesday (3), and the last one ends when nine days are over."""
    minutes = days * 1440 - (1440 - day_1) - (400 if days == 9 else 0)
    minute = np.arange(minutes)
    number = np.where(minute < day_1, 1, 2 + (minute - day_1) // 1440)
    columns = {
        "SEQN": np.full(minutes, float(seqn)),
        day: number.astype(str),
        "PAXDAYWM": ((weekday - 2 + number) % 7 + 1).astype(str),
        "PAXSSNMP": minute * 4800.0,
        "PAXTSM": np.full(minutes, 60.0),
        "PAXMTSM": ((minute * 7 + seqn) % 100) / 8.0,
        "PAXPREDM": np.where(minute % 50 == 0, "3", "1"),
        "PAXQFM": np.where(minute % 1000 == 10, 2.0, 0.0),
    }
    return pl.DataFrame({**columns, **changes})


def write_cycle(folder, *people, cycle="H", paxhd=None):
    folder.mkdir(exist_ok=True)
    write_xpt(folder / f"PAXMIN_{cycle}.xpt", pl.concat(people))
    if paxhd is not None:
        table = pl.DataFrame({"SEQN": [float(s) for s in paxhd], "PAXFTIME": list(paxhd.values())})
        write_xpt(folder / f"PAXHD_{cycle}.xpt", table)
    return folder


def read(folder, cycle="H", **config):
    return list(read_nhanes(folder, cycle, minutes=MinutesConfig(**config)).recordings)


@pytest.mark.parametrize("day", ["PAXDAYM", "PAXDAY"])
def test_days_2_to_8_from_midnight(tmp_path, day):
    folder = write_cycle(tmp_path, paxmin_rows(day=day), paxmin_rows(73558, day_1=1, weekday=7, day=day))
    study = read_nhanes(folder, "H")
    assert (study.unit, study.start_is_known, study.ceiling) == ("MIMS", False, None)
    first, second = study.recordings
    assert isinstance(first, Recording)
    assert len(first) == len(second) == 7 * 1440
    assert (first.start.time(), first.start.isoweekday()) == (datetime.time(), 3)  # the day after a Tuesday
    assert second.start.isoweekday() == 7  # the day after a Saturday
    minute = np.arange(7 * 1440) + DAY_1
    np.testing.assert_array_equal(first.activity, np.float32(((minute * 7 + 73557) % 100) / 8))
    np.testing.assert_array_equal(first.wear, minute % 50 != 0)


def test_all_days_and_flags(tmp_path):
    folder = write_cycle(tmp_path, paxmin_rows(), paxhd={73557: "15:40:00"})
    (one,) = read(folder, first_day=1, last_day=9, flagged="missing")
    assert len(one) == DAY_1 + 7 * 1440 + 1040
    assert one.start.time() == datetime.time(15, 40)  # 500 minutes before midnight
    assert np.flatnonzero(np.isnan(one.activity)).tolist() == list(range(10, len(one), 1000))
    assert read(folder)[0].n_missing == 0


def test_minutes_that_cannot_be_computed_and_rows_that_are_not_there(tmp_path):
    rows = change_row(paxmin_rows(), DAY_1 + 5, PAXMTSM=-0.01)
    rows = change_row(rows, DAY_1 + 6, PAXMTSM=None)
    rows = rows.filter(~pl.int_range(pl.len()).is_between(DAY_1 + 20, DAY_1 + 29))
    (one,) = read(write_cycle(tmp_path, rows))
    assert np.flatnonzero(np.isnan(one.activity)).tolist() == [5, 6, *range(20, 30)]
    assert not one.wear[20:30].any()
    assert len(one) == 7 * 1440


def test_zeros_are_zeros(tmp_path):
    """pandas and others read the zero of SAS transport files as 5.4e-79."""
    (one,) = read(write_cycle(tmp_path, paxmin_rows(PAXMTSM=np.zeros(11_620))))
    assert not one.activity.any()


def test_numbers_may_be_stored_as_numbers(tmp_path):
    rows = paxmin_rows()
    rows = rows.with_columns(pl.col("PAXDAYM", "PAXDAYWM", "PAXPREDM").cast(pl.Float64))
    assert len(read(write_cycle(tmp_path, rows))[0]) == 7 * 1440


@pytest.mark.parametrize(
    ("rows", "paxhd", "reason"),
    [
        (paxmin_rows(days=1, day_1=1440), None, "clock can't be told"),
        (paxmin_rows(PAXDAYWM=np.full(11_620, "3")), None, "clock can't be told"),
        (paxmin_rows().filter(pl.int_range(pl.len()) != DAY_1), None, "clock can't be told"),
        (paxmin_rows(), {73557: "15:41:00"}, "clock at odds with PAXHD"),
    ],
)
def test_rejected(tmp_path, rows, paxhd, reason):
    (one,) = read(write_cycle(tmp_path, rows, paxhd=paxhd))
    assert isinstance(one, Rejection)
    assert one.reason.startswith(reason)


def test_without_the_days_asked_for(tmp_path):
    (one,) = read(write_cycle(tmp_path, paxmin_rows(days=3)), first_day=5, last_day=8)
    assert one == Rejection("73557", "no minute on days 5 to 8")


MALFORMED = {
    "negative": (change_row(paxmin_rows(), 7, PAXMTSM=-0.02), "row 8: PAXMTSM is -0.02, expected a number 0 or more"),
    "too large": (change_row(paxmin_rows(), 7, PAXMTSM=1e6), "row 8: PAXMTSM is 1e.06"),
    "day": (change_row(paxmin_rows(), 7, PAXDAYM="x"), "row 8: PAXDAYM is missing, expected a number from 1 to 9"),
    "wear": (change_row(paxmin_rows(), 7, PAXPREDM="9"), "row 8: PAXPREDM is 9"),
    "sample": (change_row(paxmin_rows(), 7, PAXSSNMP=7 * 4800.0 + 80), "row 8: PAXSSNMP .* whole number"),
    "doubled": (change_row(paxmin_rows(), 7, PAXSSNMP=6 * 4800.0), "row 8: PAXSSNMP .* whole number"),
    "person back": (
        pl.concat([paxmin_rows(), paxmin_rows(73558), paxmin_rows()]),
        "SEQN 73557 is back after rows of others; its first row is 1",
    ),
    "column": (paxmin_rows().drop("PAXQFM"), "no column PAXQFM"),
    "too many rows": (pl.concat([paxmin_rows()] * 2), "more than 14,400 rows"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(tmp_path, name):
    rows, message = MALFORMED[name]
    with pytest.raises(RecordingError, match=message):
        read(write_cycle(tmp_path, rows))


def test_missing_files_and_wrong_choices(tmp_path):
    with pytest.raises(RecordingError, match=r"no PAXMIN_G\.xpt in it; found nothing"):
        read_nhanes(tmp_path, "G")
    for config in ({"first_day": 0}, {"first_day": 5, "last_day": 4}, {"flagged": "drop"}):
        with pytest.raises(ConfigError):
            MinutesConfig(**config)


def wide_rows(seqn, days=range(1, 10), weekday=3, empty=600):
    """PhysioNet's rows of a person: a day each, empty minutes before the first sample."""
    rows = []
    for day in days:
        values = [f"{((minute * 3 + day + seqn) % 50) / 4}" for minute in range(1440)]
        if day == 1:
            values[:empty] = ["NA"] * empty
        rows.append(f"{seqn},{day},{(weekday - 2 + day) % 7 + 1}," + ",".join(values))
    return rows


def write_wide(folder, rows, variable="PAXMTSM", packed=True, header=None):
    header = header or "SEQN,PAXDAYM,PAXDAYWM," + ",".join(f"min_{minute}" for minute in range(1, 1441))
    data = ("\n".join([header, *rows]) + "\n").encode()
    path = folder / f"nhanes_1440_{variable}.csv{'.xz' if packed else ''}"
    path.write_bytes(lzma.compress(data, preset=0) if packed else data)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_wide(tmp_path, packed):
    write_wide(tmp_path, [*wide_rows(62161), *wide_rows(73557), *wide_rows(73558, (1, 2, 4))], packed=packed)
    first, second = read(tmp_path)
    assert (first.participant_id, second.participant_id) == ("73557", "73558")  # 62161 is of 2011-2012
    assert first.start.isoweekday() == 3
    assert first.start.time() == datetime.time()
    expected = [((minute * 3 + day + 73557) % 50) / 4 for day in range(2, 9) for minute in range(1440)]
    np.testing.assert_array_equal(first.activity, np.float32(expected))
    assert first.wear is None
    assert len(second) == 3 * 1440
    assert np.isnan(second.activity[1440:2880]).all()  # day 3 has no row
    (other,) = read(tmp_path, "G", first_day=1, last_day=9)
    assert other.participant_id == "62161"
    assert other.start.time() == datetime.time(10)
    assert len(other) == 9 * 1440 - 600


def test_wide_wear(tmp_path):
    write_wide(tmp_path, wide_rows(73557))
    states = [
        ",".join([*row.split(",")[:3], *("3" if m % 9 == 0 else "1" for m in range(1440))]) for row in wide_rows(73557)
    ]
    write_wide(tmp_path, states, "PAXPREDM")
    (one,) = read(tmp_path)
    np.testing.assert_array_equal(one.wear, np.arange(7 * 1440) % 1440 % 9 != 0)
    write_wide(tmp_path, states[:-1], "PAXPREDM")
    with pytest.raises(RecordingError, match="its rows are not those of"):
        read(tmp_path)


def test_wide_and_long_agree(tmp_path):
    """The same minutes, in both layouts."""
    rows = wide_rows(73557)
    values = np.array([row.split(",")[3:] for row in rows]).reshape(-1)[600:]
    minute = np.arange(len(values))
    day = 1 + (minute + 600) // 1440
    table = pl.DataFrame(
        {
            "SEQN": np.full(len(values), 73557.0),
            "PAXDAYM": day.astype(str),
            "PAXDAYWM": ((1 + day) % 7 + 1).astype(str),
            "PAXSSNMP": minute * 4800.0,
            "PAXMTSM": values.astype(np.float64),
            "PAXPREDM": np.full(len(values), "1"),
            "PAXQFM": np.zeros(len(values)),
        }
    )
    (tmp_path / "wide").mkdir()
    write_wide(tmp_path / "wide", rows)
    (long,) = read(write_cycle(tmp_path / "long", table), first_day=1, last_day=9)
    (wide,) = read(tmp_path / "wide", first_day=1, last_day=9)
    np.testing.assert_array_equal(long.activity, wide.activity)
    assert (long.start.time(), long.start.isoweekday()) == (wide.start.time(), wide.start.isoweekday())


def damaged_xz(folder):
    path = write_wide(folder, wide_rows(73557))
    path.write_bytes(path.read_bytes()[:-2000])


MALFORMED_WIDE = {
    "title": (
        lambda f: write_wide(f, wide_rows(73557), header="SEQN,PAXDAYM,min_1"),
        "line 1: there is no column PAXDAYWM",
    ),
    "cut short": (damaged_xz, "can't be unpacked"),
    "not packed": (lambda f: (f / "nhanes_1440_PAXMTSM.csv.xz").write_bytes(b"<html>"), "can't be unpacked"),
    "a text": (lambda f: write_wide(f, [wide_rows(73557)[0].replace(",NA,", ",x,", 1)]), "not all of 1443 fields"),
    "no key": (lambda f: write_wide(f, [",1,3" + ",1" * 1440]), "line 2: SEQN, PAXDAYM or PAXDAYWM is missing"),
    "day": (lambda f: write_wide(f, wide_rows(73557, (10,))), "line 2: PAXDAYM 10"),
    "negative": (lambda f: write_wide(f, [wide_rows(73557)[1] + "1", "73557,3,5" + ",-1" * 1440]), "smallest MIMS -1"),
    "order": (lambda f: write_wide(f, wide_rows(73557, (3, 2))), "do not increase"),
    "back": (
        lambda f: write_wide(f, [*wide_rows(73557, (2,)), *wide_rows(73558, (2,)), *wide_rows(73557, (3,))]),
        "line 4: SEQN 73557 is back",
    ),
    "both": (lambda f: (write_wide(f, wide_rows(73557)), write_wide(f, [], packed=False)), "are both there"),
    "and PAXMIN": (lambda f: (write_wide(f, []), write_cycle(f, paxmin_rows())), "hold the same minutes"),
}


@pytest.mark.parametrize("name", MALFORMED_WIDE)
def test_malformed_wide(tmp_path, name):
    write, message = MALFORMED_WIDE[name]
    write(tmp_path)
    with pytest.raises(RecordingError, match=message):
        read(tmp_path)


def test_labels_of_the_paper_stand_beside_its_counts(tmp_path):
    for stem, table in nhanes_tables().items():
        write_xpt(tmp_path / f"{stem}_H.xpt", table)
    people, meanings = read_labels(tmp_path, "H", "benzodiazepine")
    assert set(PAPER_PEOPLE) < set(people.columns)
    assert meanings["depression"].endswith("; 4,800 people in the paper")
    assert "in the paper" not in meanings["age"]


def test_file_of_another_writer(tmp_path):
    """The same rows, written by pyreadstat."""
    pyreadstat = pytest.importorskip("pyreadstat", reason="another writer of SAS transport files")
    pandas = pytest.importorskip("pandas", reason="what pyreadstat writes")
    rows = paxmin_rows()
    frame = pandas.DataFrame(rows.to_dict(as_series=False))
    path = tmp_path / "PAXMIN_H.xpt"
    pyreadstat.write_xport(frame, str(path), table_name="PAXMIN_H", file_format_version=5)
    (one,) = read(tmp_path)
    (tmp_path / "other").mkdir()
    (two,) = read(write_cycle(tmp_path / "other", rows))
    np.testing.assert_array_equal(one.activity, two.activity)
    np.testing.assert_array_equal(one.wear, two.wear)
    assert one.start == two.start
