"""The loss that tells people apart: its value by hand, disjoint halves, what it learns, resuming, and refusals."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.config import EncoderConfig, PretrainConfig
from pat_keras.errors import ConfigError
from pat_keras.models.layers import split_patches
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.pretrain import pretrain
from pat_keras.training.pretrain_data import Source
from pat_keras.training.pretrain_steps import Reconstruction
from pat_keras.training.same_person import TEMPERATURE, SamePerson, person_weight
from tests.training.stopping import StopError, StopsAfter
from tests.training.test_pretrain import _bytes

DAY = 1440
MINUTES = 3 * DAY


def _config(**changes: Any) -> PretrainConfig:
    """Patches of two hours: 36 in three days."""
    settings: dict[str, Any] = {
        "patch_size": 120,
        "batch_size": 8,
        "epochs": 2,
        "warmup_epochs": 1,
        "ema_decay": 0.9,
        "person_loss": 0.5,
    }
    return PretrainConfig(**settings | changes)


def _weeks(people: int, seed: int) -> np.ndarray:
    """Every day of a person is alike: how long it is, how much moves, how much that varies."""
    rng = np.random.default_rng(seed)
    level, spread, length = (rng.uniform(*between, (people, 1)) for between in ((0.5, 4), (0.1, 2), (300, 1200)))
    awake = np.abs(np.arange(MINUTES) % DAY - DAY // 2) < length / 2
    return (level * awake + spread * rng.uniform(0, 1, (people, MINUTES))).astype(np.float32)


def _source(people: int = 16) -> Source:
    return Source("days", _weeks(people, 0), _weeks(8, 1))


def _reconstruction(config: PretrainConfig) -> Reconstruction:
    shape = EncoderConfig.small(patch_size=config.patch_size)
    return Reconstruction(PATMaskedAutoencoder(shape), config, MINUTES)


def test_the_loss_is_that_of_the_definition() -> None:
    layer = SamePerson(MINUTES, 120, 4)
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(3, 5, 4)).astype("float32") for _ in range(2))
    vectors = np.concatenate([ops.convert_to_numpy(layer.project(tokens)) for tokens in (first, second)])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    expected = []
    for i in range(6):
        own = (i + 3) % 6
        others = [np.exp(vectors[i] @ vectors[j] / TEMPERATURE) for j in range(6) if j != i]
        expected.append(-np.log(np.exp(vectors[i] @ vectors[own] / TEMPERATURE) / sum(others)))
    assert float(layer(first, second, np.eye(3, dtype=bool))) == pytest.approx(np.mean(expected), rel=1e-4)


def test_people_who_are_all_alike_give_chance() -> None:
    layer = SamePerson(MINUTES, 120, 4)
    tokens = np.ones((5, 7, 4), "float32")
    assert float(layer(tokens, tokens, np.eye(5, dtype=bool))) == pytest.approx(np.log(9), rel=1e-5)


def test_nobody_is_told_apart_from_himself() -> None:
    """Of a batch in which somebody comes twice, the two are neither near nor far for the loss."""
    layer = SamePerson(7 * DAY, 60, 4)
    weeks = np.random.default_rng(0).normal(size=(4, 7 * DAY)).astype("float32")
    weeks[2, 100:9000] = np.nan
    weeks = weeks[[0, 1, 2, 3, 0, 2]]
    same = ops.convert_to_numpy(layer.same_weeks(weeks))
    names = np.array([0, 1, 2, 3, 0, 2])
    np.testing.assert_array_equal(same, names[:, None] == names)
    # Vectors of unit length that tell the four apart: the copies cost nothing more.
    people = np.eye(4, dtype="float32")
    layer.project = lambda tokens: tokens  # type: ignore[method-assign]
    alone = float(layer(people, people, np.eye(4, dtype=bool)))
    assert float(layer(people[names], people[names], same)) == pytest.approx(alone, abs=1e-3)
    assert float(layer(people[names], people[names], np.eye(6, dtype=bool))) > alone + 0.3


def test_halves_are_of_different_days_and_known() -> None:
    layer = SamePerson(7 * DAY, 60, 4)
    x = np.zeros((20, 7 * DAY), "float32")
    x[:, : 20 * 60] = np.nan  # most of the first day
    first, second = (
        ops.convert_to_numpy(drawn)
        for drawn in layer.halves(split_patches(ops.convert_to_tensor(x), 60), keras.random.SeedGenerator(0))
    )
    assert first.shape == second.shape == (20, layer.seen) == (20, 54)
    drawn = set()
    for one, other in zip(first, second, strict=True):
        days = {int(p) // 24 for p in one}, {int(p) // 24 for p in other}
        assert not days[0] & days[1] and len(set(one)) == len(one)
        drawn.add(frozenset(days[0]))
    assert len(drawn) > 5  # each person's own
    # Of three days 52 to 72 patches are known, of four more: of 54, hardly any is one of the 20 that are not.
    assert max((half < 20).sum(axis=1).max() for half in (first, second)) <= 2


def test_it_learns_to_tell_unseen_people_apart() -> None:
    source = Source("days", _weeks(160, 0), _weeks(40, 1))

    def told_apart(**changes: Any) -> float:
        return pretrain([source], _config(batch_size=16, **changes)).validation["people_told_apart"]

    assert told_apart(person_loss=1e-9, epochs=1) < 0.2  # chance: 1 of 79
    assert told_apart(person_loss=1.0, epochs=6) > 0.4


def test_a_shift_of_the_week_does_not_give_a_person_away() -> None:
    """Weeks as good as alike, with a clock to read the shift by: nothing is left to tell people apart by."""
    week = np.tile((np.arange(MINUTES) % 30 == 0) * 5.0, (24, 1)).astype(np.float32)
    week += np.random.default_rng(0).normal(0, 1e-4, week.shape).astype(np.float32)  # one week would be one person
    source = Source("days", week, week[:8])
    rows = pretrain([source], _config(person_loss=1.0, epochs=4, augment_minutes=29)).history
    assert rows[-1]["person_loss"] == pytest.approx(np.log(2 * 8 - 1), rel=0.1)  # chance


def test_the_losses_are_told_one_by_one() -> None:
    """The training loss is of minutes alone, like that of the people held out."""
    results = [pretrain([_source()], _config(person_loss=w, learning_rate=1e-9, epochs=1)) for w in (2.0, 0.0)]
    row, other = (result.history[0] for result in results)
    assert row["loss"] == pytest.approx(other["loss"], rel=0.05)
    assert row["person_loss"] == pytest.approx(np.log(2 * 8 - 1), rel=0.3)
    assert "person_loss" not in other
    assert ["people_told_apart" in result.validation for result in results] == [True, False]


@pytest.mark.parametrize(
    ("minutes", "expected"), [(MINUTES, 0.1), (DAY, 0.0), (2 * DAY + 720, 0.0)], ids=["days", "one day", "half a day"]
)
def test_where_nothing_is_said(minutes: int, expected: float) -> None:
    assert person_weight(PretrainConfig(), minutes, 18) == expected
    assert person_weight(PretrainConfig(person_loss=0.3), minutes, 18) == 0.3
    assert person_weight(PretrainConfig.original(), minutes, 18) == 0.0


def test_without_it_there_is_nothing_more_to_learn() -> None:
    model = _reconstruction(_config(person_loss=0.0))
    assert model.same_person is None and len(model.trainable_variables) == len(model.autoencoder.trainable_variables)


def test_the_weight_weighs() -> None:
    x = ops.convert_to_tensor(_weeks(8, 0))
    losses = [float(_same_start(_config(person_loss=weight))(x, training=True)) for weight in (1e-9, 1.0, 2.0)]
    assert losses[2] - losses[0] == pytest.approx(2 * (losses[1] - losses[0]), rel=1e-3)
    assert losses[1] - losses[0] > 0.1
    assert float(_same_start(_config())(x, training=False)) == pytest.approx(
        float(_same_start(_config(person_loss=0.0))(x, training=False)), rel=1e-6
    )


def _same_start(config: PretrainConfig) -> Reconstruction:
    keras.utils.set_random_seed(3)
    return _reconstruction(config)


def test_resumed_is_the_same_as_never_stopped(tmp_path: pathlib.Path) -> None:
    whole = pretrain([_source()], _config())
    with pytest.raises(StopError):
        pretrain([_source()], _config(), tmp_path, StopsAfter(epochs=1), save_seconds=0)
    resumed = pretrain([_source()], _config(), tmp_path, save_seconds=0)
    assert _bytes(resumed) == _bytes(whole)
    assert resumed.validation == whole.validation


@pytest.mark.parametrize(
    ("minutes", "patch_size"), [(DAY, 120), (2 * DAY + 720, 120), (7 * DAY, 7 * 20)], ids=["one day", "halves", "patch"]
)
def test_windows_without_halves_are_refused(minutes: int, patch_size: int) -> None:
    with pytest.raises(ConfigError, match=rf"windows have {minutes} minutes and the patches {patch_size}, .* set"):
        SamePerson(minutes, patch_size, 96)
