"""What logits mean. Without Keras, which baselines do without.

Axes: B windows, C outputs.
"""

from __future__ import annotations

import numpy as np


def probabilities(logits: np.ndarray, task: str) -> np.ndarray:
    """Logits (B, C) -> probabilities (B, classes) float64, without overflow.

    The original's sigmoid output is column 1 of a binary task.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if task == "binary":
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
