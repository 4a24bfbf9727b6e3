"""Ids in the names of files, taken by a pattern; and names that may be of one person's visits or parts."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pat_keras.errors import ConfigError, RecordingError

_GAP = r"[ _.\-]*"
# What tells a visit, a point in time, a part or a side; a number behind it, and an ordinal before it, belong to it.
_WORDS = (
    r"visite?|besuch|termin|messung|session|sess|ses|time[ _\-]?point|zeitpunkt|tp|wave|round|phase|period|run|baseline"
    r"|base|bl|follow[ _\-]?up|fu|pre|mid|post|pre[ _\-]?test|post[ _\-]?test|retest|repeat|again|before|after|intake"
    r"|discharge|week|wk|month|year|day|night|first|second|third|left|right|copy|kopie"
)
_VISIT = re.compile(rf"(?<![a-z])(\d(st|nd|rd|th){_GAP})?({_WORDS})(?![a-z])({_GAP}\#?\d{{1,3}}(?![a-z\d]))?")
_YEAR, _MONTH, _DAY = r"(19|20)\d\d", r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
_SHORT_MONTH, _SHORT_DAY = r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_NAME_OF_MONTH = r"(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*"
_DATE = re.compile(
    rf"(?<!\d)({_YEAR}[\-_.]?{_MONTH}[\-_.]?{_DAY}|{_DAY}[\-_.]{_MONTH}[\-_.]{_YEAR}|{_MONTH}[\-_.]{_DAY}[\-_.]{_YEAR}"
    rf"|{_SHORT_DAY}[\-.]{_SHORT_MONTH}[\-.]{_YEAR}|{_SHORT_MONTH}[\-.]{_SHORT_DAY}[\-.]{_YEAR}"
    rf"|{_YEAR}-{_MONTH}|{_DAY}?{_GAP}{_NAME_OF_MONTH}{_GAP}{_YEAR})"
    r"([t _\-.]*([01]\d|2[0-3])[\-_.:h]?[0-5]\d([\-_.:m]?[0-5]\d)?)?(?!\d)"
)
# Marks that may as well be of people: v1, t2, part3, 6months, a last number or side. They count beside an id that has a
# digit.
_SPAN = re.compile(r"(?<![a-z\d])\d{1,2}(months?|mos?|weeks?|wks?|years?|yrs?|days?)(?![a-z\d])")
_WEAK = re.compile(
    r"(?<![a-z\d])([vtwmy]|part|teil)[ _\-]?\d{1,2}(?![a-z\d])|(?<=\d)v\d{1,2}(?![a-z\d])|[ _.\-]+(0?[1-9]|[lr])$"
)
_COPY = re.compile(r" *\(\d{1,2}\)$")  # what browsers and systems add where a name is taken
_WITHOUT_CLEAR = (_DATE, _VISIT)
_WITHOUT_ALL = (_DATE, _SPAN, _VISIT, _COPY, _WEAK)
_MOST_OF_ONE = 6  # more that differ in a weak mark alone are people of a site
# ActiGraph's serial numbers: its program names files by device and date, and devices go from person to person.
_SERIAL = re.compile(r"(mos|mra|tas|cle|neo|mat|lyn|gt[a-z\d])\d[a-z]\d{6,}")
_SHOWN = 3
_USUAL = ("^[^_]+", "^[^ ]+", "^[^-]+", "^[A-Za-z]*[0-9]+", "^[A-Za-z]+[ _-]?[0-9]+", "[^_]+$", "[^ ]+$")


def check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        ConfigError: if it is none.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"--id_pattern={pattern}: is no regular expression ({error}); expected one that finds the id in the name "
            "of a file, such as '^[^_]+', which takes P01 of P01_visit2.csv, or in its path, such as '^([^/]+)/'."
        ) from None


def id_in(name: str, pattern: str, where: str, below: str | None = None) -> str:
    """The first group of a pattern in the name of a file, or all of what matches if it has no group.

    Args:
        name: of the file, without its ending.
        pattern: a regular expression. One with a `/` in it is of the path `below`.
        where: the file, for messages.
        below: its path from what was asked for on, without its ending; None if it has none that tells people apart.

    Raises:
        RecordingError: if nothing matches, or what does is blank.

    Example:
        >>> id_in("P01_visit2", "^[^_]+", "P01_visit2.csv"), id_in("s7 P01", r"(P[0-9]+)$", "s7 P01.csv")
        ('P01', 'P01')
        >>> id_in("visit2", "^([^/]+)/", "raw/P01/visit2.csv", "P01/visit2")
        'P01'
    """
    what, text = ("path", below) if below is not None and in_path(pattern) else ("name", name)
    found = re.search(pattern, text)
    whose = "" if found is None else (found.group(1 if found.re.groups else 0) or "").strip()
    if not whose:
        raise RecordingError(
            f"{where}: --id_pattern={pattern} finds no id in the {what} {text!r}, expected one in every {what}. "
            "Correct the pattern, rename the file, or leave it out."
        )
    return whose


def in_path(pattern: str) -> bool:
    """Whether a pattern is of paths and not of names, which have no `/`."""
    return "/" in pattern


def by_folder(below: Sequence[str]) -> str:
    """What to do where each folder is a person, for a message; empty if no folder tells these files apart.

    The folders that may be people are those of the level with the most names: not a few sites, visits or groups.

    Args:
        below: path of each file from what was asked for on.

    Example:
        >>> by_folder(["A/P01/data", "A/P02/data", "B/P03/data"])
        "if each folder is a person (3, such as 'P01'), give --id_pattern='^[^/]+/([^/]+)/'"
    """
    folders = [path.split("/")[:-1] for path in below]
    levels = [sorted({own[at] for own in folders}) for at in range(min(map(len, folders)))]
    most = max(levels, key=len, default=[])
    if len(most) < 2:
        return ""
    pattern = f"^{'[^/]+/' * levels.index(most)}([^/]+)/"
    return f"if each folder is a person ({len(most):,}, such as {most[0]!r}), give --id_pattern='{pattern}'"


def folders_of_one_person(folder_of: Mapping[str, str]) -> dict[str, Any] | None:
    """Folders that may each be of one person: several, of two to six files, and none of more.

    Args:
        folder_of: name of a file -> the folder it lies in, from what was asked for on; empty if in none.

    Returns:
        people: how many names, groups: of the folders of two and more; pairs: two of each of the first groups, three
        at most; pattern: a regular expression of the folder. None if there are none, or folders are not of people.

    Example:
        >>> folders_of_one_person({"jan": "P01", "feb": "P01", "mar": "P02"})["pairs"]
        [('feb', 'jan')]
    """
    names: dict[str, list[str]] = collections.defaultdict(list)
    for name, folder in folder_of.items():
        names[folder].append(name)
    groups = sorted(sorted(own) for own in names.values() if len(own) > 1)
    if not groups or len(names) == 1 or "" in names or max(map(len, groups)) > _MOST_OF_ONE:
        return None
    return {
        "people": sum(map(len, groups)),
        "groups": len(groups),
        "pairs": [(own[0], own[1]) for own in groups[:_SHOWN]],
        "pattern": "^(.+)/",
        "folders": True,
    }


def names_of_one_person(names: Iterable[str]) -> dict[str, Any] | None:
    """Names that are the same but for a visit, a point in time, a part, a date or a last number; None if there are no.

    A last number and short marks (v1) count where an id with a digit stands beside them: of P01_1 and P01_2, but not
    of control_1 and control_2, nor of P01 and P02.

    Returns:
        people: how many names; groups: of them; pairs: two of each of the first groups, three at most; pattern: a
        regular expression that takes one id of each group, and different ones of all others; None where no usual one
        does.

    Example:
        >>> names_of_one_person(["P01_visit1", "P01_visit2", "P02", "P03"])["pairs"]
        [('P01_visit1', 'P01_visit2')]
    """
    names = sorted(set(names))
    clear: dict[str, list[str]] = collections.defaultdict(list)
    weak: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        base = _without(_WITHOUT_CLEAR, name)
        clear[base].append(name)
        weak[_without(_WITHOUT_ALL, name)].append(name)
    whole = {_plain(name) for name in names}
    several = len(clear) > 1
    groups = [(own, base) for base, own in clear.items() if len(own) > 1 and _is_clear(base, own, several)]
    told = {name for own, _ in groups for name in own}
    for base, own in weak.items():
        copies = base in whole and any(_COPY.search(name) for name in own)
        by_mark = any(char.isdigit() for char in base) and len(own) <= _MOST_OF_ONE
        alike = len(own) > 1 and _names_somebody(base, own) and not told.intersection(own)
        if alike and (copies or by_mark):
            groups.append((own, base))
    if not groups:
        return None
    groups.sort()
    return {
        "people": sum(len(own) for own, _ in groups),
        "groups": len(groups),
        "pairs": [(own[0], own[1]) for own, _ in groups[:_SHOWN]],
        "pattern": next((one for one in _USUAL if _parts_alike(one, groups, names)), None),
    }


def words_of(found: dict[str, Any], with_names: bool = True) -> str:
    """Sentences about what `names_of_one_person` found; a report names nobody."""
    pairs = [f"{first!r} and {second!r}" for first, second in found["pairs"]]
    more = found["groups"] - len(pairs)
    shown = f": {'; '.join(pairs)}{f'; and {more:,} more such groups' if more else ''}" if with_names else ""
    pattern = "'^[^_]+', which takes P01 of P01_visit2" if found["pattern"] is None else f"'{found['pattern']}'"
    folders = found.get("folders")
    why = "they lie in folders of a few files"
    if not folders:
        why = "their names differ in a visit, a date, a part or a number alone"
    where = "path below --raw" if folders else "name"
    return (
        f"{found['people']:,} people, whose ids are names of files, may be {found['groups']:,}: {why}{shown}. If they "
        "are recordings of one person, a split may put that person into training and test at once, and the result is "
        f"worth nothing: give --id_pattern, a regular expression of the id in the {where}, such as {pattern}; "
        "recordings of a person are then joined. If they are different people, nothing is to be done."
    )


def _plain(name: str) -> str:
    """A name in small letters, with one kind of gap."""
    return re.sub(r"[ _.\-]+", "_", name.casefold()).strip("_")


def _without(marks: Sequence[re.Pattern[str]], name: str) -> str:
    """A name without these marks, and without what bracketed them."""
    rest = name.casefold()
    for mark in marks:
        cut = re.sub(r"[(\[]\s*[)\]]", "", mark.sub("_", rest)).strip(" _.-")
        if mark is _VISIT and not cut:  # of pre_01 and post_01, the number is the id
            cut = mark.sub(lambda found: found.group(4) or "", rest)
        rest = cut
    return _plain(rest)


def _names_somebody(base: str, own: Sequence[str]) -> bool:
    """Whether something is left that is no device's name, and something was taken off."""
    return base != "" and not _SERIAL.match(base) and any(_plain(name) != base for name in own)


def _is_clear(base: str, own: Sequence[str], several: bool) -> bool:
    """Whether names with this in common are of one person: it has to be an id, not a study's name or a device's."""
    if not _names_somebody(base, own):
        return False
    has_digit = any(char.isdigit() for char in base)
    by_word = any(_VISIT.search(name.casefold()) for name in own)
    return has_digit or by_word or (several and len(own) <= _MOST_OF_ONE)


def _parts_alike(pattern: str, groups: Sequence[tuple[Sequence[str], str]], names: Sequence[str]) -> bool:
    """Whether a pattern makes one id of each group, which is of what its names have in common, and others of others."""
    matches = {name: re.search(pattern, name) for name in names}
    ids = {name: match.group() if match else "" for name, match in matches.items()}
    of_groups = [{ids[name] for name in own} for own, _ in groups]
    for found, (_, base) in zip(of_groups, groups, strict=True):
        whose = _plain(min(found))
        at_end = base.startswith(whose) or base.endswith(whose)
        if len(found) > 1 or not at_end or any(map(str.isdigit, whose)) != any(map(str.isdigit, base)):
            return False
    grouped = {name for own, _ in groups for name in own}
    each = [*(min(found) for found in of_groups), *(ids[name] for name in names if name not in grouped)]
    return "" not in each and len(each) == len(set(each))
