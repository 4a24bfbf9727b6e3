"""The sizes; every value that no PAT can have is refused, and settings of an experiment that don't go together."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pat_keras.config import SIZES, EncoderConfig, FinetuneConfig, PretrainConfig
from pat_keras.config.checks import FRACTION, POSITIVE, Bounds
from pat_keras.config.combinations import without_effect
from pat_keras.errors import ConfigError


@pytest.mark.parametrize(
    ("size", "patch_size", "num_heads", "num_layers"),
    [("small", 18, 6, 1), ("medium", 18, 12, 2), ("large", 9, 12, 4), ("huge", 5, 12, 8)],
)
def test_sizes(size: str, patch_size: int, num_heads: int, num_layers: int) -> None:
    config = EncoderConfig.of_size(size)
    assert (config.patch_size, config.num_heads, config.num_layers) == (patch_size, num_heads, num_layers)
    assert (config.embed_dim, config.key_dim, config.ff_dim, config.dropout) == (96, 96, 256, 0.1)
    assert config.size == size and config.embedding == "linear"
    assert getattr(EncoderConfig, size)() == config


def test_size_is_nobodys() -> None:
    assert EncoderConfig.small(num_layers=3).size is None
    assert EncoderConfig.small(embed_dim=48, key_dim=48).size is None
    assert EncoderConfig.small(dropout=0.5, embedding="conv").size == "small"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 0}, "patch_size is 0"),
        ({"num_heads": -1}, "num_heads is -1"),
        ({"num_layers": 1.0}, "num_layers is 1.0"),
        ({"ff_dim": True}, "ff_dim is True"),
        ({"conv_filters": "16"}, "conv_filters is '16'"),
        ({"key_dim": 16}, "key_dim is 16 and embed_dim 96"),
        ({"embed_dim": 7, "key_dim": 7}, "even"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"dropout": "0.1"}, "dropout is '0.1'"),
        ({"embedding": "fourier"}, "linear, conv, conv_linear"),
        ({"conv_kernel_size": 3}, "no convolution"),
        ({"embedding": "conv", "conv_kernel_size": 4}, "odd"),
        ({"embedding": "conv", "conv_kernel_size": -3}, "odd"),
        ({"embedding": "conv", "conv_kernel_size": 3.0}, "odd"),
        ({"embedding": "conv", "conv_across_patches": True}, "conv_linear"),
    ],
)
def test_impossible_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EncoderConfig.small(**changes)


def test_unknown_size_and_setting() -> None:
    with pytest.raises(ConfigError, match="expected one of small, medium, large, huge"):
        EncoderConfig.of_size("tiny")
    with pytest.raises(ConfigError, match="unknown setting depth"):
        EncoderConfig.from_dict({**EncoderConfig.small().to_dict(), "depth": 3})


@pytest.mark.parametrize(("embedding", "kernel_size"), [("conv", 3), ("conv_linear", 5)])
def test_kernel_size(embedding: str, kernel_size: int) -> None:
    assert EncoderConfig.small(embedding=embedding).kernel_size == kernel_size
    assert EncoderConfig.small(embedding=embedding, conv_kernel_size=7).kernel_size == 7


@pytest.mark.parametrize("size", SIZES)
def test_dictionary_and_back(size: str) -> None:
    config = EncoderConfig.of_size(size, embedding="conv_linear", conv_across_patches=True, dropout=0.25)
    assert EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EncoderConfig.small().num_heads = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "transformer"}, "pat, lstm, cnn1d, cnn3d, convlstm"),
        ({"model": "lstm", "size": "large"}, "size is 'large', which is for PAT alone, and the model is 'lstm'"),
        ({"model": "cnn1d", "mode": "two_stage"}, "mode is 'two_stage', which is for PAT alone"),
        ({"task": "regression", "focal_gamma": 2.0}, "focal_gamma is 2.0, which is for classes"),
        ({"task": "regression", "label_smoothing": 0.1}, "label_smoothing is 0.1"),
        ({"task": "multiclass", "recalibration": "platt"}, "platt"),
        ({"model": "lstm", "embedding": "conv"}, "embedding is 'conv', which is for PAT alone"),
        ({"embedding_start": "exact"}, "embedding_start is 'exact', with weights '' and embedding 'auto'"),
        ({"embedding_start": "random", "embedding": "conv"}, "with weights '' and embedding 'conv'; expected linear"),
        ({"embedding_start": "random", "weights": "a.h5"}, "with weights 'a.h5' and embedding 'auto'"),
        ({"embedding_start": "exact", "embedding": "conv", "weights": "a.h5"}, "never negative"),
        ({"embedding_start": "best", "embedding": "conv", "weights": "a.h5"}, "random, distilled, exact"),
        ({"unfreeze_epochs": 2, "mode": "linear_probe"}, "unfreeze_epochs is 2"),
        ({"split": "list"}, "test_people ''"),
        ({"test_people": "people.csv"}, "split is 'holdout' and test_people 'people.csv'"),
        ({"train_size": 1}, "train_size is 1, expected at least 2"),
        ({"split_seed": -1}, "split_seed is -1"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"mixup": float("nan")}, "mixup is nan"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, expected a number from 0 to 0.99"),
        ({"augment_minutes": 2000}, "augment_minutes is 2000, expected a number from 0 to 1440"),
        ({"augment_mask_hours": -1}, "augment_mask_hours is -1, expected at least 0"),
    ],
)
def test_impossible_experiments(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**settings)


def test_experiments_that_go() -> None:
    FinetuneConfig(model="convlstm", smoothing="savitzky_golay", split="list", test_people="nhanes_2005_2006")
    FinetuneConfig(task="regression", mixup=0.2, averaging="swa", layer_decay=1.0)
    FinetuneConfig(model="lstm", embedding="linear")  # as flags.txt of older runs has it
    assert FinetuneConfig(weights="a.h5", embedding="conv").start == "distilled"
    assert FinetuneConfig(weights="a.h5", embedding="conv_linear").start == "exact"
    assert FinetuneConfig(weights="a.h5", embedding="conv_linear", embedding_start="random").start == "random"


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "words"),
    [
        (Bounds(1), (1, 5), (0, float("nan")), "at least 1"),
        (POSITIVE, (1e-9, 5), (0, float("inf"), float("nan")), "a positive number"),
        (FRACTION, (0.5,), (0, 1), "a number between 0 and 1"),
        (Bounds(0, 1), (0, 1), (-1e-9, 1.1), "a number from 0 to 1"),
        (Bounds(0, 1, open_most=True), (0, 0.9), (1,), "a number from 0 up to 1"),
        (Bounds(0, 1, open_least=True), (1e-9, 1), (0,), "a number above 0, at most 1"),
    ],
)
def test_bounds(bounds: Bounds, inside: tuple[float, ...], outside: tuple[float, ...], words: str) -> None:
    assert [bounds.allow(value) for value in (*inside, *outside)] == [True] * len(inside) + [False] * len(outside)
    assert str(bounds) == words


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "mine"}, "order is 'mine', expected one of restored, original"),
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0, expected a number between 0 and 1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected a positive number"),
        ({"patience": 0}, "patience is 0, expected at least 1"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0, expected a number from 0 up to 1"),
    ],
)
def test_impossible_pretraining(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PretrainConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "searched", "names"),
    [
        ({}, (), []),
        ({"probe_epochs": 3, "mode": "linear_probe"}, (), ["probe_epochs"]),
        ({"probe_epochs": 3, "mode": "two_stage"}, (), []),
        ({"schedule_epochs": 9, "schedule": "constant"}, (), ["schedule_epochs"]),
        ({"min_worn_share": 0.9, "ema_decay": 0.5}, (), ["ema_decay", "min_worn_share"]),
        ({"test_fraction": 0.3, "split": "kfold", "folds": 3}, (), ["test_fraction"]),
        ({"class_weight": "none", "task": "regression"}, (), ["class_weight"]),
        ({}, ("ema_decay",), ["ema_decay"]),
        ({}, ("ema_decay", "averaging"), []),
    ],
)
def test_what_was_given_without_effect(settings, searched, names) -> None:
    said = without_effect(FinetuneConfig(**settings), searched)
    assert [sentence.split()[0] for sentence in said] == names
