"""Models that predict as one: the mean of probabilities, also where these are next to 0 and 1, and one file of all."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from pat_keras.checkpoints.saved import load_classifier, save_model
from pat_keras.checkpoints.weights import load_weights
from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CheckpointError, ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.committee import Committee, predictors_in

_WEEKS = np.random.default_rng(0).normal(size=(5, 1440)).astype("float32")
_CLASSES = {"binary": 2, "multiclass": 3, "regression": 2}


def _member(task: str, shift: float = 0.0) -> PATClassifier:
    """A small model with random weights, its outputs shifted: those of class 0 twice as much as those of class 1."""
    model = PATClassifier(EncoderConfig.small(), head="linear", task=task, num_classes=_CLASSES[task])
    kernel, bias = model.output_layer.get_weights()
    model.output_layer.set_weights([kernel, bias + shift * (2 - np.arange(len(bias)))])
    return model


@pytest.mark.parametrize("task", _CLASSES)
def test_the_mean_of_what_members_predict(task: str, tmp_path) -> None:
    members = [_member(task), _member(task, 1.5), _member(task, -0.5)]
    committee = Committee(members)
    each = np.stack([member.predict_scores(_WEEKS) for member in members])
    assert np.abs(each - each.mean(axis=0)).max() > 0.05  # they differ
    np.testing.assert_allclose(committee.predict_scores(_WEEKS), each.mean(axis=0), rtol=1e-5, atol=1e-6)
    save_model(committee, tmp_path / "committee.keras")
    loaded = load_classifier(tmp_path / "committee.keras")
    assert len(predictors_in(loaded)) == 3
    np.testing.assert_array_equal(loaded.predict_logits(_WEEKS), committee.predict_logits(_WEEKS))
    np.testing.assert_allclose(
        committee.in_float32().predict_logits(_WEEKS), committee.predict_logits(_WEEKS), rtol=1e-5
    )


@pytest.mark.parametrize("sure", [60.0, -60.0])
def test_members_that_are_sure_do_not_round_to_certainty(sure: float) -> None:
    members = [_member("binary", sure / 2), _member("binary", sure / 2)]
    expected = np.stack([member.predict_logits(_WEEKS) for member in members])
    assert (np.abs(expected) > 50).all()  # where 1 - p is 0 in float32, and its logarithm infinite
    odds = np.abs(expected.astype(np.float64))
    least = -np.log(np.mean(np.exp(-odds), axis=0))  # of a mean of probabilities that all are next to 0, or to 1
    np.testing.assert_allclose(np.abs(Committee(members).predict_logits(_WEEKS)), least, rtol=1e-5)


def test_a_missing_minute_is_no_probability() -> None:
    weeks = _WEEKS.copy()
    weeks[1, 100] = np.nan
    found = ops.convert_to_numpy(Committee([_member("binary"), _member("binary")])(weeks))[:, 0]
    assert np.isnan(found).tolist() == [False, True, False, False, False]


def test_members_go_together() -> None:
    with pytest.raises(ConfigError, match="binary of 1 outputs and multiclass of 3 outputs"):
        Committee([_member("binary"), _member("multiclass")])
    with pytest.raises(ConfigError, match="members are nobody"):
        Committee([])


def test_members_scale_by_themselves() -> None:
    committee = Committee([_member("binary"), _member("binary")])
    assert committee.standardization is None
    with pytest.raises(ConfigError, match="its members take raw minutes"):
        committee.taking_raw(Standardizer.fit(_WEEKS, "cohort"))


def test_members_of_half_precision_stay_so(tmp_path) -> None:
    members = [PATClassifier(EncoderConfig.small(), dtype="mixed_bfloat16") for _ in range(2)]
    committee = Committee(members)
    save_model(committee, tmp_path / "half.keras")
    loaded = load_classifier(tmp_path / "half.keras")
    assert [member.dtype_policy.name for member in predictors_in(loaded)] == ["mixed_bfloat16"] * 2
    whole = committee.in_float32()
    assert [member.dtype_policy.name for member in predictors_in(whole)] == ["float32"] * 2
    difference = np.abs(whole.predict_logits(_WEEKS) - loaded.predict_logits(_WEEKS)).max()
    assert 0 < difference < 0.05


def test_no_encoder_to_start_from(tmp_path) -> None:
    save_model(Committee([_member("binary"), _member("binary")]), tmp_path / "two.keras")
    with pytest.raises(CheckpointError, match=r"two\.keras: found a committee of 2 models.*members\[0\]\.save"):
        load_weights(tmp_path / "two.keras")
