"""Steps of pretraining: one compiled function takes a model through many of them.

Under JAX the weeks stay on the device where they fit, a step is told which of them to take, and a loop of steps runs
without coming back to Python. Under other backends each step is Keras' own.

Axes: B people of a batch, T minutes, N patches, S steps.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config.pretrain import SHIFT_MINUTES, PretrainConfig
from pat_keras.models.layers import split_patches
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.augmentation import DAY_MINUTES, whole_days_error
from pat_keras.training.optimizers import Adam
from pat_keras.training.same_person import SamePerson, person_weight

# Steps that a GPU does in one call. More save nothing more; the progress bar moves once a call.
STEPS_PER_CALL = 16

# Share of a GPU's memory that weeks may take.
RESIDENT_SHARE = 0.4


class Reconstruction(keras.Model):
    """The loss as a model: (B, T) standardised weeks, NaN = missing -> the loss of a freshly drawn mask, a number.

    In training, the `SamePerson` loss is added as the config weighs it.

    Args:
        autoencoder: to train.
        config: its loss, permutation, person_loss, `augment_` settings and seed.
        length: T.

    Raises:
        ConfigError: if weeks are to be shifted by days and are not whole days, or have no two halves to compare.
    """

    def __init__(self, autoencoder: PATMaskedAutoencoder, config: PretrainConfig, length: int) -> None:
        super().__init__(name="reconstruction")
        self.autoencoder, self.loss_kind, self.shared = autoencoder, config.loss, config.permutation == "batch"
        whole_days = length % DAY_MINUTES == 0
        if config.augment_days and not whole_days:
            raise whole_days_error(length)
        self._days = whole_days if config.augment_days is None else config.augment_days
        self._minutes = (
            (SHIFT_MINUTES if whole_days else 0) if config.augment_minutes is None else config.augment_minutes
        )
        self.masks = keras.random.SeedGenerator(config.seed)
        shape = autoencoder.encoder.config
        self.person_weight = person_weight(config, length, shape.patch_size)
        self.same_person = SamePerson(length, shape.patch_size, shape.embed_dim) if self.person_weight else None
        if self.same_person is not None:
            # Of the training steps since somebody set it to 0: what of the losses was not about minutes.
            self.person_sum = self.add_weight(
                name="person_sum", shape=(), initializer="zeros", dtype="float32", trainable=False
            )
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B, T) -> (); in training, of weeks shifted as the config says."""
        week = self.shifted(x) if training else x
        permutation = self.autoencoder.permutations(week, self.masks, self.shared)
        sums, minutes = self.errors(week, permutation, training)
        loss = ops.sum(sums) / ops.maximum(ops.sum(minutes), 1.0)
        if not training or self.same_person is None:
            return loss
        # Of weeks as they are: shifted alike, two halves would be known by their shift.
        person = self.same_person(*self.halves(x, self.masks, training), self.same_person.same_weeks(x))
        self.person_sum.assign_add(person)
        return loss + self.person_weight * person

    def halves(self, x: Any, seed: keras.random.SeedGenerator, training: bool | None = None) -> list[Any]:
        """Tokens of the two halves of each person's days that `same_person` draws: (B, T) -> twice (B, V, D)."""
        assert self.same_person is not None
        patches = split_patches(x, self.autoencoder.encoder.config.patch_size)
        drawn = self.same_person.halves(patches, seed)
        return [self.autoencoder.encode_visible(patches, visible, training=training) for visible in drawn]

    def shifted(self, x: Any) -> Any:
        """Each week shifted in a circle by its own random days and minutes: (B, T) -> (B, T)."""
        if not self._days and not self._minutes:
            return x
        people, length = ops.shape(x)
        shift = ops.zeros((people, 1), "int32")
        if self._days:
            shift += DAY_MINUTES * self._draw(people, length // DAY_MINUTES)
        if self._minutes:
            shift += self._draw(people, 2 * self._minutes + 1) - self._minutes
        places = ops.mod(ops.expand_dims(ops.arange(length, dtype="int32"), 0) + shift, length)
        return ops.take_along_axis(x, places, axis=1)

    def _draw(self, people: Any, count: Any) -> Any:
        """(B, 1) whole numbers from 0 to count - 1."""
        return keras.random.randint((people, 1), 0, count, dtype="int32", seed=self.masks)

    def errors(self, x: Any, permutation: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Sums of squared errors and numbers of minutes of each person under masks (B, N): (B, T) -> (B,) and (B,)."""
        reconstruction = self.autoencoder(x, permutation, training=training)
        return self.autoencoder.squared_errors(x, reconstruction, permutation, self.loss_kind)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """What `call` gave is the loss."""
        return y_pred


class HeldOutErrors(keras.Model):
    """The errors of a `Reconstruction` as a model: [(B, T), (B, N)] -> (B, 2)."""

    def __init__(self, reconstruction: Reconstruction) -> None:
        super().__init__(name="held_out_errors")
        self.reconstruction, self.jit_compile = reconstruction, reconstruction.autoencoder.jit_compile
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Sum and number of each person."""
        return ops.stack(self.reconstruction.errors(inputs[0], inputs[1], training), axis=1)


class HalvesOfPeople(keras.Model):
    """The halves of a `Reconstruction` as `SamePerson` compares them, as a model: (B, T) -> (B, 2, 64)."""

    def __init__(self, reconstruction: Reconstruction, seed: int) -> None:
        super().__init__(name="halves_of_people")
        self.reconstruction, self.jit_compile = reconstruction, reconstruction.autoencoder.jit_compile
        self.drawn = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Unit vectors of both halves of each week."""
        same_person = self.reconstruction.same_person
        assert same_person is not None
        halves = self.reconstruction.halves(x, self.drawn, training)
        return ops.stack([same_person.project(tokens) for tokens in halves], axis=1)


class Steps(abc.ABC):
    """Takes a model through training steps, and looks at people held out."""

    @abc.abstractmethod
    def train(self, order: np.ndarray, on_step: Callable[[], None]) -> float:
        """Train on weeks (S, B) of the data, by index; returns the mean of the steps' losses."""

    @abc.abstractmethod
    def errors(self, x: np.ndarray, permutation: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squared errors and numbers of minutes of weeks (n, T) under masks (n, N): (n,) and (n,)."""


def make_steps(model: Reconstruction, optimizer: Adam, data: np.ndarray, jit: bool) -> Steps:
    """Steps under the backend that runs.

    Args:
        model: to train.
        optimizer: built for its trainable variables.
        data: (n, T) standardised weeks of all training people.
        jit: whether to compile with XLA; JAX always does.
    """
    if keras.backend.backend() == "jax":
        return _JaxSteps(model, optimizer, data)
    return _KerasSteps(model, optimizer, data, jit)


def filled_batches(n: int, batch_size: int) -> list[tuple[np.ndarray, int]]:
    """Indices of batches of one size and how many of each count: the last is filled up, so that nothing is compiled
    twice."""
    batches = []
    for low in range(0, n, batch_size):
        count = min(batch_size, n - low)
        batches.append((np.minimum(np.arange(low, low + batch_size), n - 1), count))
    return batches


class _KerasSteps(Steps):
    """Keras' own training step, one at a time."""

    def __init__(self, model: Reconstruction, optimizer: Adam, data: np.ndarray, jit: bool) -> None:
        self._model, self._data = model, data
        model.compile(optimizer=optimizer, jit_compile=jit)
        self._held_out = HeldOutErrors(model)

    def train(self, order: np.ndarray, on_step: Callable[[], None]) -> float:
        losses = []
        for rows in order:
            self._model.reset_metrics()
            losses.append(float(self._model.train_on_batch(self._data[rows])))
            on_step()
        return float(np.mean(losses))

    def errors(self, x: np.ndarray, permutation: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        found = [
            np.asarray(self._held_out.predict_on_batch([x[rows], permutation[rows]]))[:count]
            for rows, count in filled_batches(len(x), batch_size)
        ]
        sums, minutes = np.concatenate(found).astype(np.float64).T
        return sums, minutes


class _JaxSteps(Steps):
    """Many steps in one call, the weeks and the state of the training on the device."""

    def __init__(self, model: Reconstruction, optimizer: Adam, data: np.ndarray) -> None:
        import jax

        self._model, self._optimizer, self._data = model, optimizer, data
        self._place = _placement()
        device = jax.local_devices()[0]
        limit = (device.memory_stats() or {}).get("bytes_limit", 0) if device.platform != "cpu" else 0
        self._per_call = 1 if device.platform == "cpu" else STEPS_PER_CALL
        self._resident = self._place(data) if data.nbytes <= RESIDENT_SHARE * limit else None
        self._many = jax.jit(self._run, donate_argnums=0)
        self._errors = jax.jit(self._held_out)

    def _state(self) -> tuple[list[Any], list[Any], list[Any]]:
        parts = (self._model.trainable_variables, self._model.non_trainable_variables, self._optimizer.variables)
        return tuple([variable.value for variable in part] for part in parts)  # type: ignore[return-value]

    def _assign(self, state: tuple[list[Any], list[Any], list[Any]]) -> None:
        parts = (self._model.trainable_variables, self._model.non_trainable_variables, self._optimizer.variables)
        for part, values in zip(parts, state, strict=True):
            for variable, value in zip(part, values, strict=True):
                variable.assign(value)

    def _run(self, state: Any, data: Any, order: Any, count: Any) -> Any:
        """`count` steps on rows order[i] of the data: the state after them, and the sum of their losses."""
        import jax

        def step(i: Any, carry: Any) -> Any:
            (trainable, others, slots), total = carry
            x = ops.take(data, order[i], axis=0)
            lossy = jax.value_and_grad(self._loss, has_aux=True)
            (loss, others), gradients = lossy(trainable, others, x)
            trainable, slots = self._optimizer.stateless_apply(slots, gradients, trainable)
            return (trainable, others, slots), total + loss

        return jax.lax.fori_loop(0, count, step, (state, 0.0))

    def _loss(self, trainable: Any, others: Any, x: Any) -> Any:
        return self._model.stateless_call(trainable, others, x, training=True)

    def train(self, order: np.ndarray, on_step: Callable[[], None]) -> float:
        state, losses = self._state(), list[Any]()
        for low in range(0, len(order), self._per_call):
            rows = order[low : low + self._per_call]
            count = len(rows)
            rows = np.concatenate([rows, np.zeros((self._per_call - count, rows.shape[1]), rows.dtype)])
            if self._resident is None:
                data = self._place(self._data[rows.reshape(-1)])
                rows = np.arange(rows.size).reshape(rows.shape)
            else:
                data = self._resident
            state, total = self._many(state, data, self._place(rows.astype(np.int32), 1), count)
            if losses:
                losses[-1].block_until_ready()  # so that no more than two calls' weeks wait for the device
            losses.append(total)
            for _ in range(count):
                on_step()
        self._assign(state)
        return float(np.sum([np.asarray(total) for total in losses]) / len(order))

    def errors(self, x: np.ndarray, permutation: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        trainable, others, _ = self._state()
        found = []
        for rows, count in filled_batches(len(x), batch_size):
            batch = self._place(x[rows], 0), self._place(permutation[rows], 0)
            found.append((self._errors(trainable, others, *batch), count))
        together = [np.asarray(errors, np.float64)[:, :count] for errors, count in found]
        sums, minutes = np.concatenate(together, axis=1)
        return sums, minutes

    def _held_out(self, trainable: Any, others: Any, x: Any, permutation: Any) -> Any:
        mapping = [*zip(self._model.trainable_variables, trainable, strict=True)]
        mapping += zip(self._model.non_trainable_variables, others, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            return ops.stack(self._model.errors(x, permutation, training=False))


def _placement() -> Callable[..., Any]:
    """How an array comes to the device: as a whole to each, or, if it has an axis of people, their share to each."""
    import jax

    distribution = keras.distribution.distribution()
    if distribution is None:
        return lambda array, people_axis=None: jax.numpy.asarray(array)
    mesh = distribution.device_mesh.backend_mesh

    def place(array: np.ndarray, people_axis: int | None = None) -> Any:
        axes = [None] * array.ndim if people_axis is None else [None] * people_axis + [distribution.batch_dim_name]
        return jax.device_put(array, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)))

    return place
