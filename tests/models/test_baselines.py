"""The baseline learns what is there, keeps people apart, and survives missing values."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.errors import LabelError
from pat_keras.models import baselines
from pat_keras.models.baselines import FeatureBaseline


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
    folds = FeatureBaseline(features=_means)._inner_folds(y.astype(float), people)
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
