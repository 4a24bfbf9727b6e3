"""Names of files that may be of one person, and ids in them."""

from __future__ import annotations

import re

import pytest

from pat_keras.data.readers.file_names import (
    by_folder,
    check_pattern,
    folders_of_one_person,
    id_in,
    names_of_one_person,
    words_of,
)
from pat_keras.errors import ConfigError, RecordingError

ONE_PERSON = [
    ("P01_visit1", "P01_visit2"),
    ("P01_baseline", "P01_followup"),
    ("P01_2021-03-01", "P01_2021-06-01"),
    ("P01_01.03.2021", "P01_01.06.2021"),
    ("P01 20210301T101112", "P01 20210601T101112"),
    ("P01 01Mar2021", "P01 01Jun2021"),
    ("P01", "P01 (1)"),
    ("P01(1)", "P01(2)"),
    ("P01_1", "P01_2"),
    ("0012", "0012_2"),
    ("anna", "anna (1)"),
    ("sub-01_ses-01", "sub-01_ses-02"),
    ("P01V1", "P01V2"),
    ("P01_T1_60sec", "P01_T2_60sec"),
    ("P01V01", "P01V02"),
    ("P01_1.3.2021", "P01_1.6.2021"),
    ("P01_3-1-2021", "P01_6-14-2021"),
    ("P01_6months", "P01_12months"),
    ("ID12_baseline", "ID12_3month"),
    ("P01_L", "P01_R"),
    ("P01_left", "P01_right"),
    ("P01-pre", "P01-post"),
    ("pre_01", "post_01"),
    ("visit1_01", "visit2_01"),
    ("P01 1st visit", "P01 2nd visit"),
    ("P01", "P01_followup"),
    ("control_1_visit1", "control_1_visit2"),
    ("P01_part1", "P01_part2"),
    ("Besuch 1 P01", "Besuch 2 P01"),
    ("P01_MOS2D12345678_2021-03-01", "P01_MOS2D12345678_2021-06-01"),
]
SEVERAL_PEOPLE = [
    ("P01", "P02", "P03"),
    ("P1", "P2", "P10"),
    ("sub-01", "sub-02"),
    ("0012", "12"),
    ("A-001", "A-002"),
    ("A_1001", "A_1002"),
    ("A2019", "A2020"),
    ("P_2019", "P_2020"),
    tuple(f"{group}_{number}" for group in ("control", "condition") for number in range(1, 24)),
    ("control (1)", "control (2)"),
    tuple(f"site1_{number}" for number in range(1, 9)),
    ("01_01", "01_11", "02_01", "02_12", "03_01"),
    ("siteA_pt01", "siteA_pt02"),
    ("study_v1", "study_v2"),
    ("visit_01", "visit_02"),
    ("2021-03-01", "2021-06-01"),
    ("20210301", "20210302"),
    ("export_2021-03-01", "export_2021-03-02"),
    tuple(f"{group}_202103{day:02}" for group in ("control", "condition") for day in range(1, 20)),
    ("MOS2D12345678 (2021-03-01)", "MOS2D12345678 (2021-06-01)"),
    ("TAS1H30182785 (2021-03-01)60sec", "TAS1H30182785 (2021-06-01)60sec"),
    ("19678_0000000012", "19678_0000000013"),
    ("a9f3", "a9f4"),
    ("P01-a", "P01_a"),
    ("left", "right"),
    ("sub_12_day", "sub_13_day"),
    ("sub_12days", "sub_13days"),
    ("study_L", "study_R"),
    tuple(f"S01V{number:02}" for number in range(1, 9)),
]


@pytest.mark.parametrize("names", ONE_PERSON, ids=" ".join)
def test_names_of_visits_dates_and_parts(names) -> None:
    found = names_of_one_person([*names, "P77", "Q88"])
    assert (found["people"], found["groups"]) == (2, 1)
    assert found["pairs"] == [tuple(sorted(names))]
    if found["pattern"] is not None:  # what is advised makes one person of them, and nobody else
        ids = [id_in(name, found["pattern"], "file") for name in (*names, "P77", "Q88")]
        assert len(set(ids[:2])) == 1 and len(set(ids)) == 3
    assert f"'{min(names)}' and '{max(names)}'" in words_of(found)
    assert not any(name in words_of(found, with_names=False).replace("P01 of P01_visit2", "") for name in names)


@pytest.mark.parametrize("names", SEVERAL_PEOPLE, ids=lambda names: " ".join(names[:3]))
def test_names_of_different_people(names) -> None:
    assert names_of_one_person(names) is None


def test_three_pairs_are_named_and_the_others_counted() -> None:
    found = names_of_one_person(f"P{number:02}_v{visit}" for number in range(20) for visit in (1, 2, 3))
    assert (found["people"], found["groups"], len(found["pairs"]), found["pattern"]) == (60, 20, 3, "^[^_]+")
    words = words_of(found)
    assert "60 people, whose ids are names of files, may be 20" in words
    assert "'P00_v1' and 'P00_v2'; 'P01_v1' and 'P01_v2'; 'P02_v1' and 'P02_v2'; and 17 more such groups." in words
    assert "such as '^[^_]+'; recordings of a person are then joined" in words


def test_what_a_pattern_finds() -> None:
    assert id_in("P01_visit2", "^[^_]+", "f") == "P01"
    assert id_in("study P01 visit2", r"study (\w+)", "f") == "P01"
    for pattern, name in (("^P", "Q01"), ("^P()", "P01"), ("(P)?01", "01")):
        with pytest.raises(RecordingError, match=rf"f\.agd: --id_pattern={re.escape(pattern)} finds no id in .*{name}"):
            id_in(name, pattern, "f.agd")
    with pytest.raises(ConfigError, match=r"--id_pattern=\(: is no regular expression"):
        check_pattern("(")


def test_a_pattern_with_a_slash_is_of_the_path():
    assert id_in("visit2", "^([^/]+)/", "raw/P01/visit2.csv", "P01/visit2") == "P01"
    assert id_in("visit2", "^.", "raw/P01/visit2.csv", "P01/visit2") == "v"
    assert id_in("a/b", "^[^/]+", "of a column", None) == "a"
    with pytest.raises(RecordingError, match="finds no id in the path 'visit2', expected one in every path"):
        id_in("visit2", "^([^/]+)/", "raw/visit2.csv", "visit2")


VISITS = [f"P{who}/visit {visit}/data" for who in (1, 2, 3) for visit in (1, 2)]


@pytest.mark.parametrize(
    ("below", "first", "pattern"),
    [
        (["P01/data", "P02/data"], "P01", "^([^/]+)/"),
        (["A/P01/data", "A/P02/data", "B/P03/data"], "P01", "^[^/]+/([^/]+)/"),
        (VISITS, "P1", "^([^/]+)/"),
        (["P1/a/b/data", "P2/data"], "P1", "^([^/]+)/"),
        (["data", "P02/data"], None, None),
        (["P01/data", "P01/data"], None, None),
    ],
)
def test_the_folders_that_may_be_people(below, first, pattern):
    told = by_folder(below)
    if pattern is None:
        assert told == ""
        return
    assert f"such as {first!r}), give --id_pattern='{pattern}'" in told
    assert id_in("data", pattern, "", below[0]) == first


def test_folders_of_few_files_may_be_of_people():
    found = folders_of_one_person({"jan": "P01", "feb": "P01", "mar": "P02"})
    assert (found["people"], found["groups"], found["pairs"]) == (2, 1, [("feb", "jan")])
    assert id_in("jan", found["pattern"], "", "P01/jan") == "P01"
    words = words_of(found)
    assert "they lie in folders of a few files: 'feb' and 'jan'. If" in words and "in the path below --raw" in words
    assert "feb" not in words_of(found, with_names=False)
    groups = {f"p{i}": "control" if i < 20 else "patient" for i in range(40)}
    for others in ({}, {"a": "", "b": ""}, {"a": "P01", "b": "P02"}, {"a": "all", "b": "all"}, groups):
        assert folders_of_one_person(others) is None
    assert folders_of_one_person({"a": "", "b": "P01", "c": "P01"}) is None
