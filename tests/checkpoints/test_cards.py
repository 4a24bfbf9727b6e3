"""A finished pretraining becomes a preset: file, card and row; every preset that is shipped is whole."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import pytest

from pat_keras.checkpoints import cards, presets
from pat_keras.checkpoints.official import load_official
from pat_keras.checkpoints.pins import sha256_of
from pat_keras.checkpoints.presets import PRESETS, read_presets
from pat_keras.config import EncoderConfig, PretrainConfig
from pat_keras.errors import CheckpointError, RunError
from pat_keras.models.encoder import PATEncoder
from tests.checkpoints.official_files import make_file

_OURS = [preset for preset in PRESETS.values() if preset.sha256]
_WEIGHTS = pathlib.Path(cards.__file__).parents[2] / "weights"


def _run(folder: pathlib.Path, embedding: str = "linear", **metrics: Any) -> pathlib.Path:
    """The files of a run directory that count here."""
    folder.mkdir()
    make_file(folder / "encoder_weights.h5", config=EncoderConfig.small(embedding=embedding))
    found = {"loss": 0.6, "person_mean": 1.0, "mean_day": 0.8, "best_epoch": 37, "people_told_apart": 0.7}
    found["cohorts"] = {"nhanes": {"windows": 300}}
    values = {"synthetic": False, "validation": found, "explained_beyond_simple": 0.25, "epochs": 40, **metrics}
    cohort = {
        "source": "NHANES 2005-06", "unit": "counts", "minutes": 10080, "citation": "The survey.",
        "train": {"people": 4655, "windows": 4655}, "validation": {"people": 300, "windows": 300},
        "excluded": {"people": 1000, "windows": 1000},
    }  # fmt: skip
    data = {"cohorts": [cohort], "lists": [{"list": "somewhere/left_out.csv", "test": 1000, "validation": 300}]}
    config = {**PretrainConfig(epochs=40, embedding=embedding).to_dict()}
    config["versions"] = {"pat_keras": "0.2.0", "keras": "3.15", "jax": "0.10", "backend": "jax"}
    for name, content in (("metrics", values), ("config", config), ("data", data)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def table(tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copy(cards._TABLE_PATH, tmp_path / "presets.csv"))


@pytest.mark.parametrize(("embedding", "name"), [("linear", "pat_small_mine"), ("conv", "pat_conv_small_mine")])
def test_a_run_becomes_a_preset(
    tmp_path: pathlib.Path, table: pathlib.Path, monkeypatch: pytest.MonkeyPatch, embedding: str, name: str
) -> None:
    run, folder = _run(tmp_path / "run", embedding), tmp_path / "weights"
    before = read_presets(table.read_text())
    made = cards.publish(run, name, "AUC 0.7 (0.6 to 0.8).", folder=folder, table=table)
    assert read_presets(table.read_text()) == {**before, name: made}
    # Again: nothing is there twice.
    cards.publish(run, name, "AUC 0.7 (0.6 to 0.8).", about="They wore it on the hip.", folder=folder, table=table)
    assert read_presets(table.read_text()) == {**before, name: made}
    assert (made.size, made.embedding, made.people, made.licence) == ("small", embedding, 4655, "CC BY 4.0")
    assert made.sha256 == sha256_of(folder / f"{name}.h5")
    card = (folder / f"{name}.md").read_text()
    for words in (
        made.sha256, "4,655 people", "| 300 | 1,000 |", "`left_out.csv`",
        "| epochs | 40 (the encoder is that of epoch 37)",
        "| learning_rate | 0.001 |", "| weight_decay | 0 |", "| start | random weights |", "on the hip",
        "among 599 (by chance 0.2%)", "0.6000", "1.0000", "0.8000",
        "25.0%", "AUC 0.7 (0.6 to 0.8).", "CC BY 4.0", "no medical device", "The survey.", "jax 0.10", "75% of",
    ):  # fmt: skip
        assert words in card, words
    assert "somewhere" not in card and "validation_fraction" not in card  # the list holds 300 out
    # And is found and loaded by its name.
    monkeypatch.setattr(presets, "FOLDERS", (folder,))
    monkeypatch.setattr("pat_keras.checkpoints.registry.PRESETS", {name: made})
    loaded = PATEncoder.from_preset(name)
    assert (loaded.config.size, loaded.config.embedding) == ("small", embedding)


def test_what_is_no_preset(tmp_path: pathlib.Path, table: pathlib.Path) -> None:
    before = table.read_bytes()
    run = _run(tmp_path / "run")
    for name in ("pat_medium_mine", "pat_conv_small_mine"):
        with pytest.raises(CheckpointError, match=r"Name it pat_small_\.\.\."):
            cards.publish(run, name, folder=tmp_path / "weights", table=table)
    with pytest.raises(RunError, match="synthetic"):
        cards.publish(_run(tmp_path / "other", synthetic=True), "pat_small_x", folder=tmp_path / "weights", table=table)
    (run / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"metrics\.json: can't be read .*--resume"):
        cards.publish(run, "pat_small_mine", folder=tmp_path / "weights", table=table)
    assert table.read_bytes() == before and not (tmp_path / "weights").exists()


# --- what is shipped ---


@pytest.mark.parametrize("preset", _OURS, ids=lambda preset: preset.name)
def test_shipped_file_is_whole(preset: presets.Preset) -> None:
    path = preset.local
    assert path is not None and sha256_of(path) == preset.sha256
    encoder = load_official(path)
    assert isinstance(encoder, PATEncoder)
    assert (encoder.config.size, encoder.config.embedding) == (preset.size, preset.embedding)
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {preset.name}\n")
    assert preset.sha256 in card and preset.licence in card and f"{preset.people:,} people" in card
    assert "Not measured yet" not in card


def test_no_file_is_left_over() -> None:
    if not _WEIGHTS.is_dir():
        pytest.skip("the package is installed without the folder weights/")
    assert {path.name for path in _WEIGHTS.glob("*.h5")} == {preset.file for preset in _OURS}
    assert {path.stem for path in _WEIGHTS.glob("*.md")} - {"README"} == {preset.name for preset in _OURS}
