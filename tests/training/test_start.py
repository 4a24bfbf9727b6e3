"""Weights with a new embedding: what it starts from, whom it is fitted on, and that resuming does not do it again."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest

from pat_keras.checkpoints import starts
from pat_keras.checkpoints.saved import save_model
from pat_keras.checkpoints.store import load_state
from pat_keras.checkpoints.weights import load_encoder
from pat_keras.config import EncoderConfig, FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split, holdout
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import ConfigError, RunError
from pat_keras.models.encoder import PATEncoder
from pat_keras.training import finetune, start
from pat_keras.training.finetune import Fitted, train_split
from pat_keras.training.loop import Row, Watcher
from pat_keras.training.start import build_encoder, build_model, check_start, said_of_minutes
from tests.models import reference
from tests.small import small_cohort, small_config

_TINY = EncoderConfig(patch_size=24, num_heads=2, num_layers=1, embed_dim=8, key_dim=8, ff_dim=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of weights by their embedding."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for embedding in ("linear", "conv"):
        keras.utils.set_random_seed(0)
        paths[embedding] = str(folder / f"{embedding}.keras")
        reference.randomize(PATEncoder(EncoderConfig(**{**_TINY.to_dict(), "embedding": embedding}))).save(
            paths[embedding]
        )
    return paths


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Windows of four hours."""
    cohort = small_cohort(n_people=16, windows=1)
    return Cohort(cohort.activity[:, 600:840].copy(), cohort.table, cohort.metadata)


@pytest.fixture(scope="module")
def split(cohort: Cohort) -> Split:
    y = cohort.label("label")
    return holdout(cohort.participant_id, y, validation_fraction=0.25, test_fraction=0.25, seed=0, task="binary")


def _config(weights: dict[str, str], embedding: str, how: str | None = None, **changes: Any) -> FinetuneConfig:
    return small_config(weights=weights["linear"], embedding=embedding, embedding_start=how, **changes)


class Notes(Watcher):
    """Keeps what it is told, and may stop a training."""

    def __init__(self, stop: bool = False) -> None:
        self.said, self._stop = list[str](), stop

    def on_note(self, text: str) -> None:
        self.said.append(text)

    def on_epoch(self, row: Row) -> None:
        if self._stop:
            raise KeyboardInterrupt


def _fit(
    cohort: Cohort,
    split: Split,
    config: FinetuneConfig,
    folder: pathlib.Path | None = None,
    watcher: Watcher | None = None,
) -> Fitted:
    return train_split(cohort.activity, cohort.label("label"), cohort.participant_id, split, config, folder, watcher)


def _tokens(encoder: PATEncoder, x: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(encoder(x)))


def test_exact_is_the_default_of_conv_linear_and_the_linear_models_output(weights: dict[str, str]) -> None:
    x = np.random.default_rng(0).normal(size=(6, 240)).astype("float32")
    made = build_model(_config(weights, "conv_linear"), 240)
    linear = load_encoder(weights["linear"])
    np.testing.assert_allclose(_tokens(made.encoder, x), _tokens(linear, x), atol=2e-6)
    plain = build_model(_config(weights, "linear"), 240)
    for name in ("hidden", "output_layer"):
        getattr(plain, name).set_weights(getattr(made, name).get_weights())
    np.testing.assert_allclose(made.predict_logits(x), plain.predict_logits(x), atol=2e-6)
    assert made.encoder.config.embedding == "conv_linear"


def test_distilled_is_the_default_of_conv_and_closer_than_random(cohort: Cohort, weights: dict[str, str]) -> None:
    x = Standardizer.fit(cohort.activity, "per_minute").apply(cohort.activity)
    found = {}
    for how in (None, "random"):
        keras.utils.set_random_seed(0)
        found[how] = starts.likeness(
            build_encoder(_config(weights, "conv", how), x), load_encoder(weights["linear"]), x
        )
    assert found[None] > found["random"] + 0.02


def test_distilled_needs_people(weights: dict[str, str]) -> None:
    check_start(_config(weights, "conv"), 240)
    with pytest.raises(ConfigError, match="needs minutes of training people"):
        build_encoder(_config(weights, "conv"))


def test_fitted_on_training_people_alone(cohort: Cohort, split: Split, weights: dict[str, str], monkeypatch) -> None:
    """Nobody else is seen, and what others did changes nothing."""
    seen = []
    original = start.with_embedding

    def noted(encoder, embedding, how, minutes, *args):
        seen.append(minutes)
        return original(encoder, embedding, how, minutes, *args)

    monkeypatch.setattr(start, "with_embedding", noted)
    monkeypatch.setattr(finetune, "run_stages", lambda *_: [])
    config = _config(weights, "conv")
    clean = _fit(cohort, split, config)
    expected = Standardizer.fit(cohort.activity[split.train], "per_minute").apply(cohort.activity[split.train])
    np.testing.assert_array_equal(seen[0], expected)
    poisoned = cohort.activity.copy()
    poisoned[split.test] = 30_000
    other = _fit(Cohort(poisoned, cohort.table, cohort.metadata), split, config)
    for first, second in zip(clean.model.get_weights(), other.model.get_weights(), strict=True):
        assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("settings", [{}, {"mode": "linear_probe"}])
def test_resumed_is_as_never_stopped_and_fits_no_second_time(
    cohort: Cohort, split: Split, weights: dict[str, str], tmp_path: pathlib.Path, monkeypatch, settings: dict[str, Any]
) -> None:
    config = _config(weights, "conv", dropout=0.3, **settings)
    whole = _fit(cohort, split, config)
    notes = Notes(stop=True)
    with pytest.raises(KeyboardInterrupt):
        _fit(cohort, split, config, tmp_path, notes)
    assert len(notes.said) == 1 and "conv, distilled, on linear weights: R² 0." in notes.said[0]
    assert load_state(tmp_path / "start.npz")[1] == {"note": notes.said[0]}

    def never(*args: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(starts, "_fit_conv", never)
    resumed = _fit(cohort, split, config, tmp_path, notes := Notes())
    assert notes.said == []
    for first, second in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        assert first.tobytes() == second.tobytes()


def test_killed_before_the_first_state_was_kept(
    cohort: Cohort, split: Split, weights: dict[str, str], tmp_path: pathlib.Path, monkeypatch
) -> None:
    """What is drawn after the embedding, the head, is the same."""
    monkeypatch.setattr(finetune, "run_stages", lambda *_: [])
    config = _config(weights, "conv")
    first, again = (_fit(cohort, split, config, tmp_path).model.get_weights() for _ in range(2))
    for before, after in zip(first, again, strict=True):
        assert before.tobytes() == after.tobytes()
    (tmp_path / "start.npz").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"start\.npz: found a damaged file"):
        _fit(cohort, split, config, tmp_path)


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ("conv", {"embedding": "conv_linear"}, "found weights with the conv embedding, to be given the conv_linear"),
        ("conv", {"embedding": "conv", "embedding_start": "random"}, "with the conv embedding already"),
    ],
)
def test_what_a_file_can_not_have(weights: dict[str, str], file: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_start(small_config(weights=weights[file], **settings), 240)


def test_the_files_own_embedding(weights: dict[str, str]) -> None:
    for file in ("linear", "conv"):
        for asked in ("auto", file):
            notes = Notes()
            made = build_model(small_config(weights=weights[file], embedding=asked), 240, watcher=notes)
            assert (made.encoder.config.embedding, notes.said) == (file, [])
    # As flags.txt of older runs has it, which named the default beside weights that had another one.
    made = build_model(small_config(weights=weights["conv"], embedding="linear"), 240, watcher=notes)
    assert made.encoder.config.embedding == "conv"
    assert notes.said == ["embedding conv, that of the weights; linear was asked for"]
    build_model(small_config(weights="pat_small_nhanes2005", size="large"), 1440, watcher=notes)
    assert notes.said[1:] == ["size small, that of the weights; large was asked for"]


def test_minutes_that_were_made_otherwise_are_told(tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_model(PATEncoder(EncoderConfig.small()), run / "encoder.keras")
    (run / "config.json").write_text('{"mask_ratio": 0.5, "standardize": "cohort", "smoothing": "savitzky_golay"}')
    (said,) = said_of_minutes(FinetuneConfig(weights=str(run)))
    assert said.startswith("smoothing is none, and the weights") and said.endswith("--smoothing=savitzky_golay.")
    assert not said_of_minutes(FinetuneConfig(weights=str(run), smoothing="savitzky_golay"))
    away = tmp_path / "away.keras"
    away.write_bytes((run / "encoder.keras").read_bytes())
    (said,) = said_of_minutes(FinetuneConfig(weights=str(away)))
    assert "nothing says under which scaling it learned; per_minute is taken" in said
    assert not said_of_minutes(FinetuneConfig(weights=str(away), standardize="cohort"))
    assert not said_of_minutes(FinetuneConfig())


def test_a_second_fine_tuning_scales_as_the_first(
    tmp_path, cohort: Cohort, split: Split, weights: dict[str, str]
) -> None:
    y = cohort.label("label")
    own = small_config(epochs=1, weights=weights["linear"], standardize="cohort")
    first = train_split(cohort.activity, y, cohort.participant_id, split, own)
    save_model(first.model, tmp_path / "first.keras")
    second = small_config(epochs=1, weights=str(tmp_path / "first.keras"))
    again = train_split(cohort.activity, y, cohort.participant_id, split, second)
    assert again.model.standardization.kind == "cohort"


def test_without_weights() -> None:
    assert build_encoder(small_config()).config.embedding == "linear"
    assert build_encoder(small_config(embedding="conv_linear")).config.embedding == "conv_linear"
