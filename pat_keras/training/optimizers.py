"""Optimizers whose learning rate differs by variable, and the rate's course over training.

Keras hands every variable's update to `Optimizer.update_step(gradient, variable, learning_rate)`; the classes here
scale the rate there, so that one optimizer with one schedule serves encoder and head.
(`keras.optimizers.MultiOptimizer` would do too, but the Keras of Python 3.10 does not have it.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pat_keras.config import FinetuneConfig


class _ByVariable:
    """Mixed into an optimizer: a factor on the learning rate, and decoupled weight decay, by variable.

    Weight decay is as in Loshchilov & Hutter (arXiv 1711.05101): variable -= rate x decay x variable, before the step.
    """

    def set_factors(self, factors: Sequence[float], decays: Sequence[float]) -> None:
        """Set the factor on the rate, and the decay, of each variable, in the order the optimizer is built with."""
        self._factors, self._decays = tuple(factors), tuple(decays)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable at its own rate."""
        # By index: TensorFlow hands its own variable over, not the Keras one that the optimizer was built with.
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        rate = learning_rate * self._factors[index]
        if self._decays[index]:
            value = ops.convert_to_tensor(variable)
            step = ops.cast(rate * self._decays[index], value.dtype) * value
            self.assign_sub(variable, step)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


class Adam(_ByVariable, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with a rate by variable."""


class SGD(_ByVariable, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with a rate by variable."""


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise over `warmup` steps, then constant, or falling to zero along a half cosine by step `total`."""

    def __init__(self, rate: float, warmup: int, total: int, cosine: bool) -> None:
        super().__init__()
        self.rate, self.warmup, self.total, self.cosine = rate, warmup, total, cosine

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, a scalar tensor."""
        step = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (step + 1.0) / (self.warmup + 1.0))
        if not self.cosine:
            return self.rate * rise
        done = ops.clip((step - self.warmup) / max(1, self.total - self.warmup), 0.0, 1.0)
        return self.rate * rise * 0.5 * (1.0 + ops.cos(math.pi * done))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"rate": self.rate, "warmup": self.warmup, "total": self.total, "cosine": self.cosine}


def make_optimizer(config: FinetuneConfig, model: Any, stage_epochs: int, steps_per_epoch: int) -> Any:
    """The optimizer of one stage, built: the head at its rate, the encoder (where the model has one) at its own.

    Args:
        config: rates, schedule, weight decay.
        model: a `PATClassifier`, or a model of its head alone.
        stage_epochs: training epochs of the stage, over which a cosine falls unless `schedule_epochs` is given.
        steps_per_epoch: optimizer steps of a training epoch.
    """
    total = (config.schedule_epochs or stage_epochs) * steps_per_epoch
    warmup = min(config.warmup_epochs * steps_per_epoch, total)
    schedule = WarmupCosine(config.head_learning_rate, warmup, total, config.schedule == "cosine")
    optimizer = Adam(schedule) if config.optimizer == "adam" else SGD(schedule, momentum=0.9)
    variables = model.trainable_variables
    encoder = getattr(model, "encoder", None)
    of_encoder = {id(variable) for variable in encoder.trainable_variables} if encoder else set()
    factor = config.encoder_rate / config.head_learning_rate
    optimizer.set_factors(
        [factor if id(variable) in of_encoder else 1.0 for variable in variables],
        [config.weight_decay if variable.path.endswith("kernel") else 0.0 for variable in variables],
    )
    optimizer.build(variables)
    return optimizer
