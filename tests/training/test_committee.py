"""--committee: who stops which member, what is predicted of whom, and a training that was killed in between."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import pat_keras as pat
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.split_parts import committee_splits
from pat_keras.data.splits import Split, holdout
from pat_keras.errors import CheckpointError, CohortError, ConfigError, LabelError
from pat_keras.evaluation.embed_sources import Source
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.explanation_run import ExplainSettings, explain
from pat_keras.evaluation.predict import predict
from pat_keras.evaluation.search_space import read_space
from pat_keras.models.committee import Committee, predictors_in
from pat_keras.training.finetune import Fitted, train_split
from tests.small import small_config
from tests.training.stopping import StopError, StopsAfter
from tests.training.test_loop import _untimed


def _fit(cohort: Cohort, split: Split, *, folder=None, watcher=None, **changes) -> Fitted:
    y, config = cohort.label("label"), small_config(**changes)
    return train_split(cohort.activity, y, cohort.participant_id, split, config, folder, watcher)


@pytest.fixture(scope="module")
def two(cohort, split) -> Fitted:
    return _fit(cohort, split, committee=2)


# --- who ---


def _people(n: int, windows: int = 2) -> tuple[np.ndarray, np.ndarray, Split]:
    ids = np.repeat([f"p{k:03d}" for k in range(n)], windows)
    y = np.repeat(np.arange(n) % 4 == 0, windows).astype(float)
    return ids, y, holdout(ids, y, validation_fraction=0.2, test_fraction=0.25, seed=1, task="binary")


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_other_people_stop_each_member(count: int) -> None:
    ids, y, split = _people(80)
    parts = committee_splits(split, ids, y, count, seed=0, task="binary")
    assert len(parts) == count and parts[0] is split
    learned = set(ids[split.train]) | set(ids[split.validation])
    stopped: list[str] = []
    for part in parts:
        np.testing.assert_array_equal(part.test, split.test)
        validation = set(ids[part.validation])
        assert validation | set(ids[part.train]) == learned
        assert not validation & set(ids[part.train])
        assert 0.1 < y[part.validation].mean() < 0.5  # each has people of both classes, about as many as there are
        stopped += sorted(validation)
    assert len(stopped) == len(set(stopped))  # nobody stops two
    if count == 5:  # a fifth each, so everybody stops one
        assert set(stopped) == learned


def test_the_order_of_rows_decides_nothing() -> None:
    ids, y, split = _people(40, windows=1)
    order = np.random.default_rng(0).permutation(len(ids))
    place = np.argsort(order)
    moved = Split(place[split.train], place[split.validation], place[split.test], split.name)
    found = [
        [sorted(i[part.validation]) for part in committee_splits(own, i, z, 4, seed=3)]
        for i, z, own in ((ids, y, split), (ids[order], y[order], moved))
    ]
    assert found[0] == found[1]


def test_too_few_of_a_class() -> None:
    ids, y, split = _people(24, windows=1)
    with pytest.raises(LabelError, match=r"committee of 9 needs 8 groups.*Ask for a smaller committee"):
        committee_splits(split, ids, y, 9, seed=0, task="binary")


# --- training ---


def test_the_first_member_is_the_model_alone(cohort, split, two) -> None:
    alone = _fit(cohort, split)
    assert isinstance(two.model, Committee)
    for own, other in zip(alone.model.get_weights(), two.model.members[0].get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    # Validation people are predicted by the member that did not learn from them.
    np.testing.assert_array_equal(two.predictions["validation"], alone.predictions["validation"])
    assert _untimed(two.history[:2]) == [{"member": 1, **row} for row in _untimed(alone.history)]


def test_members_differ_and_their_probabilities_are_averaged(cohort, split, two) -> None:
    assert [row["member"] for row in two.history] == [1, 1, 2, 2]
    each = np.stack([member.predict_proba(cohort.activity[split.test]) for member in two.model.members])
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(two.predictions["test"], each.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("epochs", [2, 3])
def test_killed_between_members_or_within_the_second(cohort, split, two, tmp_path, epochs: int) -> None:
    with pytest.raises(StopError):
        _fit(cohort, split, committee=2, folder=tmp_path, watcher=StopsAfter(epochs=epochs))
    resumed = _fit(cohort, split, committee=2, folder=tmp_path)
    for own, other in zip(two.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(two.predictions["test"], resumed.predictions["test"])


# --- a run ---


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory) -> Result:
    out = tmp_path_factory.mktemp("runs") / "committee"
    config = small_config(committee=2, baseline=True, epochs=1, test_fraction=0.3, validation_fraction=0.3)
    return finetune(cohort, "label", config, out=out)


def test_a_run_is_read_as_any_other(cohort, run) -> None:
    assert len(predictors_in(pat.load_model(run.folder / "model.keras"))) == 2
    with pytest.warns(UserWarning, match="the data that the run was trained on"):
        found = predict(run.folder, cohort).windows
    tested = run.predictions.filter(pl.col("part") == "test").select("participant_id", "window", "probability")
    both = tested.join(found, on=["participant_id", "window"])
    assert len(both) == len(tested)
    np.testing.assert_allclose(both["probability"], both["probability_right"], rtol=1e-4)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "2 models, each stopped by other people" in page
    assert "2 of all members" in page and "of 2 members of a committee" in page
    assert "Of the committee they are the first member&#x27;s." in page


def test_explanations_are_of_all_members(cohort, run) -> None:
    settings = ExplainSettings(methods=("attention", "input_x_gradient"), draws=2)
    found = explain(run.folder, cohort, "random:2", settings)
    own = found.windows.join(run.predictions.drop("label"), on=["participant_id", "window"])
    np.testing.assert_allclose(own["probability"], own["probability_right"], rtol=1e-3)


def test_embeddings_of_several_encoders_mean_nothing(run) -> None:
    with pytest.raises(CheckpointError, match="found a committee of 2 models"):
        Source.of(run.folder)


# --- settings ---


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"committee is 2.*standardize is 'paper'"):
        small_config(committee=2, standardize="paper")
    with pytest.raises(ConfigError, match="committee is 0"):
        small_config(committee=0)
    with pytest.raises(ConfigError, match="committee says what is measured or how"):
        read_space(["committee=int:1:5"], FinetuneConfig())


def test_too_few_people_are_told_before_anything_is_written(cohort, tmp_path) -> None:
    for count, error in ((8, LabelError), (30, CohortError)):
        with pytest.raises(error, match=f"holdout: a committee of {count} needs {count - 1} groups"):
            finetune(cohort, "label", small_config(committee=count), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
