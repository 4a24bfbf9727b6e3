"""Recipes: each says where it comes from, gives the config it says, trains, and yields to flags given beside it."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest

from pat_keras.apps.finetune import define_flags, main
from pat_keras.apps.flags import finetune_config
from pat_keras.checkpoints.registry import PRESETS
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split
from pat_keras.errors import ConfigError
from pat_keras.recipes import about, recipe_names, recipe_path, recipe_settings
from pat_keras.training.finetune import train_split
from tests.small import small_cohort

_PAPER: dict[str, Any] = {
    "model": "pat",
    "head": "official",
    "optimizer": "adam",
    "schedule": "constant",
    "warmup_epochs": 0,
    "weight_decay": 0.0,
    "batch_size": 64,
    "epochs": 10_000,
    "patience": 250,
    "monitored": "auc",
    "class_weight": "paper",
    "standardize": "paper",
    "recalibration": "none",
    "dropout": 0.1,
    "validation_fraction": 0.2,
}
_TWO_RATES = {"encoder_rate": 2e-5, "head_learning_rate": 5e-4, "schedule": "cosine", "batch_size": 32}


def _paper(size: str, rate: float, **settings: Any) -> dict[str, Any]:
    return {**_PAPER, "size": size, "mode": "full", "encoder_rate": rate, "head_learning_rate": rate, **settings}


# What the authors' notebooks and the reports say, as a second copy: nothing in a recipe changes unseen.
_EXPECTED: dict[str, dict[str, Any]] = {
    "paper_full_small": _paper("small", 1e-5, embedding="auto", weights="pat_small_21k"),
    "paper_full_medium": _paper("medium", 1e-5, embedding="auto", weights="pat_medium_21k"),
    "paper_full_large": _paper("large", 1e-6, embedding="auto", weights="pat_large_21k"),
    "paper_conv_small": _paper("small", 1e-5, embedding="conv", weights=""),
    "paper_conv_medium": _paper("medium", 1e-5, embedding="conv", weights=""),
    "paper_conv_large": _paper("large", 1e-6, embedding="conv", weights=""),
    "paper_linear_probe": {**_PAPER, "size": "large", "mode": "linear_probe", "head_learning_rate": 1e-6},
    "paper_linear_probe_as_run": _paper("large", 1e-6, weights="pat_large_21k"),
    "two_rates": {**_TWO_RATES, "embedding": "auto"},
    "two_rates_long_cosine": {**_TWO_RATES, "schedule_epochs": 30, "epochs": 30},
    "higher_rate": {**_TWO_RATES, "encoder_rate": 5e-5},
    "simple": {"encoder_rate": 1e-4, "head_learning_rate": 1e-4, "head": "linear"},
    "conservative": {**_TWO_RATES, "epochs": 50, "patience": 15},
    "conv_l": {"size": "large", "embedding": "conv", "batch_size": 32, "head_learning_rate": 5e-4},
    "logistic_probe": {"weights": "pat_medium_nhanes2005", "mode": "logistic_probe", "pooling": "mean_std"},
    "small_cohort": {"weights": ""},
    "recommended": {"weights": "pat_medium_nhanes2005", "augment_days": True, "augment_minutes": 60},
}


def _config(*arguments: str) -> FinetuneConfig:
    values = define_flags()
    values(["pat-finetune", *arguments])
    return finetune_config(values)


def test_every_recipe_is_known_here() -> None:
    assert set(recipe_names()) == set(_EXPECTED)


@pytest.mark.parametrize("name", sorted(_EXPECTED))
def test_gives_the_config_it_says(name: str) -> None:
    config = _config(f"--flagfile={recipe_path(name)}")
    assert {key: getattr(config, key) for key in _EXPECTED[name]} == _EXPECTED[name]
    assert FinetuneConfig(**recipe_settings(name)) == config
    assert config.weights in ("", *PRESETS)


def test_the_probe_that_ran_is_the_full_fine_tuning() -> None:
    assert recipe_settings("paper_linear_probe_as_run") == recipe_settings("paper_full_large")


def test_conv_l_with_weights_is_two_rates_and_distilled_on_linear_ones() -> None:
    config = FinetuneConfig(**{**recipe_settings("conv_l"), "weights": "mine.h5"})
    assert (config.encoder_rate, config.embedding, config.start) == (2e-5, "conv", "distilled")


@pytest.mark.parametrize("name", sorted(_EXPECTED))
def test_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    lines = recipe_path(name).read_text().splitlines()
    comment = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    assert about(name).endswith(".")
    assert "Source: " in comment
    assert max(map(len, lines)) <= 120
    if "AUC" in comment:
        assert "reported" in comment.lower() or "hope" in comment
        assert "NHANES 2013-14" in comment


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Windows of two hours."""
    cohort = small_cohort(n_people=12, windows=1)
    return Cohort(cohort.activity[:, 600:720].copy(), cohort.table, cohort.metadata)


@pytest.fixture
def without_tracing():
    """One step does not pay for the graph that TensorFlow would make of it."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.usefixtures("without_tracing")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
@pytest.mark.parametrize("name", sorted(_EXPECTED))
def test_trains(cohort, name: str) -> None:
    y = cohort.label("label")
    order = np.argsort(y, kind="stable").reshape(2, 6)  # six of each class
    rows = order[:, :3].ravel(), order[:, 3:].ravel()
    split = Split(train=np.sort(rows[0]), validation=np.sort(rows[1]), test=np.array([], dtype=np.int64), name="tiny")
    patch = {"small": 18, "medium": 18, "large": 9}[recipe_settings(name).get("size", "small")]
    activity = cohort.activity[:, : 120 // patch * patch]
    # One step an epoch; random weights in place of downloaded ones, of the same size and at the same rates. Windows of
    # two hours have no days to shift by.
    settings = {**recipe_settings(name), "weights": "", "epochs": 1, "batch_size": 64, "augment_days": False}
    fitted = train_split(activity, y, cohort.participant_id, split, FinetuneConfig(**settings))
    assert len(fitted.history) == 1
    assert np.isfinite(fitted.history[0]["loss"])
    assert np.isfinite(fitted.predictions["validation"]).all()


# --- the flag ---


def test_flags_given_beside_a_recipe_win_and_are_kept(tmp_path, capsys) -> None:
    cohort = small_cohort(n_people=24, windows=1)
    cohort.write(tmp_path / "small.parquet")
    run = tmp_path / "run"
    data = f"--data={tmp_path / 'small.parquet'}"
    changes = ["--epochs=1", "--nobaseline", "--head=linear"]
    assert main(["pat-finetune", *changes, data, "--recipe", "small_cohort", f"--out={run}"]) == 0
    kept = (run / "flags.txt").read_text().splitlines()
    assert not [line for line in kept if "recipe" in line or "flagfile" in line]
    settings = {**recipe_settings("small_cohort"), "epochs": 1, "baseline": False, "head": "linear"}
    found = _config(*[line for line in kept if not line.startswith("--data=")])
    assert found == FinetuneConfig(**settings)
    capsys.readouterr()
    assert main(["pat-finetune", "--resume", "--recipe=simple", f"--out={run}"]) == 2
    assert "leave --recipe out" in capsys.readouterr().err


def test_list_and_unknown(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["pat-finetune", "--recipe=list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(recipe_names())
    assert all(about(name) in line for name, line in zip(recipe_names(), lines, strict=True))
    assert main(["pat-finetune", "--recipe=two_rate"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pat-finetune: recipe is 'two_rate', expected one of: ")
    assert all(f"{name}: {about(name).rstrip('.')}" in error for name in recipe_names())
    with pytest.raises(ConfigError, match="recipe is"):
        recipe_settings("../errors")
    assert not list(pathlib.Path().iterdir())
