"""PAT as scikit-learn estimators: scikit-learn's own checks, and what they can't know."""

from __future__ import annotations

import contextlib
import pickle
import unittest

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CohortError, ConfigError, LabelError
from pat_keras.models.embedder import Held
from pat_keras.models.encoder import PATEncoder
from pat_keras.training import estimators, start
from pat_keras.training.estimators import EXPECTED_FAILED_CHECKS, PATClassifierEstimator, PATFeatures
from tests.small import small_cohort

# scikit-learn's toy data have 1 to 10 "minutes".
TOY = EncoderConfig(patch_size=1, num_heads=1, num_layers=1, embed_dim=8, key_dim=8, ff_dim=4)
DAY = EncoderConfig(patch_size=180, num_heads=1, num_layers=1, embed_dim=8, key_dim=8, ff_dim=4)
PROBE = {
    "mode": "linear_probe",
    "head": "linear",
    "batch_size": 64,
    "head_learning_rate": 0.3,
    "standardize": "none",
    "settings": {"warmup_epochs": 0},
}

# Those that fit several times, or well: `pytest -m slow` runs them too.
LONG = {
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_dont_overwrite_parameters",
    "check_estimators_dtypes",
    "check_estimators_nan_inf",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
}


@pytest.fixture
def eager():
    """Toy data have another shape in every check: compiling for each takes longer than computing."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("eager execution is TensorFlow's")
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def encoder(config: EncoderConfig) -> PATEncoder:
    keras.utils.set_random_seed(0)
    return PATEncoder(config)


@pytest.fixture
def toy(monkeypatch) -> str:
    """Weights for toy data, which no file has to be read for again and again."""
    loaded = encoder(TOY)
    monkeypatch.setattr(start, "load_encoder", lambda source: loaded)
    monkeypatch.setattr(estimators, "load_held", lambda source: Held.of(loaded))
    return "toy"


@pytest.fixture
def probe(toy) -> PATClassifierEstimator:
    return PATClassifierEstimator(toy, epochs=1, **PROBE)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_scikit_learns_checks_of_features(eager, toy) -> None:
    results = check_estimator(PATFeatures(toy), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 40


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_most_of_scikit_learns_checks_of_the_classifier(eager, probe) -> None:
    passed = 0
    for one, check in estimator_checks_generator(probe, expected_failed_checks=EXPECTED_FAILED_CHECKS, mark="skip"):
        if getattr(check, "func", None) is not None and check.func.__name__ not in LONG:
            with contextlib.suppress(unittest.SkipTest):
                check(one)
                passed += 1
    assert passed > 35


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
def test_all_of_scikit_learns_checks_of_the_classifier(eager, probe) -> None:
    learner = probe.set_params(epochs=12)  # one of them wants an accuracy
    results = check_estimator(learner, expected_failed_checks=EXPECTED_FAILED_CHECKS, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 48


@pytest.fixture(scope="module")
def cohort():
    return small_cohort(n_people=16)


def test_features_are_those_of_the_encoder(cohort) -> None:
    pat = encoder(DAY)
    x = Standardizer.fit(cohort.activity, "per_minute").apply(cohort.activity)
    plain = PATFeatures(pat).fit(cohort.activity)
    np.testing.assert_allclose(plain.transform(cohort.activity), pat.embed(x), atol=1e-6)
    both = PATFeatures(pat, pooling="mean_std").fit(cohort.activity)
    tokens = pat.predict(x, verbose=0)
    expected = np.concatenate([tokens.mean(axis=1), tokens.std(axis=1)], axis=1)
    np.testing.assert_allclose(both.transform(cohort.activity), expected, atol=1e-5)
    assert both.get_feature_names_out().tolist()[7:9] == ["pat_7", "pat_std_0"]
    assert PATFeatures(encoder(EncoderConfig.small())).fit(cohort.activity).get_feature_names_out()[95] == "pat_95"


def test_scaling_is_of_the_people_fitted_on(cohort) -> None:
    half = len(cohort.activity) // 2
    features = PATFeatures(encoder(DAY), standardize="cohort").fit(cohort.activity[:half])
    assert features.embedder_.standardizer.mean == pytest.approx(cohort.activity[:half].mean(), rel=1e-5)
    louder = features.transform(cohort.activity[half:] * 3)
    assert not np.allclose(louder, features.transform(cohort.activity[half:]), atol=1e-2)


def test_missing_minutes(cohort) -> None:
    gaps = cohort.activity.copy()
    gaps[3, 180:360] = np.nan
    for model in (PATFeatures(encoder(DAY)), PATClassifierEstimator(encoder(DAY))):
        with pytest.raises(CohortError, match=r"1 of 32 windows have missing minutes \(NaN\)"):
            model.fit(gaps, cohort.label("label"))
    features = PATFeatures(encoder(DAY), missing="mask").fit(gaps)
    assert np.isfinite(features.transform(gaps)).all()
    # What lies in a hidden patch changes nothing; without the mask it would.
    assert not np.allclose(features.transform(cohort.activity)[3], features.transform(gaps)[3], atol=1e-5)
    with pytest.raises(CohortError, match="1 of 1 windows have no patch of 180 minutes"):
        features.transform(np.full_like(gaps[:1], np.nan))


def test_pipelines_groups_and_searches(cohort) -> None:
    X, y, groups = cohort.activity, cohort.label("label"), cohort.participant_id
    model = make_pipeline(PATFeatures(encoder(DAY)), LogisticRegression())
    scores = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(2), scoring="roc_auc")
    assert np.isfinite(scores).all()
    search = GridSearchCV(model, {"patfeatures__pooling": ["mean", "mean_std"]}, cv=GroupKFold(2))
    assert search.fit(X, y, groups=groups).best_params_["patfeatures__pooling"] in ("mean", "mean_std")


def test_validation_people_are_no_training_people(cohort, monkeypatch) -> None:
    seen = []

    def train(activity, y, participant_id, split, config):
        seen.append((participant_id[split.train], participant_id[split.validation], len(split.test)))
        raise RuntimeError("seen enough")

    monkeypatch.setattr(estimators, "train_split", train)
    model = PATClassifierEstimator(encoder(DAY))
    for groups in (cohort.participant_id, None):
        with pytest.raises(RuntimeError):
            model.fit(cohort.activity, cohort.label("label"), groups=groups)
    (train_people, validation, test), (rows, others, _) = seen
    assert test == 0
    assert not set(train_people) & set(validation)
    assert len(set(train_people) | set(validation)) == cohort.n_people
    assert len(set(rows) | set(others)) == cohort.n_windows  # without groups everybody is somebody else


def test_classifier_learns_and_survives_a_pickle(cohort) -> None:
    X, groups = cohort.activity, cohort.participant_id
    y = np.where(cohort.label("label") == 1, "case", "control")
    model = PATClassifierEstimator(
        encoder(DAY), epochs=8, batch_size=4, head_learning_rate=1e-2, encoder_learning_rate=1e-2
    )
    fitted = clone(model).fit(X, y, groups=groups)
    assert fitted.classes_.tolist() == ["case", "control"]
    assert fitted.score(X, y) > 0.8
    chances = fitted.predict_proba(X)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert set(fitted.predict(X)) <= {"case", "control"}
    np.testing.assert_allclose(pickle.loads(pickle.dumps(fitted)).predict_proba(X), chances, atol=1e-6)
    again = clone(model).fit(X, y, groups=groups)
    np.testing.assert_allclose(again.predict_proba(X), chances, atol=1e-5)


def test_groups_go_through_cross_validation(cohort) -> None:
    X, y, groups = cohort.activity, cohort.label("label"), cohort.participant_id
    model = PATClassifierEstimator(encoder(DAY), epochs=1, mode="linear_probe")
    scores = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(2), params={"groups": groups})
    assert len(scores) == 2
    assert np.isfinite(scores).all()


def test_what_is_refused(cohort) -> None:
    X, y = cohort.activity, cohort.label("label")
    cases = [
        ({"settings": {"split": "kfold", "epochs": 3}}, ConfigError, "settings have epochs, split"),
        ({"settings": {"no_such": 1}}, ConfigError, "settings have no_such"),
        ({"settings": {"learn_score": "phq9"}}, ConfigError, "settings have learn_score"),
        ({"standardize": "paper"}, ConfigError, "own statistics"),
        ({"head": "none"}, ConfigError, "head is 'none'"),
    ]
    for parameters, error, words in cases:
        with pytest.raises(error, match=words):
            PATClassifierEstimator(**parameters).fit(X, y)
    for model in (PATFeatures(encoder(DAY), pooling="max"), PATFeatures(encoder(DAY), standardize="paper")):
        with pytest.raises(ConfigError, match="expected one of"):
            model.fit(X)
    with pytest.raises(LabelError, match="16 of 16 groups have windows of several classes"):
        PATClassifierEstimator().fit(X, np.arange(len(X)) % 2, groups=cohort.participant_id)
    with pytest.raises(ConfigError, match="not a multiple of the patch size"):
        PATFeatures(encoder(DAY)).fit(X[:, :1000])
