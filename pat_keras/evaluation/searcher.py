"""Choosing settings among people who may be learned from: one search an outer split, by inner splits.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.config import FinetuneConfig
from pat_keras.data.splits import Split, holdout
from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation.metrics import PRIMARY, by_participant, estimate
from pat_keras.evaluation.protocols import LabelledData, split_seed
from pat_keras.evaluation.sealing import SealedSplit, TrainingData, seal
from pat_keras.evaluation.search_space import Dimension, values_of
from pat_keras.evaluation.study import PRUNERS, SAMPLERS, Report, Search, Storage, TrialError, Tried, best_of
from pat_keras.training.finetune import train_split
from pat_keras.training.loop import Row, Watcher

# By which value a task's settings may be chosen; the first by default.
OBJECTIVES = {
    "binary": ("auc", "average_precision", "log_loss", "brier"),
    "multiclass": ("auc", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}
LARGER_IS_BETTER = ("auc", "average_precision", "r2")
EVERYBODY = "everybody"


@dataclasses.dataclass(frozen=True)
class TuneSettings:
    """How settings are searched. The flags of `pat-tune` have the same names.

    Attributes:
        search: texts such as "head_learning_rate=log:1e-5:1e-2"; none for `search_space.default_search`.
        trials: of each search, pruned ones among them.
        inner_folds: of the cross-validation within the training and validation people of an outer split; 1 for a
            single inner split, scored on the outer validation people.
        objective: inner value to choose by; "auto" for AUC, or the mean absolute error of a regression.
        sampler: "tpe" (tree-structured Parzen estimator) or "random".
        pruner: of trials that do worse, in their first inner split, than others at the same training epoch: "median",
            "halving" (successive halving), or "none".

    Raises:
        ConfigError: for a value that does not exist.

    Example:
        >>> settings = TuneSettings(search=("head_learning_rate=log:1e-5:1e-2",), trials=20)
        >>> settings.chosen_by("binary")
        'auc'
    """

    search: tuple[str, ...] = ()
    trials: int = 30
    inner_folds: int = 3
    objective: str = "auto"
    sampler: str = "tpe"
    pruner: str = "median"

    def __post_init__(self) -> None:
        for name, allowed in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}.")
        for name in ("trials", "inner_folds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")

    def chosen_by(self, task: str) -> str:
        """The objective of a task, "auto" resolved.

        Raises:
            ConfigError: for one that the task has not.
        """
        if self.objective == "auto":
            return PRIMARY[task]
        if self.objective not in OBJECTIVES[task]:
            raise ConfigError(
                f"objective is {self.objective!r}, expected auto or, for a {task} task, one of "
                f"{', '.join(OBJECTIVES[task])}."
            )
        return self.objective


@dataclasses.dataclass
class Searcher:
    """All searches of a tuning: what they share, and what each tried, by the name of its people."""

    config: FinetuneConfig
    settings: TuneSettings
    space: list[Dimension]
    objective: str
    storage: Storage
    watcher: Watcher
    tried: dict[str, list[Tried]] = dataclasses.field(default_factory=dict)

    @property
    def maximize(self) -> bool:
        """Whether a larger value is better."""
        return self.objective in LARGER_IS_BETTER

    def described(self) -> dict[str, Any]:
        """For tuning.json."""
        search = [str(dimension) for dimension in self.space]
        return {**dataclasses.asdict(self.settings), "search": search, "objective": self.objective}

    def choose(self, sealed: SealedSplit) -> FinetuneConfig:
        """Search among those of a split who may be learned from; the config of the winner."""
        known, inner = sealed.training(), inner_splits_of(sealed, self.config, self.settings)
        search = Search(
            space=self.space,
            first=values_of(self.config, self.space),
            trials=self.settings.trials,
            sampler=self.settings.sampler,
            pruner=self.settings.pruner,
            seed=self.config.seed,
            maximize=self.maximize,
        )

        def objective(number: int, settings: dict[str, Any], report: Report) -> float:
            name = f"{sealed.name}, trial {number} of {search.trials}"
            return self._value(known, inner, settings, report, name)

        self.tried[sealed.name] = search.run(self.storage, sealed.name, objective)
        return self._winner(self.tried[sealed.name])

    def last_winner(self) -> FinetuneConfig:
        """That of the last search."""
        return self._winner(list(self.tried.values())[-1])

    def _winner(self, tried: Sequence[Tried]) -> FinetuneConfig:
        return dataclasses.replace(self.config, **best_of(tried, self.maximize).settings)

    def _value(
        self, known: TrainingData, inner: Sequence[Split], settings: dict[str, Any], report: Report, name: str
    ) -> float:
        """The mean over inner splits of the objective on the people whom each leaves out."""
        values = []
        for number, split in enumerate(inner, 1):
            self.watcher.on_split(f"{name}, inner {number} of {len(inner)}")
            # Of the first split alone: values of other people can't be compared with these.
            watcher = _Reporting(self.watcher, self.maximize, report) if number == 1 else self.watcher
            try:
                config = dataclasses.replace(self.config, **{**settings, "committee": 1})  # the winner has its members
                fitted = train_split(*known[:3], split, config, None, watcher, known.score)
            except (ConfigError, RunError) as error:  # settings that don't go together, or a training that ran away
                raise TrialError(str(error)) from error
            rows, scores = split.test, fitted.predictions["test"]
            people = by_participant(
                known.participant_id[rows], known.y[rows], scores if config.task == "multiclass" else scores[:, -1]
            )
            value = estimate(config.task, people.y, people.score)[self.objective]
            if value is None:
                raise TrialError(f"{self.objective} is undefined for the {len(people.y)} people of {split.name}.")
            values.append(value)
            del fitted
            gc.collect()  # models are full of cycles: without it a long search grows by half as much again
        return float(np.mean(values))

    def account(self) -> dict[str, Any]:
        """What metrics.json says of the searches."""
        searches: list[dict[str, Any]] = []
        for name, tried in self.tried.items():
            best, states = best_of(tried, self.maximize), [trial.state for trial in tried]
            counts = {state: states.count(state) for state in ("complete", "pruned", "failed")}
            found = {"best_trial": best.number, "inner": best.value, "settings": best.settings}
            searches.append({"people": name, "trials": len(tried), **counts, **found})
        outer = [search["inner"] for search in searches if search["people"] != EVERYBODY]
        return {**self.described(), "inner": float(np.mean(outer)), "searches": searches}

    def table(self) -> pl.DataFrame:
        """Rows of trials.csv."""
        rows = [
            {
                "people": name,
                "trial": trial.number,
                "state": trial.state,
                self.objective: trial.value,
                **{dimension.name: trial.settings.get(dimension.name) for dimension in self.space},
                "seconds": trial.seconds,
                "reason": trial.reason,
            }
            for name, tried in self.tried.items()
            for trial in tried
        ]
        return pl.DataFrame(rows, infer_schema_length=None)


class _Reporting(Watcher):
    """Passes on what a training tells, and reports its best validation value so far, by which trials are pruned.

    That is the AUC, or the loss of a regression: the loss of classes depends on their weights, which may be searched.
    """

    def __init__(self, inner: Watcher, maximize: bool, report: Report) -> None:
        self._inner, self._sign, self._report = inner, 1.0 if maximize else -1.0, report
        self._epochs, self._best = 0, -np.inf

    def on_start(self, stage: str, steps: int) -> None:
        """A stage begins."""
        self._inner.on_start(stage, steps)

    def on_step(self) -> None:
        """A step is done."""
        self._inner.on_step()

    def on_epoch(self, row: Row) -> None:
        """Report; this may end the trial."""
        self._inner.on_epoch(row)
        self._epochs += 1
        self._best = max(self._best, row.get("validation_auc", -row["validation_loss"]))
        self._report(self._epochs, self._sign * self._best)

    def on_end(self) -> None:
        """A stage is done."""
        self._inner.on_end()


def inner_splits_of(sealed: SealedSplit, config: FinetuneConfig, settings: TuneSettings) -> list[Split]:
    """Of the people of a split who may be learned from.

    Raises:
        LabelError, CohortError: if they are too few.
    """
    return sealed.inner(settings.inner_folds, split_seed(config), config.validation_fraction, config.task)


def split_of_everybody(data: LabelledData, config: FinetuneConfig) -> SealedSplit:
    """A split that tests nobody: for settings to train on other people with, when all scoring is done."""
    fraction, seed = config.validation_fraction, split_seed(config)
    split = holdout(data.group, data.y, validation_fraction=fraction, test_fraction=0, seed=seed, task=config.task)
    return seal(data, [dataclasses.replace(split, name=EVERYBODY)])[0]
