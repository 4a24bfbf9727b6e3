"""What a report draws of single test people: some weeks with what the model attended to, and everybody's embedding.

Kept in `individuals.npz` of the run directory, without ids or dates, so that the report can be written again without
the data. It is made after the test people were scored, and nothing is chosen by it.

Axes: B windows, T minutes, N patches, D embed_dim, n people, F folds.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from pat_keras.checkpoints.store import load_state, save_state
from pat_keras.errors import RunError
from pat_keras.evaluation.clock import Clock

FILE = "individuals.npz"
MOST_EMBEDDED = 500  # people of a run: more dots hide each other


@dataclasses.dataclass(frozen=True)
class Person:
    """A person whose week is shown.

    Attributes:
        kind: why they were chosen, a key of `certainty.choose_people`.
        line: of predictions.csv, which names them; the header is line 1.
        place: of the person among the test people, sorted by id.
        windows: how many they have; the first is shown.
        start_minute: of the day at which the window begins; None if unknown.
        activity: (T,) raw minutes, NaN = missing.
        attention: (N,) received by each patch, see `attention_profile`; empty for a model without attention.
    """

    kind: str
    line: int
    place: int
    windows: int
    start_minute: int | None
    activity: np.ndarray
    attention: np.ndarray

    @property
    def clock(self) -> Clock:
        """Of the window, whose samples are minutes."""
        return Clock(len(self.activity), first=self.start_minute or 0, known=self.start_minute is not None)


@dataclasses.dataclass(frozen=True)
class Embedding:
    """The embeddings of a fold's test people in two dimensions.

    Attributes:
        fold: its number.
        shares: of the variance, of the two principal components.
        positions: by method, "PCA" and where it is installed "UMAP", (n, 2).
        groups: by column, the number of each person's group (n,).
    """

    fold: int
    shares: tuple[float, float]
    positions: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Individuals:
    """What `individuals.npz` holds.

    Attributes:
        people: whose weeks are shown.
        embeddings: one a fold that has people enough.
        names: by column, the names of the groups of the embeddings.
        left_out: test people who are not among the embeddings since there were more than 500.
    """

    people: list[Person]
    embeddings: list[Embedding]
    names: dict[str, list[str]]
    left_out: int


def keep_individuals(folder: pathlib.Path, individuals: Individuals | None) -> None:
    """Write individuals.npz in place of one that is there, or remove that if nobody is to be shown."""
    if individuals is None:
        (folder / FILE).unlink(missing_ok=True)
        return
    arrays: dict[str, np.ndarray] = {}
    for number, person in enumerate(individuals.people):
        arrays[f"people/{number}/activity"] = person.activity
        arrays[f"people/{number}/attention"] = person.attention
    for number, embedding in enumerate(individuals.embeddings):
        for kind in ("positions", "groups"):
            arrays |= {f"embeddings/{number}/{kind}/{name}": x for name, x in getattr(embedding, kind).items()}
    meta = {
        "people": [_plain(person) for person in individuals.people],
        "embeddings": [_plain(embedding) for embedding in individuals.embeddings],
        "names": individuals.names,
        "left_out": individuals.left_out,
    }
    save_state(folder / FILE, arrays, meta)


def _plain(value: Person | Embedding) -> dict[str, Any]:
    """The attributes that are no arrays."""
    found = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: x for name, x in found.items() if not isinstance(x, (np.ndarray, dict))}


def load_individuals(folder: pathlib.Path) -> Individuals | None:
    """Read individuals.npz; None if it is not there.

    Raises:
        RunError: if it is damaged.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        arrays, meta = load_state(folder / FILE)
    except RunError as error:
        raise RunError(
            f"{folder / FILE}: found a damaged file, expected weeks and embeddings of test people. Make it again by "
            f"pat-finetune --resume --out={folder}, or remove it to have a report without them."
        ) from error
    people = [
        Person(**plain, activity=arrays[f"people/{number}/activity"], attention=arrays[f"people/{number}/attention"])
        for number, plain in enumerate(meta["people"])
    ]
    embeddings = []
    for number, plain in enumerate(meta["embeddings"]):
        held = {}
        for kind in ("positions", "groups"):
            before = f"embeddings/{number}/{kind}/"
            held[kind] = {name.removeprefix(before): x for name, x in arrays.items() if name.startswith(before)}
        embeddings.append(Embedding(plain["fold"], tuple(plain["shares"]), **held))
    return Individuals(people, embeddings, meta["names"], meta["left_out"])
