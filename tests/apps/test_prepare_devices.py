"""pat-prepare on devices and on NHANES 2011-2014, with their flags."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest

from pat_keras.apps import nhanes_flags, prepare
from pat_keras.data.cohort import Cohort
from pat_keras.data.readers.nhanes_labels import YEARS
from pat_keras.data.readers.nhanes_minutes import FLAGGED, MinutesConfig
from tests.data.readers import generate_devices as make
from tests.data.readers.generate import nhanes_tables, write_xpt
from tests.data.readers.test_nhanes_minutes import paxmin_rows, write_cycle, write_wide

DAYS = 9


def run(*arguments):
    return prepare.main(["pat-prepare", *map(str, arguments)])


@pytest.fixture
def people(tmp_path):
    """ActiGraph exports of two people, 15 s epochs of nine days."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("0012", "7"):
        (folder / f"{name}.csv").write_text(make.actigraph(DAYS * 5760))
    return folder


@pytest.mark.parametrize("axis", ["vertical", "vector_magnitude"])
def test_a_device(tmp_path, people, axis, capsys):
    out = tmp_path / "o.parquet"
    assert run("--source=actigraph", f"--axis={axis}", f"--raw={people}", f"--out={out}") == 0
    cohort = Cohort.read(out)
    assert cohort.table["participant_id"].to_list() == ["0012", "7"]
    assert cohort.table["start"][0] == datetime.datetime(2021, 3, 10)
    first = (24 * 60 - 10 * 60 - 5) * 4  # the epoch of midnight
    axis_1 = np.arange(first, first + 7 * 5760).reshape(-1, 4).sum(axis=1)
    factor = 1 if axis == "vertical" else np.sqrt(1 + 100 + 10_000)
    np.testing.assert_allclose(cohort.activity[0], axis_1 * factor, rtol=1e-6)
    reading = cohort.metadata["reading"]
    assert reading["axis"] == axis
    assert reading["files"] == "2"
    assert ("15 s summed to minutes" in reading["minutes"]) == (axis == "vertical")
    assert cohort.metadata["unit"] == "counts"
    assert "ActiGraph counts" in capsys.readouterr().out


def test_a_device_with_labels(tmp_path, people):
    (tmp_path / "labels.csv").write_text("id,sick\n0012,1\n7,0\n")
    out = tmp_path / "o.parquet"
    labels = (f"--labels={tmp_path / 'labels.csv'}", "--label_id_column=id", "--label_column=sick", "--label=sick")
    assert run("--source=actigraph", f"--raw={people}", f"--out={out}", *labels) == 0
    assert Cohort.read(out).label("sick").tolist() == [1, 0]


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_nhanes_2013(tmp_path, layout, capsys):
    folder = tmp_path / "raw"
    seqn = list(range(101, 111)) if layout == "long" else list(range(73601, 73611))
    if layout == "long":
        write_cycle(folder, *(paxmin_rows(number) for number in seqn))
    else:
        folder.mkdir()
        day = ",".join(["1.5"] * 1440)
        write_wide(folder, [f"{number},{d},{d % 7 + 1},{day}" for number in seqn for d in range(1, 10)])
    for stem, table in nhanes_tables().items():
        write_xpt(folder / f"{stem}_H.xpt", table.with_columns(pl.col("SEQN") - 101 + seqn[0]))
    out = tmp_path / "o.parquet"
    assert run("--source=nhanes", "--cycle=H", "--label=benzodiazepine", f"--raw={folder}", f"--out={out}") == 0
    cohort = Cohort.read(out)
    assert cohort.n_windows == 7  # one of each person whose label is known
    assert cohort.label("benzodiazepine").tolist() == [1, 0, 1, 0, 0, 0, 1]
    assert cohort.metadata["unit"] == "MIMS"
    days = {"first_day": "2", "last_day": "8", "flagged": "keep"}
    assert cohort.metadata["reading"] == {"axis": "three_axes", **days}
    printed = capsys.readouterr().out
    assert "7,769 people in the paper" in printed
    assert "4,800 people in the paper" in printed


def test_visits_of_one_person_are_told_and_joined_by_a_pattern(tmp_path, capsys):
    """Without it, a split may put a person into training and test."""
    raw, out = tmp_path / "raw", tmp_path / "o.parquet"
    raw.mkdir()
    for number, who in enumerate(("P01", "P02", "P03", "P04")):
        for visit in (1, 2) if number < 3 else (1,):
            begin = {"date": f"{3 * visit}/9/2021", "time": f"10:05:{17 * visit}"}
            count = DAYS * 1440 + 100 * number
            (raw / f"{who}_visit{visit}.csv").write_text(make.actigraph(count, 60, **begin))
    flags = ("--source=actigraph", f"--raw={raw}", f"--out={out}", "--overwrite")
    assert run(*flags) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "warning: 6 people, whose ids are names of files, may be 3: their names differ in a visit" in told
    pairs = "; ".join(f"'P0{number}_visit1' and 'P0{number}_visit2'" for number in (1, 2, 3))
    assert f"alone: {pairs}. If they are" in told and "give --id_pattern, " in told and "such as '^[^_]+'" in told
    assert "P04" not in told
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "Warning: 6 people, whose ids are names of files, may be 3" in page and "P03_" not in page
    assert Cohort.read(out).n_people == 7  # nothing is joined without being asked for
    assert run(*flags, "--id_pattern=^[^_]+") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "warning" not in told and "ids: in the names of files, by ^[^_]+" in told
    joined = "3 people; their recordings are joined in order of time; of 3, minutes begin up to 59 s earlier, on one"
    assert f"several files of a person: {joined}" in told
    cohort = Cohort.read(out)
    assert cohort.table["participant_id"].to_list() == ["P01", "P01", "P02", "P02", "P03", "P03", "P04"]
    assert cohort.table["window"].to_list() == [0, 1, 0, 1, 0, 1, 0]
    assert cohort.table["start"].dt.month().to_list() == [3, 6, 3, 6, 3, 6, 3]
    assert cohort.metadata["funnel"][0]["people"] == 4
    assert cohort.metadata["reading"]["minutes"] == "counts a minute, as recorded (7 recordings)"
    np.testing.assert_array_equal(cohort.activity[0, :3], np.arange(3) + 13 * 60 + 55)
    assert run(*flags, "--id_pattern=^Q") == 2
    assert "P01_visit1.csv: --id_pattern=^Q finds no id in the name 'P01_visit1'" in capsys.readouterr().err


def test_files_of_one_name_in_two_folders_may_be_joined(tmp_path, capsys):
    out = tmp_path / "o.parquet"
    for visit in ("3", "6"):
        (tmp_path / "raw" / visit).mkdir(parents=True)
        (tmp_path / "raw" / visit / "7.csv").write_text(make.actigraph(DAYS * 1440, 60, date=f"{visit}/9/2021"))
    flags = ("--source=actigraph", f"--raw={tmp_path / 'raw'}", f"--out={out}")
    assert run(*flags) == 2
    told = capsys.readouterr().err
    assert "If both are of one person, take one away, or give --id_pattern='.+'" in told
    assert "two people; if each folder is a person (2, such as '3'), give --id_pattern='^([^/]+)/'. If" in told
    assert run(*flags, "--id_pattern=.+") == 0
    assert Cohort.read(out).participant_id.tolist() == ["7", "7"]
    assert run(*flags, "--id_pattern=^([^/]+)/", "--overwrite") == 0
    assert Cohort.read(out).participant_id.tolist() == ["3", "6"]


def test_ids_of_a_column_are_not_said_to_be_of_files(tmp_path):
    (tmp_path / "minuteStepsWide.csv").write_text(make.fitbit(True, hours=200, people=("15_a", "22_a")))
    flags = ("--source=fitbit_steps", f"--raw={tmp_path / 'minuteStepsWide.csv'}", f"--out={tmp_path / 'o.parquet'}")
    assert run(*flags, "--id_pattern=^[0-9]+") == 0
    cohort = Cohort.read(tmp_path / "o.parquet")
    assert cohort.metadata["reading"]["ids"] == "in the column of ids, by ^[0-9]+"
    assert set(cohort.participant_id) == {"15", "22"}


BAD = {
    "axis": (["--source=condor", "--axis=vertical"], "--axis is for --source=actigraph or actigraph_agd, but"),
    "unknown axis": (["--source=actigraph", "--axis=2"], "--axis=2: expected one of"),
    "measure": (["--source=condor", "--measure=lux"], "expected one of <PIM"),
    "download": (["--source=actiwatch", "--download"], "--download is for --source=nhanes"),
    "no cycle": (["--source=nhanes"], "needs --cycle=C (2003-2004) or --cycle=D"),
    "days of D": (["--source=nhanes", "--cycle=D", "--days=2-8"], "--days is for --cycle=G or H, but --cycle is D"),
    "days": (["--source=nhanes", "--cycle=G", "--days=two"], "--days=two: expected two days such as 2-8"),
    "no such days": (["--source=nhanes", "--cycle=G", "--days=8-2"], "The days are 8 to 2"),
    "flagged": (["--source=nhanes", "--cycle=G", "--flagged_minutes=drop"], "expected one of <keep"),
    "no pattern": (["--source=actigraph", "--id_pattern=("], "--id_pattern=(: is no regular expression"),
    "pattern of a study": (["--source=nhanes", "--cycle=D", "--id_pattern=x"], "--id_pattern is for --source=csv and"),
    "wrong files": (["--source=actiwatch"], "no file in it has a name like *.awd"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_flags(tmp_path, name, capsys):
    arguments, message = BAD[name]
    (tmp_path / "raw").mkdir()
    assert run(*arguments, f"--raw={tmp_path / 'raw'}", f"--out={tmp_path / 'o.parquet'}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_flags_are_those_of_the_data():
    values = prepare.define_flags()
    assert values["cycle"].parser.enum_values == list(YEARS)
    assert values["flagged_minutes"].parser.enum_values == list(FLAGGED)
    default = MinutesConfig()
    assert (values["days"].default, values["flagged_minutes"].default) == (
        f"{default.first_day}-{default.last_day}",
        default.flagged,
    )
    assert set(nhanes_flags.NHANES_FLAGS) <= set(values)


def test_help_names_every_device(capsys):
    assert run("--help") == 0
    printed = capsys.readouterr().out
    for part in ("actigraph_agd: ActiGraph counts", "apple_health", "--recorded_by", "--idle", "--[no]download"):
        assert part in printed
