"""A training that is killed."""

from __future__ import annotations

from typing import Any

from pat_keras.training.pretrain import PretrainWatcher


class StopError(Exception):
    """Stands for a kill."""


class StopsAfter(PretrainWatcher):
    """Stops in the middle of an epoch, or between its end and the next; of fine-tuning or pretraining."""

    def __init__(self, epochs: int = 0, steps: int = 0) -> None:
        self.epochs, self.steps, self.ended = epochs, steps, 0

    def on_step(self) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise StopError

    def on_epoch(self, row: dict[str, Any]) -> None:
        self.epochs -= 1
        if self.epochs == 0:
            raise StopError

    def on_end(self) -> None:
        self.ended += 1
