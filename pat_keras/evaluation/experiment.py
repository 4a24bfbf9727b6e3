"""An experiment: a cohort and a config in, models and honest metrics out, with a run directory if one is named.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from pat_keras.config import FinetuneConfig
from pat_keras.config.combinations import without_effect
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split
from pat_keras.evaluation.baseline import fit_baseline
from pat_keras.evaluation.individuals import keep_individuals
from pat_keras.evaluation.protocols import LabelledData, labelled_data, make_splits, say_if_seen, tested_and_seen
from pat_keras.evaluation.report import write_report
from pat_keras.evaluation.run_writer import Outcome, RunWriter
from pat_keras.evaluation.scoring import Predictions, predictions_table, score_run
from pat_keras.evaluation.sealing import SealedSplit, predict_test, seal
from pat_keras.evaluation.shown import SHOWN, Shown, checked_shown, gather
from pat_keras.evaluation.subgroups import groups_of
from pat_keras.models.baselines import FeatureBaseline
from pat_keras.models.predictor import Predictor
from pat_keras.training.finetune import train_split
from pat_keras.training.loop import Row, Watcher
from pat_keras.training.start import check_start, said_of_minutes


@dataclasses.dataclass(frozen=True)
class Result:
    """What an experiment found.

    Attributes:
        metrics: as in metrics.json: task, label, synthetic, split, test, validation, folds, baseline, difference,
            seen_in_pretraining (how many test people the pretraining of the weights saw, as far as is known).
        predictions: as in predictions.csv, one row a window of the people held out.
        history: as in history.csv, one row a training epoch.
        models: one a split; each takes raw minutes.
        folder: the run directory, if there is one.
    """

    metrics: dict[str, Any]
    predictions: pl.DataFrame
    history: list[Row]
    models: list[Predictor]
    folder: pathlib.Path | None


def finetune(
    cohort: Cohort,
    label: str,
    config: FinetuneConfig | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    flags: str = "",
    watcher: Watcher | None = None,
    say: Callable[[str], None] = warnings.warn,
    report_people: int = SHOWN.people,
    report_columns: Sequence[str] = (),
) -> Result:
    """Fine-tune and score a model on a cohort, by participant, beside a simple baseline.

    Everything about the data, the config and the weights is checked before the run directory is made.

    Args:
        cohort: weeks with labels; windows without the label are left out and counted.
        label: the column to predict.
        config: everything else.
        out: the run directory to write; it must be new or empty. None writes nothing.
        resume: go on with the run in `out` where it stopped; the data and the config must be the same.
        flags: text of flags.txt; no such file if empty.
        watcher: told about training progress.
        say: told about data that look wrongly scaled.
        report_people: weeks in the report of the people whom the model was most sure of, least sure of, and sure of
            and wrong, as many of each; 0 leaves out all that is of one person, embeddings too.
        report_columns: of the cohort, by which the report colours embeddings beside the label and the subgroups.

    Raises:
        CohortError, LabelError, ConfigError, CheckpointError: if the data, the config or the weights can't be used.
        RunError: if `out` is taken, or training went wrong.

    Example:
        >>> import pat_keras as pat
        >>> config = pat.FinetuneConfig(epochs=1, baseline=False)
        >>> result = pat.finetune(pat.simulate_cohort(n_people=40, days=1), "label", config)
        >>> 0.0 <= result.metrics["test"]["auc"] <= 1.0
        True
    """
    config, watcher = config or FinetuneConfig(), watcher or Watcher()
    data = labelled_data(cohort, label, config, say)
    for sentence in [*without_effect(config), *said_of_minutes(config)]:
        say(sentence)
    parts = make_splits(data, config)
    for column in config.subgroups:
        groups_of(data.cohort, column)  # whether there is such a column is to be known now, not after training
    shown = checked_shown(data, report_people, report_columns)
    check_start(config, cohort.length, data.activity)
    say_if_seen(data, parts, config, say)
    writer = None if out is None else RunWriter(pathlib.Path(out), config, data, parts, flags, resume)
    return run_splits(data, parts, config, writer, watcher, shown=shown)


def run_splits(
    data: LabelledData,
    parts: list[Split],
    config: FinetuneConfig,
    writer: RunWriter | None,
    watcher: Watcher,
    choose: Callable[[SealedSplit], FinetuneConfig] | None = None,
    more: Callable[[], dict[str, Any]] = dict,
    shown: Shown = SHOWN,
) -> Result:
    """Train on every split, score all test people together, and finish the run directory.

    Args:
        data: the labelled windows.
        parts: their splits.
        config: of the run.
        writer: of the run directory, if there is one.
        watcher: told about training progress.
        choose: gives a split a config of its own, from those who may be learned from; asked for a finished split, too.
        more: to add to metrics.json; asked when all splits are done.
        shown: what the report shows of single people.
    """
    outcomes, models = [], []
    for number, sealed in enumerate(seal(data, parts), 1):
        outcome, model = _run_split(sealed, number, choose(sealed) if choose else config, writer, watcher)
        outcomes.append(outcome)
        models.append(model)
    history = [{"fold": number, **row} for number, outcome in enumerate(outcomes, 1) for row in outcome.history]
    predictions = pl.concat(
        predictions_table(data, split, number, outcome.predictions, config.task)
        for number, (split, outcome) in enumerate(zip(parts, outcomes, strict=True), 1)
    )
    metrics = score_run(data, parts, [o.predictions for o in outcomes], [o.baseline for o in outcomes], config)
    _, metrics["seen_in_pretraining"] = tested_and_seen(data, parts, config)
    metrics |= more()
    if writer is None:
        return Result(metrics, predictions, history, models, None)
    writer.finish(metrics, predictions, history)
    columns = (metrics["label"], *config.subgroups, *shown.columns)
    looked = (data, parts, models, predictions, metrics)
    individuals = gather(*looked, shown.people, columns, config.seed) if shown.people else None
    keep_individuals(writer.folder, individuals)
    write_report(writer.folder)
    return Result(metrics, predictions, history, models, writer.folder)


def _run_split(
    sealed: SealedSplit, number: int, config: FinetuneConfig, writer: RunWriter | None, watcher: Watcher
) -> tuple[Outcome, Predictor]:
    """Train on one split, then predict its test people with model and baseline; what an earlier run finished is read.

    The seal is broken when everything is fitted, and not before.
    """
    if writer is not None and (finished := writer.finished(number)) is not None:
        return finished
    watcher.on_split(sealed.name)
    known = sealed.training()
    checkpoints = None if writer is None else writer.checkpoints(number)
    fitted = train_split(*known[:4], config, checkpoints, watcher, known.score, known.group)
    simple = FeatureBaseline(config.learned_task, seed=config.seed)
    baseline = fit_baseline(simple, known, config) if config.baseline else None
    people = sealed.open()
    predictions = {**fitted.predictions, "test": predict_test(fitted.model, people.activity, config)}
    beside: Predictions = {}
    if baseline is not None:
        validation = known.activity[known.split.validation]
        beside = {"validation": baseline(validation), "test": baseline(people.activity)}
    outcome = Outcome(predictions, beside, fitted.history)
    if writer is not None:
        writer.finish_split(number, outcome, fitted.model)
    return outcome, fitted.model
