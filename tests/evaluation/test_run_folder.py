"""Reading a run back: one row a person, and clear words about a folder that is not a run."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from pat_keras.errors import RunError
from pat_keras.evaluation.run_folder import read_run
from tests.evaluation.run_files import write_run


def _write_predictions(folder: pathlib.Path, **columns: list) -> None:
    pl.DataFrame({"window": [0] * len(columns["label"]), **columns}).write_csv(folder / "predictions.csv")


def test_people_of_a_binary_run(tmp_path) -> None:
    run = read_run(write_run(tmp_path))
    people = run.people("test")
    assert len(people.y) == run.metrics["test"]["n"] == 30
    assert people.n_windows.tolist() == [2] * 30
    assert run.metrics["test"]["auc"] > 0.7
    assert (run.task, run.synthetic, len(run.history)) == ("binary", False, 12)


def test_numbers_as_ids_stay_text(tmp_path) -> None:
    write_run(tmp_path)
    _write_predictions(tmp_path, participant_id=["007", "7"], part=["test", "test"], label=[0, 1], probability=[0.1, 1])
    assert read_run(tmp_path).people().participant_id.tolist() == ["007", "7"]


@pytest.mark.parametrize("labels", [["mild", "none"], [1, 0]])
def test_classes_by_name_or_by_place(tmp_path, labels: list) -> None:
    write_run(tmp_path, "multiclass")
    scores = {"probability_none": [0.2, 0.7], "probability_mild": [0.8, 0.3]}
    _write_predictions(tmp_path, participant_id=["a", "b"], part=["test"] * 2, label=labels, **scores)
    run = read_run(tmp_path)
    assert run.class_names == ["none", "mild"]
    np.testing.assert_array_equal(run.people().y, [1, 0])
    np.testing.assert_allclose(run.people().score, [[0.2, 0.8], [0.7, 0.3]])


def test_classes_whose_names_are_numbers_from_one(tmp_path) -> None:
    write_run(tmp_path, "multiclass")
    scores = {"probability_1": [0.2, 0.7], "probability_2": [0.8, 0.3]}
    _write_predictions(tmp_path, participant_id=["a", "b"], part=["test"] * 2, label=[2.0, 1.0], **scores)
    np.testing.assert_array_equal(read_run(tmp_path).people().y, [1, 0])


def test_labels_of_no_class(tmp_path) -> None:
    write_run(tmp_path, "multiclass")
    scores = {"probability_none": [0.2, 0.7], "probability_mild": [0.8, 0.3]}
    _write_predictions(tmp_path, participant_id=["a", "b"], part=["test"] * 2, label=["severe", "none"], **scores)
    with pytest.raises(RunError, match="names none of the predicted classes"):
        read_run(tmp_path).people()


def test_only_metrics_and_predictions_are_needed(tmp_path) -> None:
    write_run(tmp_path)
    for name in ("history.csv", "config.json", "data.json", "flags.txt"):
        (tmp_path / name).unlink()
    run = read_run(tmp_path)
    assert (run.history, run.config, run.data, run.flags) == ([], {}, {}, "")


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv"])
def test_missing_file(tmp_path, name: str) -> None:
    (write_run(tmp_path) / name).unlink()
    with pytest.raises(RunError, match=f"{name}: there is no such file"):
        read_run(tmp_path)


def test_damaged_files(tmp_path) -> None:
    write_run(tmp_path)
    (tmp_path / "metrics.json").write_text('{"task": "bin')
    with pytest.raises(RunError, match=r"metrics.json: not JSON"):
        read_run(tmp_path)
    (tmp_path / "metrics.json").write_text("[1]")
    with pytest.raises(RunError, match="JSON of a list"):
        read_run(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"task": "ranking", "test": {}}))
    with pytest.raises(RunError, match="task 'ranking'"):
        read_run(tmp_path)


def test_a_pretraining_is_named(tmp_path) -> None:
    write_run(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"task": "pretraining", "validation": {}}))
    with pytest.raises(RunError, match=r"run of pat-pretrain, which has learned no label.*pat-finetune --weights="):
        read_run(tmp_path)


def test_predictions_without_their_column(tmp_path) -> None:
    write_run(tmp_path)
    _write_predictions(tmp_path, participant_id=["a"], part=["test"], label=[1], score=[0.2])
    with pytest.raises(RunError, match="expected participant_id, window, part, label and probability"):
        read_run(tmp_path)
    (tmp_path / "predictions.csv").write_text('a,b\n1,2,3\n"')
    with pytest.raises(RunError, match="not a table in CSV"):
        read_run(tmp_path)


def test_part_without_rows(tmp_path) -> None:
    write_run(tmp_path)
    with pytest.raises(RunError, match="no row has the part 'holdout'"):
        read_run(tmp_path).people("holdout")
