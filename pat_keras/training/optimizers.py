"""Optimizers whose learning rate differs by variable, and the rate's course over training.

Keras hands every variable's update to `Optimizer.update_step(gradient, variable, learning_rate)`; the classes here
scale the rate there, so that one optimizer with one schedule serves encoder and head.
(`keras.optimizers.MultiOptimizer` would do too, but the Keras of Python 3.10 does not have it.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config import FinetuneConfig


@dataclasses.dataclass(frozen=True)
class Rule:
    """How one variable is trained.

    Attributes:
        factor: on the learning rate.
        decay: weight decay, times the rate and decoupled from the gradient.
        start: steps before it moves at all.
    """

    factor: float = 1.0
    decay: float = 0.0
    start: int = 0


class _ByVariable:
    """Mixed into an optimizer: a `Rule` by variable, and an average of each over the steps.

    Weight decay is as in Loshchilov & Hutter (arXiv 1711.05101): variable -= rate x decay x variable, before the step.

    Attributes:
        averages: of the variables, in the order the optimizer is built with; empty without an `ema_decay`.
    """

    averages: list[Any]

    def set_rules(self, rules: Sequence[Rule], ema_decay: float | None = None) -> None:
        """Set the rule of each variable, in the order the optimizer is then built with.

        Args:
            rules: one a variable.
            ema_decay: keep an exponential average of each variable: the mean of its values after steps 1 ... t, that of
                step i weighted by ema_decay^(t - i). The values it had before the first step have no weight.
        """
        self._rules, self._ema_decay = tuple(rules), ema_decay

    def build(self, variables: list[Any]) -> None:
        """Create the optimizer's variables, the averages among them."""
        super().build(variables)  # type: ignore[misc]
        self.averages = []
        for variable in variables if self._ema_decay is not None else ():
            average = self.add_variable_from_reference(variable, name="average")  # type: ignore[attr-defined]
            # A copy, since JAX gives up the buffers of both; what the average stays of a variable without a gradient.
            average.assign(np.array(ops.convert_to_numpy(variable)))
            self.averages.append(average)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable by its rule."""
        # By index: TensorFlow hands its own variable over, not the Keras one that the optimizer was built with.
        index = self._get_variable_index(variable)  # type: ignore[attr-defined]
        rule = self._rules[index]
        rate = learning_rate * rule.factor
        if rule.start:
            # A rate of zero, not a variable that is no longer trainable: nothing is compiled again, and Adam has the
            # right moments when the variable begins to move.
            rate *= ops.cast(self.iterations >= rule.start, "float32")  # type: ignore[attr-defined]
        if rule.decay:
            value = ops.convert_to_tensor(variable)
            step = ops.cast(rate * rule.decay, value.dtype) * value
            self.assign_sub(variable, step)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]
        if self._ema_decay is not None:
            self._average(self.averages[index], variable)

    def _average(self, average: Any, variable: Any) -> None:
        """Take the variable's new value into its average."""
        assert self._ema_decay is not None
        log, steps = math.log(self._ema_decay), ops.cast(self.iterations, "float32")  # type: ignore[attr-defined]
        # decay (1 - decay^steps) / (1 - decay^(steps + 1)): 0 at the first step, `decay` after many.
        kept = self._ema_decay * ops.expm1(steps * log) / ops.expm1((steps + 1.0) * log)
        value = ops.convert_to_tensor(variable)
        old = ops.convert_to_tensor(average)
        self.assign(average, value + ops.cast(kept, value.dtype) * (old - value))  # type: ignore[attr-defined]


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
    depths = encoder_depths(model)
    ratio = config.encoder_rate / config.head_learning_rate
    rules = []
    for variable in variables:
        depth = depths.get(id(variable))
        decay = config.weight_decay if variable.path.endswith("kernel") else 0.0
        if depth is None:
            rules.append(Rule(decay=decay))
        else:
            start = (depth + 1) * config.unfreeze_epochs * steps_per_epoch
            rules.append(Rule(ratio * config.layer_decay**depth, decay, start))
    optimizer.set_rules(rules, config.ema_decay if config.averaging == "ema" else None)
    optimizer.build(variables)
    return optimizer


def encoder_depths(model: Any) -> dict[int, int]:
    """How deep each trainable variable of a model's encoder lies, by its `id`: 0 in the last block, 1 in the one before
    it, ..., and the number of blocks in the embedding. Empty for a model without an encoder."""
    encoder = getattr(model, "encoder", None)
    if encoder is None:
        return {}
    depths = {id(variable): len(encoder.blocks) for variable in encoder.trainable_variables}
    for depth, block in enumerate(reversed(encoder.blocks)):
        depths |= {id(variable): depth for variable in block.trainable_variables}
    return depths
