"""Models by name: presets from a cache or a server, official files, our own .keras files; anything else is refused."""

from __future__ import annotations

import io
import json
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

import pat_keras
from pat_keras.checkpoints.official import save_official
from pat_keras.checkpoints.registry import CACHE_VARIABLE, MIRROR_VARIABLE, PRESETS
from pat_keras.checkpoints.saved import save_model
from pat_keras.checkpoints.weights import (
    load_encoder,
    load_held,
    load_model,
    load_preset,
    load_weights,
    pretrained_scaling,
    stated_minutes,
)
from pat_keras.config import EncoderConfig
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CheckpointError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from tests.checkpoints.misbehaving_server import Server, sends
from tests.checkpoints.official_files import MODELS, make_file, make_model
from tests.models import reference
from tests.models.reference import TINY

PRESET = "pat_small_29k"


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def _content(kind: str, config: EncoderConfig, folder: pathlib.Path) -> bytes:
    return make_file(folder / f"{kind}.h5", kind, config).read_bytes()


def _same(first: keras.Model, second: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_a_preset_from_a_server_then_from_the_cache(
    cache: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_model("encoder", EncoderConfig.small())
    content = save_official(expected, tmp_path / "published.h5").read_bytes()
    with Server(sends(content)) as server:
        monkeypatch.setenv(MIRROR_VARIABLE, server.base)
        assert _same(load_preset(PRESET), expected)
        assert [path for path, _ in server.requests] == [f"/{PRESETS[PRESET].file}"]
    for again in (load_preset(PRESET), load_weights(PRESET), PATEncoder.from_preset(PRESET)):
        assert isinstance(again, PATEncoder) and again.config == EncoderConfig.small() and _same(again, expected)


def test_how_minutes_came_to_weights(tmp_path: pathlib.Path) -> None:
    """Of a fine-tuned model it is inside, of a pretraining beside; of a file away from both nothing is known."""
    model = PATClassifier(TINY).taking_raw(Standardizer.fit(np.eye(2, 10080, dtype=np.float32), "cohort"), "none")
    save_model(model, tmp_path / "model.keras")
    assert stated_minutes(tmp_path / "model.keras") == {"standardize": "cohort", "smoothing": "none"}
    run = tmp_path / "run"
    run.mkdir()
    save_model(PATEncoder(TINY), run / "encoder.keras")
    stated = {"mask_ratio": 0.9, "standardize": "per_recording", "smoothing": "savitzky_golay"}
    (run / "config.json").write_text(json.dumps(stated))
    for source in (run, run / "encoder.keras"):
        assert stated_minutes(source) == {"standardize": "per_recording", "smoothing": "savitzky_golay"}
        held = load_held(source)
        assert (held.scaling, held.smoothing, held.standardizer) == ("per_recording", "savitzky_golay", None)
    away = tmp_path / "away.keras"
    away.write_bytes((run / "encoder.keras").read_bytes())
    assert stated_minutes(away) == {} and pretrained_scaling(away) == "per_minute"


def test_a_preset_from_a_chosen_cache(tmp_path: pathlib.Path) -> None:
    expected = make_model("encoder", EncoderConfig.small())
    save_official(expected, tmp_path / "chosen" / PRESETS[PRESET].file)
    assert _same(PATEncoder.from_preset(PRESET, cache=tmp_path / "chosen"), expected)


@pytest.mark.parametrize(
    ("kind", "config", "found"),
    [
        ("encoder", EncoderConfig.small(), "the encoder of PAT small with the linear embedding"),
        ("encoder", EncoderConfig.large(embedding="conv"), "the encoder of PAT large with the conv embedding"),
        ("classifier", EncoderConfig.large(), "the classifier of PAT large with the linear embedding"),
        ("autoencoder", EncoderConfig.large(), "the autoencoder of PAT large with the linear embedding"),
    ],
)
def test_a_mirror_that_serves_another_model(
    kind: str,
    config: EncoderConfig,
    found: str,
    cache: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Server(sends(_content(kind, config, tmp_path))) as server:
        monkeypatch.setenv(MIRROR_VARIABLE, server.base)
        with pytest.raises(CheckpointError, match=f"{found}.*expected the encoder of PAT large with the linear one"):
            load_preset("pat_large_29k")
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_a_wrong_file_put_into_the_cache_by_hand(cache: pathlib.Path) -> None:
    cache.mkdir()
    path = make_file(cache / PRESETS["pat_large_29k"].file, config=EncoderConfig.small())
    with pytest.raises(CheckpointError, match="expected the encoder of PAT large"):
        load_preset("pat_large_29k")
    assert path.exists() and not path.with_name(path.name + ".sha256").exists()


@pytest.mark.parametrize("kind", MODELS)
def test_paths(kind: str, tmp_path: pathlib.Path) -> None:
    model = make_model(kind, EncoderConfig.small())
    model.save(tmp_path / "model.keras")
    for path in (save_official(model, tmp_path / "model.h5"), tmp_path / "model.keras"):
        for source in (path, str(path)):
            loaded = load_weights(source)
            assert type(loaded) is type(model) and _same(loaded, model)


def test_the_run_directory_of_a_pretraining(tmp_path: pathlib.Path) -> None:
    model = make_model("encoder", EncoderConfig.small())
    model.save(tmp_path / "encoder.keras")
    assert _same(load_weights(tmp_path), model) and _same(load_encoder(str(tmp_path)), model)


def test_neither_a_preset_nor_a_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match=r"pat_tiny: found neither such a file nor a preset.*pat_small_29k"):
        load_weights("pat_tiny")
    with pytest.raises(CheckpointError, match="pat_small_29k"):
        load_preset("pat_tiny")
    with pytest.raises(CheckpointError, match=r"found a folder without encoder\.keras, expected the run directory"):
        load_weights(tmp_path)


# .keras files.


@pytest.mark.parametrize("kind", MODELS)
def test_a_keras_file(kind: str, tmp_path: pathlib.Path) -> None:
    model = reference.randomize(MODELS[kind](TINY))
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    loaded = pat_keras.load_model(str(tmp_path / "model.keras"))
    assert isinstance(loaded, PATEncoder | PATClassifier | PATMaskedAutoencoder)
    assert _same(loaded, model) and not loaded.compiled


def _zip(path: pathlib.Path, **files: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_json", ".json"), content)


def _other_model(path: pathlib.Path) -> None:
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(path)


def _without_weights(path: pathlib.Path) -> None:
    PATEncoder(TINY).save(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    empty = io.BytesIO()
    h5py.File(empty, "w").close()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, empty.getvalue() if name.endswith(".h5") else content)


def _cut(path: pathlib.Path) -> None:
    PATEncoder(TINY).save(path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "something else"),
        (lambda path: path.write_text("text"), "something else"),
        (_cut, "something else"),
        (lambda path: _zip(path, config_json=b"{}"), "can't be loaded"),
        (lambda path: _zip(path, config_json=b"{", metadata_json=b"{}"), "can't be loaded"),
        (_without_weights, "can't be loaded"),
        (_other_model, "found a Sequential"),
    ],
)
def test_not_a_keras_file_of_ours(make: object, message: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.keras"
    make(path)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        load_model(path)


def test_an_official_file_is_no_keras_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match="load_official reads"):
        load_model(make_file(tmp_path / "model.h5"))
