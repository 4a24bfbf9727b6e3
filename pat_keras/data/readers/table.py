"""Plain tables (CSV, TSV, TXT, Parquet) with a timestamp and a value: one file a person, or one with a column of ids.

What was found in the files (encoding, separator, header, date format, ...) is told in `Study.reading`.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping

import polars as pl

from pat_keras.data.epochs import MINUTE, RULE_OF_UNIT, RULES, describe_rule, to_minutes
from pat_keras.data.joining import by_person, join_recordings
from pat_keras.data.readers.column_names import plain_name
from pat_keras.data.readers.file_names import by_folder, id_in, in_path
from pat_keras.data.readers.local_time import localise, put_in_order
from pat_keras.data.readers.raw_files import RawFile, account_of, find_files
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.readers.table_config import TableConfig
from pat_keras.data.readers.table_grid import check_grid, median_step
from pat_keras.data.readers.table_samples import Samples, read_samples
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
_REJECTED = "can't be read (--on_bad_file=reject)"


def read_tables(
    raw: str | pathlib.Path,
    config: TableConfig | None = None,
    *,
    files: str | None = None,
    name: str = "tables",
    others: Mapping[str, str | pathlib.Path] | None = None,
) -> Study:
    """Opens plain tables. Samples shorter than a minute become minutes, see `pat_keras.data.epochs`.

    Args:
        raw: a file, a folder, a zip, or a pattern of names. The name of a file without its ending is the
            participant_id, unless the configuration names a column, or a pattern of the id in the name; recordings of
            one person from several files are then joined, and all files are read before the first recording comes.
        config: what is known of the files; None finds out everything.
        files: pattern of names within a folder or zip.
        name: of the study.
        others: flag, such as "--labels" -> a file that is no recording. One that lies among the recordings is named so,
            in place of what is wrong with it as a recording.

    Returns:
        The study, without labels. `reading` tells how the first file is read; when all have been, how all were.

    Raises:
        RecordingError: if there is no file, two have the same name, or the first can't be read. Errors in others come
            when the recordings are iterated; each person of a file is read once the file is.
    """
    config = config or TableConfig()
    found, left_out = find_files(raw, SUFFIXES, files)
    if config.id_pattern is not None:
        found = [
            dataclasses.replace(file, stem=id_in(file.stem, config.id_pattern, file.where, file.below))
            for file in found
        ]
    elif not config.id_column:
        _check_names(found)
    tables = _Tables(config, found, others or {})
    at, first = tables.first()
    reading = {"files": account_of(len(found), left_out), **first.findings}
    if config.id_pattern is not None:
        where = "paths" if in_path(config.id_pattern) else "names"
        reading["ids"] = f"in the {where} of files, by {config.id_pattern}"
    one_file = len(found) == 1 and bool(config.id_column)
    people = None if config.id_column else len({file.stem for file in found})
    by_name = not config.id_column and config.id_pattern is None
    return Study(
        name=name,
        people=pl.DataFrame(schema={"participant_id": pl.String}),
        recordings=tables.recordings(at, first, reading),
        expected_people=first.samples["person"].n_unique() if one_file else people,
        labels={},
        missing_label=lambda label, _: f"no {label}",
        unit=first.unit,
        ceiling=None,
        start_is_known=True,
        citation="",
        terms="",
        reading=reading,
        folders={file.stem: file.folder for file in found} if by_name else {},
    )


def _check_names(files: list[RawFile]) -> None:
    seen: dict[str, str] = {}
    for file in files:
        if file.stem in seen:
            folders = by_folder([one.below for one in files])
            raise RecordingError(
                f"{file.where}: has the same name as {seen[file.stem]}, and the name is the participant_id. Rename "
                "one, choose files by --files, or name the column with the ids by --id_column"
                f"{f'; {folders}' if folders else ''}. If both are of one person, give --id_pattern='.+': recordings "
                "of a person are joined."
            )
        seen[file.stem] = file.where


class _Tables:
    """The files, one at a time, with what they have in common: unit, value column and the order of day and month."""

    def __init__(self, config: TableConfig, files: list[RawFile], others: Mapping[str, str | pathlib.Path]) -> None:
        self._config = config
        self._files = files
        self._others = others
        self._bad: list[Rejection] = []
        self._settled: dict[tuple[str, ...], tuple[str, str]] = {}  # see `read_samples`
        self._ids: dict[tuple[str, str], tuple[str, str]] = {}  # (column, id) -> person, file that has no other in it

    def first(self) -> tuple[int, Samples]:
        """The first file that can be read, and its number."""
        for at, file in enumerate(self._files):
            samples = self._open(file)
            if isinstance(samples, Samples):
                return at, samples
            self._bad.append(samples)
        raise RecordingError(f"none of the {len(self._files)} files can be read. The first: {self._bad[0].detail}")

    def recordings(self, at: int, first: Samples, reading: dict[str, str]) -> Iterator[Recording | Rejection]:
        """Everybody of all files, once, in their order; `first` is file number `at`. Fills `reading` at the end."""
        items = self._items(at, first, reading)
        joins = self._config.id_column or self._config.id_pattern is not None
        one_file_each = not joins or len(self._files) == 1
        return items if one_file_each else self._joined(items, reading)

    def _items(self, at: int, first: Samples, reading: dict[str, str]) -> Iterator[Recording | Rejection]:
        """What each file has of each person. Fills `reading` at the end."""
        yield from self._bad
        found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        done: collections.Counter[str] = collections.Counter()
        for number, file in enumerate(self._files[at:]):
            samples = first if number == 0 else self._open(file)
            if isinstance(samples, Samples) and _what(samples) != _what(first):
                samples = self._bad_file(file, _unlike(samples, first))
            if isinstance(samples, Rejection):
                yield samples
                continue
            for name, text in samples.findings.items():
                found[name][text] += 1
            yield from self._people(samples, found["minutes"], done)
        reading.update({name: _counted(texts) for name, texts in found.items()})
        reading.update({f"samples {what}": f"{number:,}" for what, number in done.items()})

    def _joined(
        self, items: Iterator[Recording | Rejection], reading: dict[str, str]
    ) -> Iterator[Recording | Rejection]:
        """Everybody once: recordings of a person as one; a person of whom a part can't be used, as a rejection."""
        parts = by_person(items, reading)
        for person in list(parts):
            yield self._whole(person, parts.pop(person))

    def _whole(self, person: str, parts: list[Recording | Rejection]) -> Recording | Rejection:
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            if isinstance(part, Rejection):
                return Rejection(person, part.reason, f"{part.detail} (one of {len(parts)} files of this person)")
        try:
            return join_recordings([part for part in parts if isinstance(part, Recording)])
        except RecordingError as error:
            if self._config.on_bad_file == "error":
                raise
            return Rejection(person, _REJECTED, str(error))

    def _open(self, file: RawFile) -> Samples | Rejection:
        try:
            self._check_is_recording(file)
            samples = read_samples(file, self._config, self._files, self._settled)
            self._check_ids(samples)
            return samples
        except RecordingError as error:
            return self._bad_file(file, error)

    def _check_is_recording(self, file: RawFile) -> None:
        for flag, path in self._others.items():
            if os.path.exists(file.where) and os.path.exists(path) and os.path.samefile(file.where, path):
                raise RecordingError(
                    f"{file.where}: is the file given as {flag}, and lies among the recordings; expected recordings "
                    "alone. Move it to another folder, or name the recordings by --files, or by a pattern as --raw."
                )

    def _check_ids(self, samples: Samples) -> None:
        """Two files that name one person are not two people: splits would put a person into training and test."""
        own = (samples.samples["person"][0], samples.where)
        for (column, one), (person, where) in [(key, self._ids.setdefault(key, own)) for key in samples.ids.items()]:
            if person != own[0]:
                pattern = self._config.id_pattern
                why, instead = "without --id_column each file counts as another person", ""
                if pattern is not None:
                    why, instead = f"--id_pattern={pattern} makes {person!r} and {own[0]!r} of them", " in its place"
                raise RecordingError(
                    f"{samples.where}: its column {column!r} is {one!r} in every row, as that of {where} is; expected "
                    f"ids that differ, since {why}. If both are of one person, give --id_column={column}{instead}: "
                    "recordings of a person are joined. If they are of different people, give --id_column= with "
                    "nothing after it: the names of the files are the ids."
                )

    def _bad_file(self, file: RawFile, error: RecordingError) -> Rejection:
        if self._config.on_bad_file == "error":
            raise error
        return Rejection(file.stem, _REJECTED, str(error))

    def _people(
        self, samples: Samples, rules: collections.Counter[str], done: collections.Counter[str]
    ) -> Iterator[Recording | Rejection]:
        for person in samples.samples.partition_by("person", maintain_order=True):
            try:
                yield _person(person, samples, self._config, done, rules)
            except RecordingError as error:
                if self._config.on_bad_file == "error":
                    raise
                yield Rejection(person["person"][0], _REJECTED, str(error))


def recordings_of(
    samples: Samples, config: TableConfig, done: collections.Counter[str]
) -> Iterator[Recording | Rejection]:
    """Everybody's recording in a file, of minutes.

    Args:
        samples: of the file.
        config: how it was read.
        done: grows by what was done to samples: text -> number.

    Raises:
        RecordingError: for rows of a person that make no recording.
    """
    for person in samples.samples.partition_by("person", maintain_order=True):
        yield _person(person, samples, config, done, collections.Counter())


def _what(samples: Samples) -> tuple[str, str]:
    """What is measured; programs write a name with and without capital letters."""
    return samples.unit, plain_name(samples.value_column)


def _unlike(samples: Samples, first: Samples) -> RecordingError:
    return RecordingError(
        f"{samples.where}: its values are {samples.value_column!r} ({samples.unit}), those of {first.where} are "
        f"{first.value_column!r} ({first.unit}); one cohort has one kind. Choose a column by --value_column and its "
        "unit by --unit, or files by --files."
    )


def _counted(texts: collections.Counter[str]) -> str:
    """ "TEXT" if there is one, else "TEXT (12); OTHER (3)"."""
    if len(texts) == 1:
        return next(iter(texts))
    return "; ".join(f"{text} ({number:,})" for text, number in texts.most_common())


def _person(
    samples: pl.DataFrame,
    table: Samples,
    config: TableConfig,
    done: collections.Counter[str],
    rules: collections.Counter[str],
) -> Recording | Rejection:
    """One person's samples on a regular grid of clock time, as minutes."""
    person = samples["person"][0]
    samples = put_in_order(localise(samples, config.timezone, table.where), config, table.where, done)
    if len(samples) < 2 and config.epoch_length is None:
        return Rejection(person, "fewer than two samples", table.where)
    epoch_length = config.epoch_length or median_step(samples, table.where)
    check_grid(samples, epoch_length, table.where)
    recording = Recording.from_timestamps(
        samples["local"].to_numpy(),
        samples["value"].fill_null(float("nan")).to_numpy(),
        participant_id=person,
        epoch_length=epoch_length,
        unit=table.unit,
        source=table.where,
        first_line=samples["line"][0],
    )
    _check_rule(recording)
    rules[describe_rule(recording)] += 1
    return to_minutes(recording)


def _check_rule(recording: Recording) -> None:
    if recording.epoch_length != MINUTE and recording.unit not in RULE_OF_UNIT:
        units = {rule: ", ".join(u for u, r in RULE_OF_UNIT.items() if r == rule) for rule in RULES}
        raise RecordingError(
            f"{recording.source}: its epochs last {recording.epoch_length} s, and the unit of the values is "
            f"{recording.unit!r}; expected one that tells how a minute is made of them. Give --unit: {units['sum']} "
            f"are summed, {units['mean']} averaged."
        )
