"""What models share: a copy that takes raw minutes, smoothing before scaling, and files of an earlier version."""

from __future__ import annotations

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from pat_keras.config import KINDS
from pat_keras.data.smoothing import smooth
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError
from pat_keras.models.classifier import PATClassifier
from tests.models import reference
from tests.models.reference import TINY

MINUTES = 16 * TINY.patch_size


def _counts(people: int = 3) -> np.ndarray:
    return np.random.default_rng(3).gamma(0.5, 200.0, size=(people, MINUTES)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", ["none", "savitzky_golay"])
def test_a_copy_that_takes_raw_minutes(kind: str, smoothing: str, tmp_path: pathlib.Path) -> None:
    x = _counts()
    prepared = smooth(x) if smoothing == "savitzky_golay" else x
    standardizer = Standardizer.fit(prepared, kind)
    model = reference.randomize(PATClassifier(TINY, head="linear"))
    raw = model.taking_raw(standardizer, smoothing)
    expected = model.predict_logits(standardizer.apply(prepared))
    np.testing.assert_allclose(raw.predict_logits(x), expected, rtol=1e-4, atol=1e-4)
    raw.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.smoothing == smoothing
    np.testing.assert_array_equal(loaded.predict_logits(x), raw.predict_logits(x))
    model.output_layer.bias.assign([50.0])
    np.testing.assert_allclose(raw.predict_logits(x), expected, rtol=1e-4, atol=1e-4)  # a copy


def test_model_and_copy_go_on_side_by_side() -> None:
    """Under JAX a step gives up the arrays it was handed: shared ones would be gone for the other model."""
    x = _counts()
    standardizer = Standardizer.fit(x, "cohort")
    model = reference.randomize(PATClassifier(TINY))
    raw = model.taking_raw(standardizer)
    for _ in range(2):
        first, second = model.predict_logits(standardizer.apply(x)), raw.predict_logits(x)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)


def test_a_copy_keeps_all_settings() -> None:
    model = PATClassifier(TINY, "official", "multiclass", 3, 0.3, min_worn_share=0.25, dtype="mixed_bfloat16")
    model.encoder.trainable = False
    found = model.taking_raw(Standardizer.fit(_counts(), "cohort"), "savitzky_golay").get_config()
    assert found.pop("standardization") is not None and found.pop("smoothing") == "savitzky_golay"
    expected = model.get_config()
    assert {name: expected[name] for name in found} == found


def test_raw_minutes_are_prepared_once() -> None:
    standardizer = Standardizer.fit(_counts(), "cohort")
    raw = PATClassifier(TINY).taking_raw(standardizer)
    with pytest.raises(ConfigError, match="takes raw minutes already"):
        raw.taking_raw(standardizer)
    with pytest.raises(ConfigError, match="none, savitzky_golay"):
        PATClassifier(TINY).taking_raw(standardizer, "median")


def test_files_of_version_0_1(tmp_path: pathlib.Path) -> None:
    """There, the scaling was in another module, and nothing said that there was no smoothing."""
    model = reference.randomize(PATClassifier(TINY)).taking_raw(Standardizer.fit(_counts(), "per_minute"))
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                config = json.loads(content)
                del config["config"]["smoothing"]
                config["config"]["standardization"]["module"] = "pat_keras.models.classifier"
                content = json.dumps(config).encode()
            old.writestr(name, content)
    loaded = keras.saving.load_model(tmp_path / "old.keras")
    assert loaded.smoothing == "none"
    np.testing.assert_array_equal(loaded.predict_logits(_counts()), model.predict_logits(_counts()))
