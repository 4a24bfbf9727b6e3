"""How much each minute added to a prediction, by gradients: input x gradient, and integrated gradients.

Axes: B windows, T minutes, S steps.

Both share the model's log-odds (or predicted value) out among the minutes: what the week is more than the reference,
times a gradient. See `explained_model` for the reference, and for what is done with missing minutes: they get 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pat_keras.errors import ConfigError
from pat_keras.evaluation.explained_model import ExplainedModel
from pat_keras.models.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Attribution:
    """What minutes added to a score.

    Attributes:
        minutes: (B, T) float32, in units of the score: log-odds, or the value of a regression.
        score: (B,) of the weeks.
        reference_score: (B,) of the reference with the same minutes missing.
    """

    minutes: np.ndarray
    score: np.ndarray
    reference_score: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """(B,) what the minutes sum to, less what they should: score - reference_score. Integrated gradients: near 0.

        Its size says whether the steps were enough.
        """
        return self.minutes.sum(axis=1, dtype=np.float64) - (self.score - self.reference_score)


def input_x_gradient(
    model: ExplainedModel | Predictor | Sequence[Predictor], x: np.ndarray, classes: np.ndarray | None = None
) -> Attribution:
    """Each minute's distance from the reference, times the gradient of the score at the week itself.

    One backward pass; exact for a linear model only, so it does not sum to the difference of the scores.

    Args:
        model: to explain.
        x: (B, T) minutes, NaN = missing, for models that know it.
        classes: (B,) whose log-odds, of a multi-class task; the most probable one if None.

    Raises:
        ConfigError: if x does not fit the model, or the backend has no gradients here.

    Example:
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> found = pat.input_x_gradient(model, weeks)
        >>> found.minutes.shape, found.score.shape
        ((4, 1440), (4,))
    """
    return Attribution(*ExplainedModel.of(model).along(x, np.ones(1), np.ones(1), classes))


def integrated_gradients(
    model: ExplainedModel | Predictor | Sequence[Predictor],
    x: np.ndarray,
    classes: np.ndarray | None = None,
    steps: int = 16,
) -> Attribution:
    """The gradient averaged over the straight way from the reference to the week, times the way.

    Sundararajan et al. (ICML 2017). Minutes sum to the score of the week less that of the reference (completeness), up
    to what the steps leave: `Attribution.gap`. The integral is taken at Gauss-Legendre points.

    Args:
        model: to explain.
        x: (B, T) minutes, NaN = missing, for models that know it.
        classes: (B,) whose log-odds, of a multi-class task; the most probable one if None.
        steps: S, backward passes for each week.

    Raises:
        ConfigError: if x does not fit the model, steps is less than 1, or the backend has no gradients here.

    Example:
        >>> import pat_keras as pat
        >>> model = pat.PATClassifier(pat.EncoderConfig.small())
        >>> weeks = pat.simulate_cohort(n_people=4, days=1).activity / 1000
        >>> found = pat.integrated_gradients(model, weeks, steps=32)
        >>> bool(abs(found.gap).max() < 0.1)  # the minutes sum to the score, less that of the reference
        True
    """
    if steps < 1:
        raise ConfigError(f"integrated_gradients: steps is {steps}, expected 1 or more.")
    points, weights = np.polynomial.legendre.leggauss(steps)
    return Attribution(*ExplainedModel.of(model).along(x, (points + 1) / 2, weights / 2, classes))
