"""Lists of people: who is tested, and who validates, as a study has fixed it once and for all.

A list is a text or CSV file of participant ids, one a line, with a header or without; or the name of a list that comes
with the package (`pat_keras/data/lists/NAME.csv`).
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import importlib.resources
import os
import pathlib
import unicodedata
from collections.abc import Collection

from pat_keras.data.readers.text_lines import decode
from pat_keras.errors import CohortError, RecordingError

LISTED_PARTS = ("test", "validation")
_ID, _PART = "participant_id", "part"
# In small letters: what a column of ids is called beside that, see `PeopleList.without_header`.
_TITLES = ("id", "ids", "participant", "participants", "participant_id", "subject", "subject_id", "person", "seqn")


@dataclasses.dataclass(frozen=True)
class PeopleList:
    """Who is in which part.

    Attributes:
        test: ids, in the order of the file.
        validation: ids; empty where the list leaves it open.
        where: the file or the name, for messages.
        shipped: whether it comes with the package: made for all people of a study, of whom a cohort may hold some.
    """

    test: tuple[str, ...]
    validation: tuple[str, ...]
    where: str
    shipped: bool

    def without_header(self, known: Collection[str]) -> PeopleList:
        """The list without its first line if that is the title of a column, such as id, and nobody is called so.

        Args:
            known: ids of everybody the list may be about.
        """
        if len(self.test) < 2 or self.test[0].casefold() not in _TITLES or self.test[0] in known:
            return self
        return dataclasses.replace(self, test=self.test[1:])


def shipped_lists() -> list[str]:
    """Names of the lists that come with the package."""
    folder = importlib.resources.files("pat_keras.data") / "lists"
    if not folder.is_dir():
        return []
    return sorted(item.name.removesuffix(".csv") for item in folder.iterdir() if item.name.endswith(".csv"))


def read_people(source: str | os.PathLike[str]) -> PeopleList:
    """Reads a list.

    A CSV has a header with `participant_id` and, if it likes, `part` (test or validation; test if absent); other
    columns are not looked at. A file of one column needs no header; where it has another (id), `without_header` takes
    it away when the people are known. Empty lines and lines that begin with # are
    skipped. Ids stay text: 0012 is not 12.

    Args:
        source: a name of `shipped_lists`, or else the path of a file.

    Raises:
        CohortError: if there is neither, the file is no text, or names nobody to test; an id is missing or there twice;
            or a part is another word.
    """
    where = str(source)
    shipped = where in shipped_lists()
    if shipped:
        data = (importlib.resources.files("pat_keras.data") / "lists" / f"{where}.csv").read_bytes()
    elif pathlib.Path(source).is_file():
        data = pathlib.Path(source).read_bytes()
    else:
        names = ", ".join(shipped_lists()) or "none"
        raise CohortError(
            f"{where}: there is no such file, and no list of that name comes with the package (there: {names}). Give "
            "a file of participant ids, one a line."
        )
    try:
        text, _ = decode(data, None, where)
    except RecordingError as error:
        raise CohortError(str(error)) from error
    return _listed(text, where, shipped)


def _listed(text: str, where: str, shipped: bool) -> PeopleList:
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    numbered = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    rows = [
        (number, [unicodedata.normalize("NFC", field.strip()) for field in next(csv.reader([line]))])
        for number, line in numbered
    ]
    id_column, part_column = 0, None
    if rows and _ID in rows[0][1]:
        header = rows.pop(0)[1]
        id_column = header.index(_ID)
        part_column = header.index(_PART) if _PART in header else None
    elif rows and len(rows[0][1]) > 1:
        raise CohortError(
            f"{where}, line {rows[0][0]}: found {len(rows[0][1])} columns and no header that names {_ID}. Give the "
            f"columns a header ({_ID}, and {_PART} for test or validation), or leave one column of ids."
        )
    found: dict[str, list[str]] = {part: [] for part in LISTED_PARTS}
    for number, fields in rows:
        participant = fields[id_column] if len(fields) > id_column else ""
        part = fields[part_column] if part_column is not None and len(fields) > part_column else LISTED_PARTS[0]
        if not participant or part not in LISTED_PARTS:
            what = f"the part is {part!r}, expected test or validation" if participant else "the id is missing"
            raise CohortError(
                f"{where}, line {number}: {what}. Correct the line; a split with other parts can be a column of the "
                "cohort (--split=column)."
            )
        found[part].append(participant)
    _check(found, where)
    return PeopleList(tuple(found["test"]), tuple(found["validation"]), where, shipped)


def _check(found: dict[str, list[str]], where: str) -> None:
    times = collections.Counter(participant for part in found.values() for participant in part)
    doubled = [participant for participant, count in times.items() if count > 1]
    if doubled:
        raise CohortError(
            f"{where}: {len(doubled)} ids are there more than once (such as {doubled[0]!r}), expected one line a "
            "person. Remove the lines too many."
        )
    if not found["test"]:
        raise CohortError(f"{where}: it names nobody to test, expected participant ids, one a line. Give another.")
