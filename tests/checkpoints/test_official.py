"""The original's numbers from the original's files; files and models out and in again; failures leave no trace."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from keras import ops

from pat_keras.checkpoints.official import load_official, load_official_into, save_official, verify_official
from pat_keras.config import EncoderConfig
from pat_keras.errors import CheckpointError, ConfigError
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from tests.checkpoints.official_files import MODELS, edit, make_file, make_model
from tests.models.reference import TINY

ENCODERS = {
    "PAT-S_weights": ("small", "linear"),
    "PAT-S_encoder_model": ("small", "linear"),
    "PAT-S_len2880_weights": ("small", "linear"),
    "PAT-M_weights": ("medium", "linear"),
    "PAT-L_weights": ("large", "linear"),
    "PAT-Conv-S_weights": ("small", "conv"),
    "PAT-Conv-S_encoder_model": ("small", "conv"),
    "PAT-Conv-L_weights": ("large", "conv"),
}
CLASSIFIERS = [f"{size}_finetuned_{kind}" for size in ("PAT-S", "PAT-Conv-S") for kind in ("weights", "model")]
AUTOENCODERS = ["PAT-S", "PAT-Conv-S", "PAT-Conv-L"]


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def _values(model: Any) -> list[np.ndarray]:
    return [_numpy(weight.value) for weight in model.weights]


# The original's numbers.


@pytest.mark.parametrize("name", ENCODERS)
def test_tokens_and_scores(name: str, golden: pathlib.Path) -> None:
    stem = name.removesuffix("_weights").removesuffix("_encoder_model")
    stored = np.load(golden / f"{stem}_io.npz")
    encoder = load_official(golden / f"{name}.h5")
    assert isinstance(encoder, PATEncoder)
    assert (encoder.config.size, encoder.config.embedding) == ENCODERS[name]
    np.testing.assert_allclose(encoder.predict_on_batch(stored["x"]), stored["tokens"], rtol=0, atol=1e-5)
    if "attention_last_row7" not in stored:
        return
    tokens, scores = encoder(stored["x"], return_attention_scores=True)
    assert len(scores) == stored["n_attention"]
    np.testing.assert_allclose(_numpy(tokens), stored["tokens"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(_numpy(scores[-1])[:, :, 7], stored["attention_last_row7"], rtol=0, atol=1e-6)
    part, streamed = next(encoder.iter_attention_scores(stored["x"], batch_size=1))
    np.testing.assert_allclose(streamed[:, :, 7], stored["attention_last_row7"][part], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_probabilities(name: str, golden: pathlib.Path) -> None:
    stored = np.load(golden / f"{name.rsplit('_', 1)[0]}_io.npz")
    model = load_official(golden / f"{name}.h5")
    assert isinstance(model, PATClassifier)
    assert (model.head, model.task) == ("official", "binary")
    np.testing.assert_allclose(model.predict_proba(stored["x"])[:, 1:], stored["probability"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_reconstructions(name: str, golden: pathlib.Path) -> None:
    stored = np.load(golden / f"{name}_mae_io.npz")
    model = load_official(golden / f"{name}_mae_weights.h5")
    assert isinstance(model, PATMaskedAutoencoder) and model.order == "original"
    permutation, masked = stored["shuffled_indices"], stored["masked_indices"]
    np.testing.assert_array_equal(permutation[: model.num_masked(len(permutation))], masked)
    found = _numpy(model(stored["x"], permutation))
    np.testing.assert_allclose(found, stored["reconstruction"], rtol=0, atol=2e-5)
    assert np.mean((found - stored["x"]) ** 2) == pytest.approx(float(stored["mse_all"]), rel=1e-5)

    restored = PATMaskedAutoencoder(model.encoder.config, order="restored")
    restored.set_weights(model.get_weights())
    assert np.abs(_numpy(restored(stored["x"], permutation)) - stored["reconstruction"]).max() > 1.0


def test_every_golden_file_is_tested(golden: pathlib.Path) -> None:
    tested = {*ENCODERS, *CLASSIFIERS, *(f"{name}_mae_weights" for name in AUTOENCODERS)}
    assert tested == {path.stem for path in golden.glob("*.h5")}


# Out and in again.


@pytest.mark.parametrize("embedding", ["linear", "conv"])
@pytest.mark.parametrize("kind", MODELS)
def test_saved_and_loaded(kind: str, embedding: str, tmp_path: pathlib.Path) -> None:
    config = EncoderConfig.small(embedding=embedding)
    model = make_model(kind, config)
    path = save_official(model, tmp_path / "model.h5")
    assert verify_official(path) == (kind, config)
    loaded = load_official(path)
    assert type(loaded) is type(model)
    for ours, theirs in zip(_values(model), _values(loaded), strict=True):
        np.testing.assert_array_equal(theirs, ours)
    other = make_model(kind, config, seed=1)
    load_official_into(other, path)
    for ours, theirs in zip(_values(model), _values(other), strict=True):
        np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("size", ["medium", "large", "huge"])
@pytest.mark.parametrize("embedding", ["linear", "conv"])
def test_every_size_is_recognised(size: str, embedding: str, tmp_path: pathlib.Path) -> None:
    config = EncoderConfig.of_size(size, embedding=embedding)
    assert verify_official(save_official(PATEncoder(config), tmp_path / "model.h5")) == ("encoder", config)


@pytest.mark.parametrize("order", ["restored", "original"])
def test_an_autoencoder_s_order_and_mask_ratio_are_kept(order: str, tmp_path: pathlib.Path) -> None:
    model = PATMaskedAutoencoder(EncoderConfig.small(), mask_ratio=0.75, order=order)
    loaded = load_official(save_official(model, tmp_path / "mae.h5"))
    assert isinstance(loaded, PATMaskedAutoencoder) and (loaded.order, loaded.mask_ratio) == (order, 0.75)


def test_an_output_that_the_original_has_not(tmp_path: pathlib.Path) -> None:
    """The layout can't say that it is linear: loaded back, the numbers would be other ones."""
    model, path = PATMaskedAutoencoder(EncoderConfig.small(), output="linear"), tmp_path / "mae.h5"
    with pytest.raises(ConfigError, match="linear output"):
        save_official(model, path)
    assert not path.exists()


def test_a_model_of_its_own_shape(tmp_path: pathlib.Path) -> None:
    model = make_model("encoder", TINY)
    path = save_official(model, tmp_path / "model.h5")
    loaded = load_official(path, config=TINY)
    other = make_model("encoder", TINY, seed=1)
    load_official_into(other, path)
    for ours, first, second in zip(_values(model), _values(loaded), _values(other), strict=True):
        np.testing.assert_array_equal(first, ours)
        np.testing.assert_array_equal(second, ours)


def test_a_kernel_of_its_own_width(tmp_path: pathlib.Path) -> None:
    config = EncoderConfig.small(embedding="conv", conv_kernel_size=5)
    path = save_official(make_model("encoder", config), tmp_path / "model.h5")
    load_official_into(PATEncoder(config), path)
    with pytest.raises(CheckpointError, match=r"conv1d_patch_embedding/kernel:0: found shape \(5, 1, 96\)"):
        load_official(path)


def test_a_narrow_model(tmp_path: pathlib.Path) -> None:
    """Weights are float32 whatever the precision of the products."""
    model = PATEncoder(EncoderConfig.small(), dtype="mixed_bfloat16")
    loaded = load_official(save_official(model, tmp_path / "model.h5"))
    for ours, theirs in zip(_values(model), _values(loaded), strict=True):
        np.testing.assert_array_equal(theirs, ours)


# What is refused, and leaves everything as it was.


def _damage(file: Any) -> None:
    """The last tensor that is read."""
    file["encoder_layer_2_transformer/encoder_layer_2_norm2/beta:0"][3] = np.nan


def test_a_failed_load_changes_nothing(tmp_path: pathlib.Path) -> None:
    model = make_model("encoder", TINY, seed=1)
    before = _values(model)
    damaged = edit(make_file(tmp_path / "damaged.h5"), _damage)
    wider = make_file(tmp_path / "wider.h5", config=EncoderConfig.from_dict({**TINY.to_dict(), "ff_dim": 24}))
    classifier = make_file(tmp_path / "classifier.h5", "classifier")
    for path, message in [
        (damaged, "norm2/beta:0: found 1 values"),
        (wider, r"ff1/kernel:0: found shape \(8, 24\), expected shape \(8, 20\)"),
        (classifier, "found a PAT classifier, expected a PAT encoder"),
        (tmp_path / "absent.h5", "no such file"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            load_official_into(model, path)
        for ours, old in zip(_values(model), before, strict=True):
            np.testing.assert_array_equal(ours, old)


def test_a_file_of_another_size_or_embedding(tmp_path: pathlib.Path) -> None:
    path = save_official(PATEncoder(EncoderConfig.small()), tmp_path / "small.h5")
    for config, expected in [
        (EncoderConfig.medium(), "PAT medium with the linear embedding and patches of 18 minutes"),
        (EncoderConfig.small(embedding="conv"), "PAT small with the conv embedding"),
    ]:
        with pytest.raises(CheckpointError, match=f"found PAT small with the linear embedding.*expected {expected}"):
            load_official_into(PATEncoder(config), path)


@pytest.mark.parametrize(
    "arguments", [{"head": "linear"}, {"task": "multiclass", "num_classes": 3}, {"task": "regression"}]
)
def test_models_that_the_original_has_not(arguments: dict[str, Any], tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "classifier.h5", "classifier")
    model = PATClassifier(TINY, **arguments)
    with pytest.raises(ConfigError, match="the original has a binary one"):
        load_official_into(model, path)
    with pytest.raises(ConfigError, match="the original has a binary one"):
        save_official(model, tmp_path / "other.h5")


def test_conv_linear_is_ours_alone(tmp_path: pathlib.Path) -> None:
    config = EncoderConfig.from_dict({**TINY.to_dict(), "embedding": "conv_linear"})
    path = make_file(tmp_path / "encoder.h5")
    for call in (
        lambda: load_official(path, config=config),
        lambda: load_official_into(PATEncoder(config), path),
        lambda: save_official(PATEncoder(config), tmp_path / "other.h5"),
    ):
        with pytest.raises(ConfigError, match="no conv_linear"):
            call()


def test_what_is_not_saved(tmp_path: pathlib.Path) -> None:
    model, path = make_model("encoder", TINY), tmp_path / "model.h5"
    with pytest.raises(CheckpointError, match=r"expected \.h5"):
        save_official(model, tmp_path / "model.weights")
    with pytest.raises(ConfigError, match="found a str"):
        save_official("model", path)  # type: ignore[arg-type]
    model.blocks[0].ff1.bias.assign(np.full(TINY.ff_dim, np.inf))
    with pytest.raises(CheckpointError, match="encoder_layer_1_ff1/bias:0: found NaN or infinity"):
        save_official(model, path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(tmp_path: pathlib.Path) -> None:
    path = make_file(tmp_path / "model.h5")
    before = path.read_bytes()
    model = make_model("encoder", TINY, seed=1)
    with pytest.raises(CheckpointError, match="already there"):
        save_official(model, path)
    assert path.read_bytes() == before
    save_official(model, path, overwrite=True)
    np.testing.assert_array_equal(_values(load_official(path, config=TINY))[0], _values(model)[0])
    assert [item.name for item in tmp_path.iterdir()] == ["model.h5"]
