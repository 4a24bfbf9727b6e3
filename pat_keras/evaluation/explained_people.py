"""Who is explained, and by which model of a run: one that was not trained on the person.

Axes: B windows.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import polars as pl

from pat_keras.config import CROSS_VALIDATION
from pat_keras.data.cohort import Cohort
from pat_keras.data.people import read_people, shipped_lists
from pat_keras.errors import CohortError, ConfigError
from pat_keras.evaluation.run_folder import Run

_RANDOM = "random:"


@dataclasses.dataclass(frozen=True)
class ExplainedPeople:
    """Windows to explain.

    Attributes:
        rows: (B,) of the cohort, in the order of (participant_id, window).
        folds: of each row, numbers (from 0) of the models that explain it; several are averaged.
        held_out: of each row, how the run used the person: "test", "validation", or "" for people it was trained on or
            has never seen.
    """

    rows: np.ndarray
    folds: list[tuple[int, ...]]
    held_out: list[str]


def choose_people(run: Run, cohort: Cohort, people: str, seed: int = 0) -> ExplainedPeople:
    """The windows of the people who are asked for, each with its models.

    In a cross-validation everybody whom the run tested is explained by the model of that fold, the one that was not
    trained on the person; people who are new to the run by all models. People are known by their id: one who has the
    id of somebody in the run is taken to be that person.

    Args:
        run: whose models explain.
        cohort: the people.
        people: "all"; "held_out", those whom the run tested; "random:N", N of the latter, or of everybody where the run
            tested nobody of the cohort; a file of ids, or the name of a list of the package; or ids with commas.
        seed: of "random:N".

    Raises:
        CohortError: if somebody is not in the cohort, or nobody is left.
        ConfigError: if "random:N" has no number.
    """
    parts = _parts(run)
    known = sorted(set(cohort.table["participant_id"].to_list()))
    chosen = set(_asked_for(people, known, {name for name, (part, _) in parts.items() if part == "test"}, seed))
    order = cohort.table.select(pl.arg_sort_by("participant_id", "window")).to_series().to_numpy()
    ids = cohort.participant_id
    rows = np.array([row for row in order if ids[row] in chosen], dtype=np.int64)
    count = len(run.metrics["folds"]) if run.metrics.get("split") in CROSS_VALIDATION else 1
    used = [parts.get(str(ids[row]), ("", tuple(range(count)))) for row in rows]
    return ExplainedPeople(rows, [folds for _, folds in used], [part for part, _ in used])


def _parts(run: Run) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Of everybody in predictions.csv, the part and the folds that held the person out in it; test before validation.

    A run without folds has one model, number 0. Of a committee, all members but one learned from validation people.
    """
    parts = ("test",) if run.committee > 1 else ("validation", "test")
    rows = run.predictions
    fold = rows["fold"] if "fold" in rows.columns else pl.repeat(1, rows.height, eager=True)
    held = rows.select("participant_id", "part").with_columns(fold.alias("fold")).unique()
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for part in parts:
        for name, folds in held.filter(pl.col("part") == part).group_by("participant_id").agg("fold").iter_rows():
            found[name] = part, tuple(sorted(number - 1 for number in folds))
    return found


def _asked_for(people: str, known: list[str], tested: set[str], seed: int) -> list[str]:
    """Ids that the words name."""
    if people == "all":
        return known
    tested_here = [name for name in known if name in tested]
    if people == "held_out":
        if not tested_here:
            raise CohortError("people: the run tested nobody of this cohort. Choose all, random:N, or ids.")
        return tested_here
    if people.startswith(_RANDOM):
        number = people.removeprefix(_RANDOM)
        if not number.isdigit() or int(number) < 1:
            raise ConfigError(f"people is {people!r}, expected a number of people after random:, such as random:10.")
        among = tested_here or known
        return [among[index] for index in np.random.default_rng(seed).permutation(len(among))[: int(number)]]
    shipped = people in shipped_lists()
    if shipped or pathlib.Path(people).is_file():
        listed = read_people(people).without_header(known)
        ids = [*listed.test, *listed.validation]
    else:
        ids = [name.strip() for name in people.split(",") if name.strip()]
    absent = sorted(set(ids) - set(known))
    if shipped and len(absent) < len(ids):  # made for all people of a study, of whom a cohort may hold some
        return [name for name in ids if name in set(known)]
    if absent or not ids:
        raise CohortError(
            f"people: {len(absent)} of {len(ids)} are not in the cohort, such as {absent[0] if absent else people!r}, "
            "which is no file either; expected participant ids, a file of them, all, held_out, or random:N."
        )
    return ids
