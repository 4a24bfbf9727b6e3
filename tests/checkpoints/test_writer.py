"""Our files are the original's, attribute by attribute, and Keras 2 itself computes our numbers from them."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import h5py
import numpy as np
import pytest
from keras import ops

from pat_keras.checkpoints.layout import ORDER_ATTRIBUTE, RATIO_ATTRIBUTE
from pat_keras.checkpoints.official import load_official, save_official
from pat_keras.config import EncoderConfig
from tests.checkpoints.official_files import make_model
from tests.models import reference

OURS = {"written_by", ORDER_ATTRIBUTE, RATIO_ATTRIBUTE}  # attributes beside Keras 2's own


def _described(path: pathlib.Path) -> dict[str, Any]:
    """Every group, attribute and tensor of a file: what it is, in which types, with which names."""
    found: dict[str, Any] = {}

    def describe(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, item.dtype.str, item.chunks, item.compression)
        for attribute in set(item.attrs) - OURS:
            stored, value = item.attrs.get_id(attribute), item.attrs[attribute]
            found[f"{name}@{attribute}"] = (stored.shape, stored.dtype.str, np.ravel(value).tolist())
        if isinstance(item, h5py.Group):
            found[f"{name}/"] = sorted(item)

    with h5py.File(path) as file:
        describe("", file)
        file.visititems(describe)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "PAT-S_weights",
        "PAT-L_weights",
        "PAT-Conv-S_weights",
        "PAT-S_finetuned_weights",
        "PAT-Conv-S_finetuned_weights",
        "PAT-S_mae_weights",
        "PAT-Conv-L_mae_weights",
    ],
)
def test_the_same_file_as_the_original_s(name: str, golden: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = save_official(load_official(golden / f"{name}.h5"), tmp_path / "ours.h5")
    assert _described(path) == _described(golden / f"{name}.h5")
    with h5py.File(path) as ours, h5py.File(golden / f"{name}.h5") as theirs:
        paths: list[str] = []
        theirs.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Dataset) else None)
        for tensor in paths:
            np.testing.assert_array_equal(ours[tensor][()], theirs[tensor][()])


def test_readable_by_others(tmp_path: pathlib.Path) -> None:
    mask = os.umask(0o022)
    try:
        path = save_official(make_model("encoder", reference.TINY), tmp_path / "new folder" / "encoder.h5")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644


# Keras 2 as the judge. One process for all models, since most of its time goes into starting.

PATCHES = 80
CASES = {
    "small": ("encoder", EncoderConfig.small()),
    "small conv": ("encoder", EncoderConfig.small(embedding="conv")),
    "large": ("encoder", EncoderConfig.large()),
    "classifier": ("classifier", EncoderConfig.small()),
    "autoencoder": ("autoencoder", EncoderConfig.small(embedding="conv")),
}


def _case(name: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """A model, its input, and a permutation for those that take one."""
    kind, config = CASES[name]
    model = make_model(kind, config)
    if kind == "autoencoder":
        model.order = "original"
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, PATCHES * config.patch_size)).astype(np.float32)
    return model, x, rng.permutation(PATCHES).astype(np.int32)


@pytest.fixture(scope="module")
def keras_2(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What Keras 2 computes for each case from the file that we wrote."""
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("needs tf_keras, the Keras 2 package of the test extra")
    folders = {name: tmp_path_factory.mktemp(name.replace(" ", "_")) for name in CASES}
    for name, folder in folders.items():
        (kind, config), (model, x, permutation) = CASES[name], _case(name)
        save_official(model, folder / "weights.h5")
        np.save(folder / "input.npy", x)
        shape = {key: getattr(config, key) for key in ("patch_size", "num_heads", "num_layers", "ff_dim", "embedding")}
        drawn = {"permutation": permutation.tolist(), "masked": round(0.9 * PATCHES)}
        (folder / "job.json").write_text(json.dumps({"kind": kind, **shape, **drawn}))
    script = pathlib.Path(__file__).with_name("keras2_original.py")
    command = [sys.executable, str(script), *map(str, folders.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: np.load(folder / "output.npy") for name, folder in folders.items()}


@pytest.mark.parametrize("name", ["small", "small conv", "large"])
def test_keras_2_gives_the_same_tokens(name: str, keras_2: dict[str, np.ndarray]) -> None:
    model, x, _ = _case(name)
    np.testing.assert_allclose(model.predict_on_batch(x), keras_2[name], rtol=0, atol=1e-5)


def test_keras_2_gives_the_same_probabilities(keras_2: dict[str, np.ndarray]) -> None:
    model, x, _ = _case("classifier")
    np.testing.assert_allclose(model.predict_proba(x)[:, 1:], keras_2["classifier"], rtol=0, atol=1e-6)


def test_keras_2_gives_the_same_reconstruction(keras_2: dict[str, np.ndarray]) -> None:
    model, x, permutation = _case("autoencoder")
    found = np.asarray(ops.convert_to_numpy(model(x, permutation)))
    np.testing.assert_allclose(found, keras_2["autoencoder"], rtol=0, atol=2e-5)
