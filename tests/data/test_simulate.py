"""The synthetic cohort: said to be synthetic, plausible, repeatable, and neither too easy nor impossible to learn."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pat_keras.data.cohort import Cohort
from pat_keras.data.features import simple_daily_features
from pat_keras.data.simulate import simulate_cohort
from pat_keras.data.standardize import detect_scaling
from pat_keras.errors import ConfigError


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return simulate_cohort()


def auc(cohort: Cohort) -> float:
    features, _ = simple_daily_features(cohort.activity)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    label = cohort.label("label")
    return float(roc_auc_score(label, cross_val_predict(model, features, label, method="predict_proba")[:, 1]))


def test_it_says_that_it_is_synthetic(cohort: Cohort) -> None:
    assert cohort.metadata["synthetic"] is True and cohort.metadata["source"] == "synthetic"
    assert all(name.startswith("synthetic_") for name in cohort.participant_id)
    assert "no real people" in cohort.describe()


def test_it_looks_like_weeks_of_counts(cohort: Cohort) -> None:
    activity = cohort.activity
    assert activity.shape == (400, 10080) and cohort.n_people == 400
    assert np.array_equal(activity, np.floor(activity)) and activity.min() == 0 and activity.max() <= 32767
    assert not np.isnan(activity).any() and detect_scaling(activity) is None
    assert 0.4 < (activity == 0).mean() < 0.7
    hours = activity.reshape(400, 7, 24, 60).mean(axis=(0, 1, 3))
    assert hours[2:5].max() < 0.2 * hours[10:20].min()
    # Activity keeps its level for a while: neighbouring minutes of the day are alike, those of other hours are not.
    day = activity.reshape(400, 7, 1440)[:, :, 600:1200].ravel().astype(np.float64)
    assert np.corrcoef(np.log1p(day[:-1]), np.log1p(day[1:]))[0, 1] > 0.2
    weekday = np.array(
        [[(start + datetime.timedelta(days=day)).weekday() for day in range(7)] for start in cohort.table["start"]]
    )
    early = activity.reshape(400, 7, 1440)[:, :, 360:480].mean(axis=2)
    assert early[weekday >= 5].mean() < 0.8 * early[weekday < 5].mean()
    off = activity.reshape(400, 7, 1440)[:, :, 600:1080].max(axis=2) == 0
    assert 0 < off.mean() < 0.1  # a whole working day without the device, now and then


def test_the_label_can_be_learned_but_not_read_off(cohort: Cohort) -> None:
    assert cohort.label("label").sum() == 160
    assert 0.75 < auc(cohort) < 0.9
    assert 0.4 < auc(simulate_cohort(effect=0)) < 0.6
    assert auc(simulate_cohort(effect=3)) > 0.95


def test_the_same_seed_gives_the_same_people(cohort: Cohort) -> None:
    assert simulate_cohort(20, seed=1).content_hash() == simulate_cohort(20, seed=1).content_hash()
    assert simulate_cohort(20, seed=1).content_hash() != simulate_cohort(20, seed=2).content_hash()
    assert simulate_cohort(4, days=1).activity.shape == (4, 1440)
    assert set(simulate_cohort(4).label("label")) == {0, 1}


def test_it_is_made_in_a_moment() -> None:
    started = time.thread_time()
    simulate_cohort()
    assert time.thread_time() - started < 5  # about 0.4 s alone


@pytest.mark.parametrize("arguments", [{"n_people": 3}, {"days": 0}, {"effect": float("nan")}])
def test_numbers_that_make_no_cohort(arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="simulate_cohort"):
        simulate_cohort(**arguments)
