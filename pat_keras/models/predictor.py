"""What all models that predict from weeks share: their task, raw minutes made ready inside, predictions as numpy.

Axes: B people (or windows), T minutes, C outputs (1 for binary and regression).
"""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from pat_keras.config import SMOOTHING, TASKS
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.outputs import probabilities
from pat_keras.models.scaling import SavitzkyGolay, Standardization

Self = TypeVar("Self", bound="Predictor")


class Predictor(keras.Model):
    """A model from weeks to logits, (B, T) -> (B, C), or to values for regression.

    Subclasses have an `output_layer` (a float32 Dense of `num_outputs`), and `check_input`, which raises a ConfigError
    for a shape that they can't take.

    Args:
        task: "binary", "multiclass" or "regression".
        num_classes: of a multi-class task; 2 for binary.
        standardization: the scaling of the data the model was trained under. With it the model takes raw minutes,
            without it standardised ones.
        smoothing: "none" or "savitzky_golay", of raw minutes before they are scaled.

    Raises:
        ConfigError: for a task or smoothing that does not exist, or a number of classes that does not fit.
    """

    def __init__(
        self,
        task: str = "binary",
        num_classes: int = 2,
        standardization: Standardization | None = None,
        smoothing: str = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if task not in TASKS or smoothing not in SMOOTHING:
            raise ConfigError(
                f"{type(self).__name__}: task is {task!r} and smoothing {smoothing!r}; expected one of "
                f"{', '.join(TASKS)} and one of {', '.join(SMOOTHING)}."
            )
        if (task == "binary" and num_classes != 2) or (task == "multiclass" and num_classes < 2):
            raise ConfigError(f"{type(self).__name__}: num_classes is {num_classes}, which a {task} task can't have.")
        # Raw minutes reach the scaling in full precision; what follows narrows its own input.
        self.autocast = False
        self.task, self.num_classes, self.smoothing = task, num_classes, smoothing
        self.standardization = standardization
        if smoothing == "savitzky_golay":
            self.smoother = SavitzkyGolay()

    @property
    def num_outputs(self) -> int:
        """C: the classes of a multi-class task, otherwise 1."""
        return self.num_classes if self.task == "multiclass" else 1

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """Raise a ConfigError unless the model can take an input of this shape."""
        raise NotImplementedError

    def build_preparation(self) -> None:
        """Build what `prepare` uses; for a subclass's `build`."""
        if self.standardization is not None and not self.standardization.built:  # it is when it comes from a file
            self.standardization.build((None, self.standardization.length))

    def prepare(self, x: Any) -> Any:
        """What the model holds of smoothing and scaling: (B, T) -> (B, T)."""
        if self.smoothing == "savitzky_golay":
            x = self.smoother(x)
        return x if self.standardization is None else self.standardization(x)

    def predict_logits(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Logits, or a regression's values: (B, T) numpy -> (B, C) float32 numpy, a batch at a time.

        Raises:
            ConfigError: if x is not (B, T), or T does not fit the model.
        """
        self.check_input(np.shape(x))
        result = np.zeros((len(x), self.num_outputs), dtype=np.float32)
        for low in range(0, len(x), batch_size):
            batch = np.asarray(x[low : low + batch_size], dtype=np.float32)
            result[low : low + batch_size] = self.predict_on_batch(batch)
        return result

    def predict_proba(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Probabilities of the classes, as scikit-learn gives them: (B, T) -> (B, num_classes), rows summing to 1.

        Raises:
            ConfigError: for a regression, which has no classes (`predict_logits` gives its values), or a wrong x.
        """
        if self.task == "regression":
            raise ConfigError("predict_proba: this model is a regression; predict_logits(x) gives its values.")
        return probabilities(self.predict_logits(x, batch_size), self.task)

    def predict_scores(self, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """What a result is computed from: probabilities (B, num_classes), or a regression's values (B, 1).

        Raises:
            ConfigError: if x is not (B, T), or T does not fit the model.
        """
        return (self.predict_logits if self.task == "regression" else self.predict_proba)(x, batch_size)

    def taking_raw(self: Self, standardizer: Standardizer, smoothing: str = "none") -> Self:
        """A copy of this model that takes raw minutes: what is saved must not depend on a second file to be right.

        Args:
            standardizer: the scaling of the training data, fitted on smoothed minutes if there is smoothing.
            smoothing: that of the training data.

        Raises:
            ConfigError: if the model holds a scaling or a smoothing already, or this smoothing does not exist.
        """
        if self.standardization is not None or self.smoothing != "none":
            raise ConfigError(f"{type(self).__name__}: the model takes raw minutes already.")
        scaling = Standardization.of(standardizer)
        preparation = {"standardization": keras.saving.serialize_keras_object(scaling), "smoothing": smoothing}
        raw = type(self).from_config({**self.get_config(), **preparation})
        assert raw.standardization is not None
        raw.standardization.set_statistics(standardizer.mean, standardizer.scale)
        own = {id(weight) for weight in raw.standardization.weights}
        others = [weight for weight in raw.weights if id(weight) not in own]
        for weight, trained in zip(others, self.weights, strict=True):
            weight.assign(np.array(ops.convert_to_numpy(trained)))  # a copy: JAX gives up arrays it was handed
        return raw

    def in_float32(self: Self) -> Self:
        """A copy of this model that computes in float32 throughout, whatever it was trained in."""
        copy = type(self).from_config(_in_float32(self.get_config()))
        for weight, own in zip(copy.weights, self.weights, strict=True):
            weight.assign(np.array(ops.convert_to_numpy(own)))
        return copy

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        standardization = self.standardization
        return {
            **super().get_config(),
            "task": self.task,
            "num_classes": self.num_classes,
            "standardization": None
            if standardization is None
            else keras.saving.serialize_keras_object(standardization),
            "smoothing": self.smoothing,
        }

    @classmethod
    def from_config(cls: type[Self], config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of `get_config`."""
        standardization = config["standardization"]
        if standardization is not None:
            standardization = keras.saving.deserialize_keras_object(standardization)
        return cls(**{**config, "standardization": standardization})


def _in_float32(config: Any) -> Any:
    """A model's config with every policy of precision in it replaced."""
    if isinstance(config, list):
        return [_in_float32(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {key: "float32" if key == "dtype" else _in_float32(value) for key, value in config.items()}
