"""Several cohorts made one, and the people who are in it twice under two names.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.cohort_checks import KEY_COLUMNS, canonical_bytes
from pat_keras.data.measurement import axis_of
from pat_keras.errors import CohortError

_DAY_MINUTES = 24 * 60

# A day with fewer changes from one minute to the next may equal somebody else's by chance: non-wear with a few stray
# counts, or a device stuck at its largest value, as on whole days of some people in NHANES 2005-06.
_LEAST_CHANGES = 60

Person = tuple[int, str]  # number of the cohort, participant_id
Part = tuple[np.ndarray, pl.DataFrame, dict[str, Any]]  # activity (B, T), table, metadata


def join(parts: Sequence[Part], same_people: str) -> Part:
    """What `Cohort.concatenate` returns, as its three parts. Raises what it says there."""
    if not parts:
        raise CohortError("concatenate: there is no cohort to concatenate, expected at least one.")
    if same_people not in ("refuse", "allow"):
        raise CohortError(f"concatenate: same_people is {same_people!r}, expected 'refuse' or 'allow'.")
    _check_alike([activity.shape[1] for activity, _, _ in parts], "minutes in a window", "Cut them to one length")
    for key in ("unit", "epoch_length"):
        _check_alike([metadata[key] for _, _, metadata in parts], key, "Prepare them alike")
    axes = [axis_of(metadata) for _, _, metadata in parts]
    _check_alike([axis for axis in axes if axis], "axis", "Prepare them alike")
    table = _join_tables([table for _, table, _ in parts])
    if same_people == "refuse":
        pairs = find_same_people([(activity, rows["participant_id"].to_list()) for activity, rows, _ in parts])
        pairs = [(first, second) for first, second in pairs if first[0] != second[0]]
        if pairs:
            n_people = len({person for pair in pairs for person in pair})
            raise CohortError(
                f"concatenate: {n_people} participant ids in {len(pairs)} pairs share identical days of recording, so "
                "that the same person is in two cohorts under two ids and could be in training and test at once. Drop "
                "them from one of the cohorts or give them one id; same_people='allow' keeps both."
            )
    return np.concatenate([activity for activity, _, _ in parts]), table, _join_metadata([part[2] for part in parts])


def _check_alike(values: list[Any], what: str, advice: str) -> None:
    if len(set(values)) > 1:
        found = ", ".join(str(value) for value in values)
        raise CohortError(f"concatenate: the cohorts differ in {what} ({found}), expected the same in all. {advice}.")


def _join_tables(tables: list[pl.DataFrame]) -> pl.DataFrame:
    kinds: dict[str, set[str]] = {}
    for table in tables:
        for name, dtype in table.schema.items():
            if dtype != pl.Null:
                kind = "a number" if dtype.is_numeric() or dtype == pl.Boolean else str(dtype)
                kinds.setdefault(name, set()).add(kind)
    mixed = [f"{name} ({' and '.join(sorted(found))})" for name, found in kinds.items() if len(found) > 1]
    if mixed:
        raise CohortError(
            f"concatenate: the cohorts differ in the kind of column {', '.join(mixed)}; expected one kind. Convert or "
            "rename it in one of them."
        )
    joined = pl.concat([_numbers(table) for table in tables], how="diagonal_relaxed")
    twice = int(joined.select(KEY_COLUMNS[:2]).is_duplicated().sum())
    if twice:
        raise CohortError(
            f"concatenate: {twice} windows share their participant_id and window with another, expected each pair "
            "once. If these are different people, make the ids differ: "
            "cohort.with_columns(participant_id=pl.lit('study_') + pl.col('participant_id'))."
        )
    return joined


def _numbers(table: pl.DataFrame) -> pl.DataFrame:
    """True and false as 1 and 0, which polars does not join with other numbers by itself."""
    return table.with_columns(pl.col(pl.Boolean).cast(pl.Int8))


def _join_metadata(all_metadata: list[dict[str, Any]]) -> dict[str, Any]:
    """What is the same in all is kept; sources, citations and funnels are listed one after the other."""
    first = all_metadata[0]
    joined = {key: value for key, value in first.items() if all(other.get(key) == value for other in all_metadata)}
    if "reading" not in joined and len(axes := {axis_of(metadata) for metadata in all_metadata}) == 1 and all(axes):
        joined["reading"] = {"axis": axes.pop()}  # what else was read differs
    joined["synthetic"] = any(metadata["synthetic"] for metadata in all_metadata)
    for key in ("source", "citation"):
        texts = list(dict.fromkeys(str(metadata[key]) for metadata in all_metadata if metadata.get(key)))
        if texts:
            joined[key] = "; ".join(texts)
    funnels = [
        {**step, "source": step.get("source", metadata["source"])}
        for metadata in all_metadata
        for step in metadata.get("funnel", [])
    ]
    if funnels:
        joined["funnel"] = funnels
    return joined


def find_same_people(parts: Sequence[tuple[np.ndarray, Sequence[str]]]) -> list[tuple[Person, Person]]:
    """People who appear under two ids, by what they did.

    Two ids are the same person if a whole day of theirs (1,440 minutes from the window's first; the whole window where
    it is no multiple of a day) is equal minute by minute, and changes at least 60 times. So the same week is found, and
    so is another week of the same recording that shares a day; windows cut at another time of day are not.

    Args:
        parts: (activity (B, T), participant_id (B,)) of each cohort.

    Returns:
        Pairs of persons, each (number of the cohort, id), sorted; each with the first who has the day.
    """
    owner: dict[bytes, Person] = {}
    pairs: set[tuple[Person, Person]] = set()
    for number, (activity, participant_id) in enumerate(parts):
        for window, name in zip(activity, participant_id, strict=True):
            for digest in day_hashes(window):
                first = owner.setdefault(digest, (number, name))
                if first[1] != name:
                    pairs.add((first, (number, name)))
    return sorted(pairs)


def day_hashes(window: np.ndarray) -> list[bytes]:
    """The SHA-1 of each day of a window (T,) that nobody else can have by chance; see `find_same_people`."""
    day = _DAY_MINUTES if len(window) % _DAY_MINUTES == 0 else len(window)
    days = window.reshape(-1, day)
    changes = (np.diff(np.nan_to_num(days), axis=1) != 0).sum(axis=1)
    return [
        hashlib.sha1(canonical_bytes(minutes)).digest() for minutes in days[changes >= min(_LEAST_CHANGES, day // 2)]
    ]
