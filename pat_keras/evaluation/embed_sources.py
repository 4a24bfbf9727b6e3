"""What embeddings are made of: windows that may stay in their file, and an encoder with what is known of it.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import polars as pl

from pat_keras.checkpoints.pins import sha256_of
from pat_keras.checkpoints.weights import load_held, pretrained_units, weights_path
from pat_keras.config import CROSS_VALIDATION
from pat_keras.data.cohort import Cohort
from pat_keras.data.cohort_checks import KEY_COLUMNS, check_metadata, check_table
from pat_keras.data.cohort_files import open_parquet
from pat_keras.errors import CheckpointError
from pat_keras.evaluation.ensemble import MANIFEST, TrainedOn, members_of, trained_on_of_member
from pat_keras.evaluation.run_folder import read_run
from pat_keras.models.embedder import Held

_OF_RUN = ("metrics.json", "predictions.csv", "data.json")  # of a finished run of pat-finetune


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows to embed.

    Attributes:
        activity: (B, T) raw minutes, NaN = missing: an array, or what gives one when it is sliced (`StoredActivity`).
        table: participant_id, window and start of each.
        metadata: of the cohort.
        sha256: of the file, or the content hash of a cohort in memory.
    """

    activity: Any
    table: pl.DataFrame
    metadata: dict[str, Any]
    sha256: str

    @classmethod
    def of(cls, data: Cohort | str | os.PathLike[str]) -> Windows:
        """Of a cohort, or of a cohort file, whose activity is not read yet.

        Raises:
            CohortError: if the file is none of a cohort, or its table or metadata are not as they should be.
        """
        if isinstance(data, Cohort):
            return cls(data.activity, data.table.select(KEY_COLUMNS), data.metadata, data.content_hash())
        activity, table, metadata = open_parquet(data)
        table = check_table(table, len(activity), str(data)).select(KEY_COLUMNS)
        return cls(activity, table, check_metadata(metadata, str(data)), sha256_of(pathlib.Path(data)))

    @property
    def account(self) -> dict[str, Any]:
        """What is to be told about them."""
        kept = {name: self.metadata.get(name) for name in ("source", "unit", "epoch_length", "synthetic")}
        return {"sha256": self.sha256, "windows": len(self.activity), "minutes": self.activity.shape[1], **kept}


@dataclasses.dataclass(frozen=True)
class Source:
    """An encoder to embed with.

    Attributes:
        held: the encoder and what its file holds beside it.
        name: as it was asked for.
        file: name of its file.
        sha256: of the file.
        trained_on: the data of a run of pat-finetune, or of the runs of an ensemble; None for others.
        units: of the activity that other weights learned from; () if nobody knows.
    """

    held: Held
    name: str
    file: str
    sha256: str
    trained_on: TrainedOn | None = None
    units: tuple[str, ...] = ()

    @classmethod
    def of(cls, weights: str | os.PathLike[str]) -> Source:
        """Of a preset's name, an official file, a .keras file, or a run of pat-finetune or pat-pretrain.

        Raises:
            CheckpointError: if it is none of these, the file is damaged, or there are several models in it.
            RunError: if a run is not finished.
        """
        path, trained_on = pathlib.Path(weights), None
        if (path / MANIFEST).exists():
            members = members_of(path)
            raise CheckpointError(
                f"{path}: is an ensemble of {len(members)} models, whose embeddings don't mean the same; expected one. "
                f"Name it: {members[0]}."
            )
        if (path / "config.json").exists() and not (path / "encoder.keras").exists():
            run = read_run(path)
            if run.metrics.get("split") in CROSS_VALIDATION:
                raise CheckpointError(
                    f"{path}: the run has a model for each of its {len(run.metrics['folds'])} folds, whose embeddings "
                    f"don't mean the same; expected one. Name it: {path / 'models' / 'fold_1.keras'}."
                )
            trained_on, path = TrainedOn.of([run]), path / "model.keras"
        else:
            path = weights_path(weights)
            trained_on = _of_model(path)
        held = load_held(weights if trained_on is None else path)
        units = pretrained_units(weights) if trained_on is None else ()
        return cls(held, str(weights), path.name, sha256_of(path), trained_on, units)

    @property
    def account(self) -> dict[str, Any]:
        """What is to be told about it."""
        label = None if self.trained_on is None else self.trained_on.label
        shape = self.held.encoder.config.to_dict()
        return {"name": self.name, "file": self.file, "sha256": self.sha256, "finetuned_on": label, "encoder": shape}


def _of_model(path: pathlib.Path) -> TrainedOn | None:
    """The data of the run of pat-finetune that a model, of a fold or its only one, lies in; None for other files.

    Of a member of an ensemble, the data of the runs that it was made from.
    """
    if (of_member := trained_on_of_member(path)) is not None:
        return of_member
    folder = path.parent.parent if path.parent.name == "models" else path.parent
    is_model = path in (folder / "model.keras", *folder.glob("models/fold_*.keras"))
    if not is_model or not all((folder / name).exists() for name in _OF_RUN):
        return None
    return TrainedOn.of([read_run(folder)])
