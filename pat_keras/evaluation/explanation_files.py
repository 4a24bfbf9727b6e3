"""The folder of an explanation: every figure as PNG and SVG with its numbers as CSV, the people, a summary.

    summary.json  windows.csv  people.csv  deletion.{png,svg,csv}  groups_METHOD.{png,svg,csv}  days.{png,svg,csv}
    people/01/week_METHOD.*  people/01/day_METHOD.*  people/01/matrix.*

Folders of people have numbers, in the order of people.csv, so that no id is in a file's name.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from pat_keras.evaluation import bootstrap, plot_style
from pat_keras.evaluation import explanation_figures as figures
from pat_keras.evaluation.clock import DAY_HOURS, Clock, total_by
from pat_keras.evaluation.explanation import ATTENTION, TITLES, Explanation
from pat_keras.evaluation.metrics import by_participant
from pat_keras.evaluation.profiles import Comparison
from pat_keras.evaluation.run_files import versions, write_csv, write_json
from pat_keras.evaluation.run_folder import check_free

_EVEN = {True: 1.0, False: 0.0}  # of attention, and of what has a sign


def write_explanation(found: Explanation, folder: pathlib.Path) -> Explanation:
    """Write everything; the folder appears whole or not at all.

    Returns:
        The explanation with its folder.

    Raises:
        RunError: if the folder is not empty.
    """
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        new = pathlib.Path(temporary, folder.name)
        new.mkdir()
        write_csv(new / "windows.csv", found.windows)
        write_csv(new / "people.csv", _people_table(found))
        _write_all_people(found, new)
        for number, row in enumerate(found.pictured(), 1):
            _write_person(found, row, new / "people" / f"{number:02d}")
        write_json(new / "summary.json", summary(found))
        if folder.exists():
            folder.rmdir()  # empty, as was checked
        new.rename(folder)
    return dataclasses.replace(found, folder=folder)


def summary(found: Explanation) -> dict[str, Any]:
    """What was explained, how, and what came out, for JSON."""
    held = found.windows.group_by("participant_id").agg(pl.col("held_out").first())["held_out"]
    values: dict[str, Any] = {
        **found.about,
        "people": len(found.people),
        "windows": found.windows.height,
        "people_tested_by_the_run": int((held == "test").sum()),
        "clock_known": found.clock.known,
        "settings": dataclasses.asdict(found.settings),
        "deletion": {name: dataclasses.asdict(each) | {"passed": each.passed} for name, each in found.deletion.items()},
        "groups": {name: _compared(each) for name, each in found.comparison.items()},
        "no_comparison": found.no_comparison,
        "versions": versions(),
    }
    if "gap" in found.windows.columns:
        values["integrated_gradients_largest_gap"] = float(np.abs(found.windows["gap"].to_numpy()).max())
    return values


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "groups": dict(zip(comparison.names, comparison.counts, strict=True)),
        "smallest_p": float(comparison.p.min()),
        "differ": [dataclasses.asdict(window) for window in comparison.windows],
        "permutations": comparison.permutations,
        "words": comparison.words(),
    }


def _people_table(found: Explanation) -> pl.DataFrame:
    """One row a person and method: the profile of the average day."""
    tables = [
        pl.DataFrame({"participant_id": found.people, "method": [name] * len(found.people)}).hstack(
            [pl.Series(f"{hour:02d}:00", day[:, hour]) for hour in range(DAY_HOURS)]
        )
        for name, day in found.days.items()
    ]
    order = {str(name): number for number, name in enumerate(found.people)}
    return pl.concat(tables).sort(pl.col("participant_id").replace_strict(order, default=0), maintain_order=True)


def _write_all_people(found: Explanation, folder: pathlib.Path) -> None:
    """Deletion tests, groups, days."""
    named = {TITLES[name]: each for name, each in found.deletion.items()}
    rows = [{"method": name} | dataclasses.asdict(each) for name, each in found.deletion.items()]
    _write(folder / "deletion", figures.deletion_figure(named), pl.DataFrame(rows, infer_schema_length=None))
    for name, comparison in found.comparison.items():
        figure = figures.groups_figure(
            comparison, even=_EVEN[name in ATTENTION], title=TITLES[name], label=_label(found, name),
            caption=found.deletion[name].words(),
        )  # fmt: skip
        _write(folder / f"groups_{name}", figure, _groups_table(comparison))
    if found.occlusion is not None:
        _write_days(found, folder)


def _write_days(found: Explanation, folder: pathlib.Path) -> None:
    """What hiding a day changes: by weekday where that is known of every window, else by the window's days."""
    assert found.occlusion is not None
    change, ids = np.abs(found.occlusion.days), found.cohort.participant_id
    first = [_first_weekday(found, row) for row in range(len(ids))]
    names, days = found.clock.day_names(None), np.arange(found.clock.n_days)
    if None not in first and found.clock.n_days >= 7:
        names = Clock(7 * 1440).day_names(1)
        weekday = (np.array(first, dtype=int)[:, None] - 1 + days) % 7  # (B, D), 0 = Monday
        change = np.stack([np.where(weekday == k, change, np.nan) for k in range(7)], axis=1)
        change = np.nanmean(change, axis=2)
    people = by_participant(ids, np.zeros(len(ids)), change).score  # (n, days)
    draws = np.concatenate(list(bootstrap.draw(np.zeros(len(people)), bootstrap.RESAMPLES, found.settings.seed)))
    low, high = np.quantile(draws @ people / len(people), [0.025, 0.975], axis=0)
    mean, label = people.mean(axis=0), f"Change of {found.about['explains']}"
    figure = figures.days_figure(mean, low, high, names, label, found.deletion["occlusion"].words())
    _write(folder / "days", figure, pl.DataFrame({"day": names, "mean": mean, "low": low, "high": high}))


def _write_person(found: Explanation, row: int, folder: pathlib.Path) -> None:
    """The three pictures of a window's person, for every method that has them."""
    person = found.windows["participant_id"][row]
    clock, activity = found.clock, found.cohort.activity[row]
    days = clock.day_names(_first_weekday(found, row))
    own = found.cohort.participant_id == person
    step = figures.activity_steps(found.cohort.activity[own], clock)
    for name, minutes in found.minutes.items():
        attention = name in ATTENTION
        drawn = minutes[row] / np.nanmean(minutes[row]) if attention else _hourly(minutes[row], found)
        shown = name if attention else f"{name} of the hour"
        bar = "times an even spread" if attention else f"{found.about['explains']}, added in an hour"
        caption = f"{_score_words(found, row)} {found.deletion[name].words()}"
        figure = figures.week_figure(
            activity, drawn, clock, days, unit=str(found.about["unit"]), signed=not attention, title=TITLES[name],
            bar=bar, caption=caption,
        )  # fmt: skip
        table = pl.DataFrame(
            {"day": np.array(days)[clock.day], "time": _times(found), "activity": activity, shown: drawn}
        )
        _write(folder / f"week_{name}", figure, table)
    place = int(np.flatnonzero(found.people == person)[0])
    for name, all_days in found.days.items():
        windows = int(own.sum())
        caption = f"Mean of {windows} windows of this person. " if windows > 1 else ""
        figure = figures.day_figure(
            step, all_days[place], unit=str(found.about["unit"]), even=_EVEN[name in ATTENTION], title=TITLES[name],
            label=_label(found, name), caption=f"{caption}{found.deletion[name].words()}",
        )  # fmt: skip
        hourly = step.reshape(DAY_HOURS, -1).mean(axis=1)
        table = pl.DataFrame({"hour": range(DAY_HOURS), "activity": hourly, name: all_days[place]})
        _write(folder / f"day_{name}", figure, table)
    if row in found.matrices:
        matrix = found.matrices[row]
        figure = figures.matrix_figure(
            matrix, clock, days, "Attention between hours", found.deletion["attention"].words()
        )
        table = pl.DataFrame({"from_hour": range(len(matrix))}).hstack(
            [pl.Series(f"to_{hour}", matrix[:, hour]) for hour in range(len(matrix))]
        )
        _write(folder / "matrix", figure, table)


def _write(stem: pathlib.Path, figure: Figure, table: pl.DataFrame) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text, to be edited or searched
        for ending in (".png", ".svg"):
            plot_style.save(figure, stem.with_suffix(ending))
    write_csv(stem.with_suffix(".csv"), table)


def _groups_table(comparison: Comparison) -> pl.DataFrame:
    columns: dict[str, Any] = {"hour": range(DAY_HOURS)}
    for k, name in enumerate(comparison.names):
        columns |= {f"mean of {name}": comparison.mean[k], f"low of {name}": comparison.low[k]}
        columns[f"high of {name}"] = comparison.high[k]
    return pl.DataFrame(columns | {"statistic": comparison.statistic, "corrected_p": comparison.p})


def _label(found: Explanation, name: str) -> str:
    """Of the axis of a profile of the day."""
    if name in ATTENTION:
        return "Times an even spread"
    explains = found.about["explains"]
    return f"Fall of {explains} when hidden" if name == "occlusion" else f"Added to {explains}"


def _hourly(minutes: np.ndarray, found: Explanation) -> np.ndarray:
    """(T,) each minute with the sum of its hour."""
    return total_by(minutes[None], found.clock.hour)[0, found.clock.hour]


def _times(found: Explanation) -> list[str]:
    clock = found.clock
    seconds = (clock.first + np.arange(clock.length)) * clock.epoch_length % 86400
    return [f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}" for second in seconds.tolist()]


def _first_weekday(found: Explanation, row: int) -> int | None:
    """1 = Monday; None if it is not known."""
    start = found.cohort.table["start"][row]
    if start is not None:
        return int(start.isoweekday())
    if "start_weekday" not in found.cohort.columns:
        return None
    weekday = found.cohort.label("start_weekday")[row]
    return int(weekday) if weekday in range(1, 8) else None


def _score_words(found: Explanation, row: int) -> str:
    window = found.windows.row(row, named=True)
    share = f", probability {window['probability']:.2f}" if "probability" in window else ""
    held = " not held out by the run" if not window["held_out"] else f" in the run's {window['held_out']} part"
    explains = str(found.about["explains"])  # ends in the label, whose capitals stay
    return f"{explains[0].upper()}{explains[1:]}: {window['score']:.2f}{share}; a person{held}."
