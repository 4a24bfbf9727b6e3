"""Pretraining of an encoder as a masked autoencoder; exact when resumed.

Runs where there are Keras, JAX, NumPy and scikit-learn alone: nothing here needs TensorFlow or polars.

Axes: B windows, T minutes, N patches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.checkpoints.store import load_state
from pat_keras.config import EncoderConfig, PretrainConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError, RunError
from pat_keras.models.encoder import PATEncoder, compile_by_default
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.loop import Watcher
from pat_keras.training.optimizers import Adam, Rule, WarmupCosine
from pat_keras.training.pretrain_data import PretrainData, Source, prepare, simple_errors
from pat_keras.training.pretrain_steps import HalvesOfPeople, Reconstruction, Steps, filled_batches, make_steps
from pat_keras.training.state import Row, TrainingState

STAGE = "pretraining"


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """What pretraining made.

    Attributes:
        autoencoder: in float32, with the weights of the training epoch that did best on the people held out; its
            `encoder` takes minutes that are standardised.
        standardizers: the scaling of each cohort, by its name.
        history: one row a training epoch.
        validation: of the kept weights: loss, those of the simple predictors, best_epoch, and the same by cohort.
    """

    autoencoder: PATMaskedAutoencoder
    standardizers: dict[str, Standardizer]
    history: list[Row]
    validation: dict[str, Any]


class PretrainWatcher(Watcher):
    """A `Watcher` that is also shown the model as it learns."""

    def on_validation(self, epoch: int, autoencoder: PATMaskedAutoencoder, data: PretrainData) -> None:
        """People were held out of training epoch `epoch` (from 1); the model has the weights they were shown to."""


def build_autoencoder(config: PretrainConfig, precision: str | None = None) -> PATMaskedAutoencoder:
    """The autoencoder to start from.

    Args:
        config: its shape, or the weights to go on from. Of a whole autoencoder the decoder's output stays what its
            weights were trained for, whatever the config has.
        precision: in place of the config's.

    Raises:
        CheckpointError: if the weights can't be loaded.
        ConfigError: if they are of another patch size than is asked for.
    """
    settings: dict[str, Any] = {"mask_ratio": config.mask_ratio, "order": config.order, "output": config.output}
    settings["dtype"] = precision or config.precision
    if not config.weights:
        changes = {} if config.patch_size is None else {"patch_size": config.patch_size}
        shape = EncoderConfig.of_size(config.size, embedding=config.embedding, dropout=config.dropout, **changes)
        return _start_decoder(PATMaskedAutoencoder(shape, **settings), config)
    # Here, so that machines made for training alone need neither h5py nor what downloads presets.
    from pat_keras.checkpoints.weights import load_weights

    loaded = load_weights(config.weights)
    encoder = loaded if isinstance(loaded, PATEncoder) else loaded.encoder
    if config.patch_size not in (None, encoder.config.patch_size):
        raise ConfigError(
            f"{config.weights}: its patches have {encoder.config.patch_size} minutes, patch_size asks for "
            f"{config.patch_size}. Leave patch_size out, or start from random weights."
        )
    shape = dataclasses.replace(encoder.config, dropout=config.dropout)
    if isinstance(loaded, PATMaskedAutoencoder):
        model = PATMaskedAutoencoder(shape, **{**settings, "output": loaded.output_kind})
        model.set_weights(loaded.get_weights())
        return model
    model = PATMaskedAutoencoder(shape, **settings)
    model.encoder.set_weights(encoder.get_weights())
    return _start_decoder(model, config)


def _start_decoder(model: PATMaskedAutoencoder, config: PretrainConfig) -> PATMaskedAutoencoder:
    if config.decoder_start == "mimetic":
        model.start_mimetic()
    return model


def pretrain(
    sources: Sequence[Source],
    config: PretrainConfig,
    folder: pathlib.Path | None = None,
    watcher: PretrainWatcher | None = None,
    save_seconds: float = 30.0,
) -> Pretrained:
    """Pretrain an encoder on the training people of some cohorts, held against others of their people.

    Args:
        sources: the cohorts, all with windows of one length.
        config: everything else.
        folder: for the state of the training, `pretraining.npz`; a training found there is resumed, and ends with the
            same weights as one that was never stopped.
        watcher: told about progress.
        save_seconds: between two savings of the state.

    Raises:
        CheckpointError, CohortError, ConfigError: if the weights, the cohorts or the config can't be used.
        RunError: if the loss or a weight is no longer a number, or the state is damaged or of another model.
    """
    watcher = watcher or PretrainWatcher()
    keras.utils.set_random_seed(config.seed)
    with _distribution(config):
        training = _Training(sources, config, None if folder is None else folder / "pretraining.npz")
        training.kept.restore()
        training.run(watcher, save_seconds)
        validation, best = training.validation(), training.best()
    # In float32, and on one device again.
    autoencoder = build_autoencoder(config, "float32")
    for variable, values in zip(autoencoder.trainable_variables, best, strict=True):
        variable.assign(values)
    return Pretrained(autoencoder, training.data.standardizers, training.kept.progress.rows, validation)


class _Training:
    """A model, its data and its progress."""

    def __init__(self, sources: Sequence[Source], config: PretrainConfig, state: pathlib.Path | None) -> None:
        self.config = config
        autoencoder = build_autoencoder(config)
        self.patch_size = autoencoder.encoder.config.patch_size
        self.num_masked = _num_masked(autoencoder, sources)
        self.data = prepare(sources, self.patch_size, self.num_masked, config)
        self.batch_size = _batch_size(config, len(self.data.train))
        self.model = Reconstruction(autoencoder, config, self.data.train.shape[1])
        steps = -(-len(self.data.train) // self.batch_size)
        self.optimizer = _optimizer(config, self.model, steps)
        jit = config.jit == "on" or (config.jit == "auto" and compile_by_default())
        self.steps: Steps = make_steps(self.model, self.optimizer, self.data.train, jit)
        self.kept = TrainingState(state, self.model, self._variables)

    def run(self, watcher: PretrainWatcher, save_seconds: float) -> None:
        """Train until the last epoch, or until nothing has been better for `patience` epochs."""
        steps = -(-len(self.data.train) // self.batch_size)
        watcher.on_start(STAGE, (self.config.epochs - self.kept.progress.epoch) * steps)
        saved = time.monotonic()
        try:
            while not self.done:
                row = self._run_epoch(watcher)
                if self.done or time.monotonic() - saved >= save_seconds:
                    self.kept.save()
                    saved = time.monotonic()
                watcher.on_epoch(row)
        finally:
            watcher.on_end()

    @property
    def done(self) -> bool:
        """Whether training is over."""
        waited = self.kept.progress.epoch - self.kept.progress.best_epoch
        patience = self.config.patience
        return self.kept.progress.epoch >= self.config.epochs or (patience is not None and waited >= patience)

    def _run_epoch(self, watcher: PretrainWatcher) -> Row:
        started, epoch = time.perf_counter(), self.kept.progress.epoch
        order = self.data.epoch_order(self.batch_size, self.config.seed, epoch)
        loss, person = self._train(order, watcher)
        trained = time.perf_counter() - started
        with self.kept.having(self.optimizer.averages if self.config.ema_decay else None):
            held_out = self._held_out_loss()
            weights = self.kept.weights()
            if not all(math.isfinite(value) for value in (loss, held_out)) or not _finite(weights):
                raise self._diverged(epoch)
            watcher.on_validation(epoch + 1, self.model.autoencoder, self.data)
        row: Row = {
            "stage": STAGE,
            "epoch": epoch + 1,
            "loss": loss,
            **({} if person is None else {"person_loss": person}),
            "validation_loss": held_out,
            "learning_rate": float(ops.convert_to_numpy(self.optimizer.learning_rate)),
            "people_per_second": round(order.size / trained, 1),
            "seconds": round(time.perf_counter() - started, 3),
        }
        self.kept.note(row, (-held_out,), weights)
        return row

    def _train(self, order: np.ndarray, watcher: PretrainWatcher) -> tuple[float, float | None]:
        """The means over the steps of the loss of the minutes, and of that of telling people apart, if it is on."""
        if self.model.same_person is None:
            return self.steps.train(order, watcher.on_step), None
        self.model.person_sum.assign(0.0)
        total = self.steps.train(order, watcher.on_step)
        person = float(ops.convert_to_numpy(self.model.person_sum)) / len(order)
        return total - self.model.person_weight * person, person

    def _held_out_loss(self) -> float:
        return sum(part.share * self._loss_of(part.x, part.permutation) for part in self.data.held_out)

    def _loss_of(self, x: np.ndarray, permutation: np.ndarray) -> float:
        sums, minutes = self.steps.errors(x, permutation, self.batch_size)
        return float(sums.sum() / minutes.sum())

    def validation(self) -> dict[str, Any]:
        """The loss of the best weights and of the simple predictors on the people held out."""
        self.kept.assign(self.kept.best_weights)
        cohorts = {}
        for part in self.data.held_out:
            simple = simple_errors(part, self.num_masked, self.patch_size, self.config.loss)
            own = self._loss_of(part.x, part.permutation)
            cohorts[part.name] = {"windows": len(part.x), "share": part.share, "loss": own, **simple}
            if self.model.same_person is not None:
                cohorts[part.name]["people_told_apart"] = self._told_apart(part.x)
        names = ("loss", "person_mean", "mean_day", *(("people_told_apart",) if self.model.same_person else ()))
        together = {name: sum(c["share"] * c[name] for c in cohorts.values()) for name in names}
        return {**together, "best_epoch": self.kept.progress.best_epoch, "cohorts": cohorts}

    def _told_apart(self, x: np.ndarray) -> float:
        """Of the halves of some windows' days, how many are nearer to the window's other half than to any other."""
        model = HalvesOfPeople(self.model, self.config.seed)
        found = [
            np.asarray(model.predict_on_batch(x[rows]))[:count]
            for rows, count in filled_batches(len(x), self.batch_size)
        ]
        vectors = np.concatenate(found).transpose(1, 0, 2).reshape(2 * len(x), -1)  # first halves, then second ones
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        return float(np.mean(likeness.argmax(axis=1) == np.roll(np.arange(len(vectors)), len(x))))

    def best(self) -> list[np.ndarray]:
        """The best weights of the autoencoder alone, in the order of its trainable variables."""
        self.kept.assign(self.kept.best_weights)
        return [np.array(ops.convert_to_numpy(v)) for v in self.model.autoencoder.trainable_variables]

    def _variables(self) -> dict[str, list[Any]]:
        # Not `model.variables`, which under some backends has the running mean of the loss in it.
        model = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        return {"model": model, "optimizer": self.optimizer.variables}

    def _diverged(self, epoch: int) -> RunError:
        kept = ""
        if self.kept.path and self.kept.path.exists():  # older than the weights here by less than `save_seconds`
            best = load_state(self.kept.path)[1]["best_epoch"]
            kept = f"; the best weights that were saved, of training epoch {best}, are in {self.kept.path}"
        return RunError(
            f"The loss or weights became NaN or infinite in training epoch {epoch + 1}, expected finite numbers"
            f"{kept}. Lower the learning rate "
            f"({self.config.rate(self.model.autoencoder.encoder.config.size):g}), or look for extreme values in the "
            "data."
        )


def _num_masked(autoencoder: PATMaskedAutoencoder, sources: Sequence[Source]) -> int:
    """M of the sources' windows.

    Raises:
        ConfigError: if every patch would be masked, or none.
    """
    length = sources[0].train.shape[-1] if sources else 0
    count = length // autoencoder.encoder.config.patch_size
    masked = autoencoder.num_masked(count)
    if count and not 0 < masked < count:
        raise ConfigError(
            f"mask_ratio {autoencoder.mask_ratio} masks {masked} of the {count} patches of a window of {length} "
            "minutes, expected some and not all. Give longer windows, or another mask_ratio."
        )
    return masked


def _batch_size(config: PretrainConfig, windows: int) -> int:
    """Windows a step: no more than there are.

    Raises:
        ConfigError: if it can't be shared equally among the devices.
    """
    size = min(config.batch_size, windows)
    distribution = keras.distribution.distribution()
    devices = 1 if distribution is None else int(np.prod(distribution.device_mesh.shape))
    if size % devices:
        raise ConfigError(
            f"batch_size is {size} and there are {devices} devices, expected a multiple of their number (and no more "
            f"than the {windows} training windows)."
        )
    return size


def _optimizer(config: PretrainConfig, model: Reconstruction, steps: int) -> Adam:
    """Adam with the config's schedule, decay and average; `steps` a training epoch."""
    total = config.epochs * steps
    rate = config.rate(model.autoencoder.encoder.config.size)
    schedule = WarmupCosine(rate, min(config.warmup_epochs * steps, total), total, config.schedule == "cosine")
    optimizer = Adam(schedule, global_clipnorm=config.clip_norm or None)
    variables = model.trainable_variables
    rules = [Rule(decay=config.weight_decay if variable.path.endswith("kernel") else 0.0) for variable in variables]
    optimizer.set_rules(rules, config.ema_decay or None)
    optimizer.build(variables)
    return optimizer


def _finite(weights: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(values).all() for values in weights)


@contextlib.contextmanager
def _distribution(config: PretrainConfig) -> Iterator[None]:
    """All devices of this host sharing each batch, if the config says so, for as long as this lasts.

    Raises:
        ConfigError: under another backend than JAX, or if there is one device.
    """
    if not config.data_parallel:
        yield
        return
    backend = keras.backend.backend()
    devices = keras.distribution.list_devices() if backend == "jax" else []
    if len(devices) < 2:
        raise ConfigError(
            f"data_parallel: found {len(devices)} devices that the backend {backend} can share a batch among, expected "
            "JAX (KERAS_BACKEND=jax) and two or more. Leave it out."
        )
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
