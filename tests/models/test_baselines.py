"""The baseline learns what is there, keeps people apart, and survives missing values."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.data.features import CutPoints
from pat_keras.data.simulate import simulate_cohort
from pat_keras.data.smoothing import smooth
from pat_keras.errors import ConfigError, LabelError
from pat_keras.models import baselines, estimators
from pat_keras.models.baselines import BASELINES, FeatureBaseline, make_baseline
from pat_keras.models.estimators import person_folds


def _means(activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Three features that are quick to make: a mean, a spread, and one that is never there."""
    features = np.stack([activity.mean(1), activity.std(1), np.full(len(activity), np.nan)], axis=1)
    return features, ["mean", "spread", "nothing"]


def _people(
    n: int = 60, windows: int = 2, effect: float = 1.5, classes: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.arange(n) % classes
    level = rng.normal(size=n) + effect * label
    participant_id = np.repeat([f"p{i}" for i in range(n)], windows)
    activity = np.repeat(level, windows)[:, None] + rng.normal(size=(n * windows, 30))
    return activity, np.repeat(label, windows), participant_id


def test_it_learns_and_repeats() -> None:
    activity, y, people = _people()
    new, new_y, _ = _people(seed=1)
    models = [FeatureBaseline(features=_means).fit(activity, y, people) for _ in range(2)]
    first, second = (model.predict_proba(new) for model in models)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (120, 2)
    np.testing.assert_allclose(first.sum(axis=1), 1)
    assert np.mean(models[0].predict(new) == new_y) > 0.7
    assert models[0].feature_names_ == ["mean", "spread", "nothing"]


def test_several_classes() -> None:
    activity, y, people = _people(classes=3, effect=3.0)
    model = FeatureBaseline("multiclass", features=_means).fit(activity, y, people)
    assert model.classes_.tolist() == [0, 1, 2]
    assert np.mean(model.predict(activity) == y) > 0.7


def test_regression() -> None:
    activity, _, people = _people()
    y = 5 + 2 * activity.mean(axis=1)
    y = np.repeat(y[::2], 2)  # one value a person
    model = FeatureBaseline("regression", features=_means).fit(activity, y, people)
    assert np.corrcoef(model.predict(activity), y)[0, 1] > 0.95
    assert model.name.startswith("ridge")
    with pytest.raises(ValueError, match="use predict"):
        model.predict_proba(activity)


def test_missing_features_take_the_training_median() -> None:
    activity, y, people = _people()
    model = FeatureBaseline(features=_means).fit(activity, y, people)
    hidden = np.full((1, 30), np.nan)
    middle = model.predict_proba(hidden)[0, 1]
    everybody = model.predict_proba(activity)[:, 1]
    assert everybody.min() < middle < everybody.max()


def test_inner_folds_never_share_a_person() -> None:
    _, y, people = _people(windows=3)
    folds = person_folds("binary", y.astype(float), people, 5, 0, "Baseline")
    assert len(folds) == 5
    for train, test in folds:
        assert not set(people[train]) & set(people[test])
        assert set(y[test]) == {0, 1}


def test_windows_of_one_person_are_not_learnt_by_heart() -> None:
    """A feature that names the person, and no signal: with people kept apart, the strongest penalty wins."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 6)
    y = np.repeat(rng.permutation(np.arange(40) % 2), 6)

    def names(activity: np.ndarray) -> tuple[np.ndarray, list[str]]:
        who = activity[:, 0].astype(int)
        return np.eye(40)[who], [f"is_{i}" for i in range(40)]

    model = FeatureBaseline(features=names).fit(people[:, None].astype(float), y, people)
    assert model.inverse_penalty_ == baselines.INVERSE_PENALTIES[0]


def test_classes_people_and_windows_weigh_as_documented() -> None:
    y = np.array([0.0, 0, 0, 0, 1, 1])
    people = np.array(["a", "a", "b", "c", "d", "d"])  # three people of class 0, one of class 1
    weight = FeatureBaseline(features=_means)._weights(y, people)
    np.testing.assert_allclose(weight, [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1])


def test_rare_class_is_still_found() -> None:
    activity, y, people = _people(n=200, windows=1, effect=2.0)
    keep = (y == 0) | (np.cumsum(y) <= 10)  # 100 against 10
    model = FeatureBaseline(features=_means).fit(activity[keep], y[keep], people[keep])
    assert np.mean(model.predict(activity[y == 1]) == 1) > 0.5


@pytest.mark.parametrize("y", [[0, 0, 0, 1], [1, 1, 1, 1]])
def test_too_few_people_of_a_class(y: list[int]) -> None:
    with pytest.raises(LabelError, match="two or more in each"):
        FeatureBaseline(features=_means).fit(np.ones((4, 30)), np.array(y), np.arange(4))


def test_unknown_task() -> None:
    with pytest.raises(ValueError, match="task is 'ranking'"):
        FeatureBaseline("ranking")


def _boosting(task: str = "binary") -> FeatureBaseline:
    return FeatureBaseline(task, features=_means, estimator="boosting")


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "ROUNDS", (5, 30))


def test_boosting_learns_and_repeats(few_trees: None) -> None:
    activity, y, people = _people()
    new, new_y, _ = _people(seed=1)
    models = [_boosting().fit(activity, y, people) for _ in range(2)]
    np.testing.assert_array_equal(models[0].predict_proba(new), models[1].predict_proba(new))
    np.testing.assert_allclose(models[0].predict_proba(new).sum(axis=1), 1)
    assert np.mean(models[0].predict(new) == new_y) > 0.7
    assert models[0].setting_ in [(leaves, rounds) for leaves in estimators.LEAVES for rounds in (5, 30)]
    assert models[0].name == "gradient boosting on simple daily features"


def test_boosting_of_classes_and_of_numbers(few_trees: None) -> None:
    activity, y, people = _people(classes=3, effect=3.0)
    assert np.mean(_boosting("multiclass").fit(activity, y, people).predict(activity) == y) > 0.7
    level = np.repeat(activity.mean(axis=1)[::2], 2)
    model = _boosting("regression").fit(activity, level, people)
    assert np.corrcoef(model.predict(activity), level)[0, 1] > 0.9
    with pytest.raises(ValueError, match="use predict"):
        model.predict_proba(activity)


def test_boosting_takes_the_number_of_trees_that_unseen_people_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that have nothing to do with the features, windows of one person alike: few trees; a clear rule: many."""
    monkeypatch.setattr(estimators, "ROUNDS", (1, 100))
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(80), 3)
    activity = np.repeat(rng.normal(size=(80, 30)), 3, axis=0)
    y = np.repeat(rng.permutation(np.arange(80) % 2), 3)
    assert _boosting().fit(activity, y, people).setting_[1] == 1
    assert _boosting().fit(activity, (activity.mean(axis=1) > 0).astype(int), people).setting_[1] == 100


def test_boosting_is_balanced_and_bears_gaps(few_trees: None) -> None:
    activity, y, people = _people(n=200, windows=1, effect=2.0)
    keep = (y == 0) | (np.cumsum(y) <= 10)
    model = _boosting().fit(activity[keep], y[keep], people[keep])
    assert np.mean(model.predict(activity[y == 1]) == 1) > 0.5
    assert np.isfinite(model.predict_proba(np.full((1, 30), np.nan))).all()


def test_staged_losses_are_those_of_models_of_so_many_trees() -> None:
    activity, y, people = _people()
    features = _means(activity)[0]
    sample = estimators.Sample(features, y.astype(float), np.ones(len(y)))
    train, test = np.flatnonzero(people < "p4"), np.flatnonzero(people >= "p4")
    family = estimators.Boosting("binary", 0)
    found = family.losses(sample[train], sample[test], np.unique(y))
    assert found.shape == (len(family.settings),)
    for place in (0, len(estimators.ROUNDS) + 2):
        chances = family.fitted(sample[train], family.settings[place]).predict_proba(features[test])
        expected = -np.log(chances[np.arange(len(test)), y[test]]).sum()
        assert found[place] == pytest.approx(expected)


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in ("age_sex", "days_logistic")])
def test_ready_made_baselines_learn_of_weeks(name: str, few_trees: None) -> None:
    cohort = simulate_cohort(60, seed=0, days=3, effect=3.0)
    y, train = cohort.label("label"), np.arange(60) < 40
    model = make_baseline(name, seed=1).fit(cohort.activity[train], y[train], cohort.participant_id[train])
    chances = model.predict_proba(cohort.activity[~train])[:, 1]
    assert chances[y[~train] == 1].mean() > chances[y[~train] == 0].mean() + 0.1
    assert model.columns == () and model.seed == 1 and name.split("_")[1][:5] in model.name


def test_age_and_sex_alone() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([rng.uniform(20, 80, 300), rng.integers(1, 3, 300)], axis=1)
    y = ((np.abs(columns[:, 0] - 50) > 15) == (columns[:, 1] == 1)).astype(int)  # a curve of another sign a sex
    columns[0, 0] = np.nan
    model = make_baseline("age_sex").fit(columns, y, np.arange(300))
    assert model.columns == ("age", "sex") and model.name == "logistic regression on age and sex"
    one_sex = columns[:, 1] == 1
    curve = make_baseline("age_sex").fit(columns[one_sex], y[one_sex], np.arange(one_sex.sum()))
    assert np.mean(curve.predict(columns[one_sex]) == y[one_sex]) > 0.9


def test_smoothing_comes_first() -> None:
    cohort = simulate_cohort(24, seed=0, days=2)
    y, people = cohort.label("label"), cohort.participant_id
    model = make_baseline("simple_logistic", smoothing="savitzky_golay").fit(cohort.activity, y, people)
    expected = make_baseline("simple_logistic").fit(smooth(cohort.activity), y, people)
    np.testing.assert_array_equal(model.predict_proba(cohort.activity), expected.predict_proba(smooth(cohort.activity)))
    assert model.name.endswith("of smoothed activity")
    with pytest.raises(ConfigError, match="sees no activity"):
        make_baseline("age_sex", smoothing="savitzky_golay")


def test_cut_points_add_their_minutes() -> None:
    cohort = simulate_cohort(24, seed=0, days=2)
    found = [
        make_baseline("features_logistic", cut_points=points)
        .fit(cohort.activity, cohort.label("label"), cohort.participant_id)
        .feature_names_
        for points in (None, CutPoints(100, 2020, "for this test"))
    ]
    assert found[1] == [*found[0], "sedentary_minutes", "mvpa_minutes"]


def test_names_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="simple_logistic, features_logistic"):
        make_baseline("forest")
    with pytest.raises(ValueError, match="logistic or boosting"):
        FeatureBaseline(estimator="svm")
    with pytest.raises(ValueError, match="smoothing is 'median'"):
        FeatureBaseline(smoothing="median")


def test_people_as_cases() -> None:
    """A person's days are one case: all of them get one probability, and days count no more than once."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(30), rng.integers(2, 6, 30)).astype(str)
    y = (people.astype(int) % 2).astype(float)
    days = rng.poisson(20 + 60 * y[:, None], size=(len(y), 1440)).astype(np.float32)
    model = make_baseline("days_logistic").fit(days, y, people)
    p = model.predict_proba(days, people)[:, 1]
    assert all(np.ptp(p[people == person]) == 0 for person in people)
    assert ((p > 0.5) == y).all()
    twice = np.concatenate([days, days[people == "3"]])
    who = np.concatenate([people, people[people == "3"]])
    again = make_baseline("days_logistic").fit(twice, np.concatenate([y, y[people == "3"]]), who)
    others = people != "3"
    # The doubled person's mean is the same, the deviation a little smaller; nobody else's case changes.
    np.testing.assert_allclose(again.predict_proba(days, people)[others, 1], p[others], atol=0.02)
    with pytest.raises(ValueError, match="whose windows"):
        model.predict_proba(days)


def test_described_once_is_the_same() -> None:
    rng = np.random.default_rng(1)
    people, y = np.repeat(np.arange(20), 3).astype(str), np.repeat(np.arange(20) % 2, 3).astype(float)
    days = rng.poisson(20 + 30 * y[:, None], size=(60, 1440)).astype(np.float32)
    model = make_baseline("days_logistic")
    features, names = model.describe(days, people)
    assert features.shape == (60, 88) == (60, len(names))
    described = model.of_described(names).fit(features, y, people)
    expected = model.fit(days, y, people).predict_proba(days, people)
    np.testing.assert_allclose(described.predict_proba(features), expected)
