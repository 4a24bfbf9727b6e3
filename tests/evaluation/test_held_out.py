"""Whom several runs held out: the same people fold by fold, or an error that counts the others."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import polars as pl
import pytest

from pat_keras.errors import RunError
from pat_keras.evaluation.held_out import check_alike, held_out_together
from pat_keras.evaluation.run_folder import Run

_DATA = {"label": "low", "minutes": 1440, "unit": "counts", "epoch_length": 60, "content_hash": "a"}


def _run(name: str, parts: dict[str, dict[int, list[str]]], seed: int = 0, task: str = "binary", **data: Any) -> Run:
    """A run of these people, by part and fold; two windows a person, the label the last digit of the id modulo 2."""
    rng = np.random.default_rng(seed)
    rows = [
        {"participant_id": who, "window": window, "part": part, "fold": fold, "label": float(int(who[1:]) % 2)}
        for part, folds in parts.items()
        for fold, people in folds.items()
        for who in people
        for window in range(2)
    ]
    table = pl.DataFrame(rows)
    names = {"binary": ["probability"], "multiclass": ["probability_0", "probability_1"], "regression": ["prediction"]}
    table = table.with_columns(**{column: pl.Series(rng.random(table.height)) for column in names[task]})
    metrics = {"task": task, "split": "kfold" if len(parts["test"]) > 1 else "holdout", "test": {}}
    return Run(pathlib.Path(name), metrics, table, [], {}, {**_DATA, **data}, "")


_PARTS = {"validation": {1: ["p1", "p2", "p3"]}, "test": {1: ["p4", "p5", "p6"]}}


def test_scores_of_the_same_windows_stand_together() -> None:
    """However the rows of a run's file are ordered."""
    first, second = _run("a", _PARTS), _run("b", _PARTS, seed=1)
    shuffled = dataclasses.replace(second, predictions=second.predictions.sample(fraction=1, shuffle=True, seed=0))
    held = held_out_together([first, shuffled])[1]
    test = held["test"]
    assert test.scores.shape == (2, 6, 1)
    for number, run in enumerate((first, second)):
        expected = run.people("test")
        found = test.people(np.eye(2)[number])
        assert found.participant_id.tolist() == expected.participant_id.tolist()
        np.testing.assert_array_equal(found.score, expected.score)
    half = test.people(np.array([0.5, 0.5]))
    np.testing.assert_allclose(half.score, (first.people("test").score + second.people("test").score) / 2)
    y, scores = held["validation"].by_person()
    assert (y.tolist(), scores.shape) == ([1, 0, 1], (2, 3))


def test_common_validation_people_alone() -> None:
    other = {**_PARTS, "validation": {1: ["p2", "p3", "p7"]}}
    held = held_out_together([_run("a", _PARTS), _run("b", other)])[1]
    assert set(held["validation"].rows["participant_id"]) == {"p2", "p3"}
    assert set(held["test"].rows["participant_id"]) == {"p4", "p5", "p6"}


@pytest.mark.parametrize("turned", [False, True])
def test_a_run_that_used_a_test_person_of_another_is_refused(turned: bool) -> None:
    """p4 stopped the other run's training; p5 is nowhere in its predictions, so it was trained on."""
    other = {"validation": {1: ["p1", "p4"]}, "test": {1: ["p2", "p3", "p6"]}}
    runs = [_run("a", _PARTS), _run("b", other)]
    words = "of the people whom .* tested, 2 were not tested here in the same fold: . were in validation"
    with pytest.raises(RunError, match=words):
        held_out_together(runs[::-1] if turned else runs)


def test_one_test_person_fewer_is_refused() -> None:
    fewer = {**_PARTS, "test": {1: ["p4", "p5"]}}
    with pytest.raises(RunError, match="1 were not tested here"):
        held_out_together([_run("a", _PARTS), _run("b", fewer)])


def test_folds_must_hold_out_the_same_people() -> None:
    """Everybody is tested by both runs, but p1 by models of which one was trained with p3 and one without."""
    folds = {"validation": {1: ["p5"], 2: ["p6"]}, "test": {1: ["p1", "p2"], 2: ["p3", "p4"]}}
    swapped = {"validation": {1: ["p5"], 2: ["p6"]}, "test": {1: ["p3", "p2"], 2: ["p1", "p4"]}}
    assert sorted(held_out_together([_run("a", folds), _run("b", folds)])) == [1, 2]
    with pytest.raises(RunError, match="2 were not tested here in the same fold"):
        held_out_together([_run("a", folds), _run("b", swapped)])


def test_other_data_are_refused() -> None:
    with pytest.raises(
        RunError, match=r"other data .* can't be known whether one was trained on people whom the other"
    ):
        held_out_together([_run("a", _PARTS), _run("b", _PARTS, content_hash="b")])


def test_labels_and_parts_that_contradict() -> None:
    second = _run("b", _PARTS)
    flipped = dataclasses.replace(second, predictions=second.predictions.with_columns(label=1 - pl.col("label")))
    with pytest.raises(RunError, match="gives people other labels"):
        held_out_together([_run("a", _PARTS), flipped])
    torn = _run("b", {"validation": {1: ["p1", "p4"]}, "test": {1: ["p4", "p5", "p6"]}})
    with pytest.raises(RunError, match="1 people are in two parts of one fold"):
        held_out_together([torn, _run("a", _PARTS)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "regression"}, "the task is 'regression', and that of a 'binary'"),
        ({"task": "multiclass"}, "the task is 'multiclass'"),
        ({"label": "high"}, "the label is 'high', and that of a 'low'"),
        ({"minutes": 10080}, "the minutes is 10080"),
        ({"unit": "MIMS"}, "the unit is 'MIMS'"),
        ({"epoch_length": 30}, "the epoch_length is 30"),
    ],
)  # fmt: skip
def test_runs_that_predict_something_else(changes, words: str) -> None:
    with pytest.raises(RunError, match=words):
        check_alike([_run("a", _PARTS), _run("b", _PARTS, **changes)])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"window_start": "00:00"}, {"window_start": "14:37"}, "the window_start is '14:37', and that of a '00:00'"),
        ({"axis": "vertical"}, {"axis": "vector_magnitude"}, "the axis is 'vector_magnitude'"),
        ({"window_start": "00:00", "axis": "vertical"}, {}, ""),
        ({"window_start": "various times of day"}, {"window_start": "14:37"}, ""),
    ],
)  # fmt: skip
def test_runs_on_windows_that_no_cohort_can_be_for_both(first, second, words: str) -> None:
    runs = [_run("a", _PARTS, **first), _run("b", _PARTS, seed=1, **second)]
    if not words:
        check_alike(runs)
        return
    with pytest.raises(RunError, match=words):
        check_alike(runs)


def test_a_run_without_an_account_of_its_data() -> None:
    run = dataclasses.replace(_run("b", _PARTS), data={"label": "low"})
    with pytest.raises(RunError, match="found no minutes, unit, epoch_length, content_hash"):
        check_alike([_run("a", _PARTS), run])


def test_a_copy_of_a_run_is_refused() -> None:
    """Under another name it would count twice."""
    first = _run("a", _PARTS)
    with pytest.raises(RunError, match="copy: predicts the same as a to the last digit"):
        check_alike([first, _run("b", _PARTS, seed=1), dataclasses.replace(first, folder=pathlib.Path("copy"))])
