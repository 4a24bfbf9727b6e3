"""Which people a model was most and least sure of, and where it was sure and wrong.

Legend: n people, K classes.
"""

from __future__ import annotations

import numpy as np

from pat_keras.evaluation.calibration import clipped_logit

SUREST, UNSURE, WRONG = "Most certain", "Least certain", "Most certain and wrong"
NEAREST, HIGH, LOW = "Smallest errors", "Predicted far too high", "Predicted far too low"


def predicted_class(task: str, score: np.ndarray, threshold: float | np.ndarray | None) -> np.ndarray:
    """(n,) number of the class that each person is put in, from scores (n,) of class 1 or (n, K)."""
    return score.argmax(axis=1) if task == "multiclass" else (score >= threshold).astype(int)


def certainty(task: str, score: np.ndarray, threshold: float | np.ndarray | None) -> np.ndarray:
    """How sure a prediction is, (n,): higher is surer; comparable within one task alone.

    Binary: the distance from the threshold in log-odds. Several classes: the first class's probability less the
    second's. Both are 0 where another class would be chosen by a hair.

    Args:
        task: "binary" or "multiclass".
        score: (n,) probability of class 1, or (n, K).
        threshold: of a binary task, one or (n,).
    """
    if task == "multiclass":
        ordered = np.sort(score, axis=1)
        return ordered[:, -1] - ordered[:, -2]
    return np.abs(clipped_logit(score) - clipped_logit(np.asarray(threshold)))


def choose_people(
    task: str, y: np.ndarray, score: np.ndarray, threshold: float | np.ndarray | None, count: int
) -> dict[str, np.ndarray]:
    """The people at the ends: kind -> at most `count` places in the arrays, the most telling first.

    Nobody is chosen twice. A regression has no certainty of its own: the smallest and the largest errors take its
    place.

    Args:
        task: one of `config.TASKS`.
        y: (n,) labels.
        score: (n,) or (n, K).
        threshold: of a binary task, one or (n,).
        count: of each kind.
    """
    if task == "regression":
        error = score - y
        wanted = {
            HIGH: [i for i in np.argsort(-error, kind="stable") if error[i] > 0],
            LOW: [i for i in np.argsort(error, kind="stable") if error[i] < 0],
            NEAREST: list(np.argsort(np.abs(error), kind="stable")),
        }
    else:
        sure, wrong = certainty(task, score, threshold), predicted_class(task, score, threshold) != y
        order = np.argsort(-sure, kind="stable")
        wanted = {WRONG: [i for i in order if wrong[i]], SUREST: list(order), UNSURE: list(order[::-1])}
    taken: set[int] = set()
    chosen = {}
    for kind, places in wanted.items():
        own = [int(i) for i in places if int(i) not in taken][:count]
        taken.update(own)
        chosen[kind] = np.array(own, dtype=np.int64)
    return {kind: places for kind, places in chosen.items() if len(places)}
