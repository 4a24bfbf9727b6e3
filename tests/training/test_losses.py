"""Losses against their formulas, and mixtures against the losses of what they are mixed from."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.training.losses import FocalLoss, make_loss, mix, soft_targets

_RNG = np.random.default_rng(0)
_LOGITS = _RNG.normal(scale=3, size=(30, 1)).astype("float32")
_SEVERAL = _RNG.normal(scale=3, size=(30, 3)).astype("float32")
_Y = (np.arange(30) % 2).astype("float32")
_LEVEL = (np.arange(30) % 3).astype("float32")


def _number(tensor) -> float:
    return float(keras.ops.convert_to_numpy(tensor))


def _of_each(loss: keras.losses.Loss, y: np.ndarray, logits: np.ndarray) -> np.ndarray:
    loss.reduction = None
    return keras.ops.convert_to_numpy(loss(keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(logits)))


# --- focal loss ---


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_by_its_formula(gamma: float) -> None:
    """Lin et al., equation 4: -(1 - p_t)^gamma log p_t, p_t the probability of what is true."""
    chance = 1 / (1 + np.exp(-_LOGITS[:, 0].astype(np.float64)))
    of_truth = np.where(_Y == 1, chance, 1 - chance)
    expected = -((1 - of_truth) ** gamma) * np.log(of_truth)
    found = _of_each(make_loss(FinetuneConfig(focal_gamma=gamma)), _Y, _LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_focal_loss_of_several_classes_by_its_formula() -> None:
    config = FinetuneConfig(task="multiclass", focal_gamma=2.0)
    odds = np.exp(_SEVERAL.astype(np.float64))
    of_truth = (odds / odds.sum(axis=1, keepdims=True))[np.arange(30), _LEVEL.astype(int)]
    found = _of_each(make_loss(config), soft_targets(_LEVEL, config, 3), _SEVERAL)
    np.testing.assert_allclose(found, -((1 - of_truth) ** 2) * np.log(of_truth), rtol=1e-4, atol=1e-6)


def test_focal_loss_equals_that_of_keras_and_without_gamma_cross_entropy() -> None:
    theirs = keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True)
    assert _number(FocalLoss(2.0, binary=True)(_Y, _LOGITS)) == pytest.approx(
        _number(theirs(_Y[:, None], _LOGITS)), rel=1e-4
    )
    plain = keras.losses.BinaryCrossentropy(from_logits=True)
    assert _number(FocalLoss(0.0, binary=True)(_Y, _LOGITS)) == pytest.approx(
        _number(plain(_Y[:, None], _LOGITS)), rel=1e-5
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_and_its_gradient_are_finite_where_a_model_is_sure(gamma: float) -> None:
    dense = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Sequential([keras.layers.Input((1,)), dense])
    model.compile(keras.optimizers.SGD(0.01), loss=FocalLoss(gamma, binary=True))
    x = np.array([[60.0], [-60.0], [60.0], [-60.0], [0.0]], dtype="float32")
    history = model.fit(x, np.array([1, 0, 0, 1, 1], dtype="float32"), batch_size=5, verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert all(np.isfinite(weights).all() for weights in dense.get_weights())


# --- label smoothing ---


def test_smoothed_targets() -> None:
    config = FinetuneConfig(label_smoothing=0.2)
    np.testing.assert_allclose(soft_targets(np.array([0.0, 1.0]), config, 2), [0.1, 0.9], rtol=1e-6)
    several = FinetuneConfig(task="multiclass", label_smoothing=0.3)
    np.testing.assert_allclose(
        soft_targets(np.array([0.0, 2.0]), several, 3), [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]], rtol=1e-6
    )


def test_smoothed_loss_equals_that_of_keras() -> None:
    config = FinetuneConfig(label_smoothing=0.2)
    theirs = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    ours = make_loss(config)(soft_targets(_Y, config, 2)[:, None], _LOGITS)
    assert _number(ours) == pytest.approx(_number(theirs(_Y[:, None], _LOGITS)), rel=1e-5)
    several = FinetuneConfig(task="multiclass", label_smoothing=0.2)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    ours = make_loss(several)(soft_targets(_LEVEL, several, 3), _SEVERAL)
    assert _number(ours) == pytest.approx(_number(theirs(np.eye(3)[_LEVEL.astype(int)], _SEVERAL)), rel=1e-5)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_nothing_changes_by_default(task: str) -> None:
    config = FinetuneConfig(task=task)
    assert soft_targets(_Y, config, 3) is _Y
    expected = {
        "binary": keras.losses.BinaryCrossentropy,
        "multiclass": keras.losses.SparseCategoricalCrossentropy,
        "regression": keras.losses.MeanSquaredError,
    }
    assert type(make_loss(config)) is expected[task]


# --- mixup ---


def _mixed(config: FinetuneConfig, y: np.ndarray, epoch: int = 0, n: int = 30) -> tuple[np.ndarray, ...]:
    x = np.arange(n, dtype=np.float32)[:, None] + np.array([0, 1000], dtype=np.float32)
    weight = _RNG.uniform(0.5, 2, n).astype("float32")
    return x, weight, *mix(x, y, weight, config, epoch)


def _shares_and_partners(x: np.ndarray, mixed: np.ndarray, config: FinetuneConfig) -> tuple[np.ndarray, np.ndarray]:
    """Read off the inputs, with the documented order of draws: who is mixed with whom, by how much."""
    other = np.random.default_rng([config.seed, 0, 2]).permutation(len(x))
    apart = x[:, 0] != x[other, 0]
    share = np.where(apart, (mixed[:, 0] - x[other, 0]) / np.where(apart, x[:, 0] - x[other, 0], 1), 1.0)
    return share, other


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_weighted_losses(task: str, gamma: float) -> None:
    config = FinetuneConfig(task=task, mixup=0.4, focal_gamma=gamma, label_smoothing=0.1)
    hard, logits = (_Y, _LOGITS) if task == "binary" else (_LEVEL, _SEVERAL)
    y = soft_targets(hard, config, 3 if task == "multiclass" else 2)
    x, weight, mixed_x, mixed_y, mixed_weight = _mixed(config, y)
    share, other = _shares_and_partners(x, mixed_x, config)
    np.testing.assert_allclose(mixed_x, share[:, None] * x + (1 - share)[:, None] * x[other], rtol=1e-4)
    assert ((share >= -1e-6) & (share <= 1 + 1e-6)).all()
    assert mixed_y.dtype == mixed_weight.dtype == np.float32

    def losses(targets: np.ndarray) -> np.ndarray:
        column = targets[:, None] if task == "binary" else targets
        return _of_each(make_loss(config), column, logits)

    expected = share * weight * losses(y) + (1 - share) * weight[other] * losses(y[other])
    np.testing.assert_allclose(mixed_weight * losses(mixed_y), expected, rtol=2e-3, atol=1e-4)


def test_regression_targets_are_mixed_as_the_inputs() -> None:
    config = FinetuneConfig(task="regression", mixup=1.0)
    x = np.linspace(-2, 2, 30, dtype=np.float32)[:, None]
    mixed_x, mixed_y, weight = mix(x, x[:, 0], np.ones(30, np.float32), config, 0)
    np.testing.assert_allclose(mixed_y, mixed_x[:, 0], atol=1e-6)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-6)
    assert not np.allclose(mixed_x, x)


def test_shares_are_of_the_beta_distribution() -> None:
    config = FinetuneConfig(mixup=0.2)
    x, _, mixed_x, _, _ = _mixed(config, np.zeros(4000, np.float32), n=4000)
    share, _ = _shares_and_partners(x, mixed_x, config)
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), rel=0.05)  # of Beta(a, a)


def test_mixtures_differ_by_epoch_and_repeat_under_the_seed() -> None:
    config = FinetuneConfig(mixup=0.4)
    first, again, later = (_mixed(config, _Y, epoch)[2] for epoch in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, _mixed(FinetuneConfig(mixup=0.4, seed=1), _Y, 3)[2])


def test_what_is_missing_in_either_is_missing_in_the_mixture() -> None:
    x = np.zeros((30, 4), np.float32)
    x[5, 2] = np.nan
    mixed_x, _, _ = mix(x, _Y, np.ones(30, np.float32), FinetuneConfig(mixup=0.4), 0)
    assert 1 <= np.isnan(mixed_x).sum() <= 2
    assert np.isnan(mixed_x[:, [0, 1, 3]]).sum() == 0
