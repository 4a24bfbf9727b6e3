"""The state of a training: exact, and either the old file or the new one."""

from __future__ import annotations

import gc
import pathlib
import warnings

import numpy as np
import pytest

from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.errors import RunError

_ARRAYS = {
    "model/0": np.array([[0.1, np.nan, -0.0]], dtype=np.float32),
    "model/1": np.array([3, 2**32 - 1], dtype=np.uint32),  # dropout's random state
    "optimizer/0": np.array(7, dtype=np.int64),
}


def test_round_trip_is_exact(tmp_path) -> None:
    path = tmp_path / "new" / "full.npz"
    save_state(path, _ARRAYS, {"epoch": 3, "best": None, "rows": [{"loss": 0.1 + 0.2}]})
    arrays, meta = load_state(path)
    assert meta == {"epoch": 3, "best": None, "rows": [{"loss": 0.1 + 0.2}]}
    assert arrays.keys() == _ARRAYS.keys()
    for name, array in _ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].tobytes() == array.tobytes()
        assert arrays[name].shape == array.shape


def _saved(folder: pathlib.Path, epoch: int = 1) -> pathlib.Path:
    save_state(folder / "full.npz", _ARRAYS, {"epoch": epoch})
    return folder / "full.npz"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_stopped_while_writing_leaves_the_old_state(tmp_path, monkeypatch, error: BaseException) -> None:
    path = _saved(tmp_path)

    def stopped(file, **arrays) -> None:
        file.write(b"PK\x03\x04 the beginning of a file")
        raise error

    monkeypatch.setattr(np, "savez", stopped)
    with pytest.raises(RunError if isinstance(error, OSError) else KeyboardInterrupt):
        _saved(tmp_path, epoch=2)
    assert load_state(path)[1] == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: b"not an archive at all",
        lambda data: data.replace(
            b"\x07\x00\x00\x00", b"\x08\x00\x00\x00", 1
        ),  # in the array of 7: its checksum differs
    ],
)
def test_damaged_file(tmp_path, damage) -> None:
    path = _saved(tmp_path)
    data = damage(path.read_bytes())
    assert data != path.read_bytes()
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"found a damaged file .* Remove it"):
        load_state(path)


@pytest.mark.parametrize("damage", [b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18])
def test_a_damaged_file_is_not_left_open(tmp_path, damage: bytes) -> None:
    """An end of an archive is all that is left: enough to be taken for one."""
    path = tmp_path / "full.npz"
    path.write_bytes(b"PK\x03\x04" + bytes(40) + damage)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(RunError, match="found a damaged file"):
            load_state(path)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_pickles_are_refused(tmp_path) -> None:
    path = tmp_path / "full.npz"
    np.savez(path, array=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RunError, match="damaged"):
        load_state(path)


def test_an_archive_of_something_else(tmp_path) -> None:
    path = tmp_path / "full.npz"
    np.savez(path, array=np.zeros(2))
    with pytest.raises(RunError, match=r"meta\.json"):
        load_state(path)


def test_no_file(tmp_path) -> None:
    with pytest.raises(RunError, match="found no such file"):
        load_state(tmp_path / "full.npz")
