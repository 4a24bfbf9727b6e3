"""Probabilities that mean what they say: what class weights did to them taken out, or fitted on validation people.

Every correction is affine in the logits: a slope, and a shift of each output. So it goes into the output layer of a
network, and the saved model has it.

Axes: n windows, C outputs (1 for binary), K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pat_keras.config import RECALIBRATION
from pat_keras.errors import ConfigError, LabelError

_SMALLEST = 1e-15  # probability whose logit is taken of one that is 0
_STEPS = 100


def recalibration_of(
    kind: str,
    task: str,
    class_weights: Mapping[float, float],
    validation_logits: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
) -> tuple[float, np.ndarray]:
    """The slope and the shift that correct a model's logits: slope * logits + shift.

    "prior": a loss that weighs class k by w_k is at its best where the odds of k are w_k times too high (Elkan, IJCAI
    2001; Saerens et al., Neural Computation 14, 2002), so log w_k is taken off the logit of k. Nothing is fitted. The
    probabilities are then those of the classes' shares among the training people.
    "platt": slope and intercept of a logistic regression on the logits of validation people (Platt 1999), with his
    targets, (n_1 + 1) / (n_1 + 2) and 1 / (n_0 + 2), which keep it finite where the classes are apart. Where the slope
    would turn the ranking round, it stays 1 and the intercept alone is fitted.

    Args:
        kind: "none", "prior" or "platt" (of two classes).
        task: "binary", "multiclass" or "regression", whose values stay as they are.
        class_weights: of the training loss among people (`weights_of_people`), by class 0 ... K - 1; 1 for a class that
            is not there.
        validation_logits: (n, C); looked at by "platt" alone.
        y: (n,) labels of these windows.
        weight: (n,) of these windows in the fit, such as 1 / the person's windows; None for 1.

    Returns:
        The slope, and the shift (C,) float64.

    Raises:
        ConfigError: for an unknown kind, or "platt" of a task without two classes.
        LabelError: if "platt" finds one class alone.
    """
    if kind not in RECALIBRATION:
        raise ConfigError(f"recalibration is {kind!r}, expected one of {', '.join(RECALIBRATION)}.")
    logits = np.asarray(validation_logits, dtype=np.float64)
    outputs = logits.shape[1]
    if kind == "none" or task == "regression":
        return 1.0, np.zeros(outputs)
    if kind == "prior":
        classes = np.arange(max(outputs, 2), dtype=np.float64)
        log_weight = np.log([class_weights.get(value, 1.0) for value in classes])
        return 1.0, log_weight[:1] - log_weight[1:] if task == "binary" else -log_weight
    if task != "binary":
        raise ConfigError(f"recalibration is 'platt', which is for two classes, and the task is {task!r}; use prior.")
    weight = np.ones(len(logits)) if weight is None else np.asarray(weight, dtype=np.float64)
    slope, shift = _platt(logits[:, 0], np.asarray(y, dtype=np.float64), weight)
    return slope, np.array([shift])


def _platt(logit: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of Platt's regression."""
    ones, zeros = float(weight[y == 1].sum()), float(weight[y == 0].sum())
    if not ones or not zeros:
        raise LabelError(
            f"recalibration: the {len(y)} validation windows are all of class {0 if zeros else 1}; 'platt' needs both "
            "classes. Enlarge the validation part, or use --recalibration=prior."
        )
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    both = np.stack([logit, np.ones_like(logit)], axis=1)
    slope, shift = _logistic(both, target, weight, np.zeros_like(logit))
    if slope > 0:
        return float(slope), float(shift)
    (shift,) = _logistic(both[:, 1:], target, weight, logit)
    return 1.0, float(shift)


def _logistic(x: np.ndarray, target: np.ndarray, weight: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Coefficients of columns x (n, F) of the least weighted cross-entropy, by Newton's method with halved steps."""
    # A little of a penalty keeps the step finite where all logits are equal.
    ridge = 1e-9 * weight.sum() * np.eye(x.shape[1])

    def loss(beta: np.ndarray) -> float:
        eta = x @ beta + offset
        return float(weight @ (np.logaddexp(0.0, eta) - target * eta) + beta @ ridge @ beta / 2)

    beta = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ beta + offset, -500, 500)))
        gradient = x.T @ (weight * (p - target)) + ridge @ beta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-8 and loss(beta - size * step) > loss(beta):
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return beta


def apply_to(output_layer: Any, slope: float, shift: np.ndarray) -> None:
    """Put a correction into a Dense layer that gives logits.

    Args:
        output_layer: with kernel (F, C) and bias (C,).
        slope: of the logits.
        shift: (C,).
    """
    kernel, bias = output_layer.kernel, output_layer.bias
    kernel.assign(kernel * slope)
    bias.assign(bias * slope + np.asarray(shift, dtype=np.float32))


def balanced_weights(y: np.ndarray, participant_id: np.ndarray) -> dict[float, float]:
    """The class weights under which every class weighs the same, a person of it as much as another: those of baselines.

    Args:
        y: (n,) labels.
        participant_id: (n,) whose windows they are.
    """
    classes, of_class = np.unique(np.asarray(y, dtype=np.float64), return_inverse=True)
    people = np.bincount(of_class, weights=shares_of_person(participant_id))
    return dict(zip(classes.tolist(), (people.sum() / (len(classes) * people)).tolist(), strict=True))


def weights_of_people(
    class_weights: Mapping[float, float], y: np.ndarray, participant_id: np.ndarray
) -> dict[float, float]:
    """The class weights that a loss over windows amounts to among people.

    A class whose people have twice as many windows as others counts twice as much, beside its weight, and its odds are
    so much too high among people. Where everybody has equally many windows these are the weights themselves.

    Args:
        class_weights: of the training loss, by class.
        y: (n,) labels of the training windows.
        participant_id: (n,) whose windows they are; a person has one label.
    """
    everybody = len(np.unique(participant_id))
    return {
        value: weight * float((y == value).sum() * everybody / (len(y) * len(np.unique(participant_id[y == value]))))
        for value, weight in class_weights.items()
    }


def shares_of_person(participant_id: np.ndarray) -> np.ndarray:
    """(n,) 1 / the windows of the person, so that every person weighs the same."""
    _, person, windows = np.unique(participant_id, return_inverse=True, return_counts=True)
    return 1.0 / windows[person]


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits (n, C) that give probabilities (n, K): C is 1 for two classes. A probability of 0 counts as 1e-15."""
    log = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), _SMALLEST, None))
    return log[:, 1:] - log[:, :1] if log.shape[1] == 2 else log
