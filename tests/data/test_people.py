from __future__ import annotations

import pathlib

import pytest

from pat_keras.data import people
from pat_keras.data.people import read_people, shipped_lists
from pat_keras.errors import CohortError


def written(folder: pathlib.Path, text: str | bytes) -> pathlib.Path:
    path = folder / "people.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "test", "validation"),
    [
        ("0012\n12\n\n# a comment\n a b \n", ("0012", "12", "a b"), ()),
        ("participant_id\n7\n8\n", ("7", "8"), ()),
        ("\ufeffparticipant_id\r\n7\r\n", ("7",), ()),
        ("age,participant_id,part\n50,7,test\n60,8,validation\n61,9,test\n", ("7", "9"), ("8",)),
        ('"7"\n"a, b"\n', ("7", "a, b"), ()),
    ],
)
def test_a_list_is_read(tmp_path, text: str, test: tuple[str, ...], validation: tuple[str, ...]) -> None:
    found = read_people(written(tmp_path, text))
    assert (found.test, found.validation, found.shipped) == (test, validation, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7\n8\n7\n", "1 ids are there more than once .such as '7'.*expected one line a person"),
        ("participant_id,part\n7,test\n7,validation\n", "more than once"),
        ("participant_id,part\n7,training\n", "line 2: the part is 'training', expected test or validation"),
        ("participant_id,part\n,test\n", "line 2: the id is missing"),
        ("participant_id,part\n7,validation\n", "names nobody to test"),
        ("participant_id\n", "names nobody to test"),
        ("7,8\n9,1\n", "line 1: found 2 columns and no header that names participant_id"),
        ("", "the file is empty"),
        (b"PK\x03\x04zip", "a zip or a spreadsheet"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, text: str | bytes, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read_people(written(tmp_path, text))


def test_neither_a_file_nor_a_name() -> None:
    with pytest.raises(CohortError, match="no such file, and no list of that name comes with the package") as caught:
        read_people("nobody_has_this_list")
    assert "--" not in str(caught.value)  # --test_people, --exclude_people or --people asked for it


def test_a_title_is_no_person_unless_somebody_is_called_so(tmp_path) -> None:
    for title in ("id", "ID", "Participant_ID"):
        found = read_people(written(tmp_path, f"{title}\n7\n8\n"))
        assert found.without_header({"7", "9"}).test == ("7", "8")
        assert found.without_header({"7", title}).test == (title, "7", "8")
    found = read_people(written(tmp_path, "idA\n7\n"))
    assert found.without_header({"7"}) is found
    assert read_people(written(tmp_path, "id\n")).without_header({"7"}).test == ("id",)  # nobody would be left


def test_lists_that_come_with_the_package_are_whole(monkeypatch, tmp_path) -> None:
    for name in shipped_lists():
        assert read_people(name).shipped
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a_study.csv").write_text("participant_id,part\n1,test\n2,validation\n")
    monkeypatch.setattr(people.importlib.resources, "files", lambda _: tmp_path)
    assert shipped_lists() == ["a_study"]
    found = read_people("a_study")
    assert (found.test, found.validation, found.shipped) == (("1",), ("2",), True)
