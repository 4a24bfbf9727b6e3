"""The page that `pat-prepare` ends with: who was read and kept, how the devices were worn, what was chosen."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from pat_keras._version import __version__
from pat_keras.data import mixed_units
from pat_keras.data.account import Account, label_counts
from pat_keras.data.assembly import Assembly
from pat_keras.data.cohort import Cohort
from pat_keras.data.files import atomic_write
from pat_keras.data.readers import file_names
from pat_keras.data.top_values import words_of
from pat_keras.errors import CohortError
from pat_keras.evaluation import cohort_figures as figures
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.report_page import Section

_CHOICES = {
    "days": "Days of a window",
    "start": "First window begins at",
    "step_days": "Least days between the starts of windows",
    "max_windows": "Windows kept of a person at most",
    "choice": "Which ones",
    "nonwear": "Non-wear",
    "min_worn_minutes": "Worn minutes of a valid day",
    "min_valid_days": "Valid days of a window",
    "max_missing": "Share of a window that may be not recorded",
    "min_moving_minutes": "Worn minutes above zero that a window needs",
    "fill_gaps": "Gaps that are filled",
}
_WORDS: dict[str, dict[Any, str]] = {
    "start": {"midnight": "the first midnight", "first_sample": "the first sample"},
    "step_days": {None: "the length of a window: none overlap"},
    "max_windows": {None: "all"},
    "choice": {"first": "the first", "best": "those with most worn minutes"},
    "nonwear": {
        "none": "none removed: every recorded minute counts as worn",
        "device": "by the device's own finding",
        "troiano": "60 minutes of zeros, with 1 or 2 minutes of up to 100 counts (Troiano et al. 2008)",
        "choi": "90 minutes of zeros, with 1 or 2 minutes of counts that have none in the 30 minutes around "
        "(Choi et al. 2011)",
    },
    "min_worn_minutes": {0: "not asked for"},
    "min_valid_days": {None: "all"},
    "max_missing": {0.0: "none"},
    "min_moving_minutes": {0: "none"},
    "fill_gaps": {"clock_change": "the hour that clocks jump over in spring", "none": "none"},
}
_RULES = {
    "troiano": "Non-wear: Troiano RP et al., Med Sci Sports Exerc 40(1), 2008, 181-188.",
    "choi": "Non-wear: Choi L et al., Med Sci Sports Exerc 43(2), 2011, 357-364.",
}

CLOSING = "of the cohort with the content hash"  # in every such page, and in no other


def write_cohort_report(
    path: str | os.PathLike[str], assembly: Assembly, rejected_name: str, overwrite: bool = False
) -> pathlib.Path:
    """Writes the page as one HTML file, whole or not at all.

    Args:
        path: of the page.
        assembly: the cohort and what became of everybody.
        rejected_name: of the file that lists who was rejected, to refer to.
        overwrite: replace the file if it is there.

    Raises:
        CohortError: if the file is there and `overwrite` is off, or it can't be written.
    """
    path = pathlib.Path(path)
    with atomic_write(path, overwrite=overwrite, error=CohortError) as temporary:
        temporary.write_text(render(assembly, rejected_name), encoding="utf-8")
    return path


def render(assembly: Assembly, rejected_name: str) -> str:
    """The page as HTML text. It holds counts, averages and two recordings without ids or dates."""
    cohort, account = assembly.cohort, assembly.account
    metadata = cohort.metadata
    sections = [
        Section("Read, rejected, kept", _funnel(cohort, rejected_name)),
        Section("Worn time", _worn(cohort, account)),
        Section("Average days", _average_days(cohort, account)),
        Section("Labels", _labels(cohort)),
        Section("Two recordings", _examples(account)),
        Section("Choices", _choices(metadata)),
    ]
    if sources := _sources(metadata):  # a reader's own tables have neither
        sections.append(Section("Terms and citation", page.bullets(sources)))
    read = next(step["people"] for step in metadata["funnel"] if step["step"] == "read")
    lead = f"{cohort.n_people:,} of {read:,} people kept, with {cohort.n_windows:,} "
    lead += f"{'window' if cohort.n_windows == 1 else 'windows'} of {metadata['windows']['days']} days."
    closing = f"Written by pat_keras {__version__} {CLOSING} {cohort.content_hash()[:16]}. "
    closing += "For research; no medical device."
    return page.page(f"{metadata['source']}: a cohort of actigraphy", page.paragraph(lead, "lead"), sections, closing)


def _funnel(cohort: Cohort, rejected_name: str) -> str:
    metadata = cohort.metadata
    rows = [[step["step"], f"{step['people']:,}", step["reason"]] for step in metadata["funnel"]]
    parts = [page.table("People by what became of them", ["Step", "People", "Reason"], rows)]
    parts.append(page.paragraph(f"Who was rejected, and why: {rejected_name}.", "muted"))
    passed = metadata["windows"]["passed_over"]
    if passed:
        caption = "Places for a window that were passed over in the recordings of people who were kept"
        parts.append(page.table(caption, ["Reason", "Places"], [[why, f"{n:,}"] for why, n in passed.items()]))
    same = metadata.get("same_recordings")
    if same:
        groups = "1 group" if same["groups"] == 1 else f"{same['groups']:,} groups"
        parts.append(
            page.paragraph(
                f"{same['people']:,} people in {groups} share identical days of recording: a device "
                "kept what its last wearer did, or a person has two ids. The column same_recording_group names the "
                "groups; a split has to keep each in one part."
            )
        )
    return "".join(parts)


def _worn(cohort: Cohort, account: Account) -> str:
    windows = cohort.metadata["windows"]
    low, middle, high = np.percentile(account.worn, [5, 50, 95]) / 60
    moving = np.median(account.moving) / 60
    alt = (
        f"Hours of a day that were worn, of {len(account.worn):,} days in windows: median {middle:.1f}, 5 % of days "
        f"below {low:.1f}, 5 % above {high:.1f}. With movement: median {moving:.1f}."
    )
    nonwear = "Nothing was taken for non-wear, so that every recorded minute counts as worn."
    if windows["nonwear"] != "none":
        share = windows["nonwear_minutes"] / cohort.activity.size
        nonwear = (
            f"{windows['nonwear_minutes']:,} minutes ({share:.1%}) of the windows are non-wear: "
            f"{_WORDS['nonwear'][windows['nonwear']]}. They are missing in the cohort."
        )
    return page.paragraph(nonwear) + page.figure(figures.worn_figure(account.worn, account.moving), "worn", alt)


def _average_days(cohort: Cohort, account: Account) -> str:
    if np.isnan(account.average_days).all():
        return page.paragraph("No minute of the windows was worn: there is no day to average.")
    mean = figures.mean_day(account.average_days)
    middle = figures.middle_of_activity(account.average_days)
    early, late = np.percentile(middle, [5, 95]) % 24
    alt = (
        f"Average days of {len(account.average_days):,} people. Their mean is highest at {_time(np.nanargmax(mean))} "
        f"({np.nanmax(mean):.3g} {cohort.metadata['unit']} a minute) and lowest at {_time(np.nanargmin(mean))} "
        f"({np.nanmin(mean):.3g}). The middle of activity lies between {early:.1f} and {late:.1f} h for nine in ten."
    )
    note = (
        " Averages are of worn minutes; what is blank was never worn."
        if cohort.metadata["windows"]["nonwear"] != "none"
        else ""
    )
    if len(account.average_days) > figures.MOST_LINES:
        note += " In the map, people are averaged with their neighbours."
    drawing = figures.average_days_figure(account.average_days, cohort.metadata["unit"])
    return page.figure(drawing, "average-days", alt, alt + note)


def _time(quarter: np.integer[Any]) -> str:
    return f"{quarter // 4}:{quarter % 4 * 15:02d}"


def _labels(cohort: Cohort) -> str:
    rows = [[one.name, f"{one.people:,}", f"{one.missing:,}", one.values, one.meaning] for one in label_counts(cohort)]
    if not rows:
        return page.paragraph("There is no label in the cohort.")
    table = page.table("People kept, by label and covariate", ["Name", "People", "Missing", "Values", "Meaning"], rows)
    return table + "".join(page.paragraph(f"Warning: {words}") for words in cohort.metadata.get("label_warnings", []))


def _examples(account: Account) -> str:
    parts = []
    if account.kept:
        alt = "The first recording that was kept: its first window, one line a day."
        parts.append(page.figure(figures.recording_figure(account.kept), "kept", alt))
    if account.rejected:
        alt = f"The first recording that was rejected for its windows: {account.rejected.reason}."
        parts.append(page.figure(figures.recording_figure(account.rejected), "rejected", alt))
    note = page.paragraph("Heights are the square root of activity, in means of 5 minutes. No ids, no dates.", "muted")
    return f'<div class="figures">{"".join(parts)}</div>{note}'


def _choices(metadata: dict[str, Any]) -> str:
    windows = metadata["windows"]
    names = [name for name in _CHOICES if name != "min_valid_days" or windows["min_worn_minutes"]]
    rows = [[_CHOICES[name], _WORDS.get(name, {}).get(windows[name], windows[name])] for name in names]
    parts = [page.table("Windows", ["Choice", "Value"], rows)]
    if windows["filled_minutes"]:
        words = f"{windows['filled_minutes']:,} minutes of {windows['filled_people']:,} people were filled."
        parts.append(page.paragraph(words))
    ceiling = metadata["at_ceiling"]
    if ceiling["minutes"]:
        words = f"{ceiling['minutes']:,} minutes of {ceiling['people']:,} people are at the device's ceiling of "
        parts.append(page.paragraph(f"{words}{ceiling['value']:,} {metadata['unit']}; they are kept as they are."))
    if metadata.get("largest_too_often"):
        parts.append(page.paragraph(words_of(metadata["largest_too_often"], metadata["unit"])))
    if metadata.get("mixed_units"):
        parts.append(page.paragraph(f"Warning: {mixed_units.words_of(metadata['mixed_units'], metadata['unit'])}"))
    if metadata.get("names_of_one_person"):
        words = file_names.words_of(metadata["names_of_one_person"], with_names=False)
        parts.append(page.paragraph(f"Warning: {words}"))
    if metadata["reading"]:
        parts.append(page.table("How the files were read", ["What", "How"], list(metadata["reading"].items())))
    return "".join(parts)


def _sources(metadata: dict[str, Any]) -> list[str]:
    named = [metadata["terms"], metadata["citation"], _RULES.get(metadata["windows"]["nonwear"], "")]
    return [text for text in named if text]
