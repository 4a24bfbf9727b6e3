"""What is minimised: cross-entropy or squared error, with softened targets, the focal loss, and mixup.

Axes: B windows, C classes.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pat_keras.config import FinetuneConfig

_STREAM = 2  # of random numbers; see augmentation.py


class FocalLoss(keras.losses.Loss):
    """Cross-entropy of logits, a class's term times (1 - its probability)^gamma (Lin et al., arXiv 1708.02002, eq. 4).

    Soft targets q count in proportion: -sum over classes of q (1 - p)^gamma log p. So the loss of a mixture of targets
    is the mixture of their losses, and gamma 0 is cross-entropy.

    Args:
        gamma: the exponent; examples that are already right count less the larger it is.
        binary: one logit and targets (B,), or C logits and targets (B, C).
    """

    def __init__(self, gamma: float, binary: bool, name: str = "focal_loss") -> None:
        super().__init__(name=name)
        self.gamma, self.binary = gamma, binary

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(B,) or (B, C) targets, (B, 1) or (B, C) logits -> (B,)."""
        if self.binary:
            target = ops.reshape(y_true, (-1, 1))
            target = ops.concatenate([1.0 - target, target], axis=1)
            log_chance = ops.concatenate([ops.log_sigmoid(-y_pred), ops.log_sigmoid(y_pred)], axis=1)
        else:
            target, log_chance = y_true, ops.log_softmax(y_pred, axis=1)
        # 1 - p, whose gradient under a power below 1 has no bound where p is 1.
        missed = ops.clip(-ops.expm1(log_chance), 1e-7, 1.0)
        return -ops.sum(target * missed**self.gamma * log_chance, axis=1)


def make_loss(config: FinetuneConfig) -> keras.losses.Loss:
    """The loss of logits (B, C), or of a regression's values, for the targets of `soft_targets`."""
    if config.task == "regression":
        return keras.losses.MeanSquaredError()
    if config.focal_gamma:
        return FocalLoss(config.focal_gamma, config.task == "binary")
    if config.task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if _shares(config):
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _shares(config: FinetuneConfig) -> bool:
    """Whether a target of several classes can be no class number any more."""
    return bool(config.label_smoothing or config.mixup or config.focal_gamma)


def soft_targets(y: np.ndarray, config: FinetuneConfig, classes: int) -> np.ndarray:
    """Training targets (B,) with `label_smoothing` spread over all classes; shares (B, C) of several classes."""
    if config.task == "multiclass" and _shares(config):
        y = np.eye(classes, dtype=np.float32)[y.astype(int)]
    smoothing = config.label_smoothing
    return y if not smoothing else (y * (1.0 - smoothing) + smoothing / classes).astype(np.float32)


def mix(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, config: FinetuneConfig, epoch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixup (Zhang et al., arXiv 1710.09412): windows mixed with others, s x + (1 - s) x', s from Beta(alpha, alpha).

    The weighted cross-entropy is linear in weight x target. So with the weight s w + (1 - s) w' and the mean target by
    these weights, a mixture's loss is s times the loss with one target and 1 - s times that with the other.

    Args:
        x: (B, ...) inputs, scaled; NaN = missing, in the mixture where it is in either.
        y: (B,) or (B, C) targets.
        weight: (B,) of the loss.
        config: alpha as `mixup`, and the seed.
        epoch: which training epoch; it and the seed decide who is mixed with whom, and by how much.
    """
    rng = np.random.default_rng([config.seed, epoch, _STREAM])
    other = rng.permutation(len(x))
    share = rng.beta(config.mixup, config.mixup, len(x)).astype(np.float32)

    def mixed(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
        shares = shares.reshape(-1, *[1] * (values.ndim - 1))
        return shares * values + (1.0 - shares) * values[other]

    weights = mixed(weight, share)
    return mixed(x, share), mixed(y, share * weight / weights), weights
