"""A cohort's embeddings in a Parquet file: streamed from a file that may be larger than memory, and resumable.

While they are made, `OUT.parts/` beside the file holds what is done: `state.json` (what is computed, from what),
`scaling.json`, and a Parquet file for every 1,024 windows. At the end these become one file, and the folder goes.

Axes: B windows, T minutes, F features.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import filelock
import keras
import polars as pl

from pat_keras.config.embed import EmbedConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.cohort_checks import BLOCK
from pat_keras.data.files import atomic_write, check_apart
from pat_keras.data.standardize import Standardizer, detect_scaling, undo_fixed_scaling
from pat_keras.data.stored_activity import Changed
from pat_keras.errors import RunError
from pat_keras.evaluation.embed_sources import Source, Windows
from pat_keras.evaluation.predict import check_measured_alike
from pat_keras.evaluation.run_files import versions, write_json
from pat_keras.models.embedder import Embedder

METADATA_KEY = "pat_keras_embeddings"
# What parts do not depend on; whose weights these are is told by their SHA-256.
_MAY_DIFFER = (("weights", "name"), ("weights", "finetuned_on"), ("settings", "batch_size"))
_FEW = 30  # windows: below, each minute's mean and deviation are mostly chance


def write_embeddings(
    data: Cohort | str | os.PathLike[str],
    weights: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: EmbedConfig | None = None,
    *,
    repair_fixed_scaling: tuple[float, float] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = warnings.warn,
    progress: Callable[[range, int], Iterable[int]] | None = None,
) -> dict[str, Any]:
    """Embed every window of a cohort: one row of participant_id, window, start and features in a Parquet file.

    Args:
        data: a cohort, or the path of one, which is then read by parts.
        weights: a preset's name, an official file, a .keras file, or a run of pat-finetune or pat-pretrain.
        out: the file to write. Its key-value metadata say under `pat_keras_embeddings` what it was made of.
        config: of scaling, pooling and missing minutes.
        repair_fixed_scaling: (mean, std) of a scaling of the cohort to undo first.
        resume: go on where an earlier call with the same arguments was stopped, if it was.
        overwrite: replace what is there, and begin anew.
        say: told what may be wrong though it can be computed.
        progress: given the first windows of the blocks to do, and how many windows are done, gives the former again.

    Returns:
        What the metadata say.

    Raises:
        CheckpointError, CohortError, ConfigError: if the weights, the cohort or a setting can't be used.
        RunError: if `out` is there, or is one of the files to read, or an unfinished one is in the way or of other
            data, weights or settings.

    Example:
        >>> import pat_keras as pat, polars as pl
        >>> pat.PATEncoder(pat.EncoderConfig.small()).save(tmp_path / "encoder.keras")
        >>> people = pat.simulate_cohort(n_people=40, days=1)
        >>> about = write_embeddings(people, tmp_path / "encoder.keras", tmp_path / "embeddings.parquet")
        >>> about["scaling"], pl.read_parquet(tmp_path / "embeddings.parquet").shape
        ({'kind': 'per_minute', 'fitted_on': 'these windows'}, (40, 99))
    """
    config, out = config or EmbedConfig(), pathlib.Path(out)
    parts = out.with_name(out.name + ".parts")
    check_apart(
        (out, parts), {"--data": () if isinstance(data, Cohort) else (data,), "--weights": (weights,)}, error=RunError
    )
    _check_free(out, parts, resume, overwrite)
    with _alone(out):
        return _written(data, weights, out, parts, config, repair_fixed_scaling, resume, overwrite, say, progress)


@contextlib.contextmanager
def _alone(out: pathlib.Path) -> Iterator[None]:
    """Nobody else writes this file meanwhile: parts of two calls would be taken for those of one."""
    path = out.with_name(f".{out.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"{out}: another process is writing it. Wait for it, or choose another --out.") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _written(
    data: Cohort | str | os.PathLike[str],
    weights: str | os.PathLike[str],
    out: pathlib.Path,
    parts: pathlib.Path,
    config: EmbedConfig,
    repair_fixed_scaling: tuple[float, float] | None,
    resume: bool,
    overwrite: bool,
    say: Callable[[str], None],
    progress: Callable[[range, int], Iterable[int]] | None,
) -> dict[str, Any]:
    """`write_embeddings`, by the one process that does."""
    source, windows = Source.of(weights), Windows.of(data)
    if repair_fixed_scaling is not None:
        activity = Changed(windows.activity, lambda block: undo_fixed_scaling(block, *repair_fixed_scaling))
        windows = dataclasses.replace(windows, activity=activity)
    settings = {**dataclasses.asdict(config), "repair_fixed_scaling": repair_fixed_scaling}
    state = json.loads(json.dumps({"data": windows.account, "weights": source.account, "settings": settings}))
    if resume and _state(parts) is not None:
        _check_same(parts, state)
    elif parts.exists():
        shutil.rmtree(parts)
    embedder = _prepared(source, windows, config, parts, state, say)
    own = source.held.standardizer is not None and config.standardize == "auto"
    about = {
        **state,
        "scaling": {"kind": embedder.standardizer.kind, "fitted_on": "the weights' data" if own else "these windows"},
        "columns": embedder.names,
        "versions": {**versions(), "backend": keras.backend.backend()},
    }
    _embed(embedder, windows, config.batch_size, parts, progress)
    _join(parts, len(windows.activity), out, about, overwrite)
    return about


def _check_free(out: pathlib.Path, parts: pathlib.Path, resume: bool, overwrite: bool) -> None:
    """Refuse an `out` that is taken, before anything is read."""
    if out.suffix != ".parquet":
        raise RunError(f"{out}: expected the name of a file that ends in .parquet.")
    if out.exists() and not overwrite:
        raise RunError(f"{out}: is already there. Choose another --out, or give --overwrite to replace it.")
    if parts.exists() and not (resume or overwrite):
        raise RunError(
            f"{parts}: an earlier call was stopped before its end. Go on with it by --resume, or begin anew by "
            "--overwrite."
        )


def _state(parts: pathlib.Path) -> dict[str, Any] | None:
    """What the parts are made of; None if there are none yet."""
    path = parts / "state.json"
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: found no readable JSON ({error}). Begin anew by --overwrite.") from None


def _check_same(parts: pathlib.Path, state: dict[str, Any]) -> None:
    """See that the parts are made of these weights and data, by these settings."""
    found = _state(parts) or {}
    for group, expected in state.items():
        for name, value in expected.items():
            there = found.get(group, {}).get(name)
            if there != value and (group, name) not in _MAY_DIFFER:
                raise RunError(
                    f"{parts}: was begun with {group} whose {name} is {there!r}, and resuming was asked with "
                    f"{value!r}. Give the same, or begin anew by --overwrite."
                )


def _prepared(
    source: Source,
    windows: Windows,
    config: EmbedConfig,
    parts: pathlib.Path,
    state: dict[str, Any],
    say: Callable[[str], None],
) -> Embedder:
    """The embedder: as it was begun with, or fitted, everything about the windows being checked first."""
    scaling = parts / "scaling.json"
    if (parts / "state.json").exists():
        return Embedder.of(source.held, Standardizer.load(scaling), config)
    trained, activity = source.trained_on, windows.activity
    if trained is not None:
        check_measured_alike(source.name, trained, activity.shape[1], windows.table, windows.metadata, say)
        say(f"the encoder was fine-tuned on {trained.label!r}: embeddings of people it has seen know their labels.")
    elif source.units and windows.metadata["unit"] not in source.units:
        say(
            f"the unit is {windows.metadata['unit']!r}, and the weights learned from {' and '.join(source.units)}: "
            "what they know may say little of it. Compare no embeddings of one unit with those of another."
        )
    embedder = Embedder.fit(source.held, activity, config)
    kind = embedder.standardizer.kind
    finding = detect_scaling(activity)
    if finding is not None and (kind != "none" or finding.kind == "fixed"):
        say(finding.message)
    if kind == "per_minute" and len(activity) < _FEW and embedder.standardizer is not source.held.standardizer:
        say(f"the scaling of each minute was fitted on {len(activity)} windows alone: --standardize=cohort needs less.")
    parts.mkdir(parents=True)
    embedder.standardizer.save(scaling)
    write_json(parts / "state.json", state)  # last: it says that the scaling is there
    return embedder


def _embed(
    embedder: Embedder,
    windows: Windows,
    batch_size: int,
    parts: pathlib.Path,
    progress: Callable[[range, int], Iterable[int]] | None,
) -> None:
    """Write the parts that are not there."""
    count = len(windows.activity)
    done = 0
    while _part(parts, done).exists():
        done += BLOCK
    left = range(done, count, BLOCK)
    for first in left if progress is None else progress(left, min(done, count)):
        block = slice(first, min(first + BLOCK, count))
        features = embedder.embed(windows.activity[block], batch_size)
        table = windows.table[block].hstack(pl.DataFrame(features, schema=dict.fromkeys(embedder.names, pl.Float32)))
        with atomic_write(_part(parts, first), error=RunError) as temporary:
            table.write_parquet(temporary)


def _part(parts: pathlib.Path, first: int) -> pathlib.Path:
    return parts / f"{first // BLOCK:06d}.parquet"


def _join(parts: pathlib.Path, count: int, out: pathlib.Path, about: dict[str, Any], overwrite: bool) -> None:
    """Make one file of the parts, and remove them."""
    files = [_part(parts, first) for first in range(0, count, BLOCK)]
    with atomic_write(out, overwrite=overwrite, error=RunError) as temporary:
        pl.scan_parquet(files).sink_parquet(temporary, metadata={METADATA_KEY: json.dumps(about)})
    shutil.rmtree(parts)
