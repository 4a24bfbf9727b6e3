"""Committee: fitted models that predict as one, in one file.

Axes: B people (or windows), T minutes, C outputs (1 for binary and regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.encoder import compile_by_default
from pat_keras.models.layers import PACKAGE
from pat_keras.models.predictor import Predictor

_OF_MEMBERS = ("task", "num_classes", "standardization", "smoothing")  # arguments of a predictor that members decide


@keras.saving.register_keras_serializable(PACKAGE)
class Committee(Predictor):
    """The mean of what its members predict: probabilities, or a regression's values; (B, T) raw minutes -> (B, C).

    What comes out are the logits of the mean probabilities. Each member has its own scaling and smoothing.

    Args:
        members: each takes raw minutes; all of one task and number of classes.
        name, trainable, dtype: as of any model; the members keep their own precision.

    Raises:
        ConfigError: for no members, or members that don't go together.

    Example:
        >>> import numpy as np, pat_keras as pat
        >>> committee = Committee([pat.PATClassifier(pat.EncoderConfig.small()) for _ in range(2)])
        >>> committee.predict_proba(np.zeros((3, 1440), dtype="float32")).shape
        (3, 2)
    """

    def __init__(
        self, members: Sequence[Predictor], *, name: str = "committee", trainable: bool = True, dtype: Any = "float32"
    ) -> None:
        kinds = sorted({f"{member.task} of {member.num_outputs} outputs" for member in members})
        if len(kinds) != 1:
            found = " and ".join(kinds) or "nobody"
            raise ConfigError(f"Committee: the members are {found}; expected one or more of one task and its classes.")
        super().__init__(members[0].task, members[0].num_classes, name=name, trainable=trainable, dtype=dtype)
        self.members = list(members)
        self.jit_compile = compile_by_default()
        self.built = True

    def build(self, input_shape: Any) -> None:
        """Nothing: members are built when they are made."""
        self.built = True

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """Raise a ConfigError unless every member can take an input of this shape."""
        for member in self.members:
            member.check_input(shape)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B, T) -> logits (B, C); regression: values (B, 1)."""
        outputs = ops.stack([member(x, training=training) for member in self.members])  # (members, B, C)
        if self.task == "regression":
            return ops.mean(outputs, axis=0)
        if self.task == "multiclass":  # logits that are off by a constant, the logarithm of how many there are
            return ops.logsumexp(ops.log_softmax(outputs, axis=-1), axis=0)
        # Logarithms of the mean probability of 1 and of 0: near 0 and 1 the probabilities themselves would be rounded.
        of_one, of_zero = (ops.logsumexp(ops.log_sigmoid(sign * outputs), axis=0) for sign in (1.0, -1.0))
        return of_one - of_zero

    def taking_raw(self, standardizer: Standardizer, smoothing: str = "none") -> Committee:
        """A committee takes raw minutes already.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("Committee: its members take raw minutes, each by a scaling of its own.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {name: value for name, value in super().get_config().items() if name not in _OF_MEMBERS}
        return {**own, "members": [keras.saving.serialize_keras_object(member) for member in self.members]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Committee:
        """The inverse of `get_config`."""
        members = [keras.saving.deserialize_keras_object(member) for member in config["members"]]
        return cls(**{**config, "members": members})


def predictors_in(model: Predictor) -> list[Predictor]:
    """The members of a committee; of any other model, itself."""
    return list(model.members) if isinstance(model, Committee) else [model]
