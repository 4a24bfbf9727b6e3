"""`tuning.html` of a finished tuning: the honest score first, the flattering one beside it, and what was tried."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pat_keras._version import __version__
from pat_keras.data.files import atomic_write
from pat_keras.errors import RunError
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.plot_style import PALETTE, legend, style, with_interval
from pat_keras.evaluation.report import TITLES
from pat_keras.evaluation.report_page import Section
from pat_keras.evaluation.run_folder import Run, read_run
from pat_keras.evaluation.searcher import EVERYBODY, LARGER_IS_BETTER

_SHOWN_TRIALS = 10  # of each search in the table of the best


def write_tuning_report(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `tuning.html` into the directory of a finished tuning, from metrics.json, trials.csv and best.flags.

    Returns:
        Its path.

    Raises:
        RunError: if one of these is missing or not what it should be.
    """
    run = read_run(folder)
    if "tuning" not in run.metrics:
        raise RunError(f"{run.folder / 'metrics.json'}: found no tuning in it, expected that of a finished pat-tune.")
    trials = pl.read_csv(run.folder / "trials.csv", infer_schema_length=None)
    flags = (run.folder / "best.flags").read_text(encoding="utf-8")
    path = run.folder / "tuning.html"
    with atomic_write(path, overwrite=True, error=RunError) as temporary:
        temporary.write_text(_render(run, trials, flags), encoding="utf-8")
    return path


def honest_and_flattering(metrics: Mapping[str, Any]) -> list[str]:
    """Sentences on the outer score, and on the inner one that it must not be taken for."""
    tuning, test = metrics["tuning"], metrics["test"]
    name = tuning["objective"]
    title = TITLES[metrics["task"]][name].split(" (")[0].split(",")[0]
    several = len([search for search in tuning["searches"] if search["people"] != EVERYBODY]) > 1
    return [
        f"{title} {with_interval(test, name, 3)} on {test['n']} people who had no part in the choice"
        + (", each scored by the winner of a search among the others." if several else "."),
        f"The winner's own inner value was {tuning['inner']:.3f}"
        + (" (mean of the outer folds)" if several else "")
        + f". It is the best of {tuning['trials']} trials on the people they were chosen by, so it flatters: do not "
        "report it.",
    ]


def _render(run: Run, trials: pl.DataFrame, flags: str) -> str:
    tuning = run.metrics["tuning"]
    banner = ""
    if run.synthetic:
        banner = page.banner(
            "Synthetic data",
            "The people of this run were made by a program. The numbers say nothing about any real person, illness or "
            "model.",
        )
    honest, flattering = honest_and_flattering(run.metrics)
    searches = tuning["searches"]
    figure = _trials_figure(trials, tuning)
    alt = f"{tuning['objective']} of {len(trials)} trials in their order; the line is the best so far."
    sections = [
        Section("Winners", _winners(searches) + page.paragraph("To train with the settings of the last row:")
                + f"<pre>{page.text(flags)}</pre>"),
        Section("Trials", page.figure(figure, "trials", alt) + _best_trials(trials, tuning)),
        Section("How it was searched", _how(tuning)),
    ]  # fmt: skip
    opening = banner + page.paragraph(honest, "lead") + page.paragraph(flattering)
    opening += page.paragraph("Results on the outer test people in full: report.html beside this file.", "muted")
    return page.page(
        f"{run.metrics['label']}: search of settings", opening, sections, f"Written by pat_keras {__version__}."
    )


def _winners(searches: Sequence[Mapping[str, Any]]) -> str:
    names = list(searches[0]["settings"])
    rows = [
        [s["people"], f"{s['inner']:.4g}", f"{s['best_trial']} of {s['trials']}", s["pruned"], s["failed"],
         *(_short(s["settings"][name]) for name in names)]
        for s in searches
    ]  # fmt: skip
    header = ["Searched among all but", "Inner value", "Trial", "Pruned", "Failed", *names]
    note = ""
    if searches[-1]["people"] == EVERYBODY:
        note = page.paragraph(
            "The last search was among everybody, when all scoring was done; nothing is scored by it. Winners that "
            "differ much between folds say that the search is mostly noise.",
            "muted",
        )
    return page.table("The winner of each search, by the people who were kept out of it", header, rows) + note


def _best_trials(trials: pl.DataFrame, tuning: Mapping[str, Any]) -> str:
    """The best complete trials of each search."""
    name = tuning["objective"]
    parts = []
    for people, rows in trials.filter(pl.col("state") == "complete").group_by("people", maintain_order=True):
        best = rows.sort(name, descending=_is_maximized(tuning), maintain_order=True).head(_SHOWN_TRIALS)
        shown = best.drop("people", "state", "reason")
        cells = [[_short(value) for value in row] for row in shown.rows()]
        parts.append(page.table(f"The best trials: {people[0]}", shown.columns, cells))
    return "".join(parts)


def _is_maximized(tuning: Mapping[str, Any]) -> bool:
    return tuning["objective"] in LARGER_IS_BETTER


def _how(tuning: Mapping[str, Any]) -> str:
    rows = [
        [name, json.dumps(tuning[name])] for name in ("trials", "inner_folds", "objective", "sampler", "pruner")
    ] + [["search", line] for line in tuning["search"]]
    return page.table("Settings of the search", ["Setting", "Value"], rows)


def _trials_figure(trials: pl.DataFrame, tuning: Mapping[str, Any]) -> Figure:
    """Values over trials, a colour a search, with the best so far."""
    name, better = tuning["objective"], np.maximum if _is_maximized(tuning) else np.minimum
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    style(axes, "Trials", "trial", f"inner {name}")
    series = list(PALETTE.values())[3:]
    complete = trials.filter(pl.col("state") == "complete")
    for number, (people, rows) in enumerate(complete.group_by("people", maintain_order=True)):
        color = series[number % len(series)]
        trial, value = rows["trial"].to_numpy(), rows[name].to_numpy()
        axes.plot(trial, value, "o", markersize=4, alpha=0.6, color=color)
        label = str(people[0]) if number < 6 else None
        axes.step(trial, better.accumulate(value), where="post", color=color, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes, "best")
    return figure


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
