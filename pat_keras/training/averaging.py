"""Averages of the weights over training, which are validated and kept in place of the last ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from pat_keras.config import FinetuneConfig


class WeightAverage:
    """No average: the weights are taken as they are.

    Attributes:
        start: training epochs before there is an average to speak of; training does not stop for want of progress
            before the average had its time.
    """

    start = 0

    def add(self, weights: list[np.ndarray], epoch: int) -> None:
        """Take in the weights after training epoch `epoch`, counted from 0."""

    def weights(self) -> list[np.ndarray] | None:
        """The average, or None where the weights themselves count."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """What has to be saved, beside the optimizer's variables, to go on later."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""


class ExponentialAverage(WeightAverage):
    """The one that our optimizers keep while they step."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def weights(self) -> list[np.ndarray] | None:
        """The average over the steps so far."""
        return [np.array(ops.convert_to_numpy(average)) for average in self._optimizer.averages]


class EqualAverage(WeightAverage):
    """SWA (Izmailov et al., arXiv 1803.05407): the mean of the weights after training epochs, from `start` on."""

    def __init__(self, start: int) -> None:
        self.start = start
        self._count, self._mean = 0, list[np.ndarray]()

    def add(self, weights: list[np.ndarray], epoch: int) -> None:
        """Take in the weights of another training epoch, if it is one of the later ones."""
        if epoch < self.start:
            return
        self._count += 1
        if self._count == 1:
            self._mean = [values.astype(np.float64) for values in weights]
        else:
            self._mean = [mean + (new - mean) / self._count for mean, new in zip(self._mean, weights, strict=True)]

    def weights(self) -> list[np.ndarray] | None:
        """The mean; before `start` the weights themselves count."""
        return [mean.astype(np.float32) for mean in self._mean] if self._count else None

    def arrays(self) -> dict[str, np.ndarray]:
        """The mean in double precision, and of how many."""
        if not self._count:
            return {}
        return {"swa_count": np.array(self._count), **{f"swa/{i}": mean for i, mean in enumerate(self._mean)}}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        self._count = int(arrays.get("swa_count", 0))
        self._mean = [arrays[f"swa/{i}"] for i in range(sum(name.startswith("swa/") for name in arrays))]


def make_average(config: FinetuneConfig, optimizer: Any, epochs: int) -> WeightAverage:
    """The average that the config asks for, in a stage of at most `epochs` training epochs.

    SWA starts after half of them: the weights of the first epochs are still far from where they will be.
    """
    if config.averaging == "ema":
        return ExponentialAverage(optimizer)
    return EqualAverage(epochs // 2) if config.averaging == "swa" else WeightAverage()
