"""The function that is explained: a model's log-odds of a class, or the value it predicts, as a function of a week.

Axes: B windows, T minutes, C outputs (1 for binary and regression), M people.

Explanations are about what the network sees: minutes smoothed and scaled as the model's own preparation does. Two
choices have to be made, and every result depends on them.

The reference, which an hour is compared with: "mean" is 0 after scaling, which is the training people's mean of that
minute of the week for a model scaled per minute, the mean of all minutes for one scaled by the cohort, and the
recording's own for one scaled by the recording. By night the last two are the activity of somebody who is up; so an
average day of real people, scaled as theirs is, can be given instead (`typical`).

Hiding: a model that was trained with missing minutes (`--missing=mask`) is told that the hours are missing, so that it
neither attends to nor pools their patches, as it has learned to; for any other model hidden minutes are the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.errors import ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.committee import predictors_in
from pat_keras.models.predictor import Predictor

HIDE = ("auto", "missing", "reference")
_GRADIENT_BYTES = 2**29  # scores that a batch of windows may keep for the backward pass, over all blocks
_MOST_TOGETHER = 32


class ExplainedModel:
    """A model, or several whose scores are averaged, and what its weeks are compared with.

    Args:
        models: of one task; each takes minutes as its own preparation expects them (raw, if it came out of a run). The
            members of a committee count as models.
        typical: (M, T) weeks whose average day is the reference; None for the mean of scaled minutes.
        day_length: samples of a day.
        hide: "missing", "reference", or "auto": missing where every model was trained to leave missing minutes out.

    Raises:
        ConfigError: for no model, models of different tasks, or hiding that a model can't do.

    Example:
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> explained = pat.ExplainedModel(model, typical=weeks)
        >>> explained.score(weeks).shape
        (4,)
    """

    def __init__(
        self,
        models: Predictor | Sequence[Predictor],
        *,
        typical: np.ndarray | None = None,
        day_length: int = 1440,
        hide: str = "auto",
    ) -> None:
        given = [models] if isinstance(models, Predictor) else list(models)
        self.models = [member for model in given for member in predictors_in(model)]
        if not self.models or len({(model.task, model.num_outputs) for model in self.models}) > 1:
            raise ConfigError("ExplainedModel: expected one model or more, all of one task and its classes.")
        masks = all(masks_missing(model) for model in self.models)
        if hide not in HIDE or (hide == "missing" and not masks):
            raise ConfigError(
                f"hide is {hide!r}, expected one of {', '.join(HIDE)}; missing is for models that were trained with "
                "--missing=mask, which alone know missing hours. Use reference."
            )
        self.hides_as_missing = masks if hide == "auto" else hide == "missing"
        self._members = [_Member(model, typical, day_length) for model in self.models]

    @classmethod
    def of(cls, model: ExplainedModel | Predictor | Sequence[Predictor]) -> ExplainedModel:
        """The model itself, or one with the mean of scaled minutes as the reference."""
        return model if isinstance(model, ExplainedModel) else cls(model)

    @property
    def task(self) -> str:
        """Of all models: "binary", "multiclass" or "regression"."""
        return self.models[0].task

    def classes(self, x: np.ndarray) -> np.ndarray:
        """(B,) the class whose log-odds are explained if none is asked for: 1 of two, else the most probable one."""
        if self.task != "multiclass":
            return np.zeros(len(x), dtype=np.int64)
        logits = [member.bare.predict_logits(member.prepare(x)) for member in self._members]
        return np.mean([np.asarray(ops.log_softmax(each)) for each in logits], axis=0).argmax(axis=1)

    def score(self, x: np.ndarray, hidden: np.ndarray | None = None, classes: np.ndarray | None = None) -> np.ndarray:
        """The log-odds of the class, or the value of a regression, averaged over the models.

        Args:
            x: (B, T) minutes, NaN = missing, for models that know it.
            hidden: (B, T) true where a minute is to be hidden; none if None.
            classes: (B,) whose log-odds, of a multi-class task; as `classes` chooses if None.

        Returns:
            (B,) float64.

        Raises:
            ConfigError: if x has missing minutes and a model does not know them, or x does not fit the models.
        """
        return self.scores(x, hidden, classes).mean(axis=0)

    def scores(self, x: np.ndarray, hidden: np.ndarray | None = None, classes: np.ndarray | None = None) -> np.ndarray:
        """As `score`, of each model: (number of models, B) float64."""
        classes = self.classes(x) if classes is None else classes
        scores = []
        for member in self._members:
            z = member.prepare(x)
            if hidden is not None:
                z = np.where(hidden, np.nan if self.hides_as_missing else member.reference_of(z), z)
            scores.append(member.log_odds(z, classes))
        return np.stack(scores)

    def along(
        self, x: np.ndarray, positions: np.ndarray, weights: np.ndarray, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gradients on the straight way from the reference to a week, times the way: what attributions are made of.

        Args:
            x: (B, T).
            positions: (S,) places on the way, 0 the reference and 1 the week itself.
            weights: (S,) of the gradients at these places.
            classes: as for `score`.

        Returns:
            (B, T) float32, (week - reference) x weighted sum of gradients, 0 for missing minutes; and the scores of
            the weeks and of the reference with the same minutes missing, (B,) float64 each. Means over the models.
        """
        classes = self.classes(x) if classes is None else classes
        found = [member.along(x, positions, weights, classes) for member in self._members]
        way, score, start = (np.mean([each[part] for each in found], axis=0) for part in range(3))
        return way.astype(np.float32), score, start


class _Member:
    """One model: its preparation, the network behind it, its reference, its gradient."""

    def __init__(self, model: Predictor, typical: np.ndarray | None, day_length: int) -> None:
        self.model, self.bare = model, _without_preparation(model)
        self._day = None if typical is None else _average_day(self.prepare(typical), day_length)
        self._gradient: Callable[..., Any] | None = None

    def prepare(self, x: np.ndarray) -> np.ndarray:
        """Minutes as the network behind sees them: (B, T) -> (B, T) float32."""
        self.model.check_input(np.shape(x))
        x = np.asarray(x, dtype=np.float32)
        missing = int(np.isnan(x).any(axis=1).sum())
        if missing and isinstance(self.model, PATClassifier) and not masks_missing(self.model):
            raise ConfigError(
                f"{missing} of {len(x)} windows have missing minutes, and the model was not trained to leave them out. "
                "Give complete windows, or a model trained with --missing=mask."
            )
        parts = [self.model.prepare(ops.convert_to_tensor(x[low : low + 64])) for low in range(0, len(x), 64)]
        return np.concatenate([np.asarray(ops.convert_to_numpy(part), dtype=np.float32) for part in parts])

    def reference_of(self, z: np.ndarray) -> np.ndarray:
        """(T,) what prepared weeks of this length are compared with."""
        if self._day is None:
            return np.zeros(z.shape[1], dtype=np.float32)
        return np.resize(self._day, z.shape[1])

    def along(
        self, x: np.ndarray, positions: np.ndarray, weights: np.ndarray, classes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `ExplainedModel.along`, of this model."""
        z = self.prepare(x)
        reference = self.reference_of(z)
        way = z - reference  # NaN where missing, and so is every place on it
        total = np.zeros(z.shape)
        person, place = (part.ravel() for part in np.indices((len(z), len(positions))))
        together = self._together(z.shape[1])
        for low in range(0, len(person), together):
            whose, where = person[low : low + together], place[low : low + together]
            points = reference + positions[where, None] * way[whose]
            gradients = self._gradients(points, classes[whose], together)
            np.add.at(total, whose, weights[where, None] * np.nan_to_num(gradients))
        ends = [self.log_odds(end, classes) for end in (z, np.where(np.isnan(z), np.nan, reference))]
        return np.nan_to_num(way) * total, *ends

    def log_odds(self, z: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Scores (B,) float64 of prepared weeks (B, T)."""
        logits = self.bare.predict_logits(z)
        scores = _log_odds(logits, _one_hot(classes, self.bare.num_outputs))
        return np.asarray(ops.convert_to_numpy(scores), dtype=np.float64)

    def _together(self, minutes: int) -> int:
        """Windows of one backward pass, by the attention scores that it keeps."""
        if not isinstance(self.model, PATClassifier):
            return _MOST_TOGETHER
        config = self.model.encoder.config
        bytes_of_one = 4 * config.num_layers * config.num_heads * (minutes // config.patch_size) ** 2
        return int(np.clip(_GRADIENT_BYTES // bytes_of_one, 1, _MOST_TOGETHER))

    def _gradients(self, z: np.ndarray, classes: np.ndarray, together: int) -> np.ndarray:
        """(b, T) gradients of the scores, computed in a batch filled up so that every batch has one shape."""
        filled = np.resize(np.arange(len(z)), together)
        one_hot = _one_hot(classes[filled], self.bare.num_outputs)
        if self._gradient is None:
            self._gradient = _gradient_function(self.bare)
        return np.asarray(ops.convert_to_numpy(self._gradient(z[filled].astype(np.float32), one_hot)))[: len(z)]


def masks_missing(model: Predictor) -> bool:
    """Whether a model leaves missing minutes out, as one trained with --missing=mask does."""
    return isinstance(model, PATClassifier) and model.min_worn_share is not None


def _without_preparation(model: Predictor) -> Predictor:
    """A copy of the model that takes minutes which are smoothed and scaled already."""
    if model.standardization is None and model.smoothing == "none":
        return model
    bare = type(model).from_config({**model.get_config(), "standardization": None, "smoothing": "none"})
    own = set() if model.standardization is None else {id(weight) for weight in model.standardization.weights}
    bare.set_weights([weight.numpy() for weight in model.weights if id(weight) not in own])
    return bare


def _average_day(prepared: np.ndarray, day_length: int) -> np.ndarray:
    """Mean over people and days of weeks (M, T), 0 where nobody has the minute: (day_length,), or (T,) if T is less."""
    known = ~np.isnan(prepared)
    place = np.arange(prepared.shape[1]) % day_length
    length = min(day_length, prepared.shape[1])
    total = np.bincount(place, np.where(known, prepared, 0.0).sum(axis=0), length)
    return (total / np.maximum(np.bincount(place, known.sum(axis=0), length), 1)).astype(np.float32)


def _one_hot(classes: np.ndarray, outputs: int) -> np.ndarray:
    return np.eye(outputs, dtype=np.float32)[classes]


def _log_odds(logits: Any, chosen: Any) -> Any:
    """(B, C) -> (B,): the chosen class against all others; the output itself where there is only one."""
    own = ops.sum(logits * chosen, axis=1)
    if logits.shape[1] == 1:
        return own
    return own - ops.logsumexp(logits - 1e9 * chosen, axis=1)


def _gradient_function(bare: Predictor) -> Callable[..., Any]:
    """Compiled: from prepared weeks (b, T) and chosen classes (b, C) to the gradients of the scores (b, T)."""
    if keras.backend.backend() == "jax":
        import jax

        held = bare.trainable_variables, bare.non_trainable_variables

        def total(z: Any, chosen: Any, *values: Any) -> Any:
            logits, _ = bare.stateless_call(*values, z, training=False)
            return ops.sum(_log_odds(logits, chosen))

        gradient = jax.jit(jax.grad(total))
        return lambda z, chosen: gradient(z, chosen, *([each.value for each in part] for part in held))
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"Gradients are computed under TensorFlow or JAX; the backend is {keras.backend.backend()}. Set "
            "KERAS_BACKEND to one of them, or use attention and occlusion."
        )
    import tensorflow as tf

    def record(z: Any, chosen: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(z)
            scores = _log_odds(bare(z, training=False), chosen)
        return tape.gradient(scores, z)

    return tf.function(record)
