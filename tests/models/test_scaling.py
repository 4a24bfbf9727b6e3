"""Smoothing inside a model is SciPy's; gaps stay gaps; a scaling is made of a standardizer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from scipy import signal

from pat_keras.config import KINDS
from pat_keras.data.smoothing import smooth
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.scaling import SavitzkyGolay, Standardization


def _weeks(minutes: int = 300, people: int = 3) -> np.ndarray:
    return np.random.default_rng(0).gamma(0.3, 3000.0, size=(people, minutes)).astype(np.float32)


def _smoothed(x: np.ndarray) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(SavitzkyGolay()(x)))


@pytest.mark.parametrize("minutes", [51, 52, 300, 10_080])
def test_smoothing_is_scipy_s(minutes: int) -> None:
    x = _weeks(minutes)
    expected = signal.savgol_filter(x.astype(np.float64), 51, 3, mode="interp")
    np.testing.assert_allclose(_smoothed(x), expected, rtol=1e-5, atol=1e-6 * x.max())


def test_smoothing_fills_gaps_as_the_numpy_function() -> None:
    x = _weeks()
    x[0, 100:180] = np.nan  # longer than the window
    x[1, ::3] = np.nan
    x[1, 295:] = np.nan
    x[2, 1:] = np.nan
    found, expected = _smoothed(x), smooth(x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.nanmax(x))


def test_smoothing_of_too_few_minutes() -> None:
    with pytest.raises(ConfigError, match="at least 51"):
        SavitzkyGolay()(_weeks(50))


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaling_of_a_standardizer(kind: str) -> None:
    x = _weeks()
    standardizer = Standardizer.fit(x, kind)
    layer = Standardization.of(standardizer)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), standardizer.apply(x), rtol=1e-5, atol=1e-5)


def test_layers_come_back_from_their_configuration() -> None:
    for layer in (SavitzkyGolay(), Standardization("per_minute", 7)):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert again.get_config() == layer.get_config()
