"""Numbers of the results, each against another way to it."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from pat_keras.errors import RunError
from pat_keras.evaluation import comparison, metrics
from pat_keras.evaluation.benchmark.scores import SHOWN, TaskScores
from tests.evaluation.benchmark.generate import make_result


def _scores(kind: str = "binary", **strengths: float) -> TaskScores:
    cells = {
        (model, size, seed): [make_result(hash_of(model, size, seed), strength=strength, kind=kind)]
        for model, strength in strengths.items()
        for size in ("40", "all")
        for seed in (0, 1)
    }
    return TaskScores(kind, cells)


def hash_of(*words: object) -> int:
    return sum(1000**place * sum(map(ord, str(word))) for place, word in enumerate(words))


def test_means_are_those_of_sklearn() -> None:
    scores = _scores(a=1.0)
    results = [make_result(hash_of("a", "all", seed)).test for seed in (0, 1)]
    called = [result.score[:, 1] >= 0.5 for result in results]
    expected = {
        "auc": [sklearn.metrics.roc_auc_score(r.y, r.score[:, 1]) for r in results],
        "average_precision": [sklearn.metrics.average_precision_score(r.y, r.score[:, 1]) for r in results],
        "brier": [sklearn.metrics.brier_score_loss(r.y, r.score[:, 1]) for r in results],
        "f1": [sklearn.metrics.f1_score(r.y, c) for r, c in zip(results, called, strict=True)],
        "mcc": [sklearn.metrics.matthews_corrcoef(r.y, c) for r, c in zip(results, called, strict=True)],
        "sensitivity": [sklearn.metrics.recall_score(r.y, c) for r, c in zip(results, called, strict=True)],
    }
    for name, values in expected.items():
        assert scores.mean("a", "all", name)["value"] == pytest.approx(np.mean(values), abs=1e-12), name
    assert scores.spread("a", "all", "auc")["sd"] == pytest.approx(np.std(expected["auc"], ddof=1))


def test_no_interval_where_a_class_has_one_person() -> None:
    """As in `evaluate`: resamples within classes hold that person fixed."""
    ids = [f"t{number:04d}" for number in (0, *(n for n in range(30) if n % 3))]
    one, two = (make_result(seed, strength=1.0, ids=ids) for seed in (1, 2))
    scores = TaskScores("binary", {("a", "all", 0): [one], ("b", "all", 0): [two]})
    found = [scores.mean("a", "all", name) for name in ("auc", "brier", "specificity")]
    found += [scores.difference("a", "b", ["all"]), scores.average("a", ["all"])]
    assert all(one["value"] is not None and one["low"] is None and one["high"] is None for one in found)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_interval_of_one_seed_is_that_of_evaluate(kind: str) -> None:
    """The same resamples of people; so joint resampling of several seeds starts from what is already tested."""
    result = make_result(3, kind=kind)
    scores = TaskScores(kind, {("a", "all", 0): [result]})
    people = result.test.people(kind)
    expected = metrics.evaluate(kind, people.y, people.score, 0.5 if kind == "binary" else None)
    for name in SHOWN[kind]:
        found = scores.mean("a", "all", name)
        assert found["value"] == pytest.approx(expected[name], abs=1e-12)
        if found["low"] is not None:
            limits = (expected[f"{name}_low"], expected[f"{name}_high"])
            assert (found["low"], found["high"]) == pytest.approx(limits, abs=1e-9), name


def test_difference_is_paired_over_people_seeds_and_sizes() -> None:
    """Of a model with itself it is zero, without an interval; of two, narrower than if they were resampled apart."""
    scores = _scores(a=2.0, b=0.5)
    same = scores.difference("a", "a", ["40", "all"])
    assert (same["value"], same["high"]) == (0, None)
    found = scores.difference("a", "b", ["40", "all"])
    averages = [scores.average(model, ["40", "all"])["value"] for model in ("a", "b")]
    assert found["value"] == pytest.approx(averages[0] - averages[1])
    assert found["low"] > 0
    assert found["seeds"] == [[0, 1], [0, 1]]


def test_one_seed_has_delongs_p_value() -> None:
    one, two = make_result(1, strength=1.5), make_result(2, strength=0.2)
    scores = TaskScores("binary", {("a", "all", 0): [one], ("b", "all", 0): [two]})
    expected = comparison.paired_auc_difference(one.test.y, one.test.score[:, 1], two.test.score[:, 1])
    found = scores.difference("a", "b", ["all"])
    assert found["p_value"] == expected["p_value"]
    assert (found["low"], found["high"]) == pytest.approx((expected["low"], expected["high"]), abs=1e-12)


def test_folds_of_a_seed_are_scored_together() -> None:
    names = [f"t{number:04d}" for number in range(60)]
    halves = [make_result(1, fold=fold, ids=names[fold - 1 :: 2]) for fold in (1, 2)]
    halves[1].account["threshold"] = 0.7
    scores = TaskScores("binary", {("a", "all", 0): halves})
    y = np.concatenate([half.test.y for half in halves])
    p = np.concatenate([half.test.score[:, 1] for half in halves])
    called = np.concatenate([halves[0].test.score[:, 1] >= 0.5, halves[1].test.score[:, 1] >= 0.7])
    assert scores.mean("a", "all", "auc")["value"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p))
    order = np.argsort(np.concatenate([half.test.participant_id for half in halves]))
    cuts = np.repeat([0.5, 0.7], 30)
    expected = metrics.evaluate("binary", y[order], p[order], cuts[order], folds=2)
    auc = scores.mean("a", "all", "auc")
    f1 = scores.mean("a", "all", "f1")
    assert f1["value"] == pytest.approx(sklearn.metrics.f1_score(y, called))
    for found, name in ((auc, "auc"), (f1, "f1")):
        limits = (expected[f"{name}_low"], expected[f"{name}_high"])
        assert (found["low"], found["high"]) == pytest.approx(limits, abs=1e-12)
    with pytest.raises(RunError, match="test somebody twice"):
        TaskScores("binary", {("a", "all", 0): [halves[0], halves[0]]})


def test_seeds_that_test_different_people() -> None:
    """A mean over what each seed tested; a difference only over seeds in which both models tested the same people."""
    first, second = (make_result(seed, ids=[f"t{n:04d}" for n in range(30 * seed, 30 * seed + 50)]) for seed in (0, 1))
    scores = TaskScores("binary", {("a", "all", 0): [first], ("a", "all", 1): [second], ("b", "all", 1): [second]})
    assert scores.n_people == 80
    aucs = [sklearn.metrics.roc_auc_score(one.test.y, one.test.score[:, 1]) for one in (first, second)]
    found = scores.mean("a", "all", "auc")
    assert found["value"] == pytest.approx(np.mean(aucs))
    assert found["low"] < found["value"] < found["high"]
    assert scores.difference("a", "b", ["all"])["seeds"] == [[1]]


def test_the_best_is_chosen_by_the_seeds_that_all_have() -> None:
    """Seed 1 is easy for everybody: whoever lacks it is no worse for that."""
    cells = {("a", "all", 0): [make_result(1, strength=1.0)], ("b", "all", 0): [make_result(1, strength=0.5)]}
    cells["b", "all", 1] = [make_result(2, strength=6.0)]
    scores = TaskScores("binary", cells)
    assert scores.mean("b", "all", "auc")["value"] > scores.mean("a", "all", "auc")["value"]
    assert scores.best(["a", "b"], ["all"]) == "a"
    found = scores.difference("a", "b", ["all"])
    assert found["value"] > 0
    assert (found["seeds"], found["of_seeds"]) == ([[0]], [2])
    cells["a", "all", 2] = cells.pop(("a", "all", 0))
    assert TaskScores("binary", cells).best(["a", "b"], ["all"]) is None


def test_interval_of_the_mean_covers_the_truth() -> None:
    """95 % of intervals hold the AUC of the population: of 100 simulated benchmarks, 3 seeds each, 88 at least."""
    from scipy.stats import norm

    truth, covered = float(norm.cdf(1 / np.sqrt(2))), 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        signal = rng.normal(size=60)
        cells = {}
        for seed in range(3):
            result = make_result(seed)
            y = result.test.y
            logit = y + 0.9 * signal + np.sqrt(1 - 0.81) * rng.normal(size=60)  # seeds agree about most people
            p = 1 / (1 + np.exp(-logit))
            result.test.score[:] = np.stack([1 - p, p], axis=1)
            cells["a", "all", seed] = [result]
        found = TaskScores("binary", cells, seed=trial, resamples=400).mean("a", "all", "auc")
        covered += found["low"] <= truth <= found["high"]
    assert 88 <= covered <= 100


def test_people_with_two_labels_are_an_error() -> None:
    one, two = make_result(0), make_result(1)
    two.test.y[0] = 1 - two.test.y[0]
    with pytest.raises(RunError, match="disagree about the labels"):
        TaskScores("binary", {("a", "all", 0): [one], ("a", "all", 1): [two]})
