"""Test people are touched once: training gets data without them, and what scores them gets them a single time.

    sealed = seal(data, make_splits(data, config))
    known = sealed[0].training()      # as often as you like: no test person is in it
    people = sealed[0].open()         # once; a second time is a RunError

Axes: B windows, T minutes, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pat_keras.config import FinetuneConfig
from pat_keras.data.smoothing import smooth
from pat_keras.data.split_parts import inner_splits
from pat_keras.data.splits import Split
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import RunError
from pat_keras.evaluation.protocols import LabelledData

if TYPE_CHECKING:
    from pat_keras.models.predictor import Predictor

_NOBODY = np.array([], dtype=np.int64)


class TrainingData(NamedTuple):
    """What may be learned from; the first four are the first arguments of `train_split`.

    Attributes:
        activity: (B, T) float32 raw minutes of training and validation people alone.
        y: (B,) targets.
        participant_id: (B,).
        split: whose rows are of these arrays; its test part is empty.
        score: (B,) behind the label, if it is learned in the label's place.
        group: (B,) who is kept together in every part.
    """

    activity: np.ndarray
    y: np.ndarray
    participant_id: np.ndarray
    split: Split
    score: np.ndarray | None = None
    group: np.ndarray | None = None


class HeldOut(NamedTuple):
    """Whom a result is reported for.

    Attributes:
        activity: (B, T) float32 raw minutes.
        y: (B,) targets.
        participant_id: (B,).
    """

    activity: np.ndarray
    y: np.ndarray
    participant_id: np.ndarray


class SealedSplit:
    """A split whose test people are handed out once.

    Args:
        data: all labelled windows.
        split: of these.

    Attributes:
        name: of the split.
        opened: whether the test people were handed out.
    """

    def __init__(self, data: LabelledData, split: Split) -> None:
        self.name, self.opened = split.name, False
        self._data, self._split = data, split
        self._rows = np.sort(np.concatenate([split.train, split.validation]))  # (B,) of all but test

    def training(self) -> TrainingData:
        """Copies of what may be learned from, any number of times."""
        rows, data = self._rows, self._data
        train, validation = (np.searchsorted(rows, part) for part in (self._split.train, self._split.validation))
        split = Split(train, validation, _NOBODY, self.name)
        score = None if data.score is None else data.score[rows]
        return TrainingData(
            data.activity[rows], data.y[rows], data.participant_id[rows], split, score, data.group[rows]
        )

    def inner(self, folds: int, seed: int, validation_fraction: float = 0.2, task: str | None = None) -> list[Split]:
        """Splits of the rows of `training()` for choosing settings; see `pat_keras.data.split_parts.inner_splits`."""
        data, split = self._data, self.training().split
        return inner_splits(
            split,
            data.participant_id[self._rows],
            data.y[self._rows],
            folds=folds,
            seed=seed,
            validation_fraction=validation_fraction,
            group=data.group[self._rows],
            task=task,
        )

    def open(self) -> HeldOut:
        """The test people. From then on the seal is broken.

        Raises:
            RunError: the second time.
        """
        if self.opened:
            raise RunError(
                f"{self.name}: its test people were scored already, and a second look would make them people that "
                "something was chosen by. Choose by validation people or inner splits, and score once at the end."
            )
        self.opened = True
        rows, data = self._split.test, self._data
        return HeldOut(data.activity[rows], data.y[rows], data.participant_id[rows])


def seal(data: LabelledData, parts: Sequence[Split]) -> list[SealedSplit]:
    """Each split with its test people under seal. In cross-validation each seal guards the people of its own fold."""
    return [SealedSplit(data, split) for split in parts]


def predict_test(model: Predictor, activity: np.ndarray, config: FinetuneConfig) -> np.ndarray:
    """What a fine-tuned model predicts of people it has not seen: probabilities (B, classes), or values (B, 1).

    Args:
        model: takes raw minutes.
        activity: (B, T) raw minutes, NaN = missing.
        config: of the model. Under scaling "paper" these people are scaled by their own statistics, as the authors did.
    """
    scaling = model.standardization
    if config.standardize != "paper" or scaling is None:
        return model.predict_scores(activity)
    kept = np.array(scaling.mean), np.array(scaling.scale)
    own = Standardizer.fit(smooth(activity) if config.smoothing == "savitzky_golay" else activity, "per_minute")
    scaling.set_statistics(own.mean, own.scale)
    try:
        return model.predict_scores(activity)
    finally:
        scaling.set_statistics(*kept)
