"""What a model makes of a week before its head: one vector a window, and where it lies among others in two dimensions.

Axes: B windows, T minutes, D embed_dim, n people.
"""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np

from pat_keras.data.standardize import Standardizer
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.embedder import Embedder, Held

LEAST_FOR_UMAP = 30  # its picture of fewer people is of its own making


def week_vectors(model: PATClassifier, activity: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """What the head sees of a week's tokens: raw minutes (B, T) -> (B, D), or (B, 2 D) by "mean_std"; float32.

    Args:
        model: takes raw minutes, NaN = missing where it masks them.
        activity: (B, T).
        batch_size: windows a step.
    """
    held = Held.of(model)
    scaling = held.standardizer or Standardizer.fit(activity, "none")
    embedder = Embedder(held.encoder, scaling, held.smoothing, model.pooling, held.min_worn_share)
    return embedder.embed(activity, batch_size)


def person_means(participant_id: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids (n,), sorted, and the mean of each person's vectors (n, D)."""
    people, place = np.unique(participant_id, return_inverse=True)
    total = np.zeros((len(people), vectors.shape[1]))
    np.add.at(total, place, vectors)
    return people, total / np.bincount(place)[:, None]


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components of vectors (n, D), and the share of the variance that each holds (2,).

    The sign of a component, which is arbitrary, is that which makes its largest loading positive.
    """
    centred = vectors - vectors.mean(axis=0)
    left, size, right = np.linalg.svd(centred, full_matrices=False)
    positions, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    count = min(2, len(size))
    sign = np.sign(right[np.arange(count), np.abs(right[:count]).argmax(axis=1)])
    positions[:, :count] = left[:, :count] * size[:count] * sign
    variance = float(np.sum(size**2))
    if variance > 0:
        shares[:count] = size[:count] ** 2 / variance
    return positions, shares


def umap_positions(vectors: np.ndarray, seed: int) -> np.ndarray | None:
    """Where UMAP (McInnes et al., arXiv 1802.03426) puts vectors (n, D): (n, 2).

    None without the package umap-learn, or for fewer than 30 vectors.
    """
    if len(vectors) < LEAST_FOR_UMAP or importlib.util.find_spec("umap") is None:
        return None
    umap = importlib.import_module("umap")
    return np.asarray(umap.UMAP(n_components=2, random_state=seed, n_jobs=1).fit_transform(vectors))
