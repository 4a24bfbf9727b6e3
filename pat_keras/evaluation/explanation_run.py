"""Explain what a finished run predicts of people: every method, its deletion test, and groups compared.

Axes: B windows, T minutes, n people, 24 hours of the day.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from pat_keras.data.cohort import Cohort
from pat_keras.data.standardize import detect_scaling, undo_fixed_scaling
from pat_keras.errors import CohortError, ConfigError, LabelError
from pat_keras.evaluation.attention import attention_by_hour, attention_profile, attention_rollout, encoder_of
from pat_keras.evaluation.attribution import input_x_gradient, integrated_gradients
from pat_keras.evaluation.clock import Clock
from pat_keras.evaluation.deletion import Changes, deletion_changes, deletion_test, importance_by_hour
from pat_keras.evaluation.ensemble import TrainedOn, load_models
from pat_keras.evaluation.explained_model import ExplainedModel
from pat_keras.evaluation.explained_people import ExplainedPeople, choose_people
from pat_keras.evaluation.explanation import ATTENTION, METHODS, ExplainSettings, Explanation
from pat_keras.evaluation.explanation_files import write_explanation
from pat_keras.evaluation.held_out import check_alike
from pat_keras.evaluation.metrics import by_participant
from pat_keras.evaluation.occlusion import Occlusion, occlusion
from pat_keras.evaluation.predict import check_measured_alike
from pat_keras.evaluation.profiles import Comparison, compare_profiles, relative_day, summed_day
from pat_keras.evaluation.run_folder import Run, check_free, read_run
from pat_keras.evaluation.subgroups import groups_of
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.committee import predictors_in
from pat_keras.models.predictor import Predictor

_BLOCK = 32  # windows whose explanations are computed together
_TYPICAL = 500  # windows that an average day is taken of


def explain(
    run_folder: str | os.PathLike[str],
    cohort: Cohort,
    people: str = "random:100",
    settings: ExplainSettings | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    repair_fixed_scaling: tuple[float, float] | None = None,
    say: Callable[[str], None] = warnings.warn,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain a run's predictions of people of a cohort.

    Args:
        run_folder: of a finished run of `pat-finetune`.
        cohort: windows of raw minutes, measured as the run's data were; it need not be the run's own.
        people: who is explained, see `explained_people.choose_people`.
        settings: how.
        out: the folder to write pictures and numbers to; it must be new or empty. None writes nothing.
        repair_fixed_scaling: (mean, std) of a scaling of the cohort to undo first.
        say: told about what may be wrong though it can be computed.
        progress: told how many windows are done, of how many.

    Raises:
        RunError, CheckpointError: if the run is not finished or damaged, or `out` is taken.
        CohortError: if the cohort does not fit the run, or somebody is not in it.
        ConfigError: for a method that the model does not have, or a class that the run does not know.

    Example:
        >>> import pat_keras as pat
        >>> config = pat.FinetuneConfig(epochs=1, baseline=False)
        >>> people = pat.simulate_cohort(n_people=40, days=1)
        >>> run = pat.finetune(people, "label", config, out=tmp_path / "explained").folder
        >>> found = explain(run, people, "random:3", ExplainSettings(methods=("attention",), draws=2))
        >>> found.minutes["attention"].shape
        (3, 1440)
    """
    if out is not None:
        check_free(pathlib.Path(out))
    settings, run = settings or ExplainSettings(), read_run(run_folder)
    check_alike([run])
    trained = TrainedOn.of([run])
    if cohort.content_hash() not in trained.content_hashes:
        check_measured_alike(run.folder, trained, cohort.length, cohort.table, cohort.metadata, say)
    if repair_fixed_scaling is not None:
        repaired = undo_fixed_scaling(cohort.activity, *repair_fixed_scaling)
        cohort = Cohort(repaired, cohort.table, cohort.metadata)
    finding = detect_scaling(cohort.activity)
    if finding is not None and (trained.scales or finding.kind == "fixed"):
        say(finding.message)
    chosen = choose_people(run, cohort, people, settings.seed)
    explained = cohort.select(chosen.rows)
    missing = int(np.isnan(explained.activity).any(axis=1).sum())
    if missing and not trained.masks:
        raise CohortError(
            f"{cohort.metadata['source']}: {missing} of {explained.n_windows} windows to explain have missing minutes, "
            "expected none. Prepare the cohort with complete windows, or train with --missing=mask."
        )
    if settings.group:
        groups_of(explained, settings.group)  # whether it can be compared by is to be known now, not after the work
    models = load_models(run)
    first = predictors_in(models[0])[0]
    settings = _with_methods(settings, first)
    reference, typical = _reference(settings, first, cohort, run)
    work = _Work(run, settings, Clock.of(cohort), explained, chosen, models, typical, progress)
    found = work.explanation({"reference": reference, "hidden": work.hidden_as()})
    if out is None:
        return found
    return write_explanation(found, pathlib.Path(out))


class _Work:
    """One explanation being made: the models by whom they explain, and arrays that fill up."""

    def __init__(
        self,
        run: Run,
        settings: ExplainSettings,
        clock: Clock,
        cohort: Cohort,
        chosen: ExplainedPeople,
        models: Sequence[Predictor],
        typical: np.ndarray | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self.run, self.settings, self.clock, self.cohort, self.chosen = run, settings, clock, cohort, chosen
        day_length = 24 * clock.per_hour
        self.views = {
            folds: ExplainedModel(
                [models[number] for number in folds], typical=typical, day_length=day_length, hide=settings.hide
            )
            for folds in sorted(set(chosen.folds))
        }
        self._models, self._progress = models, progress
        self._arrays: dict[str, np.ndarray] = {}

    def hidden_as(self) -> str:
        """What hidden hours are, in one word."""
        return "missing" if next(iter(self.views.values())).hides_as_missing else "reference"

    def explanation(self, about: dict[str, str | bool]) -> Explanation:
        """Compute everything."""
        self._explain_windows()
        arrays, methods = self._arrays, self.settings.methods
        ids = self.cohort.participant_id
        minutes = {name: arrays[name] for name in methods if name in arrays}
        hidden = None
        days = {
            name: (relative_day if name in ATTENTION else summed_day)(minutes[name], self.clock) for name in minutes
        }
        if "occlusion" in methods:
            hidden = Occlusion(arrays["hours"], arrays["days"], arrays["score"])
            days["occlusion"] = hidden.hours
        by_person = {name: by_participant(ids, np.zeros(len(ids)), day) for name, day in days.items()}
        days = {name: people.score for name, people in by_person.items()}
        people = next(iter(by_person.values())).participant_id
        changes = {name: Changes(arrays[f"deletion/{name}"], arrays["deletion/random"]) for name in methods}
        share, draws, seed = self.settings.share, self.settings.draws, self.settings.seed
        deletion = {name: deletion_test(each, ids, share, draws, seed) for name, each in changes.items()}
        comparison, reason = self._compare(people, days)
        found = Explanation(
            self.settings, self._about() | about, self.cohort, self.clock, self._windows(), minutes, hidden, people,
            days, deletion, comparison, reason, {},
        )  # fmt: skip
        return dataclasses.replace(found, matrices=self._matrices(found.pictured()))

    def _explain_windows(self) -> None:
        done, total = 0, len(self.chosen.rows)
        for folds, view in self.views.items():
            own = np.array([row for row, each in enumerate(self.chosen.folds) if each == folds])
            for low in range(0, len(own), _BLOCK):
                rows = own[low : low + _BLOCK]
                for name, values in self._explain_block(view, self.cohort.activity[rows], low).items():
                    if name not in self._arrays:
                        self._arrays[name] = np.zeros((total, *values.shape[1:]), dtype=values.dtype)
                    self._arrays[name][rows] = values
                done += len(rows)
                self._progress(done, total)

    def _explain_block(self, view: ExplainedModel, x: np.ndarray, number: int) -> dict[str, np.ndarray]:
        """Every method on some windows (b, T), and what hiding their hours does."""
        settings, clock = self.settings, self.clock
        classes = self._classes(view, x)
        scores = view.scores(x, classes=classes)
        found: dict[str, np.ndarray] = {"class": classes, "score": scores.mean(axis=0)}
        if view.task != "regression":  # the mean of probabilities, as pat-predict has it, is not that of mean log-odds
            found["probability"] = (1 / (1 + np.exp(-scores))).mean(axis=0)
        importance: dict[str, np.ndarray] = {}
        for name in settings.methods:
            if name == "occlusion":
                hidden = occlusion(view, x, clock, classes)
                found |= {"hours": hidden.hours, "days": hidden.days}
                importance[name] = hidden.by_hour(clock)
                continue
            if name in ATTENTION:
                found[name] = np.mean([self._attention(name, model, x) for model in view.models], axis=0)
            elif name == "input_x_gradient":
                found[name] = input_x_gradient(view, x, classes).minutes
            else:
                attributed = integrated_gradients(view, x, classes, settings.steps)
                found |= {name: attributed.minutes, "gap": attributed.gap}
            importance[name] = importance_by_hour(found[name], clock)
        changes = deletion_changes(
            view, x, importance, clock, classes, settings.share, settings.draws, settings.seed + number
        )
        found |= {f"deletion/{name}": each.named for name, each in changes.items()}
        return found | {"deletion/random": next(iter(changes.values())).random}

    def _attention(self, name: str, model: Predictor, x: np.ndarray) -> np.ndarray:
        """(b, T) each minute's share of attention, NaN where its patch is left out."""
        encoder = encoder_of(model)
        profile = (
            attention_profile(model, x, self.settings.block) if name == "attention" else attention_rollout(model, x)
        )
        minutes = np.repeat(profile / encoder.config.patch_size, encoder.config.patch_size, axis=1)
        share = model.min_worn_share if isinstance(model, PATClassifier) else None
        if share is None:
            return minutes
        seen = np.asarray(encoder.patches_seen(~np.isnan(x), share))
        return np.where(np.repeat(seen, encoder.config.patch_size, axis=1), minutes, np.nan)

    def _classes(self, view: ExplainedModel, x: np.ndarray) -> np.ndarray:
        wanted = self.settings.target_class
        if not wanted:
            return view.classes(x)
        names = self.run.class_names if self.run.task == "multiclass" else []
        if wanted not in names:
            there = f"its classes are {', '.join(names)}" if names else f"it is a {self.run.task} run"
            raise ConfigError(f"{self.run.folder}: there is no class {wanted!r} to explain; {there}.")
        return np.full(len(x), names.index(wanted))

    def _matrices(self, rows: Sequence[int]) -> dict[int, np.ndarray]:
        """Attention from hour to hour of some windows, if attention was asked for."""
        if "attention" not in self.settings.methods:
            return {}
        return {
            row: np.mean(
                [
                    attention_by_hour(model, self.cohort.activity[row], self.clock, self.settings.block)
                    for model in self.views[self.chosen.folds[row]].models
                ],
                axis=0,
            )
            for row in rows
        }

    def _compare(self, people: np.ndarray, days: dict[str, np.ndarray]) -> tuple[dict[str, Comparison], str]:
        """Groups of people by method; or why there are none."""
        column = self.settings.group or self.run.data["label"]
        if column not in self.cohort.columns and not self.settings.group:
            return {}, f"the cohort has no column {column!r}, the run's label; --group names another"
        try:
            groups = groups_of(self.cohort, column)
        except CohortError as error:
            return {}, str(error)
        names = groups.known
        number = np.array([groups.of_person[name] for name in people.tolist()])
        model = {
            str(name): str(folds) for name, folds in zip(self.cohort.participant_id, self.chosen.folds, strict=True)
        }
        strata = np.array([model[name] for name in people.tolist()])
        found = {}
        for method, day in days.items():
            usable = (number < len(names)) & np.isfinite(day).all(axis=1)
            try:
                found[method] = compare_profiles(
                    day[usable], number[usable], [f"{column} = {name}" for name in names], strata[usable],
                    self.settings.permutations, self.settings.seed,
                )  # fmt: skip
            except LabelError as error:
                return {}, str(error)
        return found, ""

    def _windows(self) -> pl.DataFrame:
        arrays, task = self._arrays, self.run.task
        count, members = len(self._models), self.run.committee
        only = "the only model" if members == 1 else f"a committee of {members}"
        models = [
            only if count == 1 else f"fold {folds[0] + 1}" if len(folds) == 1 else f"mean of {len(folds)}"
            for folds in self.chosen.folds
        ]
        table = self.cohort.table.select("participant_id", "window", "start").with_columns(
            pl.Series("held_out", self.chosen.held_out), pl.Series("models", models)
        )
        if task == "multiclass":
            names = np.array(self.run.class_names)
            table = table.with_columns(pl.Series("class", names[arrays["class"]].tolist()))
        columns = [pl.Series("score", arrays["score"])]
        columns += [pl.Series(name, arrays[name]) for name in ("probability", "gap") if name in arrays]
        return table.with_columns(columns)

    def _about(self) -> dict[str, str | bool]:
        label, task = self.run.data["label"], self.run.task
        explains = {
            "binary": f"log-odds of {label} = 1",
            "multiclass": f"log-odds of {label} = {self.settings.target_class or 'the most probable class'}",
            "regression": f"predicted {label}",
        }[task]
        return {
            "run": str(self.run.folder),
            "task": task,
            "label": label,
            "explains": explains,
            "unit": self.cohort.metadata["unit"],
            "source": self.cohort.metadata["source"],
            "synthetic": self.run.synthetic or bool(self.cohort.metadata.get("synthetic")),
        }


def _with_methods(settings: ExplainSettings, model: Predictor) -> ExplainSettings:
    """The settings with methods that the model has."""
    if settings.methods:
        if set(settings.methods) & set(ATTENTION):
            encoder_of(model)  # says so if there is none
        return dataclasses.replace(settings, methods=tuple(name for name in METHODS if name in settings.methods))
    has = METHODS if isinstance(model, PATClassifier) else tuple(name for name in METHODS if name not in ATTENTION)
    return dataclasses.replace(settings, methods=has)


def _reference(settings: ExplainSettings, model: Predictor, cohort: Cohort, run: Run) -> tuple[str, np.ndarray | None]:
    """What hours are compared with, in words, and the weeks whose average day it is."""
    scaling = "none" if model.standardization is None else model.standardization.kind
    if settings.reference == "mean" or (settings.reference == "auto" and scaling == "per_minute"):
        return f"mean of minutes scaled {scaling}", None
    rows = np.unique(np.linspace(0, cohort.n_windows - 1, min(_TYPICAL, cohort.n_windows)).astype(int))
    return f"average day of {len(rows)} windows of the cohort", cohort.activity[rows]
