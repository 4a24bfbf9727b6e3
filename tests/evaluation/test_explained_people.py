"""Who is explained, and by a model that was not trained on them."""

from __future__ import annotations

import pathlib

import numpy as np
import polars as pl
import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.errors import CohortError, ConfigError
from pat_keras.evaluation.explained_people import choose_people
from pat_keras.evaluation.run_folder import Run, read_run
from tests.evaluation.run_files import write_run

PEOPLE = 12


def _run(folder: pathlib.Path, folds: int) -> Run:
    folder.mkdir()
    run = read_run(write_run(folder, folds=folds, n=PEOPLE))
    run.metrics["split"] = "kfold" if folds > 1 else "holdout"
    return run


@pytest.fixture
def cohort() -> Cohort:
    """The run's people in another order, two windows each, and one who is new."""
    names = [f"p{k:03d}" for k in reversed(range(PEOPLE))] + ["new"]
    table = pl.DataFrame({"participant_id": np.repeat(names, 2)})
    return Cohort(np.ones((2 * len(names), 1440)), table, {"source": "x"})


def test_the_fold_that_tested_a_person_explains_it(cohort, tmp_path) -> None:
    run = _run(tmp_path / "run", folds=3)
    found = choose_people(run, cohort, "all")
    ids = cohort.participant_id[found.rows]
    assert ids.tolist() == sorted(ids)
    tested = run.predictions.filter(pl.col("part") == "test")
    expected = dict(zip(tested["participant_id"], tested["fold"], strict=True))
    for name, folds, part in zip(ids, found.folds, found.held_out, strict=True):
        if name == "new":
            assert (folds, part) == ((0, 1, 2), "")
        else:
            assert (folds, part) == ((expected[name] - 1,), "test")


def test_one_model_for_everybody(cohort, tmp_path) -> None:
    found = choose_people(_run(tmp_path / "run", folds=1), cohort, "p000,p001,p002,new")
    assert found.folds == [(0,)] * 8
    assert found.held_out == ["", "", "", "", "validation", "validation", "test", "test"]  # new, p000 (trained), ...


def test_ways_to_name_people(cohort, tmp_path) -> None:
    run = _run(tmp_path / "run", folds=1)
    tested = {f"p{k:03d}" for k in range(2, PEOPLE, 3)}

    def named(people: str, seed: int = 0) -> list[str]:
        return sorted(set(cohort.participant_id[choose_people(run, cohort, people, seed).rows].tolist()))

    assert set(named("held_out")) == tested
    assert len(named("random:2")) == 2
    assert set(named("random:2")) < tested
    assert named("random:2") == named("random:2")
    assert len({tuple(named("random:2", seed)) for seed in range(8)}) > 1
    assert set(named("random:99")) == tested
    (tmp_path / "ids.csv").write_text("participant_id,part\np003,test\nnew,validation\n", encoding="utf-8")
    assert named(str(tmp_path / "ids.csv")) == ["new", "p003"]
    others = cohort.filter(pl.col("participant_id") == "new")
    assert choose_people(run, others, "random:5").rows.tolist() == [0, 1]
    with pytest.raises(CohortError, match="tested nobody of this cohort"):
        choose_people(run, others, "held_out")


@pytest.mark.parametrize(
    ("people", "error", "words"),
    [
        ("p001,p01", CohortError, "1 of 2 are not in the cohort, such as 'p01'"),
        ("nowhere.csv", CohortError, "such as 'nowhere.csv', which is no file"),
        ("", CohortError, "expected participant ids"),
        ("random:", ConfigError, "such as random:10"),
        ("random:0", ConfigError, "such as random:10"),
    ],
)
def test_nobody_of_that_name(cohort, tmp_path, people: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        choose_people(_run(tmp_path / "run", folds=1), cohort, people)
