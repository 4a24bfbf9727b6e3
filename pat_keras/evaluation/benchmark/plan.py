"""The cells of a benchmark: task x model x training size x seed x fold, each with what defines its result.

A cell's definition is compared with that of the file that is there: the settings of its model, the recordings and
labels it is about, and who is in which part. A changed benchmark so computes only what changed, and a file that answers
another question is never counted.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from pat_keras.checkpoints.presets import hash_of_weights
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.cohort_checks import KEY_COLUMNS
from pat_keras.data.features import cut_points_of
from pat_keras.data.label_rules import PositiveRule
from pat_keras.data.splits import Split, split_hash
from pat_keras.errors import CohortError, ConfigError, LabelError, PATError
from pat_keras.evaluation.benchmark.config import (
    SPLIT_FIELDS,
    BenchmarkConfig,
    ModelSpec,
    TaskSpec,
    size_name,
    slug,
)
from pat_keras.evaluation.protocols import LabelledData, committee_of, labelled_data, make_splits

_T = TypeVar("_T")

FORMAT = 1  # of definitions: raised when the same settings would give other results

# Settings that a baseline looks at; others may change without changing what it predicts.
_OF_BASELINES = ("task", "learn_score", "seed", "missing", "repair_fixed_scaling", "smoothing", "recalibration")
# The split is part of a definition by who is in it, not by how it was asked for.
_NOT_DEFINING = (*SPLIT_FIELDS, "train_size", "baseline", "subgroups")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model trained once, and what it predicts.

    Attributes:
        task: what is predicted.
        model: by what.
        train_size: people of training and validation together; None for all.
        seed: of training, and unless the benchmark says otherwise of the split.
        fold: number of the split among those of this seed, from 1.
        folds: how many splits this seed has.
        config: how the model is trained.
        definition: of the result, JSON-able.
    """

    task: TaskSpec
    model: ModelSpec
    train_size: int | None
    seed: int
    fold: int
    folds: int
    config: FinetuneConfig
    definition: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its file, without the ending."""
        size = "all" if self.train_size is None else f"n{self.train_size}"
        parts = [slug(self.task.name), slug(self.model.name), size, f"seed{self.seed}"]
        return "--".join(parts + ([f"fold{self.fold:03d}"] if self.folds > 1 else []))

    @property
    def group(self) -> str:
        """Cells of a group differ in seed and fold alone: their models are alike, and so compiled alike."""
        return f"{self.task.name}, {self.model.name}, {size_name(self.train_size)}"


class Source:
    """The cohorts of a benchmark, read when they are needed; the labelled windows of the task last asked for are kept.

    Args:
        say: told about data that look wrongly scaled.
        cohorts: already in memory, by the path they would be read from.
    """

    def __init__(
        self, say: Callable[[str], None] = lambda message: None, cohorts: dict[pathlib.Path, Cohort] | None = None
    ) -> None:
        self._say, self._cohorts = say, dict(cohorts or {})
        self._labelled: tuple[Any, LabelledData | None] = (None, None)
        self._splits: dict[FinetuneConfig, list[Split]] = {}  # of the labelled windows that are kept
        self._hash: tuple[LabelledData, str] | None = None
        self._remembered: dict[str, Any] = {}

    def cohort(self, path: pathlib.Path) -> Cohort:
        """The cohort in a file.

        Raises:
            CohortError: if it can't be read.
        """
        if path not in self._cohorts:
            self._cohorts[path] = Cohort.read(path)
        return self._cohorts[path]

    def labelled(self, task: TaskSpec, config: FinetuneConfig) -> LabelledData:
        """The windows of a task, checked.

        Raises:
            LabelError, CohortError: if they can't be used, naming the file.
        """
        # All that labelled_data looks at; windows are alike for the rest.
        key = (task.name, config.missing, config.learn_score, config.repair_fixed_scaling, config.standardize == "none")
        if self._labelled[0] == key and self._labelled[1] is not None:
            return self._labelled[1]
        self._labelled, self._hash = (None, None), None  # two tasks at once would be twice the memory
        self._splits, self._remembered = {}, {}
        try:
            data = labelled_data(_with_label(self.cohort(task.data), task), task.label, config, self._say)
        except PATError as error:
            raise type(error)(f"{task.data}: task {task.name!r}: {error}") from None
        self._labelled = (key, data)
        return data

    def remember(self, name: str, make: Callable[[], _T]) -> _T:
        """What `make` makes of the labelled windows last asked for, made once."""
        if name not in self._remembered:
            self._remembered[name] = make()
        return self._remembered[name]

    def data_hash(self, data: LabelledData) -> str:
        """SHA-256 of the recordings, whose they are, and the targets; not of the cohort's other labels."""
        if self._hash is None or self._hash[0] is not data:
            self._hash = (data, _data_hash(data))
        return self._hash[1]

    def splits(self, task: TaskSpec, config: FinetuneConfig) -> list[Split]:
        """The splits of a config for a task.

        Raises:
            CohortError, LabelError: if there are too few people for them, naming the file.
        """
        data = self.labelled(task, config)
        # What is trained makes no difference to who is in which part, so that all models share the splits.
        alone = _split_alone(config)
        if alone not in self._splits:
            try:
                self._splits[alone] = make_splits(data, alone)
            except PATError as error:
                size = size_name(config.train_size)
                raise type(error)(
                    f"{task.data}: task {task.name!r}, training size {size}, seed {config.seed}: {error}"
                ) from None
        return self._splits[alone]


def plan_cells(config: BenchmarkConfig, source: Source) -> list[Cell]:
    """All cells, those of a task together and within it those of a group.

    Raises:
        CohortError, LabelError: if the data, or the people there are, don't allow a cell.
        ConfigError: for settings that don't go together.
    """
    cells = []
    for task in config.tasks:
        for model in config.models:
            if task.name in model.tasks:
                cells += list(_cells_of(task, model, config, source))
    return cells


def chosen(cells: list[Cell], pattern: str) -> list[Cell]:
    """The cells whose name, or group, matches a pattern such as "depression--pat-l--*".

    Raises:
        ConfigError: if none does.
    """
    found = [cell for cell in cells if any(fnmatch.fnmatchcase(cell.name, part) for part in pattern.split(","))]
    if not found:
        raise ConfigError(
            f"--only={pattern}: matches none of the {len(cells)} cells, expected some; their names are like "
            f"{cells[0].name}. Quote the pattern, and see --dry_run for all names."
        )
    return found


def _cells_of(task: TaskSpec, model: ModelSpec, config: BenchmarkConfig, source: Source) -> Iterator[Cell]:
    for train_size in model.train_sizes:
        for seed in (seed for seed in model.seeds if seed in task.seeds):
            settings = model.finetune_config(task, train_size, seed, config.split)
            data = source.labelled(task, settings)
            parts = source.splits(task, settings)
            if not model.baseline:
                for split in parts:
                    committee_of(data, split, settings)
            fixed: dict[str, Any] = {
                "format": FORMAT,
                "data": source.data_hash(data),
                "baseline": model.baseline,
                "settings": _defining(settings, bool(model.baseline)),
            }
            if model.threshold is not None:
                fixed["threshold"] = model.threshold
            if model.fit_on_validation:
                fixed["fit_on_validation"] = True
            if model.baseline:
                source.remember(f"check of {model.baseline}", functools.partial(_check_windows, task, model, data))
                fixed["inputs"] = _inputs_hash(model.baseline, data)
            for fold, split in enumerate(parts, 1):
                definition = {**fixed, "split": split_hash(split)}
                yield Cell(task, model, train_size, seed, fold, len(parts), settings, definition)


def _split_alone(config: FinetuneConfig) -> FinetuneConfig:
    names = (*SPLIT_FIELDS, "task", "train_size", "seed")
    # Asked for with a baseline, a split needs two people a class to train on, which any model should have.
    return FinetuneConfig(**{name: getattr(config, name) for name in names})


def _with_label(cohort: Cohort, task: TaskSpec) -> Cohort:
    if not task.positive:
        return cohort
    rule = PositiveRule.parse(task.positive)
    if rule.column not in cohort.columns:
        raise LabelError(
            f"positive is {task.positive!r}, but there is no column {rule.column!r}; expected one of "
            f"{', '.join(cohort.columns)}."
        )
    return cohort.with_columns(rule.apply(cohort.table[rule.column]).alias(task.label))


def _data_hash(data: LabelledData) -> str:
    table = data.cohort.table.select(KEY_COLUMNS)
    digest = hashlib.sha256(Cohort(data.cohort.activity, table, data.cohort.metadata).content_hash().encode())
    digest.update(np.ascontiguousarray(data.y, dtype="<f8").tobytes() + json.dumps(data.classes).encode())
    if data.score is not None:
        digest.update(np.ascontiguousarray(data.score, dtype="<f8").tobytes())
    return digest.hexdigest()


def _check_windows(task: TaskSpec, model: ModelSpec, data: LabelledData) -> None:
    """See that a baseline can describe the windows of a task, before anything is computed."""
    from pat_keras.models.baselines import BASELINES

    check = BASELINES[model.baseline].check
    if check is not None:
        try:
            check(data.activity)
        except CohortError as error:
            raise CohortError(
                f"{task.data}: task {task.name!r}, model {model.name!r} ({model.baseline}): {error} Or name the tasks "
                "that the model is for by its `tasks`."
            ) from None


def _inputs_hash(baseline: str, data: LabelledData) -> str:
    """SHA-256 of what a baseline looks at beside the recordings."""
    from pat_keras.models.baselines import make_baseline

    digest = hashlib.sha256(repr(cut_points_of(data.cohort.metadata)).encode())
    for column in make_baseline(baseline).columns:
        try:
            digest.update(column.encode() + data.cohort.label(column).astype("<f8").tobytes())
        except LabelError as error:
            raise LabelError(f"baseline {baseline!r} looks at the column {column!r}: {error}") from None
    return digest.hexdigest()


def _defining(config: FinetuneConfig, baseline: bool) -> dict[str, Any]:
    """The settings that a result depends on; a file of weights by its content, wherever it lies."""
    values = {name: value for name, value in config.to_dict().items() if name not in _NOT_DEFINING}
    if baseline:
        values = {name: values[name] for name in _OF_BASELINES}
    if values.get("weights"):
        values["weights"] = _planned_weights(values["weights"])
    return json.loads(json.dumps(values))


@functools.lru_cache(maxsize=64)
def _planned_weights(weights: str) -> str:
    return hash_of_weights(weights)  # read once for all cells
