"""The checkpoints that have a name: the authors', which are downloaded, and ours, which are installed."""

from __future__ import annotations

import csv
import dataclasses
import importlib.resources
import pathlib
import types
from collections.abc import Mapping

from pat_keras.checkpoints.pins import sha256_of

TABLE = "presets.csv"

_PACKAGE = pathlib.Path(__file__).parents[1]
# Where files of ours may lie: installed as package data, or in a checkout.
FOLDERS = (_PACKAGE / "weights", _PACKAGE.parent / "weights")

_UNITS = {"2003-04": "counts", "2005-06": "counts", "2011-12": "MIMS", "2013-14": "MIMS"}  # of NHANES' cycles


@dataclasses.dataclass(frozen=True)
class Preset:
    """A published checkpoint.

    Attributes:
        name: what `registry.fetch` calls it, as "pat_large_29k".
        file: its file name, at the source and in the cache.
        size: the `EncoderConfig` size it holds.
        embedding: its patch embedding.
        people: how many people it was pretrained on.
        pretraining: the NHANES cycles they come from; results on these people are not held out.
        left_out: the list (see `data.people`) of people of these cycles whom it was not pretrained on, or
            several with commas between; empty if it saw everybody.
        standardize: the scaling of minutes under which it learned, a kind of `data.standardize`.
        licence: of the weights (not of this package).
        authors: who made it.
        citation: what to cite.
        address: where it is published; empty for a file that comes with this package or its repository.
        sha256: of the file; empty where nobody has published one, as for the authors' files.
    """

    name: str
    file: str
    size: str
    embedding: str
    people: int
    pretraining: str
    left_out: str
    standardize: str
    licence: str
    authors: str
    citation: str
    address: str
    sha256: str

    @property
    def units(self) -> tuple[str, ...]:
        """Of the activity that it learned from."""
        return tuple(sorted({unit for cycle, unit in _UNITS.items() if cycle in self.pretraining}))

    @property
    def local(self) -> pathlib.Path | None:
        """Where the file came with the package or lies in this checkout; None if it did not."""
        if not self.sha256:
            return None
        return next((path for path in (folder / self.file for folder in FOLDERS) if path.is_file()), None)


def read_presets(table: str) -> dict[str, Preset]:
    """The presets of a table in CSV, by their names."""
    presets = {}
    for row in csv.DictReader(table.splitlines()):
        fields: dict[str, object] = {**row, "people": int(row["people"])}
        presets[row["name"]] = Preset(**fields)  # type: ignore[arg-type]
    return presets


PRESETS: Mapping[str, Preset] = types.MappingProxyType(
    read_presets(importlib.resources.files("pat_keras.checkpoints").joinpath(TABLE).read_text(encoding="utf-8"))
)


def preset_lines() -> list[str]:
    """A line about each preset, for people."""
    width = max(map(len, PRESETS))
    return [
        f"{preset.name:<{width}}  {preset.size}, {preset.embedding}; {preset.people:,} people of NHANES "
        f"{preset.pretraining.removeprefix('NHANES ')}; {'here' if preset.local else 'downloaded when first used'}"
        for preset in PRESETS.values()
    ]


def hash_of_weights(weights: str) -> str:
    """Of weights to start from their SHA-256: that of a preset as stated, that of a file as it is now.

    Other names, such as that of a preset without one, are given back as they are; so is "", which is random weights.
    """
    if not weights:
        return ""
    if weights in PRESETS and PRESETS[weights].sha256:
        return f"sha256:{PRESETS[weights].sha256}"  # which every load of it checks
    # Of a run of pat-pretrain its encoder, which another one of that name may have replaced.
    files = [path for path in (pathlib.Path(weights), pathlib.Path(weights, "encoder.keras")) if path.is_file()]
    return f"sha256:{sha256_of(files[0])}" if files else weights
