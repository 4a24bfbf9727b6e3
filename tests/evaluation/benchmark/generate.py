"""Benchmarks for the tests: files of a small cohort, and cells made without training anything."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from pat_keras.evaluation.benchmark.cells import CellResult, HeldOut

FAST = """
data = "small.parquet"
train_sizes = [12, "all"]
seeds = [0, 1]
reference = "CNN"

[split]
test_fraction = 0.3
split_seed = 3

[settings]
epochs = 1
batch_size = 8
head_learning_rate = 0.01

[[tasks]]
name = "label"

[[models]]
name = "CNN"
settings = {model = "cnn1d"}

[[models]]
name = "logistic"
baseline = "simple_logistic"
"""


def write_benchmark(folder: pathlib.Path, text: str, cohort: Any = None) -> pathlib.Path:
    """Writes bench.toml, and small.parquet if there is a cohort."""
    if cohort is not None:
        cohort.write(folder / "small.parquet", overwrite=True)
    path = folder / "bench.toml"
    path.write_text(text)
    return path


def make_result(
    seed: int, n: int = 60, strength: float = 1.0, kind: str = "binary", fold: int = 1, ids: list[str] | None = None
) -> CellResult:
    """A cell's result with random scores; the labels of a person are the same in all of them."""
    rng = np.random.default_rng([seed, fold])
    parts = {}
    for part, prefix in (("validation", "v"), ("test", "t")):
        names = ids if ids is not None and part == "test" else [f"{prefix}{number:04d}" for number in range(n)]
        y = np.array([int(name[1:]) % 3 == 0 for name in names], dtype=np.float64)
        logit = strength * y + rng.normal(size=len(names))
        p = 1 / (1 + np.exp(-logit))
        score = logit[:, None] if kind == "regression" else np.stack([1 - p, p], axis=1)
        target = y + 0.1 * np.arange(len(names)) if kind == "regression" else y
        parts[part] = HeldOut(np.array(names), np.zeros(len(names), dtype=np.int32), target, score)
    account = {
        "threshold": 0.5 if kind == "binary" else None,
        "definition": {},
        "classes": [0.0, 1.0],
        "people": {"train": n},
        "seconds": 1.0,
        "versions": {},
        "synthetic": True,
    }
    return CellResult(parts["validation"], parts["test"], account)
