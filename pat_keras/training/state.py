"""What is kept of a training, so that it can go on later as if it had never stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.errors import RunError

Row = dict[str, Any]


@dataclasses.dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch: training epochs done.
        best: rank of the best of them; a higher one is better.
        best_epoch: counted from 1; 0 before there is one.
        rows: of history.csv, one a training epoch.
    """

    epoch: int = 0
    best: tuple[float, ...] | None = None
    best_epoch: int = 0
    rows: list[Row] = dataclasses.field(default_factory=list)


class TrainingState:
    """A model's variables, its best weights so far and its progress, as one file.

    Args:
        path: of the file; None to keep nothing.
        model: whose trainable variables are its weights.
        variables: gives all variables on which it depends how training goes on, by a name for each kind; the random
            states of dropout and masks, and those of the optimizer, are among them.

    Attributes:
        progress: where the training stands.
        best_weights: of the best training epoch, or of the start.
    """

    def __init__(
        self, path: pathlib.Path | None, model: keras.Model, variables: Callable[[], Mapping[str, Sequence[Any]]]
    ) -> None:
        self.path, self.progress = path, Progress()
        self._model, self._variables = model, variables
        self.best_weights = self.weights()

    def weights(self) -> list[np.ndarray]:
        """Copies of the model's weights as they are."""
        return [np.array(ops.convert_to_numpy(variable)) for variable in self._model.trainable_variables]

    def assign(self, weights: Sequence[Any]) -> None:
        """Give the model these weights."""
        for variable, values in zip(self._model.trainable_variables, weights, strict=True):
            variable.assign(values)

    @contextlib.contextmanager
    def having(self, weights: Sequence[Any] | None) -> Iterator[None]:
        """The model with other weights, if there are any, for as long as this lasts."""
        if weights is None:
            yield
            return
        trained = self.weights()
        self.assign(weights)
        yield
        self.assign(trained)

    def note(self, row: Row, rank: tuple[float, ...], weights: list[np.ndarray]) -> None:
        """Count a training epoch, and keep its weights if none was better."""
        progress = self.progress
        progress.epoch += 1
        progress.rows.append(row)
        if progress.best is None or rank > progress.best:
            progress.best, progress.best_epoch, self.best_weights = rank, progress.epoch, weights

    def save(self, more: Mapping[str, np.ndarray] | None = None) -> None:
        """Write the file.

        Args:
            more: other arrays to keep, by names that no kind of variables begins with.
        """
        if self.path is None:
            return
        arrays = {name: np.asarray(ops.convert_to_numpy(variable)) for name, variable in self._named().items()}
        arrays |= {f"best/{i}": values for i, values in enumerate(self.best_weights)}
        save_state(self.path, {**arrays, **(more or {})}, dataclasses.asdict(self.progress))

    def restore(self) -> dict[str, np.ndarray] | None:
        """Take up what the file holds.

        Returns:
            The other arrays that were kept, or None if there is no file.

        Raises:
            RunError: if it is damaged, or of another model.
        """
        if self.path is None or not self.path.exists():
            return None
        arrays, meta = load_state(self.path)
        named = self._named()
        shapes = {name: tuple(variable.shape) for name, variable in named.items()}
        shapes |= {f"best/{i}": values.shape for i, values in enumerate(self.best_weights)}
        kinds = {name.split("/")[0] for name in shapes}
        found = {name: array.shape for name, array in arrays.items() if name.split("/")[0] in kinds}
        differ = sorted(name for name in {*found, *shapes} if found.get(name) != shapes.get(name))
        best = meta.get("best")
        if differ or meta.keys() != vars(self.progress).keys() or not (best is None or isinstance(best, list)):
            name = differ[0] if differ else "progress"
            raise RunError(
                f"{self.path}: {name}: found shape {found.get(name, 'nothing')}, expected {shapes.get(name, 'nothing')}"
                ". The state is of another model; remove it to train this part again from its start."
            )
        for name, variable in named.items():
            variable.assign(arrays[name])
        self.best_weights = [arrays[f"best/{i}"] for i in range(len(self.best_weights))]
        self.progress = Progress(**{**meta, "best": None if best is None else tuple(best)})
        return {name: array for name, array in arrays.items() if name not in shapes}

    def _named(self) -> dict[str, Any]:
        return {
            f"{kind}/{i}": variable
            for kind, variables in self._variables().items()
            for i, variable in enumerate(variables)
        }
