import shutil
import zipfile

import numpy as np
import polars as pl
import pytest

from pat_keras.apps import finetune, prepare
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import holdout
from tests.data.readers.plain_tables import START, plain, table_text, times, write, write_all


def run(*arguments):
    return prepare.main(["pat-prepare", *map(str, arguments)])


def paragraph(capsys):
    """The one paragraph on stderr."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("pat-prepare: ")
    return lines[-1]


@pytest.fixture
def raw(tmp_path):
    """Four weeks of four people, one file too short, one broken."""
    week = plain(9 * 1440)
    files = {"0012.csv": week, "7.csv": week, "8.csv": week, "9.csv": plain(600), "x.csv": week[:-2] + "many\n"}
    return write_all(tmp_path / "raw", files)


def test_a_label_of_text_is_told_with_what_makes_numbers_of_it(tmp_path, raw, capsys):
    labels = write(tmp_path / "phq.csv", "id,phq9,sex\n0012,12,f\n7,3,m\n")
    flags = ["--source=csv", f"--raw={raw}", f"--labels={labels}", "--label_id_column=id", "--on_bad_file=reject"]
    assert run(*flags, f"--out={tmp_path / 'c.parquet'}", "--label=sex") == 2
    message = paragraph(capsys)
    assert "phq.csv: --label=sex: the column holds text, expected numbers." in message
    assert "--map=yes=1,no=0" in message and "--positive='sex in {a, b}'" in message
    assert run(*flags, f"--out={tmp_path / 'c.parquet'}", "--label=sex", "--map=f=1,m=0") == 0


def test_tables_and_labels_to_a_cohort(tmp_path, raw, capsys):
    labels = write(tmp_path / "phq.csv", "id;phq9\n0012;12\n7;3\n8;\n9;1\n11;20\n")
    out = tmp_path / "c.parquet"
    flags = ["--source=csv", f"--raw={raw}", f"--labels={labels}", "--id_column=id", f"--out={out}", "--label=ill"]
    assert run(*flags, "--positive=phq9>=10") == 2
    assert "no column 'id' (--id_column)" in paragraph(capsys)
    flags[3] = "--label_id_column=id"
    assert run(*flags, "--positive=phq9>=10") == 2
    assert "x.csv, line 12961: activity is" in paragraph(capsys)
    assert not out.exists()
    assert run(*flags, "--positive=phq9>=10", "--on_bad_file=reject") == 0
    cohort = Cohort.read(out)
    assert cohort.participant_id.tolist() == ["0012", "7"]
    assert cohort.label("ill").tolist() == [1, 0]
    funnel = cohort.metadata["funnel"]
    assert (funnel[0]["people"], funnel[-1]["people"]) == (6, 2)
    assert sum(step["people"] for step in funnel[1:]) == 6
    rejected = pl.read_csv(out.with_suffix(".rejected.csv"), infer_schema=False)
    assert dict(rejected.select("participant_id", "reason").iter_rows()) == {
        "x": "can't be read (--on_bad_file=reject)",
        "9": "recorded for fewer than 7 whole days from midnight",
        "8": "no ill in phq.csv",
        "11": "in phq.csv, but without a recording",
    }
    report = capsys.readouterr().out
    for part in (
        "separator: comma",
        "times: 'timestamp' as %Y-%m-%d %H:%M:%S (year-month-day, such as",
        "header: line 1",
    ):
        assert part in report
    assert "can't be read (--on_bad_file=reject)" in report
    assert cohort.metadata["reading"]["minutes"] == "counts a minute, as recorded"


def test_every_flag_reaches_the_reader(tmp_path, capsys):
    moments = [moment for moment in times(4 * 1440 * 2, START, 30) for _ in (0, 1)]
    text = table_text(
        moments,
        [f"{number % 9},5" for number in range(len(moments))],
        separator="|",
        form="%H:%M:%S|%d/%m/%y",
        header="when,day,value",
    )
    raw = write(tmp_path / "a" / "1.dat", ("remark\n" * 3 + text).encode("utf-16"))
    flags = (
        "--source=csv",
        f"--raw={raw.parent}",
        "--files=*.dat",
        "--timestamp_column=day,when",
        "--value_column=value",
        "--timestamp_format=%d/%m/%y %H:%M:%S",
        "--timezone=Europe/Oslo",
        "--skip_rows=3",
        "--separator=bar",
        "--decimal=comma",
        "--encoding=utf-16",
        "--epoch_length=30",
        "--unit=enmo",
        "--missing_values=8.5",
        "--duplicates=first",
        "--unsorted=sort",
        "--doubled_hour=mean",
        "--window_days=2",
        "--max_missing=0.9",
        f"--out={tmp_path / 'c.parquet'}",
    )
    assert run(*flags) == 0
    cohort = Cohort.read(tmp_path / "c.parquet")
    assert (cohort.n_windows, cohort.metadata["unit"]) == (1, "ENMO")
    assert cohort.metadata["reading"]["minutes"] == "ENMO of 30 s averaged to minutes"
    assert "with a time that is there more than once (--duplicates=first): 23,040" in " ".join(
        capsys.readouterr().out.split()
    )
    assert np.nanmax(cohort.activity) <= 8


BAD_FLAGS = {
    "label without labels": (["--source=csv", "--label=x"], "Give a table of them by --labels"),
    "positive without labels": (["--source=csv", "--positive=a>1"], "--positive is about the table of --labels"),
    "table flag for another": (["--source=depresjon", "--decimal=comma"], "--decimal is for --source=csv"),
    "ids for another": (["--source=depresjon", "--id_column=x"], "--id_column is for --source=csv, or for --labels"),
    "separator": (["--source=csv", "--separator=,"], "--separator=,"),
    "zone": (["--source=csv", "--timezone=Oslo"], "there is no such zone"),
    "epochs": (["--source=csv", "--epoch_length=61"], "--epoch_length=61: expected seconds that divide a minute"),
    "no file": (["--source=csv"], "nowhere: no such file or folder"),
    "trim": (["--source=csv", "--notrim"], "--trim is for --source=depresjon or psykose"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_are_one_paragraph_and_status_2(tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD_FLAGS[case]
    assert run(*arguments, "--raw=nowhere", "--out=x.parquet") == 2
    assert message in paragraph(capsys)
    assert not list(tmp_path.iterdir())


def test_depresjon_as_plain_tables_with_its_scores_as_labels(shared_data, tmp_path):
    """The same cohort as the reader of the study makes without trimming."""
    archive = shared_data / "depresjon.zip"
    with zipfile.ZipFile(archive) as files:
        scores = write(tmp_path / "scores.csv", files.read("depresjon/scores.csv"))
    out = tmp_path / "c.parquet"
    flags = [f"--raw={archive}", "--files=*/con*/*.csv", f"--labels={scores}", "--label_id_column=number"]
    assert run("--source=csv", *flags, "--label=old", "--positive=age in {60-64, 65-69}", f"--out={out}") == 0
    assert run("--source=depresjon", f"--raw={archive}", "--notrim", f"--out={tmp_path / 'd.parquet'}") == 0
    plain_cohort, cohort = Cohort.read(out), Cohort.read(tmp_path / "d.parquet")
    cohort = cohort.select(np.argsort(cohort.participant_id, kind="stable"))  # scores.csv has another order
    np.testing.assert_array_equal(plain_cohort.activity, cohort.activity)
    assert plain_cohort.participant_id.tolist() == cohort.participant_id.tolist()
    np.testing.assert_array_equal(plain_cohort.label("madrs1"), cohort.label("madrs1"))
    assert plain_cohort.label("old").tolist() == (cohort.label("age_low") >= 60).astype(float).tolist()


def test_a_value_that_is_there_too_often_is_told(tmp_path, capsys):
    values = np.rint(np.random.default_rng(0).gamma(0.3, 600.0, 9 * 1440)).astype(int)
    values[2000:2060] = 9999
    raw = write(tmp_path / "raw" / "1.csv", table_text(times(len(values)), values))
    assert run("--source=csv", f"--raw={raw}", f"--out={tmp_path / 'c.parquet'}") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "warning: 60 minutes of 1 people are 9,999 " in told and "by --missing_values" in told
    assert "60 minutes of 1 people are 9,999 " in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_what_is_read_is_never_replaced(tmp_path, monkeypatch, capsys):
    """Neither by the cohort nor by what lies beside it; names that only go to the same file count, too."""
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw"
    frame = pl.DataFrame({"timestamp": times(9 * 1440), "activity": [n % 50 for n in range(9 * 1440)]})
    raw.mkdir()
    frame.write_parquet(raw / "p1.parquet")
    frame.write_csv(raw / "p2.rejected.csv")
    labels = write(tmp_path / "l.rejected.csv", "participant_id,ill\np1,1\n")
    days = write(tmp_path / "d.rejected.csv", "participant_id,days\np1,8\n")
    files = [raw / "p1.parquet", raw / "p2.rejected.csv", labels, days]
    before = [file.read_bytes() for file in files]
    given = [f"--labels={labels}", f"--days_table={days}"]
    cases = [
        ("raw/p1.parquet", "raw", "--raw"),
        ("raw/../raw/p1.parquet", "raw/*", "--raw"),
        ("raw/p1.parquet", "raw/p1.parquet", "--raw"),
        ("raw/p2.parquet", "raw", "--raw"),
        ("l.parquet", "raw", "--labels"),
        ("d.parquet", "raw", "--days_table"),
    ]
    for out, place, flag in cases:
        for more in ("--overwrite", "--nooverwrite", "--noreport"):
            assert run("--source=csv", f"--raw={place}", *given, f"--out={out}", more) == 2
            assert f"is read by the same command ({flag}: " in paragraph(capsys)
    assert [file.read_bytes() for file in files] == before
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(files)


def test_a_cohort_beside_the_recordings_can_be_replaced(tmp_path):
    """In the folder of --raw, but not among what is read of it."""
    raw = write_all(tmp_path / "raw", {"p1.csv": plain(9 * 1440), "p2.csv": plain(9 * 1440)})
    flags = ("--source=csv", f"--raw={raw}", "--files=p?.csv", f"--out={raw / 'all.parquet'}")
    assert run(*flags) == 0
    assert run(*flags) == 2
    assert run(*flags, "--overwrite") == 0


def test_visits_of_one_person_stay_one_person(tmp_path, capsys):
    """Their windows are numbered on, and no split parts them."""
    rng = np.random.default_rng(0)
    files = {}
    for who in "abcdefgh":
        for visit in (2, 10):  # by name, 10 comes before 2
            moments = times(9 * 1440, START.replace(month=visit))
            rows = [f"{who},{at},{n}" for at, n in zip(moments, rng.integers(1, 900, len(moments)), strict=True)]
            files[f"{who}_{visit}.csv"] = "participant_id,timestamp,activity\n" + "\n".join(rows) + "\n"
    raw, out = write_all(tmp_path / "raw", files), tmp_path / "c.parquet"
    assert run("--source=csv", f"--raw={raw}", f"--out={out}") == 2
    assert "--id_column=participant_id" in paragraph(capsys)
    assert run("--source=csv", f"--raw={raw}", f"--out={out}", "--id_column=participant_id") == 0
    cohort = Cohort.read(out)
    assert cohort.table["participant_id"].to_list() == sorted([*"abcdefgh"] * 2)
    assert cohort.table["window"].to_list() == [0, 1] * 8
    assert cohort.table["start"].dt.month().to_list() == [2, 10] * 8
    assert cohort.metadata["funnel"][0]["people"] == 8
    who = cohort.participant_id
    split = holdout(who, np.arange(16) // 2 % 2, validation_fraction=0.3, test_fraction=0.3, seed=0)
    assert len(split.test) and not {*who[split.test]} & {*who[split.train], *who[split.validation]}


def test_files_of_visits_are_told_and_joined_by_a_pattern(tmp_path, capsys):
    rng = np.random.default_rng(0)
    files = {}
    for who in ("P01", "P02", "P03"):
        for month, visit in ((2, "baseline"), (10, "followup")):
            moments = times(9 * 1440, START.replace(month=month))
            files[f"{who}_{visit}.csv"] = table_text(moments, rng.integers(1, 900, len(moments)))
    raw, out = write_all(tmp_path / "raw", files), tmp_path / "c.parquet"
    flags = ("--source=csv", f"--raw={raw}", f"--out={out}", "--overwrite")
    for more in ((), ("--id_column=",)):
        assert run(*flags, *more) == 0
        assert "6 people, whose ids are names of files, may be 3" in " ".join(capsys.readouterr().out.split())
        assert Cohort.read(out).n_people == 6
    assert run(*flags, "--id_pattern=^(.+?)_") == 0
    assert "warning" not in (told := capsys.readouterr().out)
    assert "ids: in the names of files, by ^(.+?)_" in told
    cohort = Cohort.read(out)
    assert cohort.table["participant_id"].to_list() == [who for who in ("P01", "P02", "P03") for _ in range(2)]
    assert cohort.metadata["reading"]["several files of a person"].startswith("3 people; their recordings are joined")
    assert run(*flags, "--id_pattern=^(.+?)_", "--id_column=who") == 2
    assert "--id_pattern=^(.+?)_ and --id_column=who: expected one of both" in paragraph(capsys)


def folder_of_people(tmp_path, names):
    """Files of nine days, each in a month of its own."""
    rng, files = np.random.default_rng(0), {}
    for number, name in enumerate(names):
        moments = times(9 * 1440, START.replace(month=number + 1))
        files[name] = table_text(moments, rng.integers(1, 900, len(moments)))
    return write_all(tmp_path / "raw", files)


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_for_each_person(tmp_path, capsys, packed):
    raw, out = folder_of_people(tmp_path, [f"{who}/data.csv" for who in ("P01", "P02", "P03")]), tmp_path / "c.parquet"
    if packed:
        raw = shutil.make_archive(str(tmp_path / "packed"), "zip", raw)
    flags = ("--source=csv", f"--out={out}", "--overwrite")
    assert run(*flags, f"--raw={raw}") == 2
    assert "; if each folder is a person (3, such as 'P01'), give --id_pattern='^([^/]+)/'. If both" in paragraph(
        capsys
    )
    for place in (raw, tmp_path / "raw" / "*" / "data.csv"):
        assert run(*flags, f"--raw={place}", "--id_pattern=^([^/]+)/") == 0
        assert "ids: in the paths of files, by ^([^/]+)/" in capsys.readouterr().out
        assert Cohort.read(out).table["participant_id"].to_list() == ["P01", "P02", "P03"]


def test_files_of_a_folder_may_be_of_one_person(tmp_path, capsys):
    raw = folder_of_people(tmp_path, ["P01/red.csv", "P01/green.csv", "P02/blue.csv"])
    flags = ("--source=csv", f"--raw={raw}", f"--out={tmp_path / 'c.parquet'}", "--overwrite")
    assert run(*flags) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "2 people, whose ids are names of files, may be 1: they lie in folders of a few files: 'green' and" in told
    assert "lie in folders of a few files" in (tmp_path / "c.html").read_text()
    assert run(*flags, "--id_pattern=^(.+)/") == 0
    assert "warning" not in capsys.readouterr().out
    assert Cohort.read(tmp_path / "c.parquet").table["participant_id"].to_list() == ["P01", "P01", "P02"]


def test_a_pattern_that_parts_whom_a_column_of_ids_does_not(tmp_path, capsys):
    lines = table_text(times(2 * 1440), np.arange(2 * 1440)).splitlines()
    text = "\n".join([f"{lines[0]},id", *(f"{line},77" for line in lines[1:])]) + "\n"
    raw = write_all(tmp_path / "raw", {"P01_a.csv": text, "P02_a.csv": text})
    assert run("--source=csv", f"--raw={raw}", f"--out={tmp_path / 'c.parquet'}", "--id_pattern=^P[0-9]{2}") == 2
    told = paragraph(capsys)
    assert "P02_a.csv: its column 'id' is '77' in every row, as that of" in told
    assert "since --id_pattern=^P[0-9]{2} makes 'P01' and 'P02' of them. If both are of one person, give" in told
    assert "--id_column=id in its place: recordings" in told


def test_g_and_mg_under_one_name_are_told(tmp_path, capsys):
    values = np.random.default_rng(0).gamma(0.4, 115.0, (6, 2 * 1440 + 930))
    values[:3] /= 1000
    files = {
        f"{number}.csv": table_text(times(len(row)), [f"{value:.5g}" for value in row], header="timestamp,ENMO")
        for number, row in enumerate(values)
    }
    flags = ("--source=csv", f"--raw={write_all(tmp_path / 'raw', files)}", "--window_days=2", "--overwrite")
    assert run(*flags, f"--out={tmp_path / 'c.parquet'}") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "warning: the mean ENMO of 3 people is about " in told and "such as g and mg, may be mixed" in told
    assert "Warning: the mean ENMO of 3 people is about " in (tmp_path / "c.html").read_text(encoding="utf-8")
    assert Cohort.read(tmp_path / "c.parquet").metadata["mixed_units"]["people_high"] == 3
    assert run(*flags, "--files=[012].csv", f"--out={tmp_path / 'c.parquet'}") == 0
    assert "warning" not in capsys.readouterr().out
    assert Cohort.read(tmp_path / "c.parquet").metadata["mixed_units"] is None


def test_no_report_of_another_cohort_stays_beside_a_new_one(tmp_path, capsys):
    raw = write(tmp_path / "raw" / "1.csv", plain(9 * 1440))
    out, report = tmp_path / "c.parquet", tmp_path / "c.html"
    flags = ("--source=csv", f"--raw={raw}", f"--out={out}")
    assert run(*flags) == 0
    page = report.read_bytes()
    for taken in (out, out.with_suffix(".rejected.csv")):
        taken.unlink()
    assert run(*flags, "--noreport") == 2  # the page would be taken for one of the new cohort
    assert "c.html: is already there" in paragraph(capsys)
    assert report.read_bytes() == page and not out.exists()
    assert run(*flags, "--noreport", "--overwrite", "--window_days=99") == 2
    assert report.read_bytes() == page  # nothing was written, nothing is removed
    capsys.readouterr()
    assert run(*flags, "--noreport", "--overwrite") == 0
    assert f"{report}, which was of an earlier cohort, is removed" in capsys.readouterr().out
    assert not report.exists()
    report.write_text("<p>My own page about the cohort.")
    assert run(*flags, "--noreport", "--overwrite") == 0
    assert f"{report} is no report of pat-prepare, and stays as it is" in capsys.readouterr().out
    assert report.read_text() == "<p>My own page about the cohort."


def test_labels_among_the_recordings_are_named(tmp_path, capsys):
    raw = write_all(tmp_path / "raw", {"1.csv": plain(9 * 1440), "2.csv": plain(9 * 1440)})
    labels = write(raw / "labels.csv", "participant_id,ill\n1,1\n2,0\n")
    flags = ("--source=csv", f"--raw={raw}", f"--labels={labels}", f"--out={tmp_path / 'c.parquet'}")
    assert run(*flags) == 2
    assert "labels.csv: is the file given as --labels, and lies among the recordings" in paragraph(capsys)
    assert run(*flags, "--files=?.csv") == 0
    days = write(raw / "days.csv", "participant_id,days\n1,7\n2,7\n")
    assert run(*flags, "--files=[d12]*.csv", f"--days_table={days}", "--overwrite") == 2
    assert "days.csv: is the file given as --days_table" in paragraph(capsys)


def test_nobody_left_for_missing_minutes_names_the_flag(tmp_path, capsys):
    rows = plain(9 * 1440).splitlines()
    raw = write(tmp_path / "raw" / "1.csv", "\n".join(row for at, row in enumerate(rows) if at % 1440 != 700))
    flags = ("--source=csv", f"--raw={raw}", f"--out={tmp_path / 'c.parquet'}")
    assert run(*flags) == 2
    told = paragraph(capsys)
    assert "1 rejected: some minutes missing in every window" in told and "--max_missing" in told
    assert "--missing=mask" in told
    assert run(*flags, "--window_days=30") == 2
    assert "--max_missing" not in paragraph(capsys)
    assert run(*flags, "--max_missing=0.1") == 0


def test_words_and_codes_of_labels_are_told_in_numbers_of_people(tmp_path, raw, capsys):
    labels = write(tmp_path / "l.csv", "id,phq9,group\n0012,99,case\n7,3,control\n8,14,ill\n9,8,refused\n")
    out = tmp_path / "c.parquet"
    flags = ["--source=csv", f"--raw={raw}", "--on_bad_file=reject", f"--labels={labels}", "--label_id_column=id"]
    flags += ["--label=sick", "--positive=group==case", f"--out={out}"]
    assert run(*flags) == 2
    assert "l.csv, line 5: group is 'refused', which is likely no answer" in paragraph(capsys)
    assert run(*flags, "--label_missing_values=group:refused") == 0
    told, page = " ".join(capsys.readouterr().out.split()), out.with_suffix(".html").read_text(encoding="utf-8")
    account = "1 = case (1); 0 = control (1), ill (1)"
    assert f"people of l.csv by group, with their sick: {account}" in told and account in page
    warning = "phq9 of l.csv has the value 99 (1 person); all others are from 3 to 14. "
    assert f"warning: {warning}" in told and "give --label_missing_values=phq9:99." in told and warning in page
    assert run(*flags, "--label_missing_values=group:refused,phq9:99", "--overwrite") == 0
    assert "warning:" not in capsys.readouterr().out
    assert np.isnan(Cohort.read(out).label("phq9")).tolist() == [True, False, False]


def test_a_split_of_the_labels_reaches_pat_finetune(tmp_path, capsys):
    people = [f"{number:02}" for number in range(12)]
    parts = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    values = np.random.default_rng(0).integers(0, 500, (len(people), 3 * 1440))
    raw = {f"{name}.csv": table_text(times(values.shape[1]), row) for name, row in zip(people, values, strict=True)}
    rows = [f"{name},{number % 2},{part}\n" for number, (name, part) in enumerate(zip(people, parts, strict=True))]
    labels = write(tmp_path / "l.csv", "id,ill,split\n" + "".join(rows))
    flags = [f"--raw={write_all(tmp_path / 'raw', raw)}", f"--labels={labels}", "--label_id_column=id", "--label=ill"]
    out = tmp_path / "c.parquet"
    assert run("--source=csv", *flags, "--window_days=2", f"--out={out}") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "split of l.csv: parts of a split, for pat-finetune --split=column --split_column=split" in told
    assert Cohort.read(out).table["split"].to_list() == parts
    settings = ["--label=ill", "--split=column", "--model=cnn1d", "--epochs=1", "--nobaseline"]
    assert finetune.main(["pat-finetune", f"--data={out}", *settings, f"--out={tmp_path / 'run'}"]) == 0
    tested = pl.read_csv(tmp_path / "run" / "predictions.csv", infer_schema=False)
    scored = list(zip(tested["participant_id"], tested["part"], strict=True))
    assert scored == list(zip(people, parts, strict=True))[6:]
