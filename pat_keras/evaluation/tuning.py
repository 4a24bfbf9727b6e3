"""Settings chosen by search, and scored on people who had no part in the choice: nested, resumable.

For each outer split, a search sees its training and validation people alone (`pat_keras.evaluation.sealing`), and draws
inner splits of them. Its winner is trained once on the outer split and scored once on the outer test people. That score
is the honest one. The winner's inner value, the best of many, flatters.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import filelock
import numpy as np
import polars as pl

from pat_keras.config import CROSS_VALIDATION, FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.files import atomic_write
from pat_keras.data.splits import Split, holdout
from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation.experiment import run_splits
from pat_keras.evaluation.metrics import PRIMARY, by_participant, estimate
from pat_keras.evaluation.protocols import LabelledData, labelled_data, make_splits, split_seed
from pat_keras.evaluation.run_writer import RunWriter
from pat_keras.evaluation.sealing import SealedSplit, TrainingData, seal
from pat_keras.evaluation.search_space import Dimension, flag_lines, read_space, values_of
from pat_keras.evaluation.study import (
    PRUNERS,
    SAMPLERS,
    Report,
    Search,
    Storage,
    TrialError,
    Tried,
    best_of,
    import_optuna,
)
from pat_keras.evaluation.subgroups import groups_of
from pat_keras.evaluation.tuning_report import write_tuning_report
from pat_keras.training.finetune import check_start, train_split
from pat_keras.training.loop import Row, Watcher

# By which value a task's settings may be chosen; the first by default.
OBJECTIVES = {
    "binary": ("auc", "average_precision", "log_loss", "brier"),
    "multiclass": ("auc", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}
_LARGER_IS_BETTER = ("auc", "average_precision", "r2")
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


@dataclasses.dataclass(frozen=True)
class TuneResult:
    """What a tuning found.

    Attributes:
        config: with the winning settings, to train on other people with. In a cross-validation, whose folds each have a
            winner of their own, it is that of one more search among everybody.
        metrics: as in metrics.json: those of a run, on outer test people, and `tuning`.
        trials: as in trials.csv, one row a finished trial.
        folder: where all is.
    """

    config: FinetuneConfig
    metrics: dict[str, Any]
    trials: pl.DataFrame
    folder: pathlib.Path


def tune(
    cohort: Cohort,
    label: str,
    config: FinetuneConfig | None = None,
    settings: TuneSettings | None = None,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    flags: str = "",
    data_flags: str = "",
    watcher: Watcher | None = None,
    say: Callable[[str], None] = warnings.warn,
) -> TuneResult:
    """Search the settings of a fine-tuning and score the winner on people who had no part in the choice.

    Args:
        cohort: weeks with labels.
        label: the column to predict.
        config: what is not searched, and the outer split.
        settings: of the search.
        out: directory to write: that of a run with the winner's model, and trials.csv, best.flags, tuning.html.
        resume: go on with the tuning in `out`; data, config and settings must be the same.
        flags: text of flags.txt; no such file if empty.
        data_flags: lines of flags that name the data, for best.flags.
        watcher: told about training progress.
        say: told about data that look wrongly scaled.

    Raises:
        CohortError, LabelError, ConfigError, CheckpointError: if data, config, settings or weights can't be used, or
            Optuna is not installed.
        RunError: if `out` is taken or in use, or no trial was completed.
    """
    import_optuna()
    config, settings, watcher = config or FinetuneConfig(), settings or TuneSettings(), watcher or Watcher()
    space = read_space(settings.search, config)
    objective = settings.chosen_by(config.task)
    data = labelled_data(cohort, label, config, say)
    parts = make_splits(data, config)
    for sealed in seal(data, parts):
        _inner_splits(sealed, config, settings)  # whether there are people enough is to be known now
    for column in config.subgroups:
        groups_of(data.cohort, column)
    check_start(config, cohort.length)
    writer = RunWriter(pathlib.Path(out), config, data, parts, flags, resume)
    with _locked(writer.folder), Storage(writer.folder / "trials.db") as storage:
        searcher = _Searcher(config, settings, space, objective, storage, watcher)
        _keep_settings(writer.folder, searcher.described(), resume)

        def finish() -> dict[str, Any]:
            if config.split in CROSS_VALIDATION:  # each fold has a winner of its own: one more, for other people
                searcher.choose(_of_everybody(data, config))
            _write(writer.folder / "trials.csv", searcher.table().write_csv())
            _write(writer.folder / "best.flags", data_flags + flag_lines(searcher.last_winner()))
            return {"tuning": searcher.account()}

        result = run_splits(data, parts, config, writer, watcher, searcher.choose, finish)
    write_tuning_report(writer.folder)
    return TuneResult(searcher.last_winner(), result.metrics, searcher.table(), writer.folder)


@dataclasses.dataclass
class _Searcher:
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
        return self.objective in _LARGER_IS_BETTER

    def described(self) -> dict[str, Any]:
        """For tuning.json."""
        search = [str(dimension) for dimension in self.space]
        return {**dataclasses.asdict(self.settings), "search": search, "objective": self.objective}

    def choose(self, sealed: SealedSplit) -> FinetuneConfig:
        """Search among those of a split who may be learned from; the config of the winner."""
        known, inner = sealed.training(), _inner_splits(sealed, self.config, self.settings)
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
                config = dataclasses.replace(self.config, **settings)
                fitted = train_split(known.activity, known.y, known.participant_id, split, config, None, watcher)
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


def _inner_splits(sealed: SealedSplit, config: FinetuneConfig, settings: TuneSettings) -> list[Split]:
    """Of the people of a split who may be learned from.

    Raises:
        LabelError, CohortError: if they are too few.
    """
    return sealed.inner(settings.inner_folds, split_seed(config), config.validation_fraction, config.task)


def _of_everybody(data: LabelledData, config: FinetuneConfig) -> SealedSplit:
    """A split that tests nobody: for settings to train on other people with, when all scoring is done."""
    fraction, seed = config.validation_fraction, split_seed(config)
    split = holdout(data.group, data.y, validation_fraction=fraction, test_fraction=0, seed=seed, task=config.task)
    return seal(data, [dataclasses.replace(split, name=EVERYBODY)])[0]


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Nobody else works in the folder meanwhile."""
    lock = filelock.FileLock(folder / ".tuning.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"{folder}: another process is tuning there. Wait for it, or choose another --out.") from None
    try:
        yield
    finally:
        lock.release()


def _keep_settings(folder: pathlib.Path, described: dict[str, Any], resume: bool) -> None:
    """Write tuning.json, or see that the one that is there says the same."""
    path = folder / "tuning.json"
    if not (resume and path.exists()):
        _write(path, json.dumps(described, indent=2) + "\n")
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: found no readable JSON ({error}). Start a new tuning under another --out.") from None
    for name, value in json.loads(json.dumps(described)).items():
        if kept.get(name) != value:
            raise RunError(
                f"{folder}: the tuning has {name} {kept.get(name)!r}, resuming was asked with {value!r}. Resume it "
                "with its own settings, or start a new one under another --out."
            )


def _write(path: pathlib.Path, text: str) -> None:
    with atomic_write(path, overwrite=True, error=RunError) as temporary:
        temporary.write_text(text, encoding="utf-8")
