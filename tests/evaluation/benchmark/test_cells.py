"""Files of cells: what is written is read, and damage is seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.errors import RunError
from pat_keras.evaluation.benchmark.cells import read_cell, same_definition, set_aside, write_cell
from tests.evaluation.benchmark.generate import make_result


def test_written_and_read(tmp_path) -> None:
    result = make_result(0)
    write_cell(tmp_path / "cell.npz", result)
    again = read_cell(tmp_path / "cell.npz")
    assert again.account == result.account
    for part in ("validation", "test"):
        for field in dataclasses.fields(again.test):
            before, after = (getattr(getattr(one, part), field.name) for one in (result, again))
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # np.load leaves such a file open
def test_every_damaged_byte_is_seen(tmp_path) -> None:
    """Cut anywhere or with a byte of its arrays changed, a file is refused and not half believed."""
    path = tmp_path / "cell.npz"
    write_cell(path, make_result(0, n=5))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged))
        try:
            found = read_cell(path)
        except RunError:
            refused += 1
            continue
        # Bytes of the archive that nobody reads, such as dates of its members.
        np.testing.assert_array_equal(found.test.score, make_result(0, n=5).test.score)
    assert refused > 40
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError):
            read_cell(path)


def test_definitions_with_settings_of_another_version() -> None:
    """A setting that did not exist yet counts as its default, since new ones do nothing unless asked."""
    settings = FinetuneConfig(epochs=3).to_dict()
    wanted = {"data": "d", "settings": settings}
    older = {"data": "d", "settings": {name: value for name, value in settings.items() if name != "mixup"}}
    assert same_definition(older, wanted)
    assert same_definition(wanted, older)
    assert not same_definition(older, {"data": "d", "settings": settings | {"mixup": 0.2}})
    assert not same_definition(older | {"data": "e"}, wanted)
    assert not same_definition({"data": "d", "settings": settings | {"epochs": 4}}, wanted)
    assert not same_definition({"data": "d", "settings": settings | {"gone": 1}}, wanted)
    assert not same_definition({}, wanted)


def test_two_processes_set_the_same_cell_aside(tmp_path) -> None:
    path = tmp_path / "cells" / "a.npz"
    path.parent.mkdir()
    path.write_bytes(b"of earlier settings")
    for _ in range(2):  # the second finds that the first has moved it
        set_aside(tmp_path, path)
    assert [kept.read_bytes() for kept in (tmp_path / "stale").iterdir()] == [b"of earlier settings"]
