"""A score behind a label as what is learned: PHQ-9 where the label is depression, BMI where it is obesity.

A cut makes 9 and 0 the same and 9 and 10 as different as 0 and 27, and what that throws away costs most where one class
is rare (MacCallum et al., Psychological Methods 7, 2002; Royston et al., Statistics in Medicine 25, 2006). The network
has one logit as before; its target is the score's share of its range, so that it learns the expected score, and the
validation people's labels make probabilities of the label out of it (`recalibration`, "platt").

Axes: n windows.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pat_keras.errors import LabelError

_TAIL = 0.01  # of the training people at either end, whose scores count as the least and the most: a BMI of 130


@dataclasses.dataclass(frozen=True)
class ScoreTargets:
    """From scores to targets between 0 and 1.

    Attributes:
        low: the 1st percentile of the training people's scores, of fewer than a hundred the second lowest; becomes 0.
        high: the 99th, of fewer than a hundred the second highest; becomes 1.

    Example:
        >>> import numpy as np
        >>> scores = np.arange(101.0)
        >>> ScoreTargets.fit(scores, np.arange(101))(np.array([-5.0, 50.0, 200.0]))
        array([0. , 0.5, 1. ], dtype=float32)
    """

    low: float
    high: float

    @classmethod
    def fit(cls, score: np.ndarray, participant_id: np.ndarray) -> ScoreTargets:
        """The range of scores (n,) of training people, each of whom counts once.

        Raises:
            LabelError: if there is none.
        """
        _, first = np.unique(participant_id, return_index=True)
        ranked = np.sort(np.asarray(score, dtype=np.float64)[first])
        low, high = np.quantile(ranked, [_TAIL, 1 - _TAIL])
        # Of few people a percentile lies between the last two, where one score of 9999 makes all others the same.
        second = max(low, ranked[:2][-1]), min(high, ranked[-2:][0])
        if second[1] > second[0]:
            low, high = second
        if not high > low:
            raise LabelError(
                f"learn_score: of the {len(first)} training people nearly all have the score {low:g} (from the 1st to "
                "the 99th percentile), expected scores that differ. Learn the label instead, or train on more people."
            )
        return cls(float(low), float(high))

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Scores (n,) -> targets (n,) float32."""
        share = (np.asarray(score, dtype=np.float64) - self.low) / (self.high - self.low)
        return np.clip(share, 0.0, 1.0).astype(np.float32)
