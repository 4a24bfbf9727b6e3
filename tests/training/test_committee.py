"""--committee: who stops which member, what is predicted of whom, and a training that was killed in between."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import polars as pl
import pytest

import pat_keras as pat
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.split_parts import committee_splits
from pat_keras.data.splits import Split, holdout
from pat_keras.errors import CheckpointError, CohortError, ConfigError, LabelError
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Source, plan_cells
from pat_keras.evaluation.embed_sources import Source as Encoder
from pat_keras.evaluation.ensemble import PATEnsemble
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.explained_people import choose_people
from pat_keras.evaluation.explanation_run import ExplainSettings, explain
from pat_keras.evaluation.export import export_run
from pat_keras.evaluation.predict import predict
from pat_keras.evaluation.run_folder import read_run
from pat_keras.evaluation.search_space import read_space
from pat_keras.models.committee import Committee, predictors_in
from pat_keras.training import finetune as training
from pat_keras.training.finetune import Fitted, train_split
from tests.evaluation.benchmark.generate import FAST, write_benchmark
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
    with pytest.raises(LabelError, match=r"committee of 9 .* dealt into 8 parts.*Ask for a smaller committee"):
        committee_splits(split, ids, y, 9, seed=0, task="binary")


def test_few_of_a_class_are_enough_for_a_small_committee() -> None:
    """With so small a validation part, training people could be dealt into 19 more, were there 19 of each class."""
    ids = np.array([f"p{k:03d}" for k in range(200)])
    y = (np.arange(200) % 20 == 0).astype(float)
    split = holdout(ids, y, validation_fraction=0.05, test_fraction=0.2, seed=0, task="binary")
    rare = int(y[split.train].sum())
    assert rare < 19
    parts = committee_splits(split, ids, y, 5, seed=0, task="binary")
    assert [bool(y[part.validation].sum()) for part in parts] == [True] * 5
    assert len(parts[1].validation) == pytest.approx(len(split.train) / rare, abs=1)


def test_who_shares_a_recording_stops_and_learns_together() -> None:
    ids, y, split = _people(80, windows=1)
    group = np.arange(80) // 2  # two by two, of whom one may be in another part of the split
    inside = np.isin(np.arange(80), split.train)
    for part in committee_splits(split, ids, y, 3, seed=0, task="binary", group=group)[1:]:
        stopping = set(group[part.validation])
        assert stopping and not stopping & set(group[part.train][inside[part.train]])


def test_groups_reach_the_training(cohort, monkeypatch) -> None:
    seen: list[np.ndarray] = []

    def note(split, ids, y, count, seed, task, group):
        seen.append(group)
        return committee_splits(split, ids, y, count, seed, task, group)

    monkeypatch.setattr(training, "committee_splits", note)
    columns = {"same_recording_group": np.repeat(np.arange(len(cohort.activity) // 4), 4)}
    shared = cohort.with_columns(*(pl.Series(name, values) for name, values in columns.items()))
    finetune(
        shared, "label", small_config(committee=2, epochs=1, model="cnn1d", encoder_learning_rate=None), report_people=0
    )
    assert len(np.unique(seen[0])) < len(np.unique(cohort.participant_id))


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


def test_killed_between_members_or_within_the_second(cohort, split, tmp_path) -> None:
    settings: dict[str, Any] = {"committee": 2, "model": "cnn1d", "encoder_learning_rate": None}
    whole = _fit(cohort, split, **settings)
    for epochs in (2, 3):
        folder = tmp_path / f"{epochs}"
        with pytest.raises(StopError):
            _fit(cohort, split, folder=folder, watcher=StopsAfter(epochs=epochs), **settings)
        resumed = _fit(cohort, split, folder=folder, **settings)
        for own, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
            np.testing.assert_array_equal(own, other)
        np.testing.assert_array_equal(whole.predictions["test"], resumed.predictions["test"])


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
    assert "2 models, each stopped by other people, their predictions averaged" in page
    assert "2 of all members" in page and "of 2 members of a committee" in page
    assert "Of the committee they are the first member&#x27;s." in page


def test_explanations_are_of_all_members(cohort, run) -> None:
    settings = ExplainSettings(methods=("attention", "input_x_gradient"), draws=2)
    found = explain(run.folder, cohort, "random:2", settings)
    own = found.windows.join(run.predictions.drop("label"), on=["participant_id", "window"])
    np.testing.assert_allclose(own["probability"], own["probability_right"], rtol=1e-3)


def test_validation_people_taught_the_other_members(cohort, run) -> None:
    parts = run.predictions.filter(pl.col("part") == "validation")["participant_id"].unique().to_list()
    chosen = choose_people(read_run(run.folder), cohort, ",".join(parts))
    assert set(chosen.held_out) == {""}
    assert "Of the committee they stopped the first member alone" in (run.folder / "report.html").read_text("utf-8")


def test_what_they_say_of_the_first_member_weighs_no_committee(run) -> None:
    with pytest.raises(ConfigError, match="is a committee of 2, whose first member alone"):
        PATEnsemble.from_runs([run.folder], "stack")
    assert len(PATEnsemble.from_runs([run.folder]).models) == 1


def test_half_precision_is_exported(cohort, tmp_path) -> None:
    config = small_config(committee=2, epochs=1, precision="mixed_bfloat16", test_fraction=0.3)
    if keras.backend.backend() != "tensorflow":
        pytest.skip("models are exported under TensorFlow")
    finetune(cohort, "label", config, out=tmp_path / "run", report_people=0)
    card = export_run(tmp_path / "run", tmp_path / "out", file_format="saved_model")
    assert card["check"]["largest_difference"] < 1e-5


def test_an_estimator_that_leaves_missing_minutes_out(cohort) -> None:
    x = cohort.activity.copy()
    x[::3, 200:400] = np.nan
    estimator = pat.PATClassifierEstimator(epochs=1, batch_size=8, missing="mask", settings={"committee": 2})
    found = estimator.fit(x, cohort.label("label"), groups=cohort.participant_id).predict_proba(x)
    assert found.shape == (len(x), 2) and np.isfinite(found).all()


def test_a_benchmark_knows_before_it_computes(cohort, tmp_path) -> None:
    text = FAST.replace('model = "cnn1d"', 'model = "cnn1d", committee = 12')
    with pytest.raises(CohortError, match=r"for a committee of 12 .* into 11 parts"):
        plan_cells(BenchmarkConfig.read(write_benchmark(tmp_path, text, cohort)), Source())


def test_embeddings_of_several_encoders_mean_nothing(run) -> None:
    with pytest.raises(CheckpointError, match="found a committee of 2 models"):
        Encoder.of(run.folder)


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
        with pytest.raises(error, match=f"holdout: for a committee of {count} .* into {count - 1} parts"):
            finetune(cohort, "label", small_config(committee=count), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
