"""The state of a running training in one file: either the old one or the new one, never a part.

An `.npz` archive of arrays with one JSON text of everything else. Its members carry checksums, which are verified when
it is read. No pickles.
"""

from __future__ import annotations

import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError

_META = "meta.json"


def save_state(path: pathlib.Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able `meta`, replacing the file at `path` in one step.

    Raises:
        RunError: if it can't be written, as on a full disk; the old file is then still there.
    """
    members: dict[str, Any] = {_META: np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays}
    with atomic_write(path, overwrite=True, error=RunError) as temporary, temporary.open("wb") as file:
        np.savez(file, **members)
        file.flush()
        os.fsync(file.fileno())


def load_state(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_state` wrote.

    Raises:
        RunError: if the file is absent, cut, or damaged.
    """
    try:
        if not zipfile.is_zipfile(path) and path.exists():
            raise zipfile.BadZipFile("not a whole .npz archive")
        # Opened here, since NumPy leaves a file open that it can't read.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != _META}
            meta = json.loads(archive[_META].tobytes())
    except FileNotFoundError:
        raise RunError(f"{path}: found no such file, expected the state of a training. Start the run again.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path}: found a damaged file ({error}), expected the state of a training. Remove it to train this part "
            "again from its start."
        ) from error
    return arrays, meta
