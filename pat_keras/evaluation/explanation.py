"""What an explanation of a run's predictions is asked for, and what it holds.

Axes: B windows, T minutes, n people, 24 hours of the day, U hours of a window.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import polars as pl

from pat_keras.data.cohort import Cohort
from pat_keras.errors import ConfigError
from pat_keras.evaluation.clock import Clock
from pat_keras.evaluation.deletion import Deletion
from pat_keras.evaluation.explained_model import HIDE
from pat_keras.evaluation.occlusion import Occlusion
from pat_keras.evaluation.profiles import Comparison

ATTENTION = ("attention", "rollout")
METHODS = (*ATTENTION, "input_x_gradient", "integrated_gradients", "occlusion")
REFERENCES = ("auto", "mean", "average_day")
TITLES = {
    "attention": "Attention received",
    "rollout": "Attention rollout",
    "input_x_gradient": "Input x gradient",
    "integrated_gradients": "Integrated gradients",
    "occlusion": "Occlusion by hour",
}


@dataclasses.dataclass(frozen=True)
class ExplainSettings:
    """How to explain.

    Attributes:
        methods: some of `METHODS`; none for all that the model has (attention is PAT's alone).
        block: of "attention", the last by default.
        target_class: name of the class whose log-odds are explained, of a multi-class run; "" for each window's most
            probable one.
        reference: what an hour is compared with: "mean" of scaled minutes, the "average_day" of the cohort's people, or
            "auto": mean for a model scaled per minute, of which it is the training people's average week, otherwise
            average_day (see `explained_model`).
        hide: "missing", "reference" or "auto" (see `explained_model`).
        steps: of integrated gradients.
        share: of the hours that the deletion test hides.
        draws: of random hours in the deletion test.
        group: column of the cohort by which people are compared; "" for the run's label.
        permutations: of that comparison.
        pictures: people who get pictures of their own.
        seed: of everything that is drawn.

    Raises:
        ConfigError: for a method, reference or hiding that does not exist, or a number that is too small.
    """

    methods: tuple[str, ...] = ()
    block: int = -1
    target_class: str = ""
    reference: str = "auto"
    hide: str = "auto"
    steps: int = 16
    share: float = 0.1
    draws: int = 20
    group: str = ""
    permutations: int = 2000
    pictures: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.methods:
            if name not in METHODS:
                raise ConfigError(f"methods: there is no {name!r}; expected some of {', '.join(METHODS)}.")
        for name, there in (("reference", REFERENCES), ("hide", HIDE)):
            if getattr(self, name) not in there:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(there)}.")
        for name, least in (("steps", 1), ("draws", 1), ("permutations", 100), ("pictures", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected {least} or more.")
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}, expected a number between 0 and 1, such as 0.1.")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why a run's models predict what they predict of some people.

    Attributes:
        settings: as asked, with the methods that were used.
        about: of the run and the cohort: run, task, label, explains (the score in words), reference, hidden, unit,
            synthetic, source.
        cohort: the windows explained.
        clock: of these windows.
        windows: one row a window: participant_id, window, start, held_out, models, class (multi-class), score,
            probability (none for a regression), and gap of integrated gradients.
        minutes: by method, (B, T) float32: shares of attention that sum to 1, NaN for minutes left out; or what each
            minute added to the score.
        occlusion: if it was asked for.
        people: (n,) ids, sorted.
        days: by method, (n, 24), the mean over the person's windows: attention as a multiple of an even spread; the
            sum of what an hour's minutes added, on all days together; how far the score falls when the hour is hidden
            on all days.
        deletion: by method.
        comparison: by method; empty where groups can't be compared.
        no_comparison: why not; "" where they were.
        matrices: by the row of a pictured window, attention from hour to hour (U, U).
    """

    settings: ExplainSettings
    about: dict[str, str | bool]
    cohort: Cohort
    clock: Clock
    windows: pl.DataFrame
    minutes: dict[str, np.ndarray]
    occlusion: Occlusion | None
    people: np.ndarray
    days: dict[str, np.ndarray]
    deletion: dict[str, Deletion]
    comparison: dict[str, Comparison]
    no_comparison: str
    matrices: dict[int, np.ndarray]
    folder: pathlib.Path | None = None

    def pictured(self) -> list[int]:
        """Rows of the windows that get pictures: the first one of each of the first people."""
        first = self.windows.with_row_index("row").group_by("participant_id", maintain_order=True).first()
        return first["row"].head(self.settings.pictures).to_list()
