"""Pretraining: resuming bit for bit, cohorts scaled by themselves and mixed as stated, honest losses."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pat_keras.checkpoints.official import load_official, save_official
from pat_keras.config import PretrainConfig
from pat_keras.data.smoothing import smooth
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CohortError, ConfigError, RunError
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training import pretrain as module
from pat_keras.training.pretrain import Pretrained, build_autoencoder, pretrain
from pat_keras.training.pretrain_data import Source
from pat_keras.training.pretrain_steps import Reconstruction
from pat_keras.training.state import TrainingState
from tests.training.stopping import StopError, StopsAfter

MINUTES = 720


def _config(**changes: Any) -> PretrainConfig:
    """Patches of an hour of half a day: 12, of which 9 are masked."""
    settings: dict[str, Any] = {
        "patch_size": 60,
        "mask_ratio": 0.75,
        "batch_size": 8,
        "epochs": 3,
        "warmup_epochs": 1,
        "ema_decay": 0.9,
        "augment_minutes": 30,
        "standardize": "per_minute",
    }
    return PretrainConfig(**settings | changes)


def _days(people: int, seed: int, scale: float = 1.0) -> np.ndarray:
    """A rhythm that differs between people, and noise."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (people, 1))
    level = np.exp(rng.normal(0, 0.5, (people, 1)))
    waves = 1 + np.sin(np.linspace(0, 2 * np.pi, MINUTES) + phase)
    return (scale * level * waves + rng.uniform(0, 0.3, (people, MINUTES))).astype(np.float32)


def _sources(**shares: float) -> list[Source]:
    return [
        Source("first", _days(14, 0), _days(5, 1), shares.get("first")),
        Source("second", _days(6, 2, 100.0), _days(4, 3, 100.0), shares.get("second")),
    ]


def _bytes(result: Pretrained) -> list[bytes]:
    return [weights.tobytes() for weights in result.autoencoder.get_weights()]


def _untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "people_per_second")} for row in rows]


# --- stop and go on ---


@functools.cache
def _never_stopped() -> Pretrained:
    return pretrain(_sources(), _config())


@pytest.mark.parametrize("where", [{"epochs": 2}, {"steps": 5}, {"steps": 1}])
def test_resumed_is_the_same_as_never_stopped(tmp_path: pathlib.Path, where: dict[str, int]) -> None:
    with pytest.raises(StopError):
        pretrain(_sources(), _config(), tmp_path, StopsAfter(**where), save_seconds=0)
    resumed = pretrain(_sources(), _config(), tmp_path, save_seconds=0)
    whole = _never_stopped()
    assert _bytes(resumed) == _bytes(whole)
    assert _untimed(resumed.history) == _untimed(whole.history)
    assert resumed.validation == whole.validation
    again = pretrain(_sources(), _config(), tmp_path, StopsAfter(steps=1))  # nothing is left to do
    assert _bytes(again) == _bytes(whole)


def test_everything_repeats_under_the_seed_alone() -> None:
    other = pretrain(_sources(), _config(seed=1))
    assert _bytes(other) != _bytes(_never_stopped())
    assert _bytes(pretrain(_sources(), _config())) == _bytes(_never_stopped())


def test_the_average_is_looked_at_and_not_gone_on_from() -> None:
    """What is trained is the same with an average of the weights and without one."""
    without = pretrain(_sources(), _config(ema_decay=0.0))
    assert [row["loss"] for row in without.history] == [row["loss"] for row in _never_stopped().history]
    assert without.history[-1]["validation_loss"] != _never_stopped().history[-1]["validation_loss"]


def test_state_of_another_model(tmp_path: pathlib.Path) -> None:
    pretrain(_sources(), _config(epochs=1), tmp_path)
    with pytest.raises(RunError, match="another model"):
        pretrain(_sources(), _config(epochs=1, size="medium"), tmp_path)


# --- what is learned ---


def test_learns_more_than_the_simple_predictors_know() -> None:
    source = Source("days", _days(160, 0), _days(40, 1))
    result = pretrain([source], _config(epochs=12, batch_size=16, standardize="cohort", mask_ratio=0.5))
    found = result.validation
    assert found["loss"] < 0.7 * min(found["person_mean"], found["mean_day"])
    assert found["loss"] == min(row["validation_loss"] for row in result.history)


def test_the_kept_weights_are_those_validated() -> None:
    result = _never_stopped()
    best = result.history[result.validation["best_epoch"] - 1]
    assert result.validation["loss"] == pytest.approx(best["validation_loss"], rel=1e-6)
    assert best["validation_loss"] == min(row["validation_loss"] for row in result.history)
    shares = {name: part["share"] for name, part in result.validation["cohorts"].items()}
    assert shares == pytest.approx({"first": 0.7, "second": 0.3})


def test_average_of_the_weights_is_kept() -> None:
    one_step = {"batch_size": 20, "epochs": 1, "warmup_epochs": 0}
    averaged, last = (pretrain(_sources(), _config(**one_step, ema_decay=decay)) for decay in (0.9, 0.0))
    assert _bytes(averaged) == _bytes(last)  # after one step the average is that step's weights
    other = pretrain(_sources(), _config(ema_decay=0.0))
    assert _bytes(other) != _bytes(_never_stopped())


def test_each_cohort_is_scaled_by_its_own_training_people() -> None:
    scaling = _never_stopped().standardizers
    for source in _sources():
        expected = Standardizer.fit(source.train, "per_minute")
        np.testing.assert_array_equal(scaling[source.name].mean, expected.mean)
        np.testing.assert_array_equal(scaling[source.name].scale, expected.scale)


def test_smoothed_before_it_is_scaled() -> None:
    result = pretrain(_sources(), _config(epochs=1, smoothing="savitzky_golay"))
    expected = Standardizer.fit(smooth(_sources()[0].train), "per_minute")
    np.testing.assert_array_equal(result.standardizers["first"].mean, expected.mean)


def test_missing_minutes_change_nothing_but_what_they_hide() -> None:
    """A missing minute of a masked patch is out of the loss; one of a visible patch counts as the mean."""
    config = _config(loss="all")
    model = Reconstruction(build_autoencoder(config), config, MINUTES)
    x = np.random.default_rng(0).normal(size=(3, MINUTES)).astype(np.float32)
    permutation = model.autoencoder.draw_permutation(12, seed=0, people=3)
    gone = x.copy()
    gone[:, ::7] = np.nan
    sums, minutes = (np.asarray(ops.convert_to_numpy(t)) for t in model.errors(gone, permutation))
    filled = np.nan_to_num(gone)
    reconstruction = np.asarray(ops.convert_to_numpy(model.autoencoder(filled, permutation)))
    np.testing.assert_allclose(sums, np.nansum((reconstruction - gone) ** 2, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(minutes, (~np.isnan(gone)).sum(axis=1))


def test_each_week_is_shifted_by_its_own_days_and_minutes() -> None:
    config = PretrainConfig(patch_size=60, augment_days=True, augment_minutes=5)
    model = Reconstruction(build_autoencoder(config), config, 4320)
    x = np.tile(np.arange(4320, dtype=np.float32), (200, 1))
    shifted = np.asarray(ops.convert_to_numpy(model.shifted(x)))
    first = shifted[:, 0].astype(int)
    np.testing.assert_array_equal(shifted, (np.arange(4320) + first[:, None]) % 4320)
    days, minutes = np.divmod(first + 5, 1440)
    assert set(days % 3) == {0, 1, 2}
    assert set(minutes) == set(range(11))


def test_weeks_are_shifted_only_where_they_are_whole_days() -> None:
    weeks = np.arange(2 * 2880, dtype=np.float32).reshape(2, 2880)
    default = PretrainConfig(patch_size=60)
    assert not np.array_equal(Reconstruction(build_autoencoder(default), default, 2880).shifted(weeks), weeks)
    part = weeks[:, :720]
    np.testing.assert_array_equal(Reconstruction(build_autoencoder(default), default, 720).shifted(part), part)
    with pytest.raises(ConfigError, match="augment_days shifts by whole days"):
        Reconstruction(build_autoencoder(default), PretrainConfig(augment_days=True), 720)


def test_trains_on_cohorts_with_missing_minutes() -> None:
    sources = [Source(s.name, s.train.copy(), s.validation.copy()) for s in _sources()]
    for source in sources:
        source.train[:3, 100:400] = np.nan
        source.validation[0, :300] = np.nan
    result = pretrain(sources, _config(epochs=1))
    assert all(np.isfinite(weights).all() for weights in result.autoencoder.get_weights())
    assert np.isfinite(result.validation["loss"])


def test_a_loss_that_is_no_number(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match="training epoch 1"):
        pretrain(_sources(), _config(learning_rate=1e30, warmup_epochs=0, clip_norm=0.0), tmp_path)


def test_stops_when_nothing_gets_better(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 2.0, 2.5, 2.0, 1.0])
    monkeypatch.setattr(module._Training, "_held_out_loss", lambda self: next(values))
    result = pretrain(_sources(), _config(epochs=5, patience=2))
    assert len(result.history) == 4
    assert result.validation["best_epoch"] == 2


def test_the_original_by_name() -> None:
    config = PretrainConfig.original("large", epochs=1, patch_size=60, mask_ratio=0.75)
    assert (config.order, config.permutation, config.loss, config.output) == ("original", "batch", "all", "tanh")
    assert config.rate() == 1e-4
    result = pretrain(_sources(), config)
    assert result.autoencoder.order == "original"


# --- starts and ends ---


def test_goes_on_from_weights(tmp_path: pathlib.Path) -> None:
    start = PATMaskedAutoencoder(build_autoencoder(PretrainConfig()).encoder.config)
    whole, encoder = tmp_path / "mae.h5", tmp_path / "encoder.h5"
    save_official(start, whole)
    save_official(start.encoder, encoder)
    for path, same in ((whole, True), (encoder, False)):
        model = build_autoencoder(PretrainConfig(weights=str(path)))
        for a, b in zip(model.encoder.get_weights(), start.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        found, expected = (ops.convert_to_numpy(m.decoder_dense.kernel) for m in (model, start))
        assert np.array_equal(found, expected) == same
    with pytest.raises(ConfigError, match="patches have 18 minutes"):
        build_autoencoder(PretrainConfig(weights=str(encoder), patch_size=9))


def test_of_a_pretraining_that_diverged_the_epoch_on_disk_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is saved from time to time, and so is older than what was best at the end."""
    losses = iter([0.9, 0.8, 0.7, float("nan")])
    monkeypatch.setattr(module._Training, "_held_out_loss", lambda self: next(losses))
    saved = []

    def save_once(self: TrainingState, *args: Any) -> None:
        if not saved:
            saved.append(save(self, *args))

    save = TrainingState.save
    monkeypatch.setattr(TrainingState, "save", save_once)
    with pytest.raises(RunError, match="that were saved, of training epoch 1, are in"):
        pretrain(_sources(), _config(epochs=5), tmp_path, save_seconds=0)


def test_start_of_the_decoder(tmp_path: pathlib.Path) -> None:
    """Only a new decoder is started, and only when asked."""

    def alike(model: PATMaskedAutoencoder) -> bool:
        attention = model.decoder_block.attention
        query, key = (ops.convert_to_numpy(kernel) for kernel in (attention.query_kernel, attention.key_kernel))
        return bool(np.array_equal(query, key))

    drawn = build_autoencoder(PretrainConfig(decoder_start="random", output="tanh"))
    assert not alike(drawn) and alike(build_autoencoder(PretrainConfig()))
    assert not alike(build_autoencoder(PretrainConfig.original()))
    save_official(drawn.encoder, tmp_path / "encoder.h5")
    save_official(drawn, tmp_path / "whole.h5")
    assert alike(build_autoencoder(PretrainConfig(weights=str(tmp_path / "encoder.h5"))))
    assert not alike(build_autoencoder(PretrainConfig(weights=str(tmp_path / "whole.h5"))))


def test_result_in_the_official_layout(tmp_path: pathlib.Path) -> None:
    model = _never_stopped().autoencoder
    assert model.dtype_policy.name == "float32"
    path = save_official(model.encoder, tmp_path / "encoder.h5")
    loaded = load_official(path, config=model.encoder.config)
    x = np.random.default_rng(0).normal(size=(2, MINUTES)).astype(np.float32)
    np.testing.assert_array_equal(loaded.embed(x), model.encoder.embed(x))


@pytest.mark.parametrize("embedding", ["conv", "conv_linear"])
def test_other_embeddings_and_bfloat16(embedding: str) -> None:
    result = pretrain(_sources(), _config(epochs=1, embedding=embedding, precision="mixed_bfloat16"))
    assert result.autoencoder.encoder.config.embedding == embedding
    assert {str(w.dtype) for w in result.autoencoder.get_weights()} <= {"float32", "uint32", "int64"}


def test_sizes_and_devices_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="masks 12 of the 12 patches"):
        pretrain(_sources(), _config(mask_ratio=0.99))
    with pytest.raises(CohortError, match="multiple of the 50 minutes"):
        pretrain(_sources(), _config(patch_size=50))
    if keras.backend.backend() != "jax":
        with pytest.raises(ConfigError, match="expected JAX"):
            pretrain(_sources(), _config(data_parallel=True))


_TWO_DEVICES = """
import sys
for name in ("tensorflow", "polars", "h5py", "filelock", "matplotlib"):
    sys.modules[name] = None
import numpy as np
from pat_keras.config import PretrainConfig
from pat_keras.training.pretrain import pretrain
from pat_keras.training.pretrain_data import Source
x = np.random.default_rng(0).gamma(1.0, 1.0, (20, 720)).astype("float32")
results = []
for shared in (False, True):
    config = PretrainConfig(
        patch_size=60, mask_ratio=0.75, batch_size=8, epochs=2, warmup_epochs=0, dropout=0.0, data_parallel=shared
    )
    results.append(pretrain([Source("x", x[:14], x[14:])], config))
one, two = (result.autoencoder.get_weights() for result in results)
assert max(float(np.abs(a - b).max()) for a, b in zip(one, two)) < 1e-3
losses = [[row["loss"] for row in result.history] for result in results]
np.testing.assert_allclose(*losses, rtol=1e-4)
"""


def test_two_devices_without_tensorflow_or_polars() -> None:
    """The same as one device, to rounding; and in a process that has neither TensorFlow nor polars."""
    pytest.importorskip("jax")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    done = subprocess.run([sys.executable, "-c", _TWO_DEVICES], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
