"""A run that learns the score behind its label: what is scored, what may be seen, and what it is worth."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from pat_keras.apps.finetune import define_flags
from pat_keras.apps.flags import finetune_config
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split
from pat_keras.errors import ConfigError, LabelError
from pat_keras.evaluation.baseline import fit_baseline
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Source, plan_cells
from pat_keras.evaluation.ensemble_run import combine_runs
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.protocols import labelled_data
from pat_keras.evaluation.sealing import TrainingData
from pat_keras.models.baselines import FeatureBaseline
from pat_keras.training.finetune import train_split
from tests.small import small_cohort, small_config


def of_score(**changes: Any) -> FinetuneConfig:
    return small_config(**{"learn_score": "score", "recalibration": "platt", **changes})


def run(cohort: Cohort, said: list[str] | None = None, **changes: Any) -> Result:
    return finetune(cohort, "label", of_score(**changes), say=pytest.fail if said is None else said.append)


def with_score(cohort: Cohort, score: np.ndarray | pl.Expr) -> Cohort:
    return cohort.with_columns(pl.Series("score", score) if isinstance(score, np.ndarray) else score.alias("score"))


def probabilities(result: Result) -> np.ndarray:
    return result.predictions.filter(pl.col("part") == "test")["probability"].to_numpy()


def test_the_label_is_scored_and_the_score_is_learned(tmp_path: pathlib.Path) -> None:
    cohort = small_cohort(30)
    result = finetune(cohort, "label", of_score(baseline=True), out=tmp_path / "run", say=pytest.fail)
    assert result.metrics["task"] == "binary" and 0 <= result.metrics["test"]["auc"] <= 1
    assert set(result.predictions["label"].unique()) == {0, 1}
    assert result.metrics["baseline"]["name"] == "ridge regression on simple daily features (learning score)"
    of_label = finetune(cohort, "label", small_config(recalibration="platt"), say=pytest.fail)
    assert not np.allclose(probabilities(result), probabilities(of_label))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What was learned is the score score, of which the label is a cut" in page


def test_an_ensemble_of_which_one_member_learned_the_score(tmp_path: pathlib.Path) -> None:
    cohort = small_cohort(30)
    for name, config in (("score", of_score()), ("label", small_config(recalibration="platt"))):
        finetune(cohort, "label", config, out=tmp_path / name, say=pytest.fail)
    combine_runs([tmp_path / "score", tmp_path / "label"], tmp_path / "both")
    page = (tmp_path / "both" / "report.html").read_text()
    assert "Some or all members of this ensemble learned the score score, of which the label is a cut" in page
    assert "What was learned is the score" not in page


def test_class_weights_have_no_effect_and_it_is_said() -> None:
    said: list[str] = []
    cohort = small_cohort(20)
    weighed, alike = run(cohort), run(cohort, said, class_weight="none")
    np.testing.assert_array_equal(probabilities(weighed), probabilities(alike))
    assert said == ["class_weight is 'none', which has no effect: the score 'score' is learned, and not the label."]


def test_scores_of_test_people_are_not_looked_at() -> None:
    cohort = small_cohort(30)
    result = run(cohort, baseline=True)
    tested = set(result.predictions.filter(pl.col("part") == "test")["participant_id"])
    score = cohort.label("score")
    rows = np.isin(cohort.participant_id, list(tested))
    other = np.where(rows, np.where(score > 55, 1e6, -1e6), score)  # the label is still a cut of it
    assert not np.array_equal(other, score)
    again = run(with_score(cohort, other), baseline=True)
    np.testing.assert_array_equal(probabilities(result), probabilities(again))
    assert result.metrics["baseline"]["auc"] == again.metrics["baseline"]["auc"]


def test_a_cut_from_below_is_the_same() -> None:
    cohort = small_cohort(24)
    turned = with_score(cohort, -pl.col("score"))
    np.testing.assert_allclose(probabilities(run(cohort)), probabilities(run(turned)), atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "logistic_probe"},
        {"mode": "linear_probe", "monitor": "loss"},
        {"mixup": 0.4, "label_smoothing": 0.1, "focal_gamma": 2.0, "split": "kfold", "folds": 2},
    ],
)
def test_with_other_settings(changes: dict[str, Any]) -> None:
    if changes.get("mode") == "logistic_probe":  # solved: it has no steps
        config = FinetuneConfig(learn_score="score", recalibration="platt", baseline=False, **changes)
        result = finetune(small_cohort(24), "label", config, say=pytest.fail)
    else:
        result = run(small_cohort(24), **changes)
    assert np.isfinite(probabilities(result)).all()
    assert all(np.isfinite(row["validation_loss"]) and "validation_auc" in row for row in result.history)


def rare(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days whose level tells some of a score, and the score's top 7 percent as the label."""
    rng = np.random.default_rng(seed)
    trait = rng.normal(size=n)
    score = np.round(np.exp(0.7 * trait + 0.8 * rng.normal(size=n)) * 3)
    shape = np.exp(0.25 * trait[:, None] * np.sin(np.arange(1440) / 229)[None])
    activity = rng.poisson(60 * np.exp(0.6 * rng.normal(size=(n, 1))) * shape).astype(np.float32)
    return activity, score, (score >= np.quantile(score, 0.93)).astype(float)


def test_with_a_rare_label_the_score_teaches_more() -> None:
    """Of 120 training people some 8 have label 1; AUC of 400 others, of baseline and of a solved head."""
    gains: dict[str, list[float]] = {"baseline": [], "probe": []}
    for seed in range(3):
        activity, score, y = rare(seed)
        split = Split(np.arange(120), np.arange(120, 200), np.array([], dtype=np.int64), "holdout")
        shared: dict[str, Any] = {"recalibration": "platt", "baseline": False, "seed": seed, "dropout": 0.1}
        aucs = []
        for config, learned in (
            (FinetuneConfig(mode="logistic_probe", **shared), None),
            (FinetuneConfig(mode="logistic_probe", learn_score="score", **shared), score[:200]),
        ):
            known = TrainingData(activity[:200], y[:200], np.arange(200), split, learned)
            predict = fit_baseline(FeatureBaseline(config.learned_task), known, config)
            model = train_split(*known[:4], config, score=learned).model
            of_tested = predict(activity[200:]), model.predict_proba(activity[200:])
            aucs.append([roc_auc_score(y[200:], found[:, 1]) for found in of_tested])
        gains["baseline"].append(aucs[1][0] - aucs[0][0])
        gains["probe"].append(aucs[1][1] - aucs[0][1])
    assert np.mean(gains["baseline"]) > 0.02 and np.mean(gains["probe"]) > 0.02, gains


def test_probabilities_fit_the_label_and_not_the_score() -> None:
    activity, score, y = rare(9, 1200)
    split = Split(np.arange(400), np.arange(400, 800), np.array([], dtype=np.int64), "holdout")
    config = FinetuneConfig(mode="logistic_probe", learn_score="score", recalibration="platt", baseline=False)
    known = TrainingData(activity[:800], y[:800], np.arange(800), split, score[:800])
    model = train_split(*known[:4], config, score=known.score).model
    expected = model.predict_proba(activity[800:])[:, 1].mean()
    assert expected == pytest.approx(y[800:].mean(), abs=0.03)
    simple = fit_baseline(FeatureBaseline(config.learned_task), known, config)(activity[800:])
    assert simple[:, 1].mean() == pytest.approx(y[800:].mean(), abs=0.03)


def test_resumed_to_the_same_weights(tmp_path: pathlib.Path) -> None:
    cohort = small_cohort(20)
    whole = finetune(cohort, "label", of_score(), out=tmp_path / "run", say=pytest.fail)
    again = finetune(cohort, "label", of_score(), out=tmp_path / "run", resume=True, say=pytest.fail)
    np.testing.assert_array_equal(probabilities(whole), probabilities(again))


def test_scores_that_will_not_do() -> None:
    cohort = small_cohort(12)
    score, label = cohort.label("score"), cohort.label("label")
    first = cohort.participant_id == cohort.participant_id[0]

    def refused(score: np.ndarray, match: str) -> None:
        with pytest.raises(LabelError, match=match):
            labelled_data(with_score(cohort, score), "label", of_score(), print)

    refused(np.where(first, np.nan, score), "score 'score': missing in 2 of 24 windows that have the label 'label'")
    refused(score + np.arange(len(score)) % 2, "score 'score': Labels: 12 of 12 participants")
    refused(np.where(first, np.where(label == 1, 0.0, 99.0), score), "label 'label' is no cut of it: the scores of")
    with pytest.raises(LabelError, match="'madrs'"):
        labelled_data(cohort, "label", of_score(learn_score="madrs"), print)


def test_scores_that_hardly_differ_leave_no_run_directory(tmp_path: pathlib.Path) -> None:
    cohort = small_cohort(300, windows=1)
    ones = np.flatnonzero(cohort.label("label") == 1)[:3]
    rare = np.isin(np.arange(300), ones).astype(float)
    cohort = with_score(cohort, rare).with_columns(pl.Series("label", rare))
    with pytest.raises(LabelError, match=r"holdout: learn_score: of the .* nearly all have the score 0"):
        finetune(cohort, "label", of_score(), out=tmp_path / "run", say=pytest.fail)
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="the task is 'regression'; expected binary"):
        of_score(task="regression", recalibration="prior")
    with pytest.raises(ConfigError, match="recalibration is 'prior'; expected platt"):
        of_score(recalibration="prior")


def test_the_flag_brings_its_recalibration() -> None:
    values = define_flags()
    values(["pat-finetune", "--out=runs/x", "--learn_score=phq9"])
    assert finetune_config(values).recalibration == "platt" == values.recalibration  # in flags.txt, too
    values = define_flags()
    values(["pat-finetune", "--out=runs/x", "--learn_score=phq9", "--recalibration=none"])
    with pytest.raises(ConfigError, match=r"expected platt\. Beside a recipe .* give --recalibration=platt"):
        finetune_config(values)


BENCHMARK = """
name = "scores"
data = "cohort.parquet"
seeds = [0]
[split]
split = "kfold"
folds = 2
[[tasks]]
name = "label"
[[models]]
name = "boosting, of the label"
baseline = "features_boosting"
[[models]]
name = "boosting, of the score"
baseline = "features_boosting"
settings = { learn_score = "score", recalibration = "platt" }
[[models]]
name = "PAT, of the score"
settings = { learn_score = "score", recalibration = "platt", epochs = 1 }
"""


def test_cells_of_a_benchmark(tmp_path: pathlib.Path) -> None:
    from pat_keras.evaluation.benchmark.compute import compute_cell

    (tmp_path / "scores.toml").write_text(BENCHMARK)
    config = BenchmarkConfig.read(tmp_path / "scores.toml")
    cohort = small_cohort(24)
    (path,) = {task.data for task in config.tasks}

    def planned(cohort: Cohort) -> tuple[list[Any], Source]:
        source = Source(cohorts={path: cohort})
        return plan_cells(config, source), source

    cells, source = planned(cohort)
    others, _ = planned(with_score(cohort, pl.col("score") * 2))
    same = [one.definition == other.definition for one, other in zip(cells, others, strict=True)]
    assert same == [True, True, False, False, False, False]  # that of the label is no other for another score
    found = {cell.model.name: compute_cell(cell, source) for cell in cells if cell.fold == 1}
    assert set(found["PAT, of the score"].test.y) == {0.0, 1.0}
    scores = [found[name].test.score[:, -1] for name in ("boosting, of the label", "boosting, of the score")]
    assert not np.allclose(*scores)
    assert all(((score >= 0) & (score <= 1)).all() for score in scores)
