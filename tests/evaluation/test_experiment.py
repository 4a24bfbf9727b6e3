"""A whole experiment on people who do not exist: who is in it, who is scored by whom, and what is written."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import polars as pl
import pytest
import sklearn.metrics

from pat_keras.data.cohort import Cohort
from pat_keras.data.simulate import simulate_cohort
from pat_keras.data.splits import Split
from pat_keras.errors import CohortError, ConfigError, LabelError, PATError, RunError
from pat_keras.evaluation.baseline import fit_baseline
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.protocols import labelled_data, make_splits
from pat_keras.evaluation.run_folder import read_run
from pat_keras.evaluation.sealing import TrainingData, seal
from pat_keras.models.baselines import FeatureBaseline
from tests.small import small_cohort, small_config

_SCORES = ("auc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "brier", "f1", "mcc")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort()


@pytest.fixture(scope="module")
def holdout(cohort, tmp_path_factory) -> Result:
    """Two windows a person, beside the baseline, written to a folder."""
    out = tmp_path_factory.mktemp("runs") / "holdout"
    config = small_config(baseline=True, test_fraction=0.3, validation_fraction=0.3)
    return finetune(cohort, "label", config, out=out, flags="--seed=0\n")


@pytest.fixture(scope="module")
def kfold(cohort, tmp_path_factory) -> Result:
    out = tmp_path_factory.mktemp("runs") / "kfold"
    config = small_config(baseline=True, epochs=1, split="kfold", folds=3, validation_fraction=0.3)
    return finetune(cohort, "label", config, out=out)


def _people(predictions: pl.DataFrame, part: str) -> pl.DataFrame:
    """One row a person, computed here anew."""
    rows = predictions.filter(pl.col("part") == part)
    return rows.group_by("participant_id").agg(pl.col("label").first(), pl.col("probability").mean()).sort(pl.first())


# --- scores ---


def test_scores_are_by_participant(holdout) -> None:
    people = _people(holdout.predictions, "test")
    test = holdout.metrics["test"]
    assert test["n"] == len(people) == 7
    assert test["n_positive"] == people["label"].sum()
    y, p = people["label"].to_numpy(), people["probability"].to_numpy()
    assert test["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p))
    assert test["brier"] == pytest.approx(np.mean((p - y) ** 2))
    predicted = p >= test["threshold"]
    assert test["sensitivity"] == pytest.approx(predicted[y == 1].mean())
    assert test["specificity"] == pytest.approx(1 - predicted[y == 0].mean())


def test_the_threshold_is_that_of_validation_people(holdout) -> None:
    people = _people(holdout.predictions, "validation")
    y, p = people["label"].to_numpy(), people["probability"].to_numpy()
    threshold = holdout.metrics["test"]["threshold"]
    assert holdout.metrics["validation"]["threshold"] == threshold

    def youden(cut: float) -> float:
        return (p >= cut)[y == 1].mean() - (p >= cut)[y == 0].mean()

    assert youden(threshold) == pytest.approx(max(youden(cut) for cut in p))


def test_metrics_json_has_everything(holdout) -> None:
    written = json.loads((holdout.folder / "metrics.json").read_text())
    assert written == json.loads(json.dumps(holdout.metrics))
    parts = {"test", "validation", "baseline", "difference"}
    assert set(written) == {"task", "label", "synthetic", "split", "seen_in_pretraining", *parts}
    assert (written["task"], written["label"], written["synthetic"]) == ("binary", "label", True)
    for part in ("test", "validation", "baseline"):
        assert {f"{name}{end}" for name in _SCORES for end in ("", "_low", "_high")} <= set(written[part])
    assert written["test"]["interval"]["level"] == 0.95
    assert written["baseline"]["name"].startswith("logistic regression")
    difference = written["test"]["auc"] - written["baseline"]["auc"]
    assert written["difference"]["auc"] == pytest.approx(difference)


def test_models_give_the_predictions_of_raw_minutes(cohort, holdout) -> None:
    rows = holdout.predictions.filter(pl.col("part") == "test")
    place = {
        (name, window): i
        for i, (name, window) in enumerate(cohort.table.select(pl.col("participant_id", "window")).rows())
    }
    windows = [place[key] for key in rows.select("participant_id", "window").rows()]
    expected = holdout.models[0].predict_proba(cohort.activity[windows])[:, 1]
    np.testing.assert_allclose(rows["probability"].to_numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(rows["label"].to_numpy(), cohort.label("label")[windows])


# --- who is where ---


def test_nobody_is_in_two_parts(cohort, holdout) -> None:
    people = {
        part: set(holdout.predictions.filter(pl.col("part") == part)["participant_id"])
        for part in ("validation", "test")
    }
    assert not people["validation"] & people["test"]
    counts = json.loads((holdout.folder / "data.json").read_text())["parts"][0]
    assert sum(counts[part]["people"] for part in ("train", "validation", "test")) == cohort.n_people
    assert sum(counts[part]["windows"] for part in ("train", "validation", "test")) == cohort.n_windows
    for part, names in people.items():
        assert counts[part]["people"] == len(names)
        assert counts[part]["windows"] == 2 * len(names)
        assert sum(counts[part]["people_by_class"].values()) == len(names)


def test_folds_test_everybody_once(cohort, kfold) -> None:
    tested = kfold.predictions.filter(pl.col("part") == "test")
    assert sorted(tested["participant_id"]) == sorted(cohort.participant_id)
    assert len(kfold.models) == 3
    for fold in (1, 2, 3):
        own = kfold.predictions.filter(pl.col("fold") == fold)
        held = {part: set(own.filter(pl.col("part") == part)["participant_id"]) for part in ("validation", "test")}
        assert not held["validation"] & held["test"]
    folds = kfold.metrics["folds"]
    assert [fold["fold"] for fold in folds] == [1, 2, 3]
    assert sum(fold["n"] for fold in folds) == kfold.metrics["test"]["n"] == cohort.n_people
    assert "validation" not in kfold.metrics
    assert {row["fold"] for row in kfold.history} == {1, 2, 3}
    for fold in folds:
        own = _people(kfold.predictions.filter(pl.col("fold") == fold["fold"]), "test")
        expected = sklearn.metrics.roc_auc_score(own["label"].to_numpy(), own["probability"].to_numpy())
        assert fold["auc"] == pytest.approx(expected)


def test_each_fold_has_its_own_threshold(kfold) -> None:
    """Pooled sensitivity counts each person at the threshold of the fold that tested them."""
    thresholds = {fold["fold"]: fold["threshold"] for fold in kfold.metrics["folds"]}
    tested = kfold.predictions.filter(pl.col("part") == "test").group_by("participant_id", "fold")
    people = tested.agg(pl.col("label").first(), pl.col("probability").mean()).filter(pl.col("label") == 1)
    found = [p >= thresholds[fold] for p, fold in people.select("probability", "fold").rows()]
    assert kfold.metrics["test"]["sensitivity"] == pytest.approx(np.mean(found))


def test_given_split_and_windows_without_label(cohort) -> None:
    part = (
        pl.col("participant_id")
        .rank("dense")
        .cast(pl.Int64)
        .replace_strict({rank: ("train", "validation", "test")[rank % 3] for rank in range(1, 25)})
    )
    unknown = pl.when(pl.int_range(pl.len()) < 2).then(None).otherwise(pl.col("label")).alias("label")
    given = cohort.with_columns(part.alias("split"), unknown)
    result = finetune(given, "label", small_config(split="column", epochs=1))
    tested = result.predictions.filter(pl.col("part") == "test")
    expected = given.table.filter((pl.col("split") == "test") & pl.col("label").is_not_null())["participant_id"]
    assert sorted(tested["participant_id"]) == sorted(expected)
    data = labelled_data(given, "label", small_config(split="column"), print)
    assert (data.account["people_without_label"], data.account["people"]) == (1, 23)


def test_order_of_rows_does_not_matter(cohort, holdout) -> None:
    shuffled = cohort.select(np.random.default_rng(0).permutation(cohort.n_windows))
    config = small_config(test_fraction=0.3, validation_fraction=0.3)
    result = finetune(shuffled, "label", config)
    np.testing.assert_array_equal(result.predictions.to_numpy(), holdout.predictions.to_numpy())


# --- tasks ---


def test_classes_keep_their_own_names(cohort) -> None:
    named = cohort.with_columns((pl.col("level") * 10 - 10).alias("level"))  # -10, 0, 10
    result = finetune(named, "level", small_config(task="multiclass", epochs=1, baseline=True))
    names = [name for name in result.predictions.columns if name.startswith("probability")]
    assert names == ["probability_-10", "probability_0", "probability_10"]
    assert set(result.predictions["label"]) == {-10.0, 0.0, 10.0}
    assert len(result.metrics["test"]["confusion"]) == 3
    assert "average_precision" not in result.metrics["test"]


def test_classes_of_many_digits_keep_them(tmp_path) -> None:
    people = small_cohort(30, windows=1).with_columns(pl.col("level") + 1000001)
    config = small_config(epochs=1, task="multiclass", validation_fraction=0.3, subgroups=("level",))
    result = finetune(people, "level", config, out=tmp_path / "run")
    names = ["1000001", "1000002", "1000003"]
    assert result.predictions.columns[-3:] == [f"probability_{name}" for name in names]
    assert [group["group"] for group in result.metrics["subgroups"]["level"]] == names
    run = read_run(tmp_path / "run")
    test = result.predictions.filter(pl.col("part") == "test").sort("participant_id")
    assert run.people().y.tolist() == (test["label"] - 1000001).to_list()
    assert "1000002" in (tmp_path / "run" / "report.html").read_text()
    assert list(run.data["people_by_class"]) == names


def test_regression(cohort, tmp_path) -> None:
    result = finetune(cohort, "score", small_config(task="regression", epochs=1, baseline=True), out=tmp_path / "run")
    rows = result.predictions.filter(pl.col("part") == "test")
    people = rows.group_by("participant_id").agg(pl.col("label").first(), pl.col("prediction").mean())
    error = (people["label"] - people["prediction"]).abs().mean()
    assert result.metrics["test"]["mae"] == pytest.approx(error)
    assert 40 < people["label"].mean() < 70  # not standardised
    assert result.metrics["baseline"]["name"].startswith("ridge")
    assert (tmp_path / "run" / "report.html").is_file()
    assert not (tmp_path / "run" / "roc.png").exists()


# --- scaling ---


def test_fixed_scaling_is_seen_and_undone(cohort) -> None:
    scaled = Cohort((cohort.activity - 2.5) / 2.0, cohort.table, cohort.metadata)
    said: list[str] = []
    raw = labelled_data(cohort, "label", small_config(), said.append)
    assert said == []
    assert raw.account["scaling_finding"] is None
    labelled_data(scaled, "label", small_config(), said.append)
    assert len(said) == 1
    assert "--repair_fixed_scaling=2.5,2 undoes it" in said[0]
    repaired = labelled_data(scaled, "label", small_config(repair_fixed_scaling=(2.5, 2.0)), said.append)
    assert len(said) == 1
    # The arrays that training is given are the same, so that all results are.
    np.testing.assert_array_equal(repaired.activity, raw.activity)
    assert labelled_data(scaled, "label", small_config(standardize="none"), said.append) and len(said) == 2
    with pytest.raises(CohortError, match="were not scaled with this mean"):
        labelled_data(cohort, "label", small_config(repair_fixed_scaling=(2.5, 2.0)), said.append)


def test_standardised_data_may_be_taken_as_they_are(cohort) -> None:
    centred = (cohort.activity - cohort.activity.mean(axis=1, keepdims=True)) / cohort.activity.std(
        axis=1, keepdims=True
    )
    scaled = Cohort(centred, cohort.table, cohort.metadata)
    said: list[str] = []
    labelled_data(scaled, "label", small_config(), said.append)
    labelled_data(scaled, "label", small_config(standardize="none"), said.append)
    assert len(said) == 1
    assert "already standardised per_recording" in said[0]


# --- what can't be used ---


_ROW = pl.int_range(pl.len())


def _part(validation: pl.Expr, test: pl.Expr) -> pl.Expr:
    return pl.when(validation).then(pl.lit("validation")).when(test).then(pl.lit("test")).otherwise(pl.lit("train"))


@pytest.mark.parametrize(
    ("columns", "settings", "error", "words"),
    [
        ({"label": pl.lit(1)}, {}, LabelError, "all labelled people have the value 1, expected two classes"),
        ({"label": pl.lit(None, dtype=pl.Float64)}, {}, LabelError, "missing in all 48 windows"),
        ({"label": pl.col("label") + 1}, {}, LabelError, "found the values 1, 2, expected 0 and 1"),
        ({"label": pl.col("label") + 0.5}, {"task": "multiclass"}, LabelError, "expected at most 50 whole numbers"),
        ({"label": pl.lit(3.0)}, {"task": "regression"}, LabelError, "all values are 3"),
        ({"label": _ROW % 2}, {}, LabelError, "24 of 24 participants .* windows with different labels"),
        ({"label": (_ROW < 4).cast(pl.Int32)}, {}, LabelError, "22 people with 0, 2 people with 1"),
        ({"split": pl.lit("train")}, {"split": "column"}, CohortError, "nobody is in validation"),
        ({"split": pl.lit("training")}, {"split": "column"}, CohortError, "the values 'training', expected train"),
        ({}, {"split": "column"}, CohortError, "found no column 'split', expected one of the cohort's: label, level"),
        (
            {"split": _part(validation=pl.lit(False), test=_ROW % 2 == 1)},
            {"split": "column"},
            CohortError,
            "24 people are in both train and test",
        ),
        (
            {"split": _part(validation=_ROW < 2, test=(_ROW >= 2) & (_ROW < 24))},
            {"split": "column"},
            LabelError,
            "validation has .* expected at least 1 of each",
        ),
        ({}, {"split": "kfold", "folds": 20}, LabelError, "expected at least 20 people of each class"),
        ({}, {"split": "kfold", "folds": 25}, CohortError, "25 folds of 24 people"),
    ],
)  # fmt: skip
def test_labels_and_splits_that_cannot_be_used(cohort, tmp_path, columns, settings, error, words) -> None:
    out = tmp_path / "run"
    with pytest.raises(error, match=words):
        finetune(cohort.with_columns(**columns), "label", small_config(**settings), out=out)
    assert not list(tmp_path.iterdir())


def test_other_data_that_cannot_be_used(cohort, tmp_path) -> None:
    gap = cohort.activity.copy()
    gap[3, 5:8] = np.nan
    cut = Cohort(cohort.activity[:, :1430], cohort.table, cohort.metadata)
    cases: list[tuple[Cohort, str, type[PATError], str]] = [
        (Cohort(gap, cohort.table, cohort.metadata), "label", CohortError, r"1 of 48 .* missing minutes \(3 in all\)"),
        (cut, "label", ConfigError, "1430 minutes, which is not a multiple of the 18"),
        (cohort, "mood", LabelError, "there is no label 'mood'; the labels and covariates are: label, level, score"),
    ]
    for data, label, error, words in cases:
        with pytest.raises(error, match=words):
            finetune(data, label, small_config(), out=tmp_path / "run")
    with pytest.raises(CohortError, match=r"found 'mine.parquet'; expected a Cohort. .*Cohort.read\(path\)"):
        finetune("mine.parquet", "label", small_config())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_baseline_needs_two_training_people_of_a_class(cohort) -> None:
    lone = cohort.with_columns(label=(_ROW < 6).cast(pl.Int32))  # three people of class 1: one for each part
    with pytest.raises(LabelError, match=r"train has .* 1 of class 1; expected at least 2 .*--nobaseline"):
        make_splits(labelled_data(lone, "label", small_config(), print), small_config(baseline=True))
    make_splits(labelled_data(lone, "label", small_config(), print), small_config())


# --- the folder ---


def test_a_finished_run_is_taken_up_unchanged(cohort, holdout) -> None:
    def content(folder: pathlib.Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".png"}

    before = content(holdout.folder)
    config = small_config(baseline=True, test_fraction=0.3, validation_fraction=0.3)
    again = finetune(cohort, "label", config, out=holdout.folder, resume=True)
    assert again.metrics == holdout.metrics
    assert again.predictions.equals(holdout.predictions)
    assert content(holdout.folder) == before
    for first, second in zip(again.models[0].get_weights(), holdout.models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_run_resumes_with_its_own_data_and_config_alone(cohort, holdout) -> None:
    config = small_config(baseline=True, test_fraction=0.3, validation_fraction=0.3)
    with pytest.raises(RunError, match="has seed 0, resuming was asked with 1"):
        finetune(cohort, "label", small_config(seed=1, baseline=True, test_fraction=0.3, validation_fraction=0.3),
                 out=holdout.folder, resume=True)  # fmt: skip
    other = cohort.with_columns(age2=pl.lit(1.0))
    with pytest.raises(RunError, match="other data"):
        finetune(other, "label", config, out=holdout.folder, resume=True)
    with pytest.raises(RunError, match="no run to resume"):
        finetune(cohort, "label", config, out=holdout.folder / "nothing", resume=True)


def test_reader_and_report_understand_the_run(holdout, kfold) -> None:
    for result in (holdout, kfold):
        run = read_run(result.folder)
        assert run.synthetic
        assert run.predictions.equals(result.predictions)
        assert len(run.people("test").y) == result.metrics["test"]["n"]
        assert [row["epoch"] for row in run.history] == [row["epoch"] for row in result.history]
        page = (result.folder / "report.html").read_text()
        assert "Synthetic data" in page
        assert f"{result.metrics['test']['auc']:.3f}" in page
        assert "Who was used for what" in page
        assert (result.folder / "roc.png").is_file()
    page = (kfold.folder / "report.html").read_text()
    assert "Test people of each fold" in page
    for fold in kfold.metrics["folds"]:
        assert f"{fold['auc']:.3f}" in page


def test_files_of_the_folder(holdout, kfold) -> None:
    def names(folder: pathlib.Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    common = {"config.json", "data.json", "history.csv", "individuals.npz", "metrics.json", "predictions.csv"}
    common |= {"learned_days.npz", "report.html", "roc.png"}
    states = {"checkpoints/full.npz", "checkpoints/outcome.npz"}
    assert names(holdout.folder) == common | states | {"flags.txt", "model.keras"}
    folds = {f"checkpoints/fold_{k}/{name}.npz" for k in (1, 2, 3) for name in ("full", "outcome")}
    assert names(kfold.folder) == common | folds | {f"models/fold_{k}.keras" for k in (1, 2, 3)}


@pytest.mark.parametrize("recalibration", ["none", "prior", "platt"])
def test_probabilities_of_baselines_mean_what_those_of_networks_do(recalibration: str) -> None:
    people = simulate_cohort(n_people=1200, days=1, effect=1.0)
    rare = (pl.col("label") == 0) | (pl.int_range(pl.len()) < 300)
    config = small_config(recalibration=recalibration, validation_fraction=0.3, test_fraction=0.3)
    data = labelled_data(people.filter(rare), "label", config, pytest.fail)
    share = data.y.mean()
    assert 0.1 < share < 0.2
    (sealed,) = seal(data, make_splits(data, config))
    predict = fit_baseline(FeatureBaseline(), sealed.training(), config)
    held = sealed.open()
    p = predict(held.activity)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    expected_over_observed = p[:, 1].sum() / held.y.sum()
    assert (expected_over_observed > 1.5) == (recalibration == "none")
    assert recalibration == "none" or 0.75 < expected_over_observed < 1.33


def test_a_person_with_many_windows_weighs_no_more_in_the_fit_of_a_baselines_probabilities() -> None:
    people = simulate_cohort(n_people=60, days=1, effect=2.0)
    ids, y = people.participant_id, people.label("label")
    train, held = np.arange(40), np.arange(40, 60)
    often = np.concatenate([held, np.repeat(held[:1], 9)])
    config, found = small_config(recalibration="platt"), []
    for validation in (held, often):
        rows = np.concatenate([train, validation])
        split = Split(train, np.arange(40, len(rows)), np.array([]), "given")
        known = TrainingData(people.activity[rows], y[rows], ids[rows], split)
        found.append(fit_baseline(FeatureBaseline(), known, config)(people.activity)[:, 1])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


# --- weights that saw who is tested ---


def test_tells_of_people_whom_pretraining_saw(cohort, tmp_path) -> None:
    said: list[str] = []
    survey = Cohort(cohort.activity, cohort.table, {**cohort.metadata, "source": "NHANES 2005-2006"})
    config = small_config(epochs=1, weights="pat_small_nhanes2005", folds=7)
    result = finetune(survey, "label", config, out=tmp_path / "run", say=said.append)
    tested = _people(result.predictions, "test").height
    assert result.metrics["seen_in_pretraining"] == tested > 0
    assert f"{tested} of {tested} test people were in the pretraining of pat_small_nhanes2005" in " ".join(said)
    assert "folds is 7, which has no effect: split is 'holdout', not kfold." in said
    assert "Not held out from pretraining" in (tmp_path / "run" / "report.html").read_text()


def test_nothing_is_told_of_weights_that_saw_nobody(holdout) -> None:
    assert holdout.metrics["seen_in_pretraining"] == 0
    assert "Not held out from pretraining" not in (holdout.folder / "report.html").read_text()
