"""A study's recordings -> a cohort, with an account of everybody who was read.

Axes: k windows of a person, B windows of the cohort, T minutes of a window.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.account import Account, Accountant
from pat_keras.data.cohort import Cohort
from pat_keras.data.mixed_units import MeanLevels
from pat_keras.data.readers.file_names import folders_of_one_person, names_of_one_person
from pat_keras.data.readers.study import Rejection, Study
from pat_keras.data.recording import Recording
from pat_keras.data.top_values import TopValues
from pat_keras.data.value_names import value_name
from pat_keras.data.windows import DAY_MINUTES, MINUTES_MISSING, WindowConfig, Windows, cut_windows
from pat_keras.errors import CohortError, LabelError

Item = Recording | Rejection
GROUP_COLUMN = "same_recording_group"


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A cohort and what became of everybody who was read.

    Attributes:
        cohort: of those kept; its metadata hold the funnel, the choices of windows and the columns' meanings.
        rejections: everybody else.
        account: what a report shows of the recordings.
    """

    cohort: Cohort
    rejections: list[Rejection]
    account: Account


def assemble(
    study: Study,
    config: WindowConfig,
    label: str | None = None,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> Assembly:
    """Cuts everybody's windows and joins them with the study's labels and covariates.

    Args:
        study: its recordings are used up.
        config: of the windows.
        label: a column of `study.people`; people without it are rejected. None rejects nobody for that.
        progress: wraps the recordings, to show how far the reading has come.

    Raises:
        LabelError: if there is no such label.
        CohortError: if a person is read twice, or nobody is left.
        RecordingError: for damaged recordings, from the reader.
    """
    columns = [name for name in study.people.columns if name != "participant_id"]
    if label is not None and label not in columns:
        raise LabelError(f"{study.name}: there is no label {label!r}, expected one of {', '.join(columns)}.")
    labelled = set(study.people.drop_nulls(label)["participant_id"]) if label else set()
    store = _Store(config.days * DAY_MINUTES, study)
    by_reader: list[Rejection] = []
    by_windows: list[Rejection] = []
    by_label: list[Rejection] = []
    read: set[str] = set()
    for item in progress(study.recordings):
        person = item.participant_id
        if person in read:
            raise CohortError(
                f"{study.name}: participant {person} is there twice, expected everybody once. Join the recordings of "
                "one person into one, or give different people different ids."
            )
        read.add(person)
        if isinstance(item, Rejection):
            by_reader.append(item)
            continue
        windows = cut_windows(item, config)
        if windows.reason:
            store.accountant.reject(item, windows)
            by_windows.append(Rejection(person, windows.reason, f"{len(item)} minutes, {item.n_missing} missing"))
        elif label is not None and person not in labelled:
            by_label.append(Rejection(person, study.missing_label(label, person)))
        else:
            store.add(item, windows)
    rejections = by_reader + by_windows + by_label
    funnel = _funnel(len(read), rejections)
    if not store.rows:
        raise _nobody_left(study.name, funnel)
    kept = len({row["participant_id"] for row in store.rows})
    if kept != funnel[-1]["people"]:
        raise RuntimeError(f"{len(read)} people read, but {kept} kept and {len(rejections)} rejected")
    metadata = _metadata(study, config, label, store, funnel)
    cohort = _with_groups(Cohort(store.activity(), _table(store.rows, study), metadata))
    return Assembly(cohort, rejections, store.accountant.account())


def _nobody_left(name: str, funnel: list[dict[str, Any]]) -> CohortError:
    why = "; ".join(f"{step['people']} rejected: {step['reason']}" for step in funnel[1:-1])
    gaps = any(MINUTES_MISSING in step["reason"] for step in funnel)
    return CohortError(
        f"{name}: nobody is left ({funnel[0]['people']} read; {why}). "
        + (
            "A window may miss more minutes by --max_missing, a share such as 0.1; pat-finetune and pat-embed then "
            "need --missing=mask. Or choose"
            if gaps
            else "Choose"
        )
        + " other windows or labels."
    )


def _metadata(
    study: Study, config: WindowConfig, label: str | None, store: _Store, funnel: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "source": study.name,
        "unit": study.unit,
        "epoch_length": 60,
        "synthetic": False,
        "citation": study.citation,
        "terms": study.terms,
        "label": label,
        "columns": {"start_weekday": "1 Monday ... 7 Sunday, of the window's first minute", **study.labels},
        "windows": {
            **dataclasses.asdict(config),
            "passed_over": dict(store.passed_over),
            "filled_minutes": store.filled_minutes,
            "filled_people": store.filled_people,
            "nonwear_minutes": store.nonwear_minutes,
        },
        "at_ceiling": {"value": study.ceiling, "minutes": store.ceiling_minutes, "people": store.ceiling_people},
        "largest_too_often": store.top_values.too_often() if study.ceiling is None else None,
        "mixed_units": store.mean_levels.two_units(),
        "names_of_one_person": _files_of_one_person(study, [row["participant_id"] for row in store.rows]),
        "label_warnings": list(study.warnings),
        "reading": dict(study.reading),
        "funnel": funnel,
    }


def _files_of_one_person(study: Study, people: Sequence[str]) -> dict[str, Any] | None:
    """Files that count as people each and may be of one, by their names or else by their folders."""
    if not study.ids_are_file_names:
        return None
    folders = {person: study.folders[person] for person in people if person in study.folders}
    return names_of_one_person(people) or folders_of_one_person(folders)


class _Store:
    """Windows as they come, in one array that grows in place: a list, stacked at the end, would need it twice."""

    def __init__(self, length: int, study: Study) -> None:
        self.rows: list[dict[str, Any]] = []
        self.passed_over: collections.Counter[str] = collections.Counter()
        self.filled_minutes = 0
        self.filled_people = 0
        self.nonwear_minutes = 0
        self.accountant = Accountant()
        self.ceiling_minutes = 0
        self.ceiling_people = 0
        self.top_values = TopValues()
        self.mean_levels = MeanLevels(study.unit)
        self._ceiling = math.inf if study.ceiling is None else study.ceiling  # no recording holds an infinite value
        self._activity = np.empty((64, length), dtype=np.float32)

    def add(self, recording: Recording, windows: Windows) -> None:
        first = len(self.rows)
        for number, start in enumerate(windows.starts):
            self.rows.append({"participant_id": recording.participant_id, "window": number, "start": start})
        self.accountant.keep(recording, windows)
        length = windows.activity.shape[1]
        self.nonwear_minutes += sum(int(windows.nonwear[at : at + length].sum()) for at in windows.first_minutes)
        if len(self.rows) > len(self._activity):
            self._resize(max(len(self.rows), len(self._activity) * 3 // 2))
        self._activity[first : len(self.rows)] = windows.activity
        self.passed_over.update(windows.passed_over)
        self.filled_minutes += windows.filled_minutes
        self.filled_people += windows.filled_minutes > 0
        self.top_values.add(windows.activity)
        self.mean_levels.add(windows.activity)
        at_ceiling = int(np.count_nonzero(windows.activity >= self._ceiling))
        self.ceiling_minutes += at_ceiling
        self.ceiling_people += at_ceiling > 0

    def activity(self) -> np.ndarray:
        """All windows, (B, T) float32; nothing may be added afterwards."""
        self._resize(len(self.rows))
        return self._activity

    def _resize(self, n_windows: int) -> None:
        self._activity.resize((n_windows, self._activity.shape[1]), refcheck=False)  # no view of it is ever handed out


def _table(rows: list[dict[str, Any]], study: Study) -> pl.DataFrame:
    schema: dict[str, Any] = {"participant_id": pl.String, "window": pl.Int32, "start": pl.Datetime("us")}
    table = pl.DataFrame(rows, schema=schema)
    table = table.with_columns(pl.col("start").dt.weekday().cast(pl.Float64).alias("start_weekday"))
    if not study.start_is_known:
        table = table.with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias("start"))
    return table.join(study.people, on="participant_id", how="left", maintain_order="left", validate="m:1")


def recording_groups(cohort: Cohort) -> np.ndarray:
    """(B,) the participant, or for people who share recordings a name for all of them."""
    if GROUP_COLUMN not in cohort.table.columns:
        return cohort.participant_id
    shared = cohort.label(GROUP_COLUMN)
    names = [f"recording {value_name(number)}" for number in shared]
    return np.where(np.isnan(shared), cohort.participant_id, np.array(names, dtype=np.str_))


def _with_groups(cohort: Cohort) -> Cohort:
    """Adds `same_recording_group` where people share identical days of recording; splits have to keep them together.

    It happens where a device kept what its last wearer did, or a person is in a study under two ids.
    """
    pairs = cohort.same_people()
    if not pairs:
        return cohort
    group = _groups(pairs)
    column = pl.DataFrame(
        {"participant_id": list(group), GROUP_COLUMN: list(group.values())}, schema_overrides={GROUP_COLUMN: pl.Int32}
    )
    table = cohort.table.join(column, on="participant_id", how="left", maintain_order="left", validate="m:1")
    meaning = "number of a group of people who share identical days of recording; null = shares none"
    metadata = {
        **cohort.metadata,
        "columns": {**cohort.metadata["columns"], GROUP_COLUMN: meaning},
        "same_recordings": {"people": len(group), "pairs": len(pairs), "groups": max(group.values())},
    }
    return Cohort(cohort.activity, table, metadata)


def _groups(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """Everybody in a pair -> the number of the group, from 1, of all who are joined by pairs."""
    members: list[set[str]] = []
    for pair in pairs:
        touched = [group for group in members if not group.isdisjoint(pair)]
        members = [group for group in members if group.isdisjoint(pair)] + [set(pair).union(*touched)]
    return {
        person: number for number, group in enumerate(sorted(members, key=min), start=1) for person in sorted(group)
    }


def _funnel(n_read: int, rejections: list[Rejection]) -> list[dict[str, Any]]:
    """Steps {step, people, reason}: read, rejected (one a reason: the reader's, the windows', the label's), kept."""
    counts = collections.Counter(rejection.reason for rejection in rejections)
    return [
        {"step": "read", "people": n_read, "reason": ""},
        *({"step": "rejected", "people": people, "reason": reason} for reason, people in counts.items()),
        {"step": "kept", "people": n_read - len(rejections), "reason": ""},
    ]
