"""Exported models: another runtime, called as the written page says, computes what the run does."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import unittest.mock

import keras
import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from pat_keras.apps.export import main
from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation import export, export_formats
from pat_keras.evaluation.ensemble import PATEnsemble, TrainedOn
from pat_keras.evaluation.export import export_run
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.networks import BaselineNetwork
from pat_keras.models.predictor import Predictor

MINUTES = 360
ABOUT = TrainedOn("asleep", MINUTES, "counts", 60, (), (), masks=False, scales=True)


def _raw(model, smoothing: str = "none", kind: str = "cohort"):
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:  # biases, too, say something
        weight.assign(np.array(weight) + 0.05 * rng.normal(size=weight.shape).astype(np.float32))
    return model.taking_raw(Standardizer.fit(rng.gamma(0.3, 600.0, (20, MINUTES)), kind), smoothing)


def _masked() -> PATEnsemble:
    """Two members of unequal weight, gaps, smoothing: what converters get wrong first."""
    members = [
        _raw(PATClassifier(EncoderConfig.small(embedding="conv_linear"), min_worn_share=0.5), "savitzky_golay"),
        _raw(PATClassifier(EncoderConfig.medium(), head="linear", min_worn_share=0.25), kind="per_recording"),
    ]
    return PATEnsemble(members, [0.25, 0.75], ["a", "b"], dataclasses.replace(ABOUT, masks=True))


def _classes() -> PATEnsemble:
    about = dataclasses.replace(ABOUT, class_names=("low", "high", "none"))
    model = PATClassifier(EncoderConfig.small(), task="multiclass", num_classes=3, dtype="mixed_bfloat16")
    return PATEnsemble([_raw(model, kind="per_minute")], trained_on=about)


def _values() -> PATEnsemble:
    return PATEnsemble([_raw(BaselineNetwork("cnn1d", MINUTES, "regression"))], trained_on=ABOUT)


def _called(folder: pathlib.Path, monkeypatch) -> np.ndarray:
    """What the code in README.md computes of example.csv, there where it lies."""
    monkeypatch.chdir(folder)
    code = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    found: dict[str, np.ndarray] = {}
    exec(code, found)
    return found["y"]


@pytest.mark.parametrize(("made", "file_format"), [(_masked, "onnx"), (_classes, "saved_model"), (_values, "onnx")])
def test_as_the_page_says(made, file_format, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'pat_keras[export]'") if file_format == "onnx" else None
    ensemble = made()
    ensemble.save(tmp_path / "run")
    card = export_run(tmp_path / "run", tmp_path / "out", file_format)
    assert json.loads((tmp_path / "out" / "card.json").read_text()) == card
    found = _called(tmp_path / "out", monkeypatch)
    x = pl.read_csv(tmp_path / "out" / "example.csv").fill_null(float("nan")).to_numpy().T.astype(np.float32)
    assert np.isnan(x).any() == (made is _masked)
    expected = ensemble.predict(x) if made is _values else ensemble.predict_proba(x)
    assert found.shape == expected.shape
    assert np.ptp(expected) > 0.01
    # The mixed model computes in 16 bits itself, and in float32 once it is exported.
    np.testing.assert_allclose(found, expected, atol=2e-2 if made is _classes else 1e-5)
    assert card["check"]["largest_difference"] <= 1e-5
    assert abs(card["check"]["largest_difference_from_the_run"] - np.abs(found - expected).max()) < 1e-5
    assert card["output"]["classes"] == {_masked: ["0", "1"], _classes: ["low", "high", "none"]}.get(made)
    written = pl.read_csv(tmp_path / "out" / "example_output.csv").drop("window").to_numpy()
    np.testing.assert_allclose(written.reshape(found.shape), found, atol=1e-6)


def test_wrong_numbers_are_not_given_out(tmp_path, monkeypatch) -> None:
    _values().save(tmp_path / "run")
    for wrong in (lambda y: y + 1e-3, lambda y: np.where(len(y) > 1, y, np.nan), lambda y: y[:, None]):

        def write(ensemble, *_, wrong=wrong):
            return tmp_path, lambda x: wrong(ensemble.predict(x))

        monkeypatch.setattr(export_formats, "write", write)
        with pytest.raises(RunError, match="not kept"):
            export_run(tmp_path / "run", tmp_path / "out", "saved_model")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["run"]


def test_a_copy_that_is_not_the_run_is_not_given_out(tmp_path, monkeypatch) -> None:
    """What is written is a copy in float32, which the runtime may compute well and which may still be another model."""
    _values().save(tmp_path / "run")
    copy = Predictor.in_float32

    def spoiled(self):
        other = copy(self)
        other.output_layer.kernel.assign(-np.array(other.output_layer.kernel))
        return other

    monkeypatch.setattr(Predictor, "in_float32", spoiled)
    with pytest.raises(RunError, match=r"differs from the run by .*not kept"):
        export_run(tmp_path / "run", tmp_path / "out", "saved_model")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), tf.errors.ResourceExhaustedError(None, None, "a; No space left [Op:S]")]
)
def test_a_full_disk_is_told_in_a_paragraph(error, tmp_path, monkeypatch) -> None:
    _values().save(tmp_path / "run")
    monkeypatch.setattr(tf.saved_model, "save", unittest.mock.Mock(side_effect=error))
    with pytest.raises(RunError, match=r"can't be written \(No space left\)"):
        export_run(tmp_path / "run", tmp_path / "out", "saved_model")
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("split", "kind", "said"),
    [
        ("holdout", "cohort", "^this model, on people that it was not trained on$"),
        ("kfold", "paper", "their average was not tested; they were scaled by their own statistics"),
    ],
)
def test_what_was_tested(split, kind, said) -> None:
    assert re.search(said, export._tested({"split": split}, {"standardize": kind}))


def test_refusals(tmp_path, monkeypatch, capsys) -> None:
    _values().save(tmp_path / "run")
    (tmp_path / "there").mkdir()
    with pytest.raises(RunError, match="already there"):
        export_run(tmp_path / "run", tmp_path / "there")
    with pytest.raises(ConfigError, match="expected one of onnx, saved_model"):
        export_run(tmp_path / "run", tmp_path / "out", "pickle")
    assert main(["pat-export", f"--run={tmp_path / 'nowhere'}", f"--out={tmp_path / 'out'}"]) == 2
    assert "nowhere" in capsys.readouterr().err
    PATEnsemble(_values().models).save(tmp_path / "unknown")
    with pytest.raises(RunError, match="does not say what its models were trained on"):
        export_run(tmp_path / "unknown", tmp_path / "out")
    monkeypatch.setattr(export_formats.importlib, "import_module", _absent)
    with pytest.raises(RunError, match=r"needs the package onnx.*pat_keras\[export\]"):
        export_run(tmp_path / "run", tmp_path / "out")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match="KERAS_BACKEND=tensorflow"):
        export_run(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _absent(name: str):
    raise ImportError(name)


def test_command(tmp_path, capsys) -> None:
    _values().save(tmp_path / "run")
    assert main(["pat-export", f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'o'}", "--format=saved_model"]) == 0
    assert "out:   prediction (windows)\ncheck: 4 simulated windows" in capsys.readouterr().out
