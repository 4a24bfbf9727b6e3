"""Fine-tuned models as files: the same numbers of raw minutes in another process, and damage that is said."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest

from pat_keras.checkpoints.saved import load_classifier, save_model
from pat_keras.checkpoints.weights import load_weights
from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import KINDS, Standardizer
from pat_keras.errors import CheckpointError
from pat_keras.models.classifier import PATClassifier, Standardization
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.networks import BaselineNetwork


def _model(kind: str, x: np.ndarray, **settings) -> PATClassifier:
    fitted = Standardizer.fit(x, kind)
    scaling = Standardization(kind, len(fitted.mean))
    model = PATClassifier(EncoderConfig.small(), standardization=scaling, **settings)
    scaling.set_statistics(fitted.mean, fitted.scale)
    return model


def test_the_same_numbers_in_a_fresh_process(tmp_path) -> None:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).poisson(100, size=(4, 720)).astype("float32")
    settings = [{}, {"head": "linear"}, {"task": "multiclass", "num_classes": 3}, {"task": "regression"}]
    for number, kind in enumerate(KINDS):
        model = _model(kind, x, **settings[number])
        save_model(model, tmp_path / f"{number}.keras")
        np.save(tmp_path / f"{number}.npy", model.predict_logits(x))
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np\n"
        "from pat_keras.checkpoints.saved import load_classifier\n"
        "for number in range(4):\n"
        "    path = f'{sys.argv[1]}/{number}'\n"
        "    found = load_classifier(path + '.keras').predict_logits(np.load(sys.argv[1] + '/x.npy'))\n"
        "    print(np.abs(found - np.load(path + '.npy')).max())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert max(float(line) for line in done.stdout.split()) < 1e-6
    assert len(done.stdout.split()) == 4


def test_networks_beside_pat_in_a_fresh_process(tmp_path) -> None:
    """There, only load_classifier has been imported."""
    x = np.random.default_rng(0).poisson(100, size=(4, 720)).astype("float32")
    model = BaselineNetwork("cnn1d", 720).taking_raw(Standardizer.fit(x, "cohort"), "savitzky_golay")
    save_model(model, tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np\n"
        "from pat_keras.checkpoints.saved import load_classifier\n"
        "model = load_classifier(sys.argv[1] + '/model.keras')\n"
        "np.save(sys.argv[1] + '/y.npy', model.predict_logits(np.load(sys.argv[1] + '/x.npy')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.predict_logits(x), atol=1e-6)
    with pytest.raises(CheckpointError, match="a cnn1d network, which has no PAT encoder"):
        load_weights(tmp_path / "model.keras")


def test_stopped_while_saving_leaves_the_old_model(tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"the old one")

    def stopped(self, target, *args) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(PATClassifier, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_model(PATClassifier(EncoderConfig.small()), path)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_model(tmp_path) -> None:
    path = tmp_path / "model.keras"
    with pytest.raises(CheckpointError, match=r"model\.keras: found no such file"):
        load_classifier(path)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CheckpointError, match=r"model\.keras: found"):
        load_classifier(path)
    path.unlink()
    PATEncoder(EncoderConfig.small()).save(path)
    with pytest.raises(CheckpointError, match=r"found a PATEncoder, expected a PATClassifier"):
        load_classifier(path)
