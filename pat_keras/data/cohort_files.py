"""A cohort's parts from files and into them: Parquet of our layout, and arrays as the original program uses them.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.cohort_checks import BLOCK, check_activity
from pat_keras.data.files import atomic_write
from pat_keras.data.stored_activity import StoredActivity, reading
from pat_keras.errors import CohortError, LabelError

_METADATA_KEY = "pat_keras"
_FORMAT = 1


def read_parquet(path: str | os.PathLike[str]) -> tuple[np.ndarray, pl.DataFrame, dict[str, Any]]:
    """The activity (B, T) float32, the table of the other columns, and the metadata of a cohort file.

    Raises:
        CohortError: if there is no such file, it is not Parquet or damaged, it has no column `activity` of numbers of
            equal length, or its metadata are of a newer format.
    """
    stored, table, metadata = open_parquet(path)
    activity = np.empty(stored.shape, np.float32)
    for first in range(0, len(stored), BLOCK):  # read at once, polars would hold it three times
        activity[first : first + BLOCK] = stored[first : first + BLOCK]
    return activity, table, metadata


def open_parquet(path: str | os.PathLike[str]) -> tuple[StoredActivity, pl.DataFrame, dict[str, Any]]:
    """As `read_parquet`, but the activity stays in the file until a part of it is asked for.

    Raises:
        CohortError: as `read_parquet`; what is wrong with the activity itself is found when it is read.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        found = "this is a folder" if path.is_dir() else "there is no such file"
        raise CohortError(f"{path}: {found}, expected a cohort (.parquet). Check the path; pat-prepare makes cohorts.")
    with reading(path):
        schema = pl.read_parquet_schema(path)
        if "activity" not in schema or "participant_id" not in schema:
            missing = [name for name in ("participant_id", "activity") if name not in schema]
            raise CohortError(
                f"{path}: no column {' and no column '.join(missing)}; the columns are {', '.join(schema) or 'none'}. "
                "Expected participant_id (text) and activity (a list of minutes in each row). Rename or add them."
            )
        table = pl.read_parquet(path, columns=[name for name in schema if name != "activity"])
        metadata = pl.read_parquet_metadata(path).get(_METADATA_KEY)
    return StoredActivity(path, schema["activity"], table.height), table, _decode_metadata(metadata, path)


def _decode_metadata(stored: str | None, path: pathlib.Path) -> dict[str, Any]:
    if stored is None:  # written by another program: nothing is known
        return {}
    try:
        content = json.loads(stored)
        if content["format"] > _FORMAT:
            raise CohortError(
                f"{path}: the cohort has format {content['format']}, this version of pat_keras reads up to {_FORMAT}. "
                "Install a newer pat_keras."
            )
        return dict(content["metadata"])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise CohortError(
            f"{path}: the metadata under the key {_METADATA_KEY!r} are not those of a cohort. Write the file again by "
            "Cohort.write."
        ) from None


def write_parquet(
    path: str | os.PathLike[str],
    activity: np.ndarray,
    table: pl.DataFrame,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Writes what `read_parquet` reads, whole or not at all.

    Raises:
        CohortError: if the file is there and `overwrite` is off, or it can't be written.
    """
    column = pl.Series("activity", activity, dtype=pl.Array(pl.Float32, activity.shape[1]))
    stored = json.dumps({"format": _FORMAT, "metadata": dict(metadata)})
    with atomic_write(path, overwrite=overwrite, error=CohortError) as temporary:
        table.with_columns(column).write_parquet(temporary, row_group_size=BLOCK, metadata={_METADATA_KEY: stored})


def read_numpy(
    data_path: str | os.PathLike[str],
    labels_path: str | os.PathLike[str] | None,
    participants_path: str | os.PathLike[str] | None,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The activity (B, T) float32, the labels (B,) and the participants (B,) text of .npy or .npz files.

    Raises:
        CohortError, LabelError: see `pat_keras.data.cohort.read_arrays`.
    """
    checked = check_activity(_load_array(data_path, "X"), str(data_path))
    activity = np.require(checked, requirements=["O"])  # a copy in memory: the file may change while it is in use
    missing = sum(int(np.isnan(activity[i : i + BLOCK]).any(axis=1).sum()) for i in range(0, len(activity), BLOCK))
    if missing:
        raise CohortError(
            f"{data_path}: {missing} of {len(activity)} rows have NaN, expected numbers only. If NaN means missing "
            "minutes, say so by making a cohort: Cohort.from_arrays(X, y).write('cohort.parquet')."
        )
    labels = None if labels_path is None else _load_labels(labels_path, len(activity), data_path)
    if participants_path is None:
        return activity, labels, None
    participants = _load_array(participants_path, "participant_id")
    if participants.dtype.kind not in "Uiu" or participants.shape != (len(activity),):
        raise CohortError(
            f"{participants_path}: has the type {participants.dtype} and the shape {participants.shape}, expected text "
            f"or whole numbers of shape ({len(activity)},): one id for each row of {data_path}."
        )
    return activity, labels, participants.astype(np.str_)


def _load_labels(path: str | os.PathLike[str], n_windows: int, data_path: str | os.PathLike[str]) -> np.ndarray:
    labels = _load_array(path, "y")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "fiub" or labels.shape != (n_windows,):
        raise LabelError(
            f"{path}: has the type {labels.dtype} and the shape {labels.shape}, expected numbers of shape "
            f"({n_windows},): one label for each row of {data_path}. Give 0 and 1, class numbers, or values to predict."
        )
    infinite = int(np.isinf(labels).sum())
    if infinite:
        raise LabelError(f"{path}: {infinite} labels are infinite, expected finite numbers, or NaN for missing labels.")
    return labels


def _load_array(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """The array of a .npy file (not read into memory until used), or the one of a .npz file.

    Of several arrays in a .npz, the one called `name` is taken (in any case of letters).

    Raises:
        CohortError: if there is no such file, it is no such file, it holds pickled objects (which are never executed),
            or it is not clear which array is meant.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        found = "this is a folder" if path.is_dir() else "there is no such file"
        raise CohortError(f"{path}: {found}, expected a NumPy array (.npy or .npz). Check the path.")
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":  # a zip: .npz
                file.seek(0)
                return _load_of_several(path, np.load(file, allow_pickle=False), name)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except CohortError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        if "pickle" in reason.lower() or "object" in reason.lower():
            reason = "it is of another kind, or holds pickled Python objects (which could run any code: never loaded)"
        raise CohortError(
            f"{path}: can't be read as a NumPy array: {reason}. Save plain numbers (or text ids) with np.save."
        ) from None


def _load_of_several(path: pathlib.Path, arrays: Any, name: str) -> np.ndarray:
    chosen = arrays.files if len(arrays.files) == 1 else [key for key in arrays.files if key.lower() == name.lower()]
    if len(chosen) != 1:
        raise CohortError(
            f"{path}: holds the arrays {', '.join(arrays.files) or 'none'}, expected a single one, or one called "
            f"{name}. Save the wanted array alone."
        )
    return np.asarray(arrays[chosen[0]])
