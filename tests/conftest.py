"""Fixtures shared by all tests: where the real recordings and the golden files are, if they are here at all."""

from __future__ import annotations

import gc
import os
import pathlib

# Quiet and repeatable before TensorFlow is imported by any test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[1].parent / "shared"


def _folder(name: str) -> pathlib.Path:
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"needs the folder {name} of the maintainers' shared files, which is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Files made by the original program, with inputs and outputs."""
    return _folder("golden")


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Real public recordings."""
    return _folder("data")


def pytest_collection_finish() -> None:
    """Leave out of every later garbage collection what imports made: Keras collects after each training."""
    gc.collect()
    gc.freeze()
