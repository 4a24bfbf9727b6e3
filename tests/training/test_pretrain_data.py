"""What pretraining reads: the order of an epoch, the masks of people held out, the simple predictors."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.config import PretrainConfig
from pat_keras.errors import CohortError, ConfigError
from pat_keras.training.pretrain_data import HeldOut, PretrainData, Source, prepare, simple_errors

_DAY = 1440


def _data(counts: tuple[int, ...], shares: tuple[float, ...]) -> PretrainData:
    return PretrainData(np.zeros((sum(counts), 4), np.float32), counts, shares, (), {})


def test_everybody_once_an_epoch_and_another_order_each() -> None:
    data = _data((7, 5), (7 / 12, 5 / 12))
    orders = [data.epoch_order(4, seed=0, epoch=epoch) for epoch in range(3)]
    for order in orders:
        assert order.shape == (3, 4)
        np.testing.assert_array_equal(np.sort(order.ravel()), np.arange(12))
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], data.epoch_order(4, seed=0, epoch=0))
    assert not np.array_equal(orders[0], data.epoch_order(4, seed=1, epoch=0))


def test_the_last_batch_is_filled_up() -> None:
    order = _data((10,), (1.0,)).epoch_order(4, seed=0, epoch=0)
    assert order.shape == (3, 4)
    np.testing.assert_array_equal(order.ravel()[10:], order.ravel()[:2])


def test_cohorts_come_in_the_stated_proportions() -> None:
    order = _data((90, 10), (0.25, 0.75)).epoch_order(10, seed=0, epoch=0).ravel()
    assert len(order) == 100
    second = order[order >= 90]
    assert len(second) == 75
    assert set(np.bincount(second - 90)) == {7, 8}  # nobody again before everybody
    assert len(np.unique(order[order < 90])) == 25


def _weeks(people: int, seed: int, days: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).gamma(1.0, 1.0, (people, days * _DAY)).astype(np.float32)


def test_simple_predictors_by_hand() -> None:
    x = _weeks(3, 0)
    x[0, :200] = np.nan
    permutation = np.tile(np.arange(24, dtype=np.int32)[::-1], (3, 1))  # of 120 minutes; the last 18 are masked
    mean_day = np.tile(np.linspace(0, 1, _DAY), 2).astype(np.float32)
    found = simple_errors(HeldOut("a", 1.0, x, permutation, mean_day), 18, 120, "masked")
    seen, hidden = x[:, : 6 * 120], x[:, 6 * 120 :]
    means = np.nanmean(seen, axis=1, keepdims=True)
    assert found["person_mean"] == pytest.approx(np.nanmean((hidden - means) ** 2), rel=1e-5)
    assert found["mean_day"] == pytest.approx(np.nanmean((hidden - mean_day[6 * 120 :]) ** 2), rel=1e-5)
    everything = simple_errors(HeldOut("a", 1.0, x, permutation, mean_day), 18, 120, "all")
    assert everything["mean_day"] == pytest.approx(np.nanmean((x - mean_day) ** 2), rel=1e-5)


def test_mean_day_is_that_of_training_people() -> None:
    rhythm = np.tile(np.sin(np.linspace(0, 2 * np.pi, _DAY)), 2).astype(np.float32)
    train = rhythm + 0.01 * _weeks(5, 0)
    data = prepare([Source("a", train, _weeks(2, 1))], 60, 40, PretrainConfig(standardize="none"))
    np.testing.assert_allclose(data.held_out[0].mean_day, rhythm + 0.01, atol=0.02)


def test_patches_nobody_knows_are_masked_first() -> None:
    aside = _weeks(4, 1)
    aside[:, 600:1200] = np.nan
    data = prepare([Source("a", _weeks(4, 0), aside)], 60, 40, PretrainConfig())
    for row in data.held_out[0].permutation:
        assert set(row[:10]) == set(range(10, 20))
        np.testing.assert_array_equal(np.sort(row), np.arange(48))


def test_what_is_refused() -> None:
    one, config = Source("a", _weeks(4, 0), _weeks(2, 1)), PretrainConfig()
    other = Source("b", _weeks(4, 0, days=1), _weeks(2, 1, days=1))
    empty = _weeks(2, 1)
    empty[0] = np.nan
    for sources, message in (
        ([], "No cohort"),
        ([one, other], "one length for all"),
        ([one, one], "a name of its own"),
        ([Source("a", _weeks(4, 0), _weeks(4, 0)[:0])], "at least one window"),
        ([Source("a", _weeks(4, 0), empty)], "1 of 2 validation windows have hardly a known minute"),
    ):
        with pytest.raises(CohortError, match=message):
            prepare(sources, 60, 40, config)
    second = Source("b", _weeks(4, 0), _weeks(2, 1), share=1.0)
    with pytest.raises(ConfigError, match="1 of 2 cohorts state a share"):
        prepare([one, second], 60, 40, config)
