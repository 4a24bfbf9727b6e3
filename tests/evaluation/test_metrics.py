"""Metrics by participant: agreement with scikit-learn, edge cases, JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk

from pat_keras.errors import LabelError
from pat_keras.evaluation import metrics
from pat_keras.evaluation.comparison import paired_auc_difference


def binary_scores(seed: int = 0, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.35).astype(float)
    return y, 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * y - 0.5)))


# --- one row a person ---


def test_by_participant_averages_windows() -> None:
    people = metrics.by_participant(np.array(["b", "a", "b", "c"]), [1, 0, 1, 1], [0.2, 0.5, 0.6, 0.9])
    assert people.participant_id.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(people.y, [0, 1, 1])
    np.testing.assert_allclose(people.score, [0.5, 0.4, 0.9])
    np.testing.assert_array_equal(people.n_windows, [1, 2, 1])


def test_by_participant_of_several_classes() -> None:
    people = metrics.by_participant(np.array(["a", "a"]), [2, 2], [[0.2, 0.3, 0.5], [0.4, 0.1, 0.5]])
    np.testing.assert_allclose(people.score, [[0.3, 0.2, 0.5]])


def test_by_participant_refuses_two_labels_of_one_person() -> None:
    with pytest.raises(LabelError, match=r"1 of 2 participants \(the first is 'a'\)"):
        metrics.by_participant(np.array(["a", "b", "a"]), [0, 1, 1], [0.1, 0.2, 0.3])


def test_by_participant_refuses_other_lengths() -> None:
    with pytest.raises(ValueError, match="2 ids, 1 labels"):
        metrics.by_participant(np.array(["a", "b"]), [0], [0.1, 0.2])


# --- threshold ---


def test_threshold_has_the_highest_youden_of_all_cuts() -> None:
    y, p = binary_scores(1)

    def youden(threshold: float) -> float:
        return sk.recall_score(y, p >= threshold) + sk.recall_score(1 - y, p < threshold) - 1

    chosen = metrics.choose_threshold(y, p)
    assert youden(chosen) == pytest.approx(max(youden(value) for value in p))
    assert chosen not in p  # the middle between two people


def test_threshold_ties_go_to_the_most_even_cut_then_to_the_lowest() -> None:
    # J is 0.5 at the cuts 0.55 (sensitivity 0.5, specificity 1) and 0.25 (1, 0.5), equally uneven: the lowest.
    assert metrics.choose_threshold([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.6]) == pytest.approx(0.25)
    # J is 1/3 at (1, 1/3), (2/3, 2/3) and (1/3, 1): the even one.
    assert metrics.choose_threshold([0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(0.35)


def test_threshold_of_equal_scores() -> None:
    assert metrics.choose_threshold([0, 1], [0.3, 0.3]) == 0.3


def test_threshold_needs_both_classes() -> None:
    with pytest.raises(LabelError, match="all of class 1"):
        metrics.choose_threshold([1, 1], [0.2, 0.3])


# --- evaluate ---


def test_binary_agrees_with_scikit_learn() -> None:
    y, p = binary_scores()
    result = metrics.evaluate("binary", y, p, threshold=0.5)
    called = p >= 0.5
    expected = {
        "auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "brier": sk.brier_score_loss(y, p),
        "log_loss": sk.log_loss(y, p),
        "accuracy": sk.accuracy_score(y, called),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called),
        "sensitivity": sk.recall_score(y, called),
        "specificity": sk.recall_score(y, called, pos_label=0),
        "f1": sk.f1_score(y, called),
        "mcc": sk.matthews_corrcoef(y, called),
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name
        assert result[f"{name}_low"] < result[name] < result[f"{name}_high"], name
    assert result["confusion"] == sk.confusion_matrix(y, called).tolist()
    assert (result["n"], result["n_positive"], result["threshold"]) == (80, int(y.sum()), 0.5)
    assert result["auc_delong_low"] < result["auc"] < result["auc_delong_high"] < 1
    # Two roads to one uncertainty: they agree within a third here.
    assert (result["auc_high"] - result["auc_low"]) / 3.92 == pytest.approx(result["auc_standard_error"], rel=0.33)


def test_multiclass_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    p = rng.dirichlet(np.ones(3), 90) + 0.3 * np.eye(3)[y]
    p /= p.sum(axis=1, keepdims=True)
    result = metrics.evaluate("multiclass", y, p)
    expected = {
        "auc": sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "accuracy": sk.accuracy_score(y, p.argmax(1)),
        "balanced_accuracy": sk.balanced_accuracy_score(y, p.argmax(1)),
        "log_loss": sk.log_loss(y, p),
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name
        assert result[f"{name}_low"] < result[name] < result[f"{name}_high"], name
    assert result["confusion"] == sk.confusion_matrix(y, p.argmax(1)).tolist()
    assert result["n_by_class"] == np.bincount(y).tolist()


def test_regression_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(50, 10, 70)
    prediction = 20 + 0.6 * y + rng.normal(0, 5, 70)
    result = metrics.evaluate("regression", y, prediction)
    expected = {
        "mae": sk.mean_absolute_error(y, prediction),
        "rmse": sk.mean_squared_error(y, prediction) ** 0.5,
        "r2": sk.r2_score(y, prediction),
        "pearson": scipy.stats.pearsonr(y, prediction).statistic,
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-10), name
        assert result[f"{name}_low"] < result[name] < result[f"{name}_high"], name


def test_results_are_plain_json_and_repeat_under_a_seed() -> None:
    y, p = binary_scores()
    one, again, other = (metrics.evaluate("binary", y, p, 0.5, seed=seed) for seed in (0, 0, 1))
    assert json.loads(json.dumps(one, allow_nan=False)) == one
    assert one == again
    assert one["auc_low"] != other["auc_low"]


def test_one_class_is_none_with_a_reason() -> None:
    result = metrics.evaluate("binary", np.ones(5), np.linspace(0.2, 0.8, 5), threshold=0.5)
    for name in ("auc", "average_precision", "specificity", "balanced_accuracy", "mcc", "auc_standard_error"):
        assert result[name] is None, name
    assert result["reasons"]["auc"] == "all 5 people are of class 1"
    assert result["sensitivity"] == 0.6
    json.dumps(result, allow_nan=False)


def test_without_threshold_its_metrics_are_none_with_a_reason() -> None:
    result = metrics.evaluate("binary", *binary_scores())
    assert result["f1"] is None
    assert result["reasons"]["f1"] == "no threshold was given"
    assert "auc" not in result["reasons"]


def test_folds_may_each_have_a_threshold() -> None:
    y, p = binary_scores()
    fold = np.arange(len(y)) % 2
    result = metrics.evaluate("binary", y, p, threshold=np.where(fold, 0.4, 0.6))
    called = np.where(fold, p >= 0.4, p >= 0.6)
    assert result["f1"] == pytest.approx(sk.f1_score(y, called))
    assert result["confusion"] == sk.confusion_matrix(y, called).tolist()
    assert (result["threshold"], result["thresholds"]) == (None, [0.4, 0.6])
    assert metrics.evaluate("binary", y, p, np.full(len(y), 0.5)) == metrics.evaluate("binary", y, p, 0.5)


def test_perfect_separation_says_that_the_interval_means_nothing() -> None:
    result = metrics.evaluate("binary", [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], threshold=0.5)
    for name in ("auc", "sensitivity"):  # "1.00 (1.00 to 1.00)" of four people would read as certainty
        assert (result[name], result[f"{name}_low"], result[f"{name}_high"]) == (1, None, None)
    assert "nearly all resamples agree" in result["reasons"]["auc_low"]
    assert result["auc_delong_low"] is None
    assert "says nothing about the uncertainty" in result["reasons"]["auc_delong_low"]


def test_one_person_of_a_class_gives_no_interval() -> None:
    """Who is in every resample: such 95 % intervals of the AUC held the truth once in three to two times."""
    y, p = np.eye(1, 20)[0], np.random.default_rng(0).random(20)
    result = metrics.evaluate("binary", y, p, threshold=0.5)
    assert (result["auc_low"], result["mcc_high"], result["auc_delong_low"]) == (None, None, None)
    assert result["reasons"]["auc_low"] == "one of the classes has one person"
    assert paired_auc_difference(y, p, p[::-1])["low"] is None
    assert metrics.evaluate("regression", y, p)["mae_low"] is not None


def test_everybody_called_negative_is_mcc_zero_as_in_scikit_learn() -> None:
    y, p = binary_scores()
    result = metrics.evaluate("binary", y, p, threshold=2.0)
    assert (result["mcc"], result["f1"], result["specificity"]) == (0, 0, 1)


def test_constant_regression_is_none_with_a_reason() -> None:
    result = metrics.evaluate("regression", np.full(5, 3.0), np.arange(5.0))
    assert result["r2"] is None
    assert result["pearson"] is None
    assert "all equal" in result["reasons"]["r2"]
    assert result["mae"] == pytest.approx(1.4)


def test_absent_class_of_several() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    result = metrics.evaluate("multiclass", [0, 1, 0], p)
    assert result["auc"] is None
    assert result["accuracy"] == result["balanced_accuracy"] == 1
    assert result["confusion"] == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("y", [[0, 1, 2], [0, 1, math.nan], [0, 1, 0.5]])
def test_labels_of_another_task_are_refused(y: list) -> None:
    with pytest.raises(LabelError, match="1 of 3 are none of the whole numbers 0 to 1"):
        metrics.evaluate("binary", y, [0.1, 0.2, 0.3])


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="task is 'ranking'"):
        metrics.evaluate("ranking", [0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="1 predictions are not finite"):
        metrics.evaluate("binary", [0, 1], [0.1, math.nan])
    with pytest.raises(ValueError, match="shape"):
        metrics.evaluate("binary", [0, 1], [[0.1, 0.9], [0.8, 0.2]])
    with pytest.raises(LabelError, match="1 of 2 are missing"):
        metrics.evaluate("regression", [0, math.nan], [0.1, 0.2])


def test_pairs_of_one_fold_are_compared_within_it() -> None:
    y, p = binary_scores(2, n=90)
    fold = np.repeat(["a", "b", "c"], 30)
    shifted = p + np.repeat([0.0, 5.0, -5.0], 30)  # as models of other people might
    folds = [fold == name for name in "abc"]
    pairs = [y[own].sum() * (1 - y[own]).sum() for own in folds]
    expected = np.average([sk.roc_auc_score(y[own], p[own]) for own in folds], weights=pairs)
    result = metrics.within_folds(y, shifted, fold)
    assert result["auc_within_folds"] == pytest.approx(expected)
    assert result["auc_within_folds_low"] < expected < result["auc_within_folds_high"]
    assert metrics.evaluate("binary", y, shifted)["auc"] < expected - 0.1
    alone = metrics.within_folds(y, shifted, np.arange(90))
    assert set(alone) == set(result) and set(alone.values()) == {None}


def test_intervals_of_folds_are_wider_and_stay_in_range() -> None:
    y, p = binary_scores(2, n=90)
    single, folds = (metrics.evaluate("binary", y, p, 0.5, folds=k) for k in (1, 5))
    factor = math.sqrt(1.8)
    assert single["interval"]["widening"] == 1 and folds["interval"]["widening"] == pytest.approx(factor)
    assert "1.34 times as wide" in folds["interval"]["method"] and "wide" not in single["interval"]["method"]
    for name in ("auc", "brier", "mcc", "calibration_slope"):
        assert folds[name] == single[name]
        for end in ("low", "high"):
            limit, wider = single[f"{name}_{end}"] - single[name], folds[f"{name}_{end}"] - single[name]
            assert wider == pytest.approx(factor * limit), name
    assert folds["auc_standard_error"] == pytest.approx(factor * single["auc_standard_error"])
    good = metrics.evaluate("binary", y, 0.1 * p + 0.9 * y - 0.95 * (np.arange(90) == int(y.argmax())), 0.3, folds=5)
    assert good["auc"] < 1 and good["auc_high"] == 1 and good["f1_high"] == 1


@pytest.mark.parametrize("folds", [1, 5])
def test_an_interval_holds_its_metric_however_extreme(folds: int) -> None:
    rng = np.random.default_rng(4)
    positive, negative = rng.integers(3, 9), rng.integers(4, 9)
    y = np.repeat([1, 0], [positive, negative])
    score = np.concatenate([rng.uniform(0, 0.6, positive), rng.uniform(0.4, 1, negative)]).round(1)  # the wrong way
    result = metrics.evaluate("binary", y, score, 0.5, folds=folds)
    for name in ("auc", "average_precision", "brier", "log_loss", "f1"):
        assert result[f"{name}_low"] <= result[name] <= result[f"{name}_high"], name


def test_six_thousand_people_take_seconds() -> None:
    y, p = binary_scores(0, n=6000)
    result = metrics.evaluate("binary", y, p, threshold=0.5)
    assert result["auc_high"] - result["auc_low"] < 0.05
