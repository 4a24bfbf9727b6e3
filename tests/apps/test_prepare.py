import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from pat_keras.apps import cli, prepare
from pat_keras.data.assembly import assemble
from pat_keras.data.cohort import Cohort
from pat_keras.data.readers.depresjon import read_depresjon
from pat_keras.data.windows import WindowConfig
from pat_keras.errors import CohortError, LabelError
from tests.data.readers.generate import (
    activity_csv,
    depresjon_files,
    paxraw_rows,
    write_folder,
    write_nhanes,
    write_zip,
)


def run(*arguments):
    return prepare.main(["pat-prepare", *map(str, arguments)])


def paragraph(capsys):
    """The one paragraph on stderr."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("pat-prepare: ")
    return lines[-1]


@pytest.fixture
def depresjon(tmp_path):
    """Three people in each group; one recorded too short, one in a drawer."""
    files = depresjon_files(people=3)
    files["condition/condition_3.csv"] = activity_csv("2003-05-07 12:00:00", 3000)
    files["control/control_2.csv"] = activity_csv("2003-05-07 12:00:00", 10 * 1440, [0] * 14400)
    return write_zip(tmp_path / "d.zip", files)


@pytest.fixture
def nhanes(tmp_path):
    people = [paxraw_rows(number) for number in range(101, 109)]
    people[0] = paxraw_rows(101, PAXSTAT=2)
    people[6] = paxraw_rows(107, 10079)
    return write_nhanes(tmp_path / "raw", people)


def people_of(funnel, step):
    return sum(row["people"] for row in funnel if row["step"] == step)


def test_depresjon(tmp_path, depresjon, capsys):
    out = tmp_path / "new" / "d.parquet"
    assert run("--source=depresjon", f"--raw={depresjon}", f"--out={out}") == 0
    cohort = Cohort.read(out)
    assert cohort.table["participant_id"].to_list() == ["condition_1", "condition_2", "control_1", "control_3"]
    assert cohort.label("depressed").tolist() == [1, 1, 0, 0]
    assert cohort.table["start_weekday"].to_list() == [4] * 4  # 2003-05-08 was a Thursday
    assert str(cohort.table["start"][0]) == "2003-05-08 00:00:00"
    np.testing.assert_array_equal(cohort.activity[0], (np.arange(10080) + 720) % 500)
    assert cohort.metadata["synthetic"] is False
    assert cohort.metadata["unit"] == "counts"
    assert cohort.metadata["windows"]["fill_gaps"] == "clock_change"
    funnel = cohort.metadata["funnel"]
    assert [(row["step"], row["people"]) for row in funnel] == [
        ("read", 6),
        ("rejected", 1),
        ("rejected", 1),
        ("kept", 4),
    ]
    rejected = pl.read_csv(out.with_suffix(".rejected.csv"))
    assert rejected["participant_id"].to_list() == ["condition_3", "control_2"]
    assert rejected["reason"].to_list() == [
        "recorded for fewer than 7 whole days from midnight",
        "only zeros in every window of 7 days",
    ]
    report = capsys.readouterr().out
    for part in ("read", "rejected: only zeros", "kept", "1: 2, 0: 2", "Garcia-Ceja", str(out)):
        assert part in report


def test_nhanes(tmp_path, nhanes, capsys):
    out = tmp_path / "n.parquet"
    assert run("--source=nhanes", "--cycle=D", f"--raw={nhanes}", "--label=depression", f"--out={out}") == 0
    cohort = Cohort.read(out)
    assert cohort.table["participant_id"].to_list() == ["102", "103", "108"]
    assert cohort.label("depression").tolist() == [1, 0, 0]
    assert cohort.table["start"].null_count() == 3  # the dates are withheld
    assert cohort.table["start_weekday"].to_list() == [2] * 3
    np.testing.assert_array_equal(cohort.activity[0], (np.arange(10080) * 7 + 102) % 1000)
    reasons = {row["reason"]: row["people"] for row in cohort.metadata["funnel"] if row["step"] == "rejected"}
    assert reasons == {
        "not reliable (PAXSTAT is not 1)": 1,
        "recorded for fewer than 7 whole days from midnight": 1,
        "no depression: no PHQ-9, or not complete": 2,
        "no depression: younger than 18 years": 1,
    }
    assert "NCHS data user agreement" in capsys.readouterr().out


def test_without_a_label_nobody_is_rejected_for_it(tmp_path, nhanes):
    out = tmp_path / "n.parquet"
    assert run("--source=nhanes", "--cycle=D", f"--raw={nhanes}", f"--out={out}") == 0
    cohort = Cohort.read(out)
    assert cohort.n_people == 6
    assert np.isnan(cohort.label("depression")).sum() == 3


@pytest.mark.parametrize("days", [1, 3, 7, 8])
@pytest.mark.parametrize("label", [None, "depressed", "madrs1"])
def test_everybody_is_kept_or_rejected(depresjon, days, label):
    study = read_depresjon(depresjon)
    people = set(study.people["participant_id"])
    made = assemble(study, WindowConfig(days=days), label)
    kept, rejected = set(made.cohort.participant_id), {one.participant_id for one in made.rejections}
    assert kept | rejected == people
    assert not kept & rejected
    funnel = made.cohort.metadata["funnel"]
    assert people_of(funnel, "read") == people_of(funnel, "kept") + people_of(funnel, "rejected") == len(people)
    assert people_of(funnel, "kept") == made.cohort.n_people
    assert made.cohort.activity.shape == (made.cohort.n_windows, days * 1440)


def test_many_windows_a_person_stay_in_order(tmp_path):
    """More windows than the array has room for at first, so that it grows."""
    raw = write_folder(tmp_path, depresjon_files(people=4, days=12))
    cohort = assemble(read_depresjon(raw), WindowConfig(days=1), "depressed").cohort
    assert cohort.n_windows == 8 * 12
    assert cohort.table["window"].to_list() == list(range(12)) * 8
    for row, day in enumerate(cohort.table["window"]):
        np.testing.assert_array_equal(cohort.activity[row], (np.arange(1440) + 720 + 1440 * day) % 500)


def test_filled_and_ceiling_minutes_are_recorded(tmp_path, capsys):
    files = depresjon_files(people=2)
    lines = activity_csv("2003-03-25 00:00:00", 8 * 1440, [8000] + [7] * (8 * 1440 - 1)).splitlines()
    files["control/control_1.csv"] = "\n".join(line for line in lines if not line.startswith("2003-03-30 02:"))
    raw, out = write_zip(tmp_path / "d.zip", files), tmp_path / "d.parquet"
    assert run("--source=depresjon", f"--raw={raw}", f"--out={out}") == 0
    report = capsys.readouterr().out
    assert "60 missing minutes of 1 people filled (--fill_gaps=clock_change)" in report
    assert "1 minutes of 1 people are at the device's ceiling of 8,000 counts" in report
    metadata = Cohort.read(out).metadata
    assert (metadata["windows"]["filled_minutes"], metadata["windows"]["filled_people"]) == (60, 1)
    assert metadata["at_ceiling"] == {"value": 8000, "minutes": 1, "people": 1}
    assert run("--source=depresjon", f"--raw={raw}", f"--out={out}", "--overwrite", "--fill_gaps=none") == 0
    assert "control_1" not in Cohort.read(out).participant_id


def test_nothing_there_is_replaced_unless_asked(tmp_path, depresjon, capsys):
    out = tmp_path / "d.parquet"
    for taken in (out, out.with_suffix(".rejected.csv")):
        taken.write_text("mine")
        assert run("--source=depresjon", f"--raw={depresjon}", f"--out={out}") == 2
        assert "is already there" in paragraph(capsys)
        assert taken.read_text() == "mine"
        assert sorted(tmp_path.iterdir()) == sorted([depresjon, taken])
        taken.unlink()
    out.write_text("mine")
    assert run("--source=depresjon", f"--raw={depresjon}", f"--out={out}", "--overwrite") == 0
    assert Cohort.read(out).n_people == 4


BAD_FLAGS = {
    "no flag": ([], "--source"),
    "no raw": (["--source=depresjon", "--out=x.parquet"], "--raw is missing"),
    "no out": (["--source=depresjon", "--raw=x"], "--out is missing"),
    "neither": (["--source=depresjon"], ": --raw is missing: this command needs it. --out is missing: this"),
    "unknown source": (["--source=nowhere", "--raw=x", "--out=x.parquet"], "<depresjon|psykose|nhanes|csv|"),
    "typing error": (["--sorce=nhanes"], "Unknown command line flag 'sorce'. Did you mean: source"),
    "no flag name": (["--source=depresjon", "--raw=x", "--out=x.parquet", "y"], "Unexpected argument 'y'"),
    "no number": (["--source=depresjon", "--raw=x", "--out=x.parquet", "--window_days=a"], "--window_days=a"),
    "no days": (["--source=depresjon", "--raw=x", "--out=x.parquet", "--window_days=0"], "days is 0"),
    "no flagfile": (["--flagfile=nowhere"], "--flagfile: 'nowhere' can't be read"),
    "no cycle": (["--source=nhanes", "--raw=x", "--out=x.parquet"], "--source=nhanes needs --cycle=C"),
    "cycle for another": (
        ["--source=depresjon", "--cycle=D", "--raw=x", "--out=x.parquet"],
        "--cycle is for --source=nhanes",
    ),
    "trim for another": (["--source=nhanes", "--cycle=D", "--notrim", "--raw=x", "--out=x.parquet"], "--trim is for"),
    "out no parquet": (["--source=depresjon", "--raw=x", "--out=x.csv"], "ends in .parquet"),
    "raw not there": (["--source=depresjon", "--raw=nowhere", "--out=x.parquet"], "nowhere: no such file or folder"),
    "raw no folder": (["--source=nhanes", "--cycle=D", "--raw=nowhere", "--out=x.parquet"], "nowhere: no such folder"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_are_one_paragraph_and_status_2(tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD_FLAGS[case]
    assert run(*arguments) == 2
    assert message in paragraph(capsys)
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_paragraph_and_leaves_nothing(tmp_path, capsys):
    files = depresjon_files(people=1)
    files["control/control_1.csv"] = "timestamp,date,activity\nyesterday,,1\n"
    raw = write_zip(tmp_path / "d.zip", files)
    assert run("--source=depresjon", f"--raw={raw}", f"--out={tmp_path / 'd.parquet'}") == 2
    assert "control_1.csv, line 2: timestamp is 'yesterday'" in paragraph(capsys)
    assert list(tmp_path.iterdir()) == [raw]


def test_nobody_left_says_why(tmp_path, depresjon, capsys):
    assert run("--source=depresjon", f"--raw={depresjon}", f"--out={tmp_path / 'd.parquet'}", "--window_days=30") == 2
    message = paragraph(capsys)
    assert "nobody is left (6 read; 6 rejected: recorded for fewer than 30 whole days" in message


def test_unknown_labels_and_doubled_people(depresjon):
    with pytest.raises(LabelError, match="no label 'phq9', expected one of depressed, days"):
        assemble(read_depresjon(depresjon), WindowConfig(), "phq9")
    with pytest.raises(CohortError, match="participant condition_1 is there twice"):
        assemble(read_depresjon(depresjon), WindowConfig(), progress=lambda items: [next(iter(items))] * 2)


def test_flagfile(tmp_path, depresjon):
    flagfile = tmp_path / "flags.txt"
    flagfile.write_text(f"--source=depresjon\n--raw={depresjon}\n--out={tmp_path / 'd.parquet'}\n--max_windows=1\n")
    assert run(f"--flagfile={flagfile}") == 0
    assert Cohort.read(tmp_path / "d.parquet").metadata["windows"]["max_windows"] == 1


def test_refused_by_the_system_and_stopped_by_the_keyboard(capsys):
    def refuse(_):
        raise PermissionError(13, "Permission denied", "/cohorts/a.parquet")

    def stop(_):
        raise KeyboardInterrupt

    flags = ["pat-prepare", "--source=depresjon", "--raw=x", "--out=x.parquet"]
    assert cli.execute(flags, prepare.define_flags(), "", refuse) == 2
    assert "/cohorts/a.parquet: Permission denied" in paragraph(capsys)
    assert cli.execute(flags, prepare.define_flags(), "", stop) == 130


def test_our_own_bugs_show_their_traceback():
    def fail(_):
        raise ZeroDivisionError

    flags = ["pat-prepare", "--source=depresjon", "--raw=x", "--out=x.parquet"]
    with pytest.raises(ZeroDivisionError):
        cli.execute(flags, prepare.define_flags(), "", fail)


def test_help_is_quick_and_complete():
    root = pathlib.Path(prepare.__file__).parents[2]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pat_keras.apps.prepare", "--help"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.perf_counter() - begin < 5  # 0.3 s alone; a busy machine may take longer, the list below is what counts
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"tensorflow", "keras", "sklearn", "matplotlib", "polars", "scipy", "tqdm"}
    for name in prepare.define_flags():
        assert f"--{name}" in done.stdout or f"--[no]{name}" in done.stdout
    assert done.stdout.startswith("Recordings of a study in")


def test_the_published_depresjon(shared_data, tmp_path, capsys):
    out = tmp_path / "d.parquet"
    assert run("--source=depresjon", f"--raw={shared_data / 'depresjon.zip'}", f"--out={out}") == 0
    cohort = Cohort.read(out)
    assert (cohort.n_people, cohort.n_windows, cohort.length) == (54, 65, 10080)
    people = cohort.table.unique("participant_id")
    assert (people["depressed"].sum(), len(people)) == (22, 54)
    assert not np.isnan(cohort.activity).any()
    assert pl.read_csv(out.with_suffix(".rejected.csv"))["participant_id"].to_list() == ["condition_8"]
    assert "54" in capsys.readouterr().out


MEASURED = """
import sys
from pat_keras.apps import prepare
assert prepare.main(sys.argv) == 0
import resource
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_the_whole_of_nhanes_2005_2006_in_a_gigabyte(shared_data, tmp_path, request):
    """3.8 GB of rows: every person is accounted for, in the memory and time promised."""
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("writes 3.8 GB and takes two minutes; run it with `pytest -m slow`")
    pytest.importorskip("pyreadstat", reason="the tool that writes PAXRAW_D.xpt needs it")
    raw = tmp_path / "raw"
    shutil.copytree(shared_data / "nhanes_2005_2006", raw, copy_function=shutil.copyfile)
    raw.chmod(0o755)
    tool = shared_data.parent / "tools" / "write_paxraw_xpt.py"
    subprocess.run([sys.executable, tool, "--people", "5955", "--out", raw / "PAXRAW_D.xpt"], check=True)
    arguments = ["--source=nhanes", "--cycle=D", f"--raw={raw}", f"--out={tmp_path / 'n.parquet'}"]
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True)
    assert time.perf_counter() - begin < 90
    assert float(done.stdout.rpartition("peak")[2]) < 1000  # MB; 720 when this was written
    cohort = Cohort.read(tmp_path / "n.parquet")
    assert [(row["people"], row["reason"][:12]) for row in cohort.metadata["funnel"]] == [
        (5955, ""),
        (291, "device out o"),
        (251, "not reliable"),
        (5, "only zeros i"),
        (13, "recorded for"),
        (5395, ""),
    ]
    arrays = np.load(shared_data / "nhanes_2005_2006" / "paxraw_d.npz")
    counts = arrays["paxinten"]
    good = (arrays["paxstat"] == 1) & (arrays["paxcal"] == 1) & (arrays["n_minutes"] == 10080) & counts.any(axis=1)
    assert cohort.participant_id.tolist() == [str(seqn) for seqn in arrays["seqn"][good]]
    np.testing.assert_array_equal(cohort.activity, counts[good])
    depression = cohort.label("depression")
    assert (np.nansum(depression), np.isfinite(depression).sum()) == (180, 2890)
