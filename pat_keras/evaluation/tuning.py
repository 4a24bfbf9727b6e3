"""Settings chosen by search, and scored on people who had no part in the choice: nested, resumable.

For each outer split, a search sees its training and validation people alone (`pat_keras.evaluation.sealing`), and draws
inner splits of them. Its winner is trained once on the outer split and scored once on the outer test people. That score
is the honest one. The winner's inner value, the best of many, flatters.
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
import polars as pl

from pat_keras.config import CROSS_VALIDATION, FinetuneConfig
from pat_keras.config.combinations import without_effect
from pat_keras.data.cohort import Cohort
from pat_keras.errors import RunError
from pat_keras.evaluation.experiment import run_splits
from pat_keras.evaluation.protocols import labelled_data, make_splits, say_if_seen
from pat_keras.evaluation.run_files import write_json, write_text
from pat_keras.evaluation.run_writer import RunWriter
from pat_keras.evaluation.sealing import seal
from pat_keras.evaluation.search_space import flag_lines, read_space
from pat_keras.evaluation.searcher import Searcher, TuneSettings, inner_splits_of, split_of_everybody
from pat_keras.evaluation.shown import SHOWN, checked_shown
from pat_keras.evaluation.study import Storage, import_optuna
from pat_keras.evaluation.subgroups import groups_of
from pat_keras.evaluation.tuning_report import write_tuning_report
from pat_keras.training.loop import Watcher
from pat_keras.training.start import check_start


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
    report_people: int = SHOWN.people,
    report_columns: Sequence[str] = (),
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
        say: told about data that look wrongly scaled, and about test people whom the pretraining of the weights saw.
        report_people, report_columns: see `experiment.finetune`.

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
    for sentence in without_effect(config, [dimension.name for dimension in space]):
        say(sentence)
    parts = make_splits(data, config)
    for sealed in seal(data, parts):
        inner_splits_of(sealed, config, settings)  # whether there are people enough is to be known now
    for column in config.subgroups:
        groups_of(data.cohort, column)
    shown = checked_shown(data, report_people, report_columns)
    check_start(config, cohort.length, data.activity)
    say_if_seen(data, parts, config, say)
    writer = RunWriter(pathlib.Path(out), config, data, parts, flags, resume)
    with _locked(writer.folder), Storage(writer.folder / "trials.db") as storage:
        searcher = Searcher(config, settings, space, objective, storage, watcher)
        _keep_settings(writer.folder, searcher.described(), resume)

        def finish() -> dict[str, Any]:
            if config.split in CROSS_VALIDATION:  # each fold has a winner of its own: one more, for other people
                searcher.choose(split_of_everybody(data, config))
            write_text(writer.folder / "trials.csv", searcher.table().write_csv())
            write_text(writer.folder / "best.flags", data_flags + flag_lines(searcher.last_winner()))
            return {"tuning": searcher.account()}

        result = run_splits(data, parts, config, writer, watcher, searcher.choose, finish, shown)
    write_tuning_report(writer.folder)
    return TuneResult(searcher.last_winner(), result.metrics, searcher.table(), writer.folder)


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
        write_json(path, described)
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
