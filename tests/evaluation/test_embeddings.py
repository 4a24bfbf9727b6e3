"""Embeddings are what the head sees, and their two dimensions are those of most variance."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import sklearn.decomposition

from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.evaluation.embeddings import person_means, principal_components, umap_positions, week_vectors
from pat_keras.models.classifier import PATClassifier


@pytest.mark.parametrize("masks", [False, True])
def test_vectors_are_what_the_head_is_given(masks: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.gamma(1.0, 50, (5, 1440)).astype(np.float32)
    if masks:
        x[0, 100:400] = np.nan
    bare = PATClassifier(EncoderConfig.small(), min_worn_share=0.5 if masks else None)
    model = bare.taking_raw(Standardizer.fit(x, "cohort"))
    np.testing.assert_allclose(week_vectors(model, x), np.asarray(model.pool(x)), atol=2e-6)


def test_means_over_the_windows_of_a_person() -> None:
    people, means = person_means(np.array(["b", "a", "b"]), np.array([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]]))
    assert people.tolist() == ["a", "b"]
    np.testing.assert_array_equal(means, [[5, 5], [2, 1]])


def test_components_are_scikit_learns() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 6)) * np.arange(1, 7)
    positions, shares = principal_components(vectors)
    other = sklearn.decomposition.PCA(2)
    expected = other.fit_transform(vectors)
    np.testing.assert_allclose(np.abs(positions), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(shares, other.explained_variance_ratio_)


def test_equal_vectors_have_no_components() -> None:
    positions, shares = principal_components(np.ones((4, 3)))
    assert not positions.any()
    assert not shares.any()


def test_umap_is_asked_where_it_is_installed(monkeypatch) -> None:
    asked = {}

    class Umap:
        def __init__(self, **settings) -> None:
            asked.update(settings)

        def fit_transform(self, vectors: np.ndarray) -> np.ndarray:
            return vectors[:, :2]

    module = types.ModuleType("umap")
    module.__spec__ = types.SimpleNamespace(name="umap")  # type: ignore[assignment]
    module.UMAP = Umap  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    np.testing.assert_array_equal(umap_positions(vectors, 7), vectors[:, :2])
    assert asked["random_state"] == 7
    assert umap_positions(vectors[:29], 7) is None


def test_no_umap_without_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert umap_positions(np.zeros((40, 4)), 0) is None
