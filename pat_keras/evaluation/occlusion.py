"""Occlusion: how the prediction changes when an hour of the day, or a day, is hidden.

Axes: B windows, T minutes, 24 hours of the day, D days of the window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pat_keras.evaluation.clock import DAY_HOURS, Clock
from pat_keras.evaluation.explained_model import ExplainedModel
from pat_keras.models.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Occlusion:
    """Score of the week, less its score with something hidden: positive where what was hidden spoke for the class.

    Attributes:
        hours: (B, 24), an hour of the day hidden on all days.
        days: (B, D), one day hidden.
        score: (B,) of the whole weeks.
    """

    hours: np.ndarray
    days: np.ndarray
    score: np.ndarray

    def by_hour(self, clock: Clock) -> np.ndarray:
        """(B, hours of the window) how much each is expected to matter: its hour's change times its day's, unsigned."""
        starts = np.searchsorted(clock.hour, np.arange(clock.n_hours))
        return np.abs(self.hours[:, clock.hour_of_day[starts]] * self.days[:, clock.day[starts]])


def occlusion(
    model: ExplainedModel | Predictor | Sequence[Predictor],
    x: np.ndarray,
    clock: Clock | None = None,
    classes: np.ndarray | None = None,
) -> Occlusion:
    """Hide every hour of the day on all days, and every day, one after the other.

    Args:
        model: to explain. Its `ExplainedModel` says what hidden hours are: missing, or the reference.
        x: (B, T) minutes, NaN = missing, for models that know it.
        clock: of the windows; from midnight by the minute if None.
        classes: (B,) whose log-odds, of a multi-class task; the most probable one if None.

    Raises:
        ConfigError: if x does not fit the model.

    Example:
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> found = pat.occlusion(model, weeks)
        >>> found.hours.shape, found.days.shape
        ((4, 24), (4, 1))
    """
    view, clock = ExplainedModel.of(model), clock or Clock(np.shape(x)[1])
    classes = view.classes(x) if classes is None else classes
    score = view.score(x, classes=classes)

    def changes(group: np.ndarray, count: int) -> np.ndarray:
        found = [view.score(x, np.broadcast_to(group == each, x.shape), classes) for each in range(count)]
        return score[:, None] - np.stack(found, axis=1)

    return Occlusion(changes(clock.hour_of_day, DAY_HOURS), changes(clock.day, clock.n_days), score)
