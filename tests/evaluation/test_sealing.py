"""Nobody looks at test people twice, and training never sees them at all."""

from __future__ import annotations

import types

import numpy as np
import pytest

from pat_keras.data.splits import Split
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import RunError
from pat_keras.evaluation import experiment
from pat_keras.evaluation.protocols import LabelledData, labelled_data, make_splits
from pat_keras.evaluation.sealing import predict_test, seal
from pat_keras.models.scaling import Standardization
from tests.small import small_cohort, small_config


@pytest.fixture(scope="module")
def data() -> LabelledData:
    return labelled_data(small_cohort(n_people=40), "label", small_config(), pytest.fail)


@pytest.mark.parametrize("split", ["holdout", "kfold", "leave_one_out"])
def test_what_may_be_learned_from_holds_no_test_person(data, split: str) -> None:
    config = small_config(split=split, folds=4)
    parts = make_splits(data, config)
    for part, sealed in zip(parts, seal(data, parts), strict=True):
        known = sealed.training()
        tested = set(data.participant_id[part.test])
        assert tested and not tested & set(known.participant_id)
        assert not len(known.split.test)
        for name in ("train", "validation"):
            rows, own = getattr(part, name), getattr(known.split, name)
            np.testing.assert_array_equal(known.activity[own], data.activity[rows])
            np.testing.assert_array_equal(known.y[own], data.y[rows])
            np.testing.assert_array_equal(known.participant_id[own], data.participant_id[rows])
        assert len(known.y) == len(part.train) + len(part.validation)


def test_a_second_look_is_an_error(data) -> None:
    (sealed,) = seal(data, make_splits(data, small_config()))
    sealed.training(), sealed.training()
    assert not sealed.opened
    people = sealed.open()
    assert sealed.opened and len(people.y) == len(people.activity) == len(people.participant_id) == 16
    with pytest.raises(RunError, match="holdout: its test people were scored already"):
        sealed.open()


def test_inner_splits_are_of_what_may_be_learned_from(data) -> None:
    (sealed,) = seal(data, make_splits(data, small_config()))
    known, inner = sealed.training(), sealed.inner(folds=3, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([one.test for one in inner])), np.arange(len(known.y)))
    assert not sealed.opened


def test_an_experiment_breaks_the_seal_once_and_after_training(data, monkeypatch) -> None:
    """Whatever training is given has no row of a test person, and the seal is whole while it trains."""
    opened: list[str] = []
    seen: list[set[str]] = []
    sealed_class = experiment.SealedSplit
    monkeypatch.setattr(
        sealed_class, "open", (lambda whole: lambda self: opened.append(self.name) or whole(self))(sealed_class.open)
    )

    def watched(activity: np.ndarray, y: np.ndarray, people: np.ndarray, split: Split, *rest: object) -> object:
        assert not opened and not len(split.test)
        seen.append(set(people.tolist()))
        return trained(activity, y, people, split, *rest)

    trained = experiment.train_split
    monkeypatch.setattr(experiment, "train_split", watched)
    result = experiment.finetune(data.cohort, "label", small_config(epochs=1, baseline=True))
    tested = set(result.predictions.filter(result.predictions["part"] == "test")["participant_id"])
    assert opened == ["holdout"] and tested and not tested & seen[0]


def test_scaling_of_test_people_by_their_own_statistics_leaves_the_model_as_it_was() -> None:
    train, test = (np.random.default_rng(seed).normal(50, 10, (20, 60)).astype("float32") for seed in (0, 1))
    fitted, own = Standardizer.fit(train, "per_minute"), Standardizer.fit(test + 30, "per_minute")
    scaling = Standardization("per_minute", 60)
    scaling.build((None, 60))
    scaling.set_statistics(fitted.mean, fitted.scale)
    model = types.SimpleNamespace(standardization=scaling, predict_scores=lambda x: np.asarray(scaling(x)))
    for standardize, expected in (("per_minute", fitted), ("paper", own)):
        config = small_config(task="regression", standardize=standardize)
        np.testing.assert_allclose(predict_test(model, test + 30, config), expected.apply(test + 30), atol=1e-4)
        np.testing.assert_array_equal(np.asarray(scaling.mean), fitted.mean)
