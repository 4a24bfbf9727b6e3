"""What every reader of a study returns: the people, and their recordings one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import polars as pl

from pat_keras.data.recording import Recording


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A person who was read and can't be used, and why.

    Attributes:
        participant_id: who.
        reason: the rule, the same text for everybody it rejects; counted and printed.
        detail: what was found in this person; written to a file, never printed.
    """

    participant_id: str
    reason: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """A source of recordings with what is known of its people.

    Attributes:
        name: "Depresjon", "NHANES 2005-2006", ...
        people: one row a person: `participant_id` (text), then labels and covariates, null = missing: numbers, or as
            text the parts of a split.
        recordings: every person of the activity files once, as a recording or as a rejection, in the files' order. Read
            while they are iterated; so errors in the files come then.
        expected_people: about how many recordings will come, for a progress bar; None if nobody knows.
        labels: what the numbers of each column of `people` mean.
        missing_label: says why somebody has no value of a label: (label, participant_id) -> reason, for the counts.
        unit: of the activity.
        ceiling: the largest value the device can store, in `unit`; None if nobody knows.
        start_is_known: False where the source withholds its dates; the recordings' start then has the right day of the
            week and clock time, in a made-up week.
        citation: whom to cite.
        terms: under which terms the data came.
        reading: how the files were read, for the cohort's metadata and the report: what was found in them and what was
            done with it, by name. Filled while the recordings are iterated.
        warnings: sentences about labels that may not be what they seem.
        folders: where each file is another person's, who is called as it is: name of the file -> folder it lies in,
            from what was asked for on. Empty where ids are no names of files.
    """

    name: str
    people: pl.DataFrame = dataclasses.field(repr=False)  # rows of health data stay out of logs
    recordings: Iterator[Recording | Rejection]
    expected_people: int | None
    labels: dict[str, str]
    missing_label: Callable[[str, str], str]
    unit: str
    ceiling: float | None
    start_is_known: bool
    citation: str
    terms: str
    reading: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    folders: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def ids_are_file_names(self) -> bool:
        """Whether each file is another person's, who is called as it is."""
        return bool(self.folders)
