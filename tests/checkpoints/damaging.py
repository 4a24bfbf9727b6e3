"""Damages a whole file in many ways and reads each: `python -m tests.checkpoints.damaging FILE COUNT`.

Prints how many were refused. Whatever is not refused must be of the right shapes and finite; any other error ends it.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np

from pat_keras.checkpoints.layout import layout, tensor_paths
from pat_keras.checkpoints.reader import read
from pat_keras.errors import CheckpointError
from tests.models.reference import TINY


def damage(content: bytes, seed: int) -> bytes:
    """One to nineteen wrong places: bits turned, bytes at random, runs of 0 or 255, pieces of the file elsewhere."""
    rng, damaged = np.random.default_rng(seed), bytearray(content)
    for _ in range(rng.integers(1, 20)):
        place, length = rng.integers(8, len(content)), int(rng.integers(1, 9))
        kind = rng.integers(4)
        if kind == 0:
            damaged[place] ^= 1 << rng.integers(8)
        elif kind == 1:
            damaged[place : place + length] = rng.bytes(length)
        elif kind == 2:
            damaged[place : place + length] = bytes([rng.choice([0, 255])]) * length
        else:
            source = rng.integers(len(content))
            damaged[place : place + 10 * length] = content[source : source + 10 * length]
    return bytes(damaged[: len(content)])


def main(whole: pathlib.Path, count: int) -> None:
    """Read `count` damaged copies of a file."""
    content, path, refused = whole.read_bytes(), whole.with_name("damaged.h5"), 0
    shapes = {name: tensor.shape for name, tensor in tensor_paths(layout("encoder", TINY)).items()}
    for seed in range(count):
        path.write_bytes(damage(content, seed))
        try:
            arrays = read(path, TINY).arrays
        except CheckpointError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and str(error).isprintable(), f"seed {seed}: {error}"
        else:
            assert {name: array.shape for name, array in arrays.items()} == shapes, f"seed {seed}"
            assert all(np.isfinite(array).all() for array in arrays.values()), f"seed {seed}"
    print(refused)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
