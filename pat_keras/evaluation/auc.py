"""The ROC curve and what hangs on it, exact and fast: AUC, average precision, DeLong's covariance.

Legend: n people, R resamples, M models. `draws` (R, n) says how often each person was drawn in each resample; a row of
ones is the sample itself, so one formula serves the estimate and all its resamples at once.
"""

from __future__ import annotations

import numpy as np
import scipy.stats


def roc_points(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The corners of the empirical ROC curve, from (0, 0) to (1, 1).

    Args:
        y: (n,) labels 0 or 1, both present.
        score: (n,) the higher, the more likely 1.

    Returns:
        False positive rate, true positive rate and threshold (predicted 1 where `score >= threshold`), one a distinct
        score after the first, whose threshold is infinity.
    """
    thresholds, place = np.unique(score, return_inverse=True)
    positive = np.bincount(place, weights=y, minlength=len(thresholds))[::-1]
    negative = np.bincount(place, weights=1 - y, minlength=len(thresholds))[::-1]
    true_rate = np.concatenate([[0.0], np.cumsum(positive) / positive.sum()])
    false_rate = np.concatenate([[0.0], np.cumsum(negative) / negative.sum()])
    return false_rate, true_rate, np.concatenate([[np.inf], thresholds[::-1]])


def class_totals(y: np.ndarray, score: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """People drawn of each class at each distinct score, from the highest score to the lowest.

    Args:
        y: (n,) labels 0 or 1.
        score: (n,).
        draws: (R, n).

    Returns:
        Positives and negatives, each (R, distinct scores).
    """
    order = np.argsort(-score, kind="stable")
    drawn = draws[:, order].astype(np.float64)  # (R, n)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(score[order]) != 0]))
    positive = np.add.reduceat(drawn * y[order], starts, axis=1)
    negative = np.add.reduceat(drawn * (1 - y[order]), starts, axis=1)
    return positive, negative


def auc(y: np.ndarray, score: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each resample: P(score of a 1 > score of a 0), ties counting one half.

    Args:
        y: (n,) labels 0 or 1.
        score: (n,).
        draws: (R, n).

    Returns:
        (R,), NaN where a resample holds one class alone.
    """
    wins, pairs = _wins(y, score, draws)
    return np.divide(wins, pairs, out=np.full(len(draws), np.nan), where=pairs > 0)


def auc_within(y: np.ndarray, score: np.ndarray, fold: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """AUC over the pairs of people that one model scored: a 1 and a 0 of the same fold.

    Scores of different folds are of different models, and the people of one fold helped to train the others' models.
    Where there is nothing to learn, that makes the AUC of all pairs smaller than 1/2; that of these pairs stays 1/2
    (Airola et al., Computational Statistics & Data Analysis 55:1828, 2011).

    Args:
        y: (n,) labels 0 or 1.
        score: (n,).
        fold: (n,) which model scored whom.
        draws: (R, n).

    Returns:
        (R,), NaN where no fold has both classes.
    """
    both = [_wins(y[own], score[own], draws[:, own]) for own in (fold == number for number in np.unique(fold))]
    wins, pairs = np.sum(both, axis=0)
    return np.divide(wins, pairs, out=np.full(len(draws), np.nan), where=pairs > 0)


def _wins(y: np.ndarray, score: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a 1 and a 0 in which the 1 has the higher score, ties counting one half, and all pairs; (R,) each."""
    positive, negative = class_totals(y, score, draws)
    below = negative.sum(axis=1, keepdims=True) - np.cumsum(negative, axis=1)
    return (positive * (below + 0.5 * negative)).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1)


def average_precision(y: np.ndarray, score: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Average precision of each resample: the mean over positives of the precision at their score (no interpolation).

    Args:
        y: (n,) labels 0 or 1.
        score: (n,).
        draws: (R, n).

    Returns:
        (R,), NaN where a resample holds no positive.
    """
    positive, negative = class_totals(y, score, draws)
    found, called = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    total = positive.sum(axis=1)
    return np.divide((positive * precision).sum(axis=1), total, out=np.full(len(draws), np.nan), where=total > 0)


def delong(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of several models on the same people, and the covariance of those AUCs.

    DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44:837), by the midranks of Sun and Xu 2014 (IEEE Signal
    Processing Letters 21:1389): O(n log n) for each model.

    Args:
        y: (n,) labels 0 or 1, both present.
        scores: (M, n).

    Returns:
        AUCs (M,) and covariance (M, M); the covariance is NaN where a class has one person.
    """
    positive, negative = scores[:, y == 1], scores[:, y == 0]  # (M, p), (M, q)
    p, q = positive.shape[1], negative.shape[1]
    together = scipy.stats.rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    # How much of the other class each person beats: the two structural components of the paper.
    of_positive = (together[:, :p] - scipy.stats.rankdata(positive, axis=1)) / q  # (M, p)
    of_negative = 1.0 - (together[:, p:] - scipy.stats.rankdata(negative, axis=1)) / p  # (M, q)
    aucs = of_positive.mean(axis=1)
    if min(p, q) < 2:
        return aucs, np.full((len(scores), len(scores)), np.nan)
    covariance = np.cov(of_positive, ddof=1) / p + np.cov(of_negative, ddof=1) / q
    return aucs, np.atleast_2d(covariance)
