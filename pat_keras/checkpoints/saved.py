"""Fine-tuned models as `.keras` files: whole, with their scaling inside, so that they take raw minutes."""

from __future__ import annotations

import os
import pathlib
import zipfile

import keras

from pat_keras.errors import CheckpointError
from pat_keras.models.classifier import PATClassifier


def save_model(model: PATClassifier, path: pathlib.Path) -> None:
    """Write a model, replacing the file at `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")  # Keras insists on the ending
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_model(path: str | os.PathLike[str]) -> PATClassifier:
    """A model that `pat-finetune` saved. Nothing in the file is executed.

    Raises:
        CheckpointError: if the file is absent, damaged, or of another kind.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: found no such file, expected a model saved by pat-finetune. Check the path.")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not a whole .keras archive")
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path}: can't be read as a model ({reason}), expected one saved by pat-finetune. The file is damaged or "
            "of another kind: run the fine-tuning again."
        ) from error
    if not isinstance(model, PATClassifier):
        raise CheckpointError(f"{path}: found a {type(model).__name__}, expected a model saved by pat-finetune.")
    return model
