"""What a benchmark is: its data, tasks, models, training sizes, seeds and split, read from a TOML file and checked.

No people are looked at here and nothing heavy is imported; whether the data hold the labels is seen when it is planned.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import Any

from pat_keras.config import TASKS, FinetuneConfig
from pat_keras.data.label_rules import PositiveRule
from pat_keras.errors import ConfigError, LabelError
from pat_keras.evaluation.benchmark.toml_tables import Table, meant, read_toml
from pat_keras.recipes import recipe_names, recipe_settings

ALL = "all"  # of the training sizes: everybody who is not tested

_FIELDS = {field.name: str(field.type) for field in dataclasses.fields(FinetuneConfig)}
_DEFAULT = FinetuneConfig()
# What [split] sets, for all models alike: otherwise they could not be compared.
SPLIT_FIELDS = (
    "split",
    "test_people",
    "split_column",
    "folds",
    "validation_fraction",
    "test_fraction",
    "split_seed",
)
# Fields of FinetuneConfig that no model may set, and who does.
_SET_ELSEWHERE = {
    **dict.fromkeys(SPLIT_FIELDS, "[split]"),
    "task": "kind of [[tasks]]",
    "train_size": "train_sizes",
    "seed": "seeds",
    "baseline": "a model with baseline = ...",
    "subgroups": "subgroups of pat-finetune",
}
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


@dataclasses.dataclass(frozen=True)
class Paper:
    """Published numbers to stand beside ours.

    Attributes:
        source: where they are from and of whom, for the head of the column.
        values: of models by their names here, then of training sizes ("500", "all"), and "average" over those.
    """

    source: str
    values: dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """Something to predict.

    Attributes:
        name: of the task.
        kind: one of `config.TASKS`.
        label: the column of the cohort; made by `positive` if that is not empty.
        positive: a rule such as "age > 60", see `data.label_rules`.
        data: path of the cohort.
        seeds: of the benchmark's, those it is for.
        paper: published numbers, if there are any.
    """

    name: str
    kind: str
    label: str
    positive: str
    data: pathlib.Path
    seeds: tuple[int, ...]
    paper: Paper | None


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A model to compare.

    Attributes:
        name: of the model.
        settings: fields of FinetuneConfig, those of the recipe and of all models included.
        baseline: the name of a baseline without a network; empty for a network.
        threshold: of a binary task, fixed beforehand; None for the one that validation people give.
        fit_on_validation: whether a baseline learns from validation people too: it may where they decide nothing.
        tasks: names of the tasks it is for.
        train_sizes: of the benchmark's, those it is for.
        seeds: of the benchmark's, those it is for.
    """

    name: str
    settings: dict[str, Any]
    baseline: str
    threshold: float | None
    fit_on_validation: bool
    tasks: tuple[str, ...]
    train_sizes: tuple[int | None, ...]
    seeds: tuple[int, ...]

    def finetune_config(
        self, task: TaskSpec, train_size: int | None, seed: int, split: dict[str, Any]
    ) -> FinetuneConfig:
        """How this model is trained for a task.

        Raises:
            ConfigError: for settings that don't go together, naming the model.
        """
        baseline = bool(self.baseline)
        try:
            return FinetuneConfig(
                **{**self.settings, **split}, task=task.kind, train_size=train_size, seed=seed, baseline=baseline
            )
        except ConfigError as error:
            raise ConfigError(f"model {self.name!r}, task {task.name!r}: {error}") from None


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """A benchmark.

    Attributes:
        path: of its file.
        name: of the benchmark.
        tasks: to predict.
        models: to compare.
        train_sizes: people of training and validation together; None for everybody who is not tested.
        seeds: of training, and unless split says otherwise of the split.
        split: fields of FinetuneConfig, `SPLIT_FIELDS`.
        reference: name of the model with which every other one is compared; empty for none.
    """

    path: pathlib.Path
    name: str
    tasks: tuple[TaskSpec, ...]
    models: tuple[ModelSpec, ...]
    train_sizes: tuple[int | None, ...]
    seeds: tuple[int, ...]
    split: dict[str, Any]
    reference: str

    @classmethod
    def read(cls, path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> BenchmarkConfig:
        """Reads a file. Paths in it are relative to its folder.

        Args:
            path: of the file.
            data: a cohort in place of the one that the file names.

        Raises:
            ConfigError: for anything that is not as it should be, naming the file, the table and the key.
        """
        path = pathlib.Path(path)
        top = read_toml(path)
        sizes = _sizes(top) or (None,)
        seeds = _seeds(top) or (0,)
        split = _split(top.table("split"))
        tasks = _tasks(top, seeds, data)
        shared = _settings(top.table("settings"))
        models = tuple(_model(table, shared, tasks, sizes, seeds) for table in top.tables("models"))
        _check_names(top, "models", [model.name for model in models])
        reference = top.text("reference")
        names = [model.name for model in models]
        if reference and reference not in names:
            top.fail("reference", f"is {reference!r}, which is no model{meant(reference, names)}.")
        for task in tasks:
            for name in task.paper.values if task.paper else ():
                if name not in names:
                    top.fail(f"[tasks.paper.values] of {task.name}", f"{name!r} is no model{meant(name, names)}.")
        config = cls(path, top.text("name", path.stem), tasks, models, sizes, seeds, split, reference)
        top.done()
        config._check_settings()
        return config

    def _check_settings(self) -> None:
        for model in self.models:
            for task in self.tasks:
                if task.name in model.tasks:
                    try:
                        model.finetune_config(task, None, 0, self.split)
                    except ConfigError as error:
                        raise ConfigError(f"{self.path}: {error}") from None


def slug(name: str) -> str:
    """A name as part of a file's name: small letters, digits, single dashes, dots."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")


def size_name(train_size: int | None) -> str:
    """A training size in words: "500", or "all"."""
    return ALL if train_size is None else str(train_size)


def _check_names(table: Table, key: str, names: list[str]) -> None:
    """Names become names of files, so two must not become the same."""
    seen: dict[str, str] = {}
    for name in names:
        short = slug(name)
        if not short:
            table.fail(key, f"the name {name!r} holds no letter or digit; expected some.")
        if short in seen:
            table.fail(key, f"the names {seen[short]!r} and {name!r} would both name the files {short}; rename one.")
        seen[short] = name


def _sizes(table: Table) -> tuple[int | None, ...] | None:
    fits = lambda value: value == ALL or (isinstance(value, int) and value >= 2)  # noqa: E731
    sizes = table.items("train_sizes", fits, f'numbers of people, or "{ALL}"')
    return None if sizes is None else tuple(None if size == ALL else size for size in sizes)


def _seeds(table: Table) -> tuple[int, ...] | None:
    return table.items("seeds", lambda value: isinstance(value, int) and value >= 0, "whole numbers from 0")


def _split(table: Table) -> dict[str, Any]:
    """Fields of FinetuneConfig; a list of test people that is a file is found from the benchmark's folder."""
    values = _fields(table, SPLIT_FIELDS)
    listed = values.get("test_people", "")
    if listed and (near := _near(table, listed)).is_file():
        values["test_people"] = str(near)
    return values


def _settings(table: Table) -> dict[str, Any]:
    """What models may set; a file of weights is found from the benchmark's folder."""
    for name, owner in _SET_ELSEWHERE.items():
        if name in table.left():
            table.fail(name, f"is not set for a model, but by {owner}.")
    values = _fields(table, [name for name in _FIELDS if name not in _SET_ELSEWHERE])
    if (weights := values.get("weights", "")).endswith((".h5", ".keras")):
        values["weights"] = str(_near(table, weights))
        if not pathlib.Path(values["weights"]).is_file():
            table.fail("weights", f"there is no file {values['weights']}; expected one, or the name of a preset.")
    return values


def _near(table: Table, path: str) -> pathlib.Path:
    return table.path.parent / pathlib.Path(path).expanduser()


def _fields(table: Table, names: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Fields of FinetuneConfig with their types checked; their values are, when the config is made."""
    values = {}
    for name in names:
        if name not in table.left():
            table.take(name, object)  # so that a key that is nearly this one can be told what it was to be
            continue
        value = table.take(name, object)
        annotation = _FIELDS[name].split(" | ")[0]
        if annotation.startswith("tuple"):
            if not isinstance(value, list) or len(value) != 2 or not all(isinstance(v, int | float) for v in value):
                table.fail(name, f"is {value!r}, expected two numbers.")
            value = tuple(value)
        elif not isinstance(value, _TYPES[annotation]) or (isinstance(value, bool) and annotation != "bool"):
            table.fail(name, f"is {value!r}, expected a value such as {getattr(_DEFAULT, name)!r}.")
        values[name] = float(value) if isinstance(value, int) and annotation == "float" else value
    table.done()
    return values


def _tasks(top: Table, seeds: tuple[int, ...], instead: str | os.PathLike[str] | None) -> tuple[TaskSpec, ...]:
    data = _data(top)
    if instead is not None:
        if len(data) > 1:
            top.fail("data", f"names {len(data)} cohorts, and --data one in their place; expected a single one.")
        data = dict.fromkeys(data, pathlib.Path(instead))
    tasks = tuple(_task(table, data, seeds) for table in top.tables("tasks"))
    _check_names(top, "tasks", [task.name for task in tasks])
    return tasks


def _data(top: Table) -> dict[str, pathlib.Path]:
    """Cohorts by name; a single one has the name ""."""
    if not isinstance(top.peek("data"), dict):
        return {"": _near(top, top.take("data", str, required=True) or "")}
    table = top.table("data")
    return {name: _near(table, str(path)) for name, path in table.rest().items()}


def _task(table: Table, data: dict[str, pathlib.Path], seeds: tuple[int, ...]) -> TaskSpec:
    name = table.take("name", str, required=True) or ""
    kind = table.text("kind", "binary")
    if kind not in TASKS:
        table.fail("kind", f"is {kind!r}{meant(kind, TASKS)}.")
    positive = table.text("positive")
    if positive:
        try:
            PositiveRule.parse(positive)
        except LabelError as error:
            table.fail("positive", str(error))
    label = table.text("label", name)
    source = table.text("data", next(iter(data)) if len(data) == 1 else "")
    if source not in data:
        table.fail("data", f"is {source!r}{meant(source, data)}.")
    paper = _paper(table.table("paper"))
    its_seeds = _subset(table, "seeds", _seeds(table), seeds)
    table.done()
    return TaskSpec(name, kind, label, positive, data[source], its_seeds, paper)


def _paper(table: Table) -> Paper | None:
    if not table.left():
        return None
    source = table.take("source", str, required=True) or ""
    values = table.table("values")
    models = {name: values.table(name).rest() for name in values.left()}
    for name, numbers in models.items():
        for size, number in numbers.items():
            if not isinstance(number, int | float) or not (size in (ALL, "average") or size.isdigit()):
                table.fail(
                    f"values of {name}", f"found {size} = {number!r}, expected 500 = 0.6, all = 0.6, average = 0.6."
                )
    table.done()
    return Paper(source, models)


def _model(
    table: Table,
    shared: dict[str, Any],
    tasks: tuple[TaskSpec, ...],
    sizes: tuple[int | None, ...],
    seeds: tuple[int, ...],
) -> ModelSpec:
    baseline, recipe = table.text("baseline"), table.text("recipe")
    name = table.text("name", baseline or recipe)
    if not name:
        table.fail("name", "is not there; expected the name of the model.")
    if baseline and recipe:
        table.fail("recipe", f"goes with a network, and the model is the baseline {baseline!r}; expected one of them.")
    if baseline:
        from pat_keras.models.baselines import BASELINES

        if baseline not in BASELINES:
            table.fail("baseline", f"is {baseline!r}{meant(baseline, BASELINES)}.")
    settings = {**shared, **_recipe(table, recipe), **_settings(table.table("settings"))}
    names = [task.name for task in tasks]
    threshold = table.take("threshold", float)
    if threshold is not None and not 0 < threshold < 1:
        table.fail("threshold", f"is {threshold:g}, expected a probability between 0 and 1.")
    fit_on_validation = bool(table.take("fit_on_validation", bool))
    if fit_on_validation and (not baseline or threshold is None or settings.get("recalibration") == "platt"):
        table.fail(
            "fit_on_validation",
            "is true, though validation people decide something; expected a baseline with a threshold fixed beforehand "
            "and no recalibration by platt.",
        )
    model = ModelSpec(
        name,
        settings,
        baseline,
        threshold,
        fit_on_validation,
        _subset(table, "tasks", table.texts("tasks"), tuple(names)),
        _subset(table, "train_sizes", _sizes(table), sizes),
        _subset(table, "seeds", _seeds(table), seeds),
    )
    table.done()
    return model


def _recipe(table: Table, name: str) -> dict[str, Any]:
    """The settings of a recipe, without those of a split, which here is the same for all models."""
    if not name:
        return {}
    if name not in recipe_names():
        table.fail("recipe", f"is {name!r}{meant(name, recipe_names())}.")
    return {key: value for key, value in recipe_settings(name).items() if key not in _SET_ELSEWHERE}


def _subset(table: Table, key: str, chosen: tuple[Any, ...] | None, of: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in chosen or ():
        if value not in of:
            table.fail(key, f"holds {value!r}, which is not among the benchmark's: {', '.join(map(str, of))}.")
    return of if chosen is None else tuple(value for value in of if value in chosen)
