"""Weights of the members of an ensemble, fitted on people whom none of them was trained on.

Axes: K members, n people, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.optimize

from pat_keras.errors import LabelError

_LEAST_PROBABILITY = 1e-12  # a class that every member calls impossible costs much, not infinitely much

Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]


def stack_weights(task: str, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The weights, at least 0 and with the sum 1, of the mixture that predicts these people best.

    Of probabilities by log loss, of values by squared error (Wolpert, Neural Networks 5, 1992; Breiman, Machine
    Learning 24, 1996: without the bounds, members that are alike get large weights of opposite signs). Both losses are
    convex in the weights, so that there is one best value.

    Args:
        task: "binary", "multiclass" or "regression".
        y: (n,) labels, one a person: 0 or 1; 0 ... C - 1; values. Validation people: weights fitted on test people
            would be a part of the model that has seen the test.
        scores: (K, n) probabilities of 1, or values; (K, n, C) probabilities of the classes.

    Returns:
        (K,) float64.

    Raises:
        LabelError: if a class of a binary task is absent, or nobody is there.
    """
    y, scores = np.asarray(y, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if task == "regression":
        loss = _squared_error(y, scores)
    else:
        if len(np.unique(y)) < 2:
            raise LabelError(
                f"Stacking: the {len(y)} validation people are of {len(np.unique(y))} class(es); expected two or more "
                "to fit weights on. Use larger validation parts, or average."
            )
        loss = _log_loss(y.astype(int), scores)
    members = len(scores)
    equal = np.full(members, 1 / members)
    found = scipy.optimize.minimize(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = np.clip(np.nan_to_num(found.x), 0.0, None)
    # Steps of the solver are small where members are nearly alike; never worse than equal weights or one member alone.
    starts = [equal, *np.eye(members)]
    candidates = [weights / weights.sum(), *starts] if weights.sum() > 0 else starts
    return min(candidates, key=lambda w: loss(w)[0])


def _log_loss(y: np.ndarray, scores: np.ndarray) -> Loss:
    """Of the mixture of probabilities, with its gradient."""
    if scores.ndim == 2:
        true = np.where(y == 1, scores, 1 - scores)
    else:
        true = np.take_along_axis(scores, y[None, :, None], axis=2)[..., 0]
    true = np.maximum(true, _LEAST_PROBABILITY)  # (K, n)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.maximum(weights @ true, _LEAST_PROBABILITY)
        return float(-np.log(mixed).mean()), -(true / mixed).mean(axis=1)

    return loss


def _squared_error(y: np.ndarray, scores: np.ndarray) -> Loss:
    """Of the mixture of values, in units of the variance of y, with its gradient."""
    if not len(y):
        raise LabelError("Stacking: there are no validation people to fit weights on. Average instead.")
    variance = float(y.var()) or 1.0

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        error = weights @ scores - y
        return float((error**2).mean() / variance), 2 * (scores * error).mean(axis=1) / variance

    return loss
