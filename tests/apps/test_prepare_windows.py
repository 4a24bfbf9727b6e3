"""pat-prepare's flags for windows, non-wear and the table of days, and the page it ends with."""

import numpy as np
import polars as pl
import pytest

from pat_keras.apps import prepare
from pat_keras.data.cohort import Cohort
from tests.data.readers.generate import activity_csv, depresjon_files, write_zip

DAY = [7] * 960 + [0] * 480  # worn for 16 hours


@pytest.fixture
def raw(tmp_path):
    """Four people from midnight, 16 hours of each day worn; condition_1 only on three days, control_1 for 12 days."""
    files = depresjon_files(people=2)
    start = "2003-05-07 00:00:00"
    files["condition/condition_1.csv"] = activity_csv(start, 8 * 1440, DAY * 3 + [0] * 5 * 1440)
    files["condition/condition_2.csv"] = activity_csv(start, 8 * 1440, DAY * 8)
    files["control/control_1.csv"] = activity_csv(start, 12 * 1440, DAY * 3 + [5] * 8 * 1440 + DAY)
    return write_zip(tmp_path / "d.zip", files)


@pytest.fixture
def run(tmp_path, raw):
    def run_prepare(*arguments, status=0):
        out = tmp_path / "d.parquet"
        given = ["pat-prepare", "--source=depresjon", f"--raw={raw}", f"--out={out}", "--notrim", *arguments]
        assert prepare.main(given) == status
        return Cohort.read(out) if status == 0 else None

    return run_prepare


def test_nonwear_is_missing_and_told(run, capsys):
    cohort = run("--nonwear=choi", "--min_worn_minutes=600", "--min_valid_days=4")
    assert cohort.table["participant_id"].to_list() == ["condition_2", "control_1", "control_2"]
    np.testing.assert_array_equal(np.isnan(cohort.activity[0]), np.tile(np.array(DAY) == 0, 7))
    windows = cohort.metadata["windows"]
    assert (windows["nonwear"], windows["min_worn_minutes"], windows["min_valid_days"]) == ("choi", 600, 4)
    printed = capsys.readouterr().out
    nonwear = int(np.isnan(cohort.activity).sum())
    assert windows["nonwear_minutes"] == nonwear > 0
    assert f"{nonwear:,} minutes ({nonwear / cohort.activity.size:.1%}) are non-wear and missing" in printed
    assert "rejected: fewer than 4 days with 600 worn minutes in every window of 7 days" in printed


def test_nothing_is_nonwear_by_default(run):
    cohort = run()
    assert cohort.n_people == 4
    assert not np.isnan(cohort.activity).any()
    assert (cohort.activity[1] == 0).sum() == 7 * 480


def test_the_best_window(run):
    best = run("--nonwear=choi", "--window_choice=best", "--max_windows=1")
    start = best.table.filter(pl.col("participant_id") == "control_1")["start"].to_list()
    assert [str(time) for time in start] == ["2003-05-10 00:00:00"]
    first = run("--nonwear=choi", "--max_windows=1", "--overwrite")
    assert str(first.table.filter(pl.col("participant_id") == "control_1")["start"][0]) == "2003-05-07 00:00:00"


def test_a_table_of_days(run, tmp_path, capsys):
    days = tmp_path / "days.csv"
    days.write_text("participant_id,days\ncondition_2,8\ncontrol_1,6\ncontrol_2,\n")
    cohort = run(f"--days_table={days}")
    assert cohort.table["participant_id"].to_list() == ["condition_2"]
    reasons = {row["reason"]: row["people"] for row in cohort.metadata["funnel"] if row["step"] == "rejected"}
    assert reasons == {
        "no number of days in the table of days": 2,
        "recorded for fewer than 7 whole days from midnight": 1,
    }
    days.write_text("participant_id,nights\ncondition_2,8\n")
    run(f"--days_table={days}", "--overwrite", status=2)
    assert "found the columns participant_id, nights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window_choice=best"], "choice=best needs max_windows"),
        (["--min_valid_days=4"], "min_valid_days needs min_worn_minutes"),
        (["--min_worn_minutes=2000"], "min_worn_minutes is 2000; a day has 1440"),
        (["--nonwear=zeros"], "<none|device|troiano|choi>"),
        (["--nonwear=device"], "the device says nothing about wear"),
        (["--days_table=nowhere.csv"], "nowhere.csv: there is no such file"),
    ],
)
def test_bad_flags_are_one_paragraph_and_leave_nothing(run, raw, capsys, arguments, message):
    run(*arguments, status=2)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("pat-prepare: ") and message in error
    assert list(raw.parent.iterdir()) == [raw]


def test_the_page_lies_beside_the_cohort(run, raw, capsys):
    run()
    page = raw.with_suffix(".html")
    assert "4 of 4 people kept, with 4 windows of 7 days." in page.read_text(encoding="utf-8")
    assert "d.rejected.csv" in page.read_text(encoding="utf-8")
    assert f"report:   {page}" in capsys.readouterr().out
    page.unlink()
    run("--noreport", "--overwrite")
    assert not page.exists()
    assert "report:" not in capsys.readouterr().out


def test_a_page_that_is_there_is_not_replaced_unless_asked(run, raw, capsys):
    page = raw.with_suffix(".html")
    page.write_text("mine")
    run(status=2)
    assert "d.html: is already there" in capsys.readouterr().err
    assert page.read_text() == "mine" and not raw.with_suffix(".parquet").exists()
    run("--noreport")
    assert page.read_text() == "mine"
    run("--overwrite")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_people_who_share_days_get_a_column(tmp_path, capsys):
    files = depresjon_files(people=2)  # all four did the same
    changed = activity_csv("2003-05-07 12:00:00", 8 * 1440, [(minute * 3) % 700 for minute in range(8 * 1440)])
    files["control/control_2.csv"] = changed
    raw, out = write_zip(tmp_path / "d.zip", files), tmp_path / "d.parquet"
    assert prepare.main(["pat-prepare", "--source=depresjon", f"--raw={raw}", f"--out={out}"]) == 0
    cohort = Cohort.read(out)
    assert cohort.table["same_recording_group"].to_list() == [1, 1, 1, None]
    assert "3 people in 2 pairs share identical days of recording" in capsys.readouterr().out
