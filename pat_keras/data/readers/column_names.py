"""What the name of a column says: activity, and its unit; whose row it is; times, and that they are in UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Plain names of columns with activity, and their unit where the name tells it.
_ACTIVITY = {
    "activity": "counts",
    "activities": "counts",
    "activitycounts": "counts",
    "activity_counts": "counts",
    "count": "counts",
    "counts": "counts",
    "axis1": "counts",
    "axis2": "counts",
    "axis3": "counts",
    "vm": "counts",
    "vectormagnitude": "counts",
    "pim": "PIM",
    "zcm": "ZCM",
    "tat": "TAT",
    "steps": "steps",
    "step_count": "steps",
    "mims": "MIMS",
    "mims_unit": "MIMS",
    "enmo": "ENMO",
    "acc": None,
    "acceleration": None,
    "value": None,
}
# Known names that say little: a count may be one of raw samples.
_VAGUE = ("count", "value")
# Parts of names, in small letters, of columns that may be the activity, too.
_LIKELY = re.compile(
    r"(?<!in)act?iv|aktiv|attivit|ativid|(?<!ac)count(?!ry|er)|enmo|mad(?!e)|mims|pim|zcm|magnitude|movement|vm"
    r"|acc(?!u|o)|(?<![a-z])mg(?![a-z])"
)
# Parts of names of columns that only tell about it: of which kind it is, whether it holds, how long; and of one axis.
_ABOUT = re.compile(
    r"type|class|code|label|flag|valid|status|state|act?iv[a-z]*[ _]?(time(?!s)|duration|minutes)"
    r"|(?<![a-z])[xyz](?![a-z])"
)
# Parts of names of columns that are something else: numbers of rows, times, other sensors.
_BESIDE = re.compile(
    r"column_\d|unnamed|^(nr|no|n)$|index|row|line|epoch|time|stamp|unix|date|day|hour|minute|second|week|month|year"
    r"|light|licht|lux|temp|batter|volt|heart|^hr|bpm|angle|wear|worn|wrist|sleep|wake|marker|event|button"
)
_TIME = re.compile(r"time|date|stamp|when|zeit|datum|tid|tijd|heure|hora|fecha|^ts?$")
# UTC or GMT as a word, or as one of a name such as timeUTC or utcTime; with hours behind it, it is another zone.
_UTC = re.compile(
    r"((?i:(?<![a-z])(utc|gmt)(?![a-z]))|(?<=[a-z])(UTC|GMT)(?![A-Za-z])|(?<![A-Za-z])(utc|UTC|gmt|GMT)(?=[A-Z]))"
    r"(?!\s*[-+\u2212]\s*\d*[1-9])"
)
_PERSON = r"participant|subject|subj|patient|person|proband|respondent|user|individual"
_NUMBER = r"s|no|nr|num|number|code"
# Names of small letters and digits alone.
_ID = re.compile(
    r"(p|pp|u|e|r|s|sub|case|client|record|study|pat|resp|proj|mesa|external|sample|screening|dyad)?id"
    rf"({_NUMBER})?|.*({_PERSON})(full|unique|study)?id({_NUMBER})?|({_PERSON})({_NUMBER}|key|name|label)?"
    r"|.*identifier|pseudonym|studynumber|nomemencr|hhidpn|seqn|ppn"
)
# Names that may as well be of a state, an event or a device.
_MAYBE_ID = re.compile(r"((full|first|last|sur|family|nick)?name|code|initials|kode|naam|nom|nombre|namn)s?")
_OF_THINGS = re.compile(r"device|sensor|serial|watch|epoch|row|line|file|event|session|visit")  # whose ids name nobody


def plain_name(name: str) -> str:
    """A name without blanks and in small letters."""
    return name.lower().replace(" ", "")


def is_activity(name: str) -> bool:
    """Whether a column of this name is known to hold activity."""
    return plain_name(name) in _ACTIVITY


def unit_of_name(name: str) -> str | None:
    """The unit that a column of this name has, or None if the name does not tell it."""
    return _ACTIVITY.get(plain_name(name))


def rivals_of(known: Sequence[str], numbers: Sequence[str]) -> list[str]:
    """Those of the columns of numbers that may be the activity as well as the ones whose names are known.

    "Activity (counts)" may be it as well as "steps"; any column that is not plainly something else as well as "count".
    """
    vague = all(plain_name(name) in _VAGUE for name in known)
    rivals = []
    for name in numbers:
        text = name.lower()
        likely = _LIKELY.search(text) or (vague and not is_id(name) and not _BESIDE.search(text))
        if likely and name not in known and not _ABOUT.search(text):
            rivals.append(name)
    return rivals


def is_id(name: str) -> bool:
    """Whether a column of this name tells whose row it is."""
    plain = re.sub(r"[\W_]", "", name.lower())
    return _ID.fullmatch(plain) is not None and _OF_THINGS.search(plain) is None


def may_be_id(name: str) -> bool:
    """Whether a column of this name may tell whose row it is, where its values are like ids."""
    return _MAYBE_ID.fullmatch(re.sub(r"[\W_]", "", name.lower())) is not None


def is_utc(name: str) -> bool:
    """Whether a column of times of this name says that they are in UTC."""
    return _UTC.search(name) is not None


def is_time(name: str) -> bool:
    """Whether a column of this name is one of dates or times."""
    return _TIME.search(name.lower()) is not None
