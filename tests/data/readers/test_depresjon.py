import datetime
import zipfile

import numpy as np
import pytest

from pat_keras.data.readers.depresjon import read_depresjon
from pat_keras.errors import RecordingError
from tests.data.readers.generate import SCORES_HEADER, activity_csv, depresjon_files, write_folder, write_zip

SCORES = "scores.csv"
ONE = "condition/condition_1.csv"


def read(path):
    """The study and its recordings by person."""
    study = read_depresjon(path)
    return study, {one.participant_id: one for one in study.recordings}


@pytest.mark.parametrize("packed", ["zip", "folder", "folder above"])
def test_people_and_trimmed_recordings(tmp_path, packed):
    files = depresjon_files(people=2, days=8)
    raw = write_zip(tmp_path / "d.zip", files) if packed == "zip" else write_folder(tmp_path / "depresjon", files)
    study, recordings = read(raw.parent if packed == "folder above" else raw)
    assert study.people["participant_id"].to_list() == ["condition_1", "condition_2", "control_1", "control_2"]
    assert study.people["depressed"].to_list() == [1, 1, 0, 0]
    assert study.people["sex"].to_list() == [0, 0, 1, 1]  # the files: 1 female, 2 male
    assert study.people["age"].to_list() == [37, 37, 27, 27]
    assert study.people["madrs1"].to_list() == [19, 19, None, None]  # NA
    assert "Garcia-Ceja" in study.citation
    made = recordings["condition_2"]
    assert made.start == datetime.datetime(2003, 5, 7, 12)
    assert made.end == datetime.datetime(2003, 5, 16)  # eight whole days after the first midnight
    assert made.activity[:3].tolist() == [0, 1, 2]
    assert len(recordings) == len(study.people) == study.expected_people


def test_days_are_not_trimmed_unless_asked_and_never_made_up(tmp_path):
    files = depresjon_files(people=1, days=8)
    whole = next(iter(read_depresjon(write_zip(tmp_path / "a.zip", files), trim=False).recordings))
    assert len(whole) == 10 * 1440
    files[ONE] = activity_csv("2003-05-07 00:00:00", 5 * 1440)  # shorter than its days, from midnight
    assert len(next(iter(read_depresjon(write_zip(tmp_path / "b.zip", files)).recordings))) == 5 * 1440


def test_a_missing_hour_and_missing_values_are_nan(tmp_path):
    files = depresjon_files(people=1)
    lines = files[ONE].splitlines()
    del lines[60:120]
    lines[10] = lines[10].rpartition(",")[0] + ",NA"
    lines[11] = lines[11].rpartition(",")[0] + ","
    files[ONE] = "\r\n".join(lines) + "\r\n\r\n"
    _, recordings = read(write_zip(tmp_path / "d.zip", files))
    missing = np.flatnonzero(np.isnan(recordings["condition_1"].activity))
    assert missing.tolist() == [9, 10, *range(59, 119)]


def test_files_beside_are_ignored(tmp_path):
    files = depresjon_files(people=1)
    junk = {"README.md": "", "condition/.DS_Store": "", "condition/old/condition_9.csv": "", "../../evil.csv": "x"}
    archive = write_zip(tmp_path / "d.zip", {**files, **junk})
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("__MACOSX/scores.csv", "x")
    _, recordings = read(archive)
    assert sorted(recordings) == ["condition_1", "control_1"]
    assert sorted(tmp_path.iterdir()) == [archive]  # nothing is unpacked to the disk


def replaced(name, old, new, count=1):
    def change(files):
        assert old in files[name]
        files[name] = files[name].replace(old, new, count)

    return change


def text(name, content):
    return lambda files: files.update({name: content})


MALFORMED = {
    "no scores": (lambda f: f.pop(SCORES), "there is no scores.csv"),
    "two scores": (text("copy/scores.csv", ""), "more than one scores.csv"),
    "scores column": (
        replaced(SCORES, "days", "n"),
        r"scores\.csv, line 1: the header has no column days; found number",
    ),
    "semicolons": (replaced(SCORES, ",", ";", 999), "has no column number, days"),
    "empty scores": (text(SCORES, ""), "not a comma-separated table"),
    "person twice": (replaced(SCORES, "control_1", "condition_1"), "line 3: condition_1 has more than one row"),
    "unknown group": (
        replaced(SCORES, "control_1", "patient_1"),
        "line 3: number is 'patient_1', expected condition_N",
    ),
    "row without file": (lambda f: f.pop(ONE), "a row for condition_1, but there is no condition_1.csv"),
    "file without row": (text("control/control_7.csv", "x"), r"control/control_7\.csv has no row in"),
    "days text": (replaced(SCORES, "condition_1,8", "condition_1,eight"), "line 2: days is 'eight', expected a number"),
    "days zero": (replaced(SCORES, "condition_1,8", "condition_1,0"), "line 2: days is '0', expected a whole number"),
    "days missing": (replaced(SCORES, "condition_1,8", "condition_1,"), "line 2: days is missing"),
    "gender": (replaced(SCORES, "8,2,35", "8,3,35"), r"line 2: gender is '3', expected 1 \(female\)"),
    "age": (replaced(SCORES, "35-39", "37"), "line 2: age is '37', expected a group of years"),
    "age as a date": (replaced(SCORES, "6-10,1,2,19", "6-10,1,2,19.x"), r"madrs1 is '19\.x', expected a number, NA"),
    "wrong group": (
        lambda f: f.update({"control/condition_1.csv": f.pop(ONE)}),
        "lies in the folder control, which is not its group",
    ),
}
MALFORMED_RECORDINGS = {
    "header": (replaced(ONE, "timestamp", "time"), r"condition_1\.csv, line 1: the header has no column timestamp"),
    "timestamp": (replaced(ONE, "2003-05-07 12:01:00", "07.05.2003 12:01"), "line 3: timestamp is '07.05.2003 12:01'"),
    "no such time": (
        replaced(ONE, "2003-05-07 12:01:00", "2003-05-07 25:01:00"),
        "line 3: timestamp is '2003-05-07 25",
    ),
    "doubled": (
        replaced(ONE, "2003-05-07 12:01:00", "2003-05-07 12:00:00"),
        "line 3 .* is the same time as the line above",
    ),
    "unsorted": (
        replaced(ONE, "2003-05-07 12:01:00", "2003-05-07 11:00:00"),
        "line 3 .* comes before the line above it",
    ),
    "off the grid": (replaced(ONE, "2003-05-07 12:01:00", "2003-05-07 12:00:30"), "is not a whole number of 60 s"),
    "text": (replaced(ONE, "2003-05-07,1\n", "2003-05-07,many\n"), "line 3: activity is 'many', expected a number"),
    "negative": (replaced(ONE, "2003-05-07,1\n", "2003-05-07,-1\n"), "sample 2 of .* is -1.0 counts"),
    "infinite": (replaced(ONE, "2003-05-07,1\n", "2003-05-07,inf\n"), "sample 2 of .* is inf counts"),
    "blank line": (replaced(ONE, "2003-05-07 12:01:00", "\n2003-05-07 12:01:00"), "line 3: timestamp is None"),
    "ragged": (replaced(ONE, "2003-05-07,1\n", "2003-05-07,1,1,1\n"), "not a comma-separated table"),
    "empty": (text(ONE, ""), "not a comma-separated table"),
    "header alone": (text(ONE, "timestamp,date,activity\n"), "no sample below the header"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_folders(tmp_path, case):
    change, message = MALFORMED[case]
    files = depresjon_files(people=1)
    change(files)
    with pytest.raises(RecordingError, match=message) as caught:
        read_depresjon(write_folder(tmp_path, files))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("case", MALFORMED_RECORDINGS)
def test_malformed_recordings(tmp_path, case):
    change, message = MALFORMED_RECORDINGS[case]
    files = depresjon_files(people=1)
    change(files)
    study = read_depresjon(write_zip(tmp_path / "d.zip", files))
    with pytest.raises(RecordingError, match=message) as caught:
        list(study.recordings)
    assert "condition_1" in str(caught.value)


def test_latin1_scores(tmp_path):
    raw = write_folder(tmp_path, depresjon_files(people=1))
    (raw / SCORES).write_bytes((SCORES_HEADER + "\ncondition_1,8,é").encode("latin-1"))
    with pytest.raises(RecordingError, match="not a comma-separated table in UTF-8"):
        read_depresjon(raw)


def test_byte_order_mark_is_no_part_of_the_header(tmp_path):
    files = depresjon_files(people=1)
    files[SCORES] = "\ufeff" + files[SCORES]
    assert len(read_depresjon(write_zip(tmp_path / "d.zip", files)).people) == 2


def test_wrong_paths_and_damaged_zips(tmp_path):
    with pytest.raises(RecordingError, match="no such file or folder"):
        read_depresjon(tmp_path / "nowhere.zip")
    with pytest.raises(RecordingError, match=r"there is no scores\.csv"):
        read_depresjon(tmp_path)
    page = tmp_path / "page.zip"
    page.write_text("<html>")
    with pytest.raises(RecordingError, match="not a readable zip"):
        read_depresjon(page)
    whole = write_zip(tmp_path / "d.zip", depresjon_files(people=1))
    data = bytearray(whole.read_bytes())
    cut = tmp_path / "cut.zip"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(RecordingError, match="may be cut short"):
        read_depresjon(cut)
    data[2000] ^= 0xFF  # inside the first recording
    cut.write_bytes(data)
    with pytest.raises(RecordingError, match="can't be unpacked"):
        list(read_depresjon(cut).recordings)


def test_the_published_files(shared_data):
    study, recordings = read(shared_data / "depresjon.zip")
    assert len(recordings) == 55
    assert study.people["depressed"].sum() == 23
    assert study.people["days"].sum() == 693
    assert study.people["sex"].sum() == 30  # 10 of the depressed and 20 controls, as published
    assert study.people["madrs1"].null_count() == 32
    days = dict(study.people.select("participant_id", "days").iter_rows())
    for person, made in recordings.items():
        midnight = datetime.datetime.combine(made.start.date() + datetime.timedelta(days=1), datetime.time())
        assert made.end == midnight + datetime.timedelta(days=days[person])
    # Control 1 ends before the clock change of 2003-03-30; 6, 7, 31 and 32 run over it.
    missing = {person: made.n_missing for person, made in recordings.items() if made.n_missing}
    assert missing == {"control_6": 60, "control_7": 60, "control_31": 60, "control_32": 60}
    assert max(made.activity[~np.isnan(made.activity)].max() for made in recordings.values()) == study.ceiling
