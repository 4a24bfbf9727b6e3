"""A run directory: made whole or not at all, never over something else, read by the reader that reports use."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from pat_keras.checkpoints.store import save_state
from pat_keras.config import EncoderConfig
from pat_keras.data.cohort import Cohort
from pat_keras.errors import CheckpointError, RunError
from pat_keras.evaluation import run_writer
from pat_keras.evaluation.protocols import LabelledData, labelled_data, make_splits
from pat_keras.evaluation.run_folder import read_run
from pat_keras.evaluation.run_writer import Outcome, RunWriter
from pat_keras.evaluation.scoring import predictions_table, score_run
from pat_keras.models.classifier import PATClassifier
from tests.evaluation.run_files import write_run
from tests.small import small_cohort, small_config


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return labelled_data(small_cohort(), "label", small_config(), print)


def _writer(folder: pathlib.Path, data: LabelledData, *, resume: bool = False, **settings) -> RunWriter:
    config = small_config(**settings)
    return RunWriter(folder, config, data, make_splits(data, config), "--seed=0\n", resume)


def _outcome(data: LabelledData, split, seed: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    chance = {part: rng.random(len(getattr(split, part))) for part in ("validation", "test")}
    scores = {part: np.stack([1 - p, p], axis=1) for part, p in chance.items()}
    row = {"stage": "full", "epoch": 1, "loss": 0.7, "validation_loss": 0.6, "validation_auc": 0.5}
    rates = {"head_learning_rate": 5e-4, "encoder_learning_rate": 2e-5, "seconds": 1.5}
    return Outcome(scores, scores, [row | rates])


def test_the_beginning_of_a_run(data, tmp_path) -> None:
    folder = tmp_path / "deep" / "run"
    _writer(folder, data)
    assert {path.name for path in folder.iterdir()} == {"config.json", "data.json", "flags.txt", "learned_days.npz"}
    assert list(folder.parent.iterdir()) == [folder]
    config = json.loads((folder / "config.json").read_text())
    assert {name: config[name] for name in ("label", "seed", "weights")} == {"label": "label", "seed": 0, "weights": ""}
    assert {"pat_keras", "keras", "python", "backend"} <= set(config["versions"])
    account = json.loads((folder / "data.json").read_text())
    assert account["content_hash"] == data.cohort.content_hash()
    assert account["people_by_class"] == {"0": 14, "1": 10}
    assert (folder / "flags.txt").read_text() == "--seed=0\n"


def test_an_empty_folder_is_taken_and_a_full_one_left(data, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    _writer(empty, data)
    assert (empty / "config.json").is_file()
    with pytest.raises(RunError, match=r"not empty, .* nothing in it was changed"):
        _writer(empty, data)


def test_stopped_at_the_very_beginning_leaves_nothing(data, tmp_path, monkeypatch) -> None:
    """Not a folder with half of its files, which could neither be resumed nor written anew."""

    def stopped(path, text) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_writer, "write_json", stopped)
    with pytest.raises(KeyboardInterrupt):
        _writer(tmp_path / "run", data)
    assert not list(tmp_path.iterdir())


def test_resumes_the_same_run_alone(data, tmp_path) -> None:
    folder = tmp_path / "run"
    _writer(folder, data)
    _writer(folder, data, resume=True)
    with pytest.raises(RunError, match="the run has epochs 2, resuming was asked with 3"):
        _writer(folder, data, resume=True, epochs=3)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config)[:-20])
    with pytest.raises(RunError, match="no readable JSON"):
        _writer(folder, data, resume=True)


def test_resuming_with_other_test_people(data, tmp_path) -> None:
    """A list is a file: changed, it would test people whom the state has learned from."""
    ids, folder = np.unique(data.participant_id), tmp_path / "run"
    listed = {"split": "list", "test_people": str(tmp_path / "people.txt")}
    (tmp_path / "people.txt").write_text("\n".join(ids[::4]))
    _writer(folder, data, **listed)
    _writer(folder, data, resume=True, **listed)
    (tmp_path / "people.txt").write_text("\n".join(ids[1::4]))
    with pytest.raises(RunError, match="other people are in training, validation or test"):
        _writer(folder, data, resume=True, **listed)


def test_resuming_with_other_weights_of_the_same_name(data, tmp_path) -> None:
    """Later folds would start from them; a run of an earlier version, which did not keep the hash, is resumed."""
    weights, folder = tmp_path / "start.keras", tmp_path / "run"
    weights.write_bytes(b"1")
    _writer(folder, data, weights=str(weights))
    _writer(folder, data, resume=True, weights=str(weights))
    weights.write_bytes(b"2")
    with pytest.raises(RunError, match=r"start\.keras are another file than when the run was started"):
        _writer(folder, data, resume=True, weights=str(weights))
    config = json.loads((folder / "config.json").read_text())
    del config["weights_content"]
    (folder / "config.json").write_text(json.dumps(config))
    _writer(folder, data, resume=True, weights=str(weights))


def test_resuming_on_other_data(data, tmp_path) -> None:
    folder = tmp_path / "run"
    _writer(folder, data)
    activity = data.activity.copy()
    activity[0, 0] += 1
    other = labelled_data(Cohort(activity, data.cohort.table, data.cohort.metadata), "label", small_config(), print)
    with pytest.raises(RunError, match="other data"):
        _writer(folder, other, resume=True)


def test_a_split_is_finished_when_both_files_are_there(data, tmp_path) -> None:
    writer = _writer(tmp_path / "run", data)
    (split,) = make_splits(data, small_config())
    assert writer.finished(1) is None
    outcome, model = _outcome(data, split), PATClassifier(EncoderConfig.small())
    writer.finish_split(1, outcome, model)
    found, loaded = writer.finished(1)
    for part in ("validation", "test"):
        np.testing.assert_array_equal(found.predictions[part], outcome.predictions[part])
        np.testing.assert_array_equal(found.baseline[part], outcome.baseline[part])
    assert found.history == outcome.history
    for first, second in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    writer.model_path(1).unlink()
    with pytest.raises(CheckpointError, match=r"model\.keras: found no such file"):
        writer.finished(1)
    state = writer.checkpoints(1) / "outcome.npz"
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(RunError, match="damaged"):
        writer.finished(1)


def test_folds_have_places_of_their_own(data, tmp_path) -> None:
    writer = _writer(tmp_path / "run", data, split="kfold", folds=2)
    places = [str(writer.checkpoints(k).relative_to(writer.folder)) for k in (1, 2)]
    assert places == ["checkpoints/fold_1", "checkpoints/fold_2"]
    assert str(writer.model_path(2).relative_to(writer.folder)) == "models/fold_2.keras"
    save_state(writer.checkpoints(1) / "full.npz", {}, {})
    assert writer.finished(1) is None


def _keys(value: object, depth: int = 2) -> object:
    """The names in a JSON object, some levels deep; of a list, those of its first item."""
    if isinstance(value, list):
        return [_keys(value[0], depth)] if value and isinstance(value[0], dict) else "list"
    if not isinstance(value, dict) or depth == 0:
        return "value"
    return {name: _keys(item, depth - 1) for name, item in value.items() if name != "reasons"}


@pytest.mark.parametrize("folds", [1, 3])
def test_generated_runs_of_other_tests_look_like_real_ones(data, tmp_path, folds: int) -> None:
    """The files that the tests of the report are made with (`write_run`) hold what RunWriter writes."""
    kfold = {"split": "kfold", "folds": folds} if folds > 1 else {}
    config = small_config(baseline=True, **kfold)
    parts = make_splits(data, config)
    writer = RunWriter(tmp_path / "real", config, data, parts, "--seed=0\n", False)
    outcomes = [_outcome(data, split, seed) for seed, split in enumerate(parts)]
    tables = [
        predictions_table(data, split, number, outcome.predictions, "binary")
        for number, (split, outcome) in enumerate(zip(parts, outcomes, strict=True), 1)
    ]
    metrics = score_run(data, parts, [o.predictions for o in outcomes], [o.baseline for o in outcomes], config)
    history = [{"fold": number, **row} for number, o in enumerate(outcomes, 1) for row in o.history]
    writer.finish(metrics, pl.concat(tables), history)
    (tmp_path / "generated").mkdir()
    real, generated = read_run(writer.folder), read_run(write_run(tmp_path / "generated", folds=folds))
    assert sorted(real.predictions.schema) == sorted(generated.predictions.schema)
    assert set(real.history[0]) == set(generated.history[0])
    assert set(generated.data) <= set(real.data)
    assert _keys(real.data["parts"]) == _keys(generated.data["parts"])
    assert _keys(real.metrics.get("folds")) == _keys(generated.metrics.get("folds"))
    for part in ("test", "validation", "baseline", "difference"):
        assert (part in real.metrics) == (part in generated.metrics)
        shared = set(generated.metrics.get(part, {})) - {"threshold", "thresholds"}
        assert shared == set(real.metrics.get(part, {})) - {"threshold", "thresholds"}
    assert set(generated.metrics) <= set(real.metrics)
