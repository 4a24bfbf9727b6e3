"""Fine-tuned models as `.keras` files: whole, with their scaling inside, so that they take raw minutes."""

from __future__ import annotations

import os
import pathlib

from pat_keras.checkpoints.weights import load_model
from pat_keras.errors import CheckpointError
from pat_keras.models.predictor import Predictor


def save_model(model: Predictor, path: pathlib.Path) -> None:
    """Write a model, replacing the file at `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")  # Keras insists on the ending
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_classifier(path: str | os.PathLike[str]) -> Predictor:
    """A model that `pat-finetune` saved.

    Raises:
        CheckpointError: if the file is absent, damaged, or of another model.
    """
    model = load_model(path)
    if not isinstance(model, Predictor):
        raise CheckpointError(
            f"{path}: found a {type(model).__name__}, expected a PATClassifier, BaselineNetwork or "
            "Committee saved by pat-finetune. Check the path."
        )
    return model
