import datetime

import numpy as np
import polars as pl
import pytest

from pat_keras.data.days_table import keep_days, limit_days, read_days_table
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError


def recording(participant_id="p", start=datetime.datetime(2024, 1, 1), minutes=3 * 1440, epoch_length=60):
    return Recording(participant_id, start, epoch_length, np.arange(minutes), "counts", "a.csv")


@pytest.mark.parametrize(
    ("start", "epoch_length", "kept"),
    [
        ((0, 0), 60, 1440),
        ((0, 0, 30), 60, 1440),  # as a window of that day has them
        ((12, 0, 30), 60, 720 + 1440),
        ((12, 0), 60, 720 + 1440),  # whole days are counted from the first midnight
        ((23, 59), 60, 1 + 1440),
        ((12, 0), 30, 2 * (720 + 1440)),
    ],
)
def test_whole_days_from_the_first_midnight(start, epoch_length, kept):
    made = recording(start=datetime.datetime(2024, 1, 1, *start), minutes=10000, epoch_length=epoch_length)
    assert len(keep_days(made, 1)) == kept
    assert keep_days(made, 1).start == made.start
    assert len(keep_days(made, 100)) == 10000


def table(tmp_path, text):
    path = tmp_path / "days.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("mark", [";", "\t"])
def test_separators_and_encodings_of_spreadsheets(tmp_path, mark):
    text = "group;id;days\r\nä;0012;7\r\nb;q;\r\n".replace(";", mark)
    for content in (text.encode(), text.encode("latin-1"), text.encode("utf-16"), f"sep={mark}\r\n{text}".encode()):
        (tmp_path / "days.csv").write_bytes(content)
        assert read_days_table(tmp_path / "days.csv") == {"0012": 7, "q": None}


@pytest.mark.parametrize("name", ["id", "participant_id"])
def test_read(tmp_path, name):
    path = table(tmp_path, f"group,{name},days\na,0012, 7\nb,q,\n")
    assert read_days_table(path) == {"0012": 7, "q": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,nights\na,7\n", r"line 1: found the columns id, nights; expected participant_id \(or id\) and days"),
        ("id,participant_id,days\na,a,7\n", "line 1: found the columns id, participant_id, days"),
        ("id|days\na|7\n", r"line 1: found the columns id\|days"),
        ("id,days\na,7\na,8\n", "line 3: participant a is there a second time"),
        ("id,days\n,7\n", "line 2: id is blank"),
        ("id,days\na,0\n", "line 2: days of participant a is '0', expected a whole number, 1 or more"),
        ("sep=;\n\nid;days\na;0\n", "line 4: days of participant a is '0'"),
        ("sep=;\nid;nights\na;7\n", "line 2: found the columns id, nights"),
        ("id,days\na,7.5\n", "days of participant a is '7.5'"),
        ("id,days\na,-1\n", "days of participant a is '-1'"),
        ("id,days\na,7,8\n", "no table can be read in it"),
        ("", "the file is empty"),
    ],
)
def test_what_is_no_table_of_days(tmp_path, text, message):
    with pytest.raises(RecordingError, match=message):
        read_days_table(table(tmp_path, text))


def test_a_stata_file_is_named(tmp_path):
    (tmp_path / "days.dta").write_bytes(b"s\x02\x01\0\x02\0" + bytes(500))
    with pytest.raises(RecordingError, match=r"days\.dta: is no text but a Stata file of before version 13 .*as CSV"):
        read_days_table(tmp_path / "days.dta")


def test_no_such_file(tmp_path):
    with pytest.raises(RecordingError, match="there is no such file"):
        read_days_table(tmp_path / "days.csv")


def test_everybody_is_cut_or_rejected():
    items = [recording("a"), recording("b"), recording("c"), Rejection("d", "unreadable")]
    people = pl.DataFrame({"participant_id": list("abcd")})
    study = Study("s", people, iter(items), 4, {}, lambda *_: "", "counts", None, True, "", "")
    found = list(limit_days(study, {"a": 2, "b": None}).recordings)
    assert [item.participant_id for item in found] == ["a", "b", "c", "d"]
    assert len(found[0]) == 2 * 1440
    assert [item.reason for item in found[1:]] == ["no number of days in the table of days"] * 2 + ["unreadable"]
