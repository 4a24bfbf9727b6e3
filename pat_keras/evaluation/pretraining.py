"""Pretraining as a run: cohorts and a config in, a run directory with an encoder and honest losses out.

Axes: B windows, T minutes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import polars as pl

from pat_keras.checkpoints.official import save_official
from pat_keras.checkpoints.presets import PRESETS, hash_of_weights
from pat_keras.checkpoints.weights import load_weights, stated_minutes
from pat_keras.config import PretrainConfig
from pat_keras.data.assembly import recording_groups
from pat_keras.data.cohort import Cohort, check_is_cohort
from pat_keras.data.files import atomic_write
from pat_keras.data.learned_days import LearnedDays, people_with
from pat_keras.data.people import PeopleList, read_people
from pat_keras.data.splits import Split, split_hash
from pat_keras.errors import CheckpointError, CohortError, ConfigError, RunError
from pat_keras.evaluation import reconstruction
from pat_keras.evaluation.plot_style import save
from pat_keras.evaluation.pretraining_report import render
from pat_keras.evaluation.run_files import versions, write_csv, write_json, write_text
from pat_keras.evaluation.run_folder import check_free
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.loop import Row
from pat_keras.training.pretrain import Pretrained, PretrainWatcher, pretrain
from pat_keras.training.pretrain_data import PretrainData, Source


@dataclasses.dataclass(frozen=True)
class PretrainResult:
    """What a pretraining run gave.

    Attributes:
        pretrained: the autoencoder, the scaling of each cohort, the history.
        metrics: as in metrics.json.
        folder: the run directory, if there is one.
    """

    pretrained: Pretrained
    metrics: dict[str, Any]
    folder: pathlib.Path | None


@dataclasses.dataclass(frozen=True)
class _Parts:
    """Rows of a cohort that are learned from, held out, and left out."""

    train: np.ndarray
    validation: np.ndarray
    excluded: np.ndarray

    def hash(self) -> str:
        """Of which windows are in which part."""
        return split_hash(Split(self.train, self.validation, self.excluded, "pretraining"))


def run_pretraining(
    cohorts: Mapping[str, Cohort],
    config: PretrainConfig | None = None,
    *,
    shares: Sequence[float] | None = None,
    exclude_people: Sequence[str | os.PathLike[str]] = (),
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    flags: str = "",
    watcher: PretrainWatcher | None = None,
    say: Callable[[str], None] = warnings.warn,
    plots: int = 10,
) -> PretrainResult:
    """Pretrain an encoder on some cohorts; nobody on a list is learned from.

    Args:
        cohorts: by the name they get in results.
        config: everything else.
        shares: of the windows of a training epoch, one a cohort, in any unit; None for their numbers of windows.
        exclude_people: lists of participants (see `pat_keras.data.people`) who are not learned from, nor anybody with
            the same recording. Those whose part is "validation" are held out to see how training goes; of cohorts
            without such people, a fraction of the others is drawn.
        out: the run directory to write; new or empty. None writes nothing.
        resume: go on with the run in `out`; cohorts and config must be the same.
        flags: text of flags.txt.
        watcher: told about progress.
        say: told about settings that the weights overrule, and who is left out of a cohort for another one.
        plots: pictures of reconstructions drawn over the whole training.

    Raises:
        CheckpointError, CohortError, ConfigError: if weights, cohorts, lists or config can't be used.
        RunError: if `out` is taken, or training went wrong.
    """
    for cohort in cohorts.values():
        check_is_cohort(cohort)
    config, watcher = config or PretrainConfig(), watcher or PretrainWatcher()
    everybody = {name for cohort in cohorts.values() for name in cohort.participant_id.tolist()}
    lists = [read_people(source).without_header(everybody) for source in exclude_people]
    parts = {name: _split(cohort, name, lists, config) for name, cohort in cohorts.items()}
    _check_lists(lists, cohorts)
    _say_lists(lists, cohorts, say)
    parts = _apart(cohorts, parts, say)
    config = _as_the_weights(_with_person_loss(config, cohorts, parts), say)
    stated: Sequence[float | None] = [None] * len(cohorts) if shares is None else shares
    sources = [
        Source(name, cohort.activity[parts[name].train], cohort.activity[parts[name].validation], share)
        for (name, cohort), share in zip(cohorts.items(), stated, strict=True)
    ]
    folder = None if out is None else pathlib.Path(out)
    if folder is None:
        return PretrainResult(*_run(sources, config, None, watcher, cohorts), None)
    account = _account(cohorts, parts, shares, lists)
    if resume:
        _check_same(folder, config, account)
    else:
        days = [
            LearnedDays.of(cohorts[name].activity, own.train, config.weights, PRESETS) for name, own in parts.items()
        ]
        _begin(folder, config, account, flags, LearnedDays.together(days))
    pictures = _Pictures(folder / "reconstructions", watcher, max(1, config.epochs // plots))
    try:
        pretrained, metrics = _run(sources, config, folder / "checkpoints", pictures, cohorts)
    except (CheckpointError, CohortError, ConfigError):
        if not resume and not (folder / "checkpoints").exists():  # nothing was learned: leave the name free
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _finish(folder, pretrained, metrics, config)
    return PretrainResult(pretrained, metrics, folder)


def _run(
    sources: list[Source],
    config: PretrainConfig,
    checkpoints: pathlib.Path | None,
    watcher: PretrainWatcher,
    cohorts: Mapping[str, Cohort],
) -> tuple[Pretrained, dict[str, Any]]:
    pretrained = pretrain(sources, config, checkpoints, watcher)
    found = pretrained.validation
    best = min(found["person_mean"], found["mean_day"])
    metrics = {
        "task": "pretraining",
        "synthetic": any(bool(cohort.metadata.get("synthetic")) for cohort in cohorts.values()),
        "validation": found,
        # Of the error of the better simple predictor, how much the model takes away.
        "explained_beyond_simple": 1.0 - found["loss"] / best,
        "epochs": len(pretrained.history),
    }
    return pretrained, metrics


class _Pictures(PretrainWatcher):
    """Draws reconstructions as training goes, and passes on what it is told."""

    def __init__(self, folder: pathlib.Path, inner: PretrainWatcher, every: int) -> None:
        self._folder, self._inner, self._every = folder, inner, every

    def on_start(self, stage: str, steps: int) -> None:
        """Pass it on."""
        self._inner.on_start(stage, steps)

    def on_step(self) -> None:
        """Pass it on."""
        self._inner.on_step()

    def on_epoch(self, row: Row) -> None:
        """Pass it on."""
        self._inner.on_epoch(row)

    def on_end(self) -> None:
        """Pass it on."""
        self._inner.on_end()

    def on_validation(self, epoch: int, autoencoder: PATMaskedAutoencoder, data: PretrainData) -> None:
        """Draw after the first training epoch and every so many."""
        self._inner.on_validation(epoch, autoencoder, data)
        if epoch != 1 and epoch % self._every:
            return
        for part in data.held_out:
            figure = reconstruction.reconstruction_figure(
                autoencoder, part, f"{part.name}: people held out, after training epoch {epoch}"
            )
            save(figure, self._folder / f"{part.name}_epoch_{epoch:05d}.png", overwrite=True)


def _split(cohort: Cohort, name: str, lists: list[PeopleList], config: PretrainConfig) -> _Parts:
    """Rows by part. People who share a recording are one: where one is listed, all are."""
    people, groups = cohort.participant_id, recording_groups(cohort)
    tested = np.isin(people, [p for listed in lists for p in listed.test])
    held = np.isin(people, [p for listed in lists for p in listed.validation])
    tested = np.isin(groups, groups[tested])
    held = np.isin(groups, groups[held]) & ~tested
    free = ~tested & ~held
    if not held.any():
        candidates = np.unique(groups[free])
        count = max(1, round(config.validation_fraction * len(candidates)))
        if count >= len(candidates):
            raise CohortError(
                f"{name}: {len(candidates)} people are on no list, expected at least two, to learn from and to "
                "validate on. Give more people, or shorter lists."
            )
        drawn = np.random.default_rng(config.seed).choice(candidates, count, replace=False)
        held = free & np.isin(groups, drawn)
        free &= ~held
    return _Parts(*(np.flatnonzero(rows) for rows in (free, held, tested)))


def _check_lists(lists: list[PeopleList], cohorts: Mapping[str, Cohort]) -> None:
    """Raise a CohortError for a list that names nobody who is there: the wrong list would protect nobody."""
    there = {str(person) for cohort in cohorts.values() for person in np.unique(cohort.participant_id)}
    for listed in lists:
        if not there & {*listed.test, *listed.validation}:
            raise CohortError(
                f"{listed.where}: none of its {len(listed.test) + len(listed.validation)} people are in the cohorts "
                f"({', '.join(cohorts)}), so it would leave out nobody. Check that the ids are written alike."
            )


def _say_lists(lists: list[PeopleList], cohorts: Mapping[str, Cohort], say: Callable[[str], None]) -> None:
    """Say of a list with ids of several cohorts how many of each it leaves out: ids of two studies may be alike."""
    for listed in lists:
        named = {*listed.test, *listed.validation}
        found = {name: len(named.intersection(cohort.participant_id.tolist())) for name, cohort in cohorts.items()}
        found = {name: count for name, count in found.items() if count}
        if len(found) > 1:
            counts = ", ".join(f"{count:,} of {name}" for name, count in found.items())
            say(
                f"{listed.where} leaves out {counts}. Ids are compared as they are written: if those of one cohort are "
                "other people by the same ids, prepare it with ids of its own."
            )


def _apart(cohorts: Mapping[str, Cohort], parts: dict[str, _Parts], say: Callable[[str], None]) -> dict[str, _Parts]:
    """The parts, where nobody is learned from whose days are held out or left out of another cohort."""
    if len(cohorts) == 1:
        return parts
    kept_out = {
        name: LearnedDays.of(cohorts[name].activity, [*own.validation, *own.excluded], "", ()).own
        for name, own in parts.items()
    }
    apart = {}
    for name, own in parts.items():
        cohort, groups = cohorts[name], recording_groups(cohorts[name])
        days = frozenset[int]().union(*(found for other, found in kept_out.items() if other != name))
        people = people_with(days, cohort.activity, cohort.participant_id, own.train)
        shared = np.isin(groups, groups[np.isin(cohort.participant_id, sorted(people))])
        out = own.train[shared[own.train]]
        if len(out):
            count = len(np.unique(cohort.participant_id[out]))
            say(f"{name}: {count:,} people are held out or left out of another cohort, so they are left out here, too.")
        train, excluded = np.setdiff1d(own.train, out), np.union1d(own.excluded, out)
        apart[name] = _Parts(train, own.validation, excluded)
    return apart


def _with_person_loss(
    config: PretrainConfig, cohorts: Mapping[str, Cohort], parts: Mapping[str, _Parts]
) -> PretrainConfig:
    """The config with the weight of the person loss as a number where people have several windows.

    Every two windows count as those of different people, so people with several would be told apart from themselves.

    Raises:
        CohortError: if the loss is asked for and somebody has.
    """
    for name, cohort in cohorts.items():
        learned = cohort.participant_id[parts[name].train]
        people = len(np.unique(learned))
        if people == len(learned):
            continue
        if config.person_loss:
            raise CohortError(
                f"{name}: {len(learned)} windows of {people} people to learn from; person_loss expects one window a "
                "person, since it takes any two windows for those of different people. Prepare the cohort with "
                "--max_windows=1, or set person_loss to 0."
            )
        return dataclasses.replace(config, person_loss=0.0)
    return config


def _as_the_weights(config: PretrainConfig, say: Callable[[str], None]) -> PretrainConfig:
    """The config with the size, embedding and output of the weights it goes on from; others asked for are said."""
    if not config.weights:
        return config
    loaded = load_weights(config.weights)
    shape = (loaded if isinstance(loaded, PATEncoder) else loaded.encoder).config
    found: dict[str, Any] = {"size": shape.size or config.size, "embedding": shape.embedding}
    if isinstance(loaded, PATMaskedAutoencoder):
        found["output"] = loaded.output_kind
    for name, value in found.items():
        if getattr(config, name) not in (getattr(PretrainConfig, name), value):
            say(f"{name} is {value}, that of the weights ({config.weights}); {getattr(config, name)} was asked for.")
    for name, value in stated_minutes(config.weights).items():
        if getattr(config, name) != value:
            say(
                f"{name} is {getattr(config, name)}; the weights ({config.weights}) learned under {value}. To go on "
                f"as they learned: --{name}={value}."
            )
    return dataclasses.replace(config, **found)


def _account(
    cohorts: Mapping[str, Cohort],
    parts: Mapping[str, _Parts],
    shares: Sequence[float] | None,
    lists: list[PeopleList],
) -> dict[str, Any]:
    """For data.json: what was read, and how many people are in which part; no ids."""

    def counts(cohort: Cohort, rows: np.ndarray) -> dict[str, int]:
        return {"people": len(np.unique(cohort.participant_id[rows])), "windows": len(rows)}

    described = [
        {
            "name": name,
            **{key: cohort.metadata.get(key) for key in ("source", "unit", "synthetic", "citation", "funnel")},
            "minutes": cohort.length,
            "content_hash": cohort.content_hash(),
            "share": None if shares is None else shares[number],
            "train": counts(cohort, parts[name].train),
            "validation": counts(cohort, parts[name].validation),
            "excluded": counts(cohort, parts[name].excluded),
            "split_hash": parts[name].hash(),
        }
        for number, (name, cohort) in enumerate(cohorts.items())
    ]
    named = [{"list": p.where, "test": len(p.test), "validation": len(p.validation)} for p in lists]
    return json.loads(json.dumps({"cohorts": described, "lists": named}))


def _begin(
    folder: pathlib.Path, config: PretrainConfig, account: dict[str, Any], flags: str, days: LearnedDays
) -> None:
    """Make the run directory beside its place and move it there whole: a folder that exists can be resumed."""
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        new = pathlib.Path(temporary, folder.name)
        write_json(new / "data.json", account)
        made_with = {**versions(), "backend": keras.backend.backend()}
        write_json(
            new / "config.json",
            {**config.to_dict(), "weights_content": hash_of_weights(config.weights), "versions": made_with},
        )
        days.write(new)
        if flags:
            write_text(new / "flags.txt", flags)
        if folder.exists():
            folder.rmdir()  # empty, as was checked
        new.rename(folder)


def _check_same(folder: pathlib.Path, config: PretrainConfig, account: dict[str, Any]) -> None:
    """Raise a RunError unless the run in the folder has this config and these data."""
    found = {}
    for name in ("config.json", "data.json"):
        try:
            found[name] = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{folder / name}: no run to resume there ({error}). Leave --resume out.") from None
    for name, value in config.to_dict().items():
        if config.weights and name in ("size", "embedding", "output"):
            continue  # the weights' own; earlier versions noted what was asked for
        if found["config.json"].get(name) != value:
            raise RunError(
                f"{folder}: the run has {name} {found['config.json'].get(name)!r}, resuming was asked with {value!r}. "
                "Resume it with its own settings, or start a new run under another --out."
            )
    weights = hash_of_weights(config.weights)
    if found["config.json"].get("weights_content", weights) != weights:  # older runs don't have it
        raise RunError(
            f"{folder}: the weights {config.weights} are another file than when the run was started (their SHA-256 "
            "differs). Put the earlier file there, or start a new run under another --out."
        )
    for kept, now in zip(found["data.json"].get("cohorts", []), account["cohorts"], strict=False):
        kept.setdefault("split_hash", now["split_hash"])  # of runs from before there was one
    if found["data.json"] != account:
        raise RunError(
            f"{folder}: the run was started on other data, lists or shares, so it can't be resumed on these. Give "
            "those of the run, or start a new run under another --out."
        )


def _finish(folder: pathlib.Path, pretrained: Pretrained, metrics: dict[str, Any], config: PretrainConfig) -> None:
    """Write models, history and report; metrics.json comes last and says that the run is whole."""
    autoencoder = pretrained.autoencoder
    for model, name in ((autoencoder.encoder, "encoder"), (autoencoder, "autoencoder")):
        with atomic_write(folder / f"{name}.keras", overwrite=True, error=RunError) as temporary:
            written = temporary.with_suffix(".keras")  # Keras insists on the ending
            model.save(written)
            written.replace(temporary)
    if config.embedding != "conv_linear" and autoencoder.encoder.config.embedding != "conv_linear":
        save_official(autoencoder.encoder, folder / "encoder_weights.h5", overwrite=True)
        if autoencoder.output_kind == "tanh":  # the layout has no place to say otherwise
            save_official(autoencoder, folder / "mae_weights.h5", overwrite=True)
    for name, standardizer in pretrained.standardizers.items():
        standardizer.save(folder / "scaling" / f"{name}.json", overwrite=True)
    write_csv(folder / "history.csv", pl.DataFrame(pretrained.history, infer_schema_length=None))
    data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_text(folder / "report.html", render(folder.name, metrics, pretrained.history, settings, data))
    write_json(folder / "metrics.json", metrics)
