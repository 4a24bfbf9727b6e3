"""`report.html` of a pretraining run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pat_keras._version import __version__
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.plots import history_figure
from pat_keras.evaluation.report_page import Section

_PREDICTORS = {
    "loss": "The model",
    "person_mean": "Mean of the person's visible minutes",
    "mean_day": "Training people's mean at that minute of the day",
}


def render(
    name: str,
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    data: Mapping[str, Any],
) -> str:
    """The report as HTML text.

    Args:
        name: of the run directory.
        metrics: of metrics.json.
        history: rows of history.csv.
        config: of config.json.
        data: of data.json.
    """
    found = metrics["validation"]
    banner = ""
    if metrics["synthetic"]:
        banner = page.banner(
            "Synthetic data",
            "People of this run were made by a program. The numbers show that the software works, and nothing else.",
        )
    lead = (
        f"Mean squared error {found['loss']:.4f} on people held out, after training epoch {found['best_epoch']}; the "
        f"better of two predictors without parameters reaches {min(found['person_mean'], found['mean_day']):.4f}."
    )
    alt = f"Loss of training and validation over {len(history)} epochs."
    sections = [
        Section("Results", _results(found)),
        Section("Training", page.figure(history_figure(history), "history", alt)),
        Section("Data", _data(data)),
        Section("What was run", page.table("Settings", ["Setting", "Value"], _rows(config))),
        Section(
            "Limits",
            page.bullets(
                [
                    "A low loss says that the model knows how activity goes on, not that its encoder is of use for "
                    "anything; that takes a probe or fine-tuning on people it has not seen.",
                    "The weights that are kept had the lowest loss on the validation people, so it flatters them.",
                ]
            ),
        ),
    ]
    opening = banner + page.paragraph(lead, "lead")
    return page.page(
        "Pretraining of an actigraphy encoder", opening, sections, f"Written by pat_keras {__version__} from {name}."
    )


def _results(found: Mapping[str, Any]) -> str:
    columns = dict(found["cohorts"])
    rows = [
        [title, f"{found[key]:.4f}", *(f"{cohort[key]:.4f}" for cohort in columns.values())]
        for key, title in _PREDICTORS.items()
    ]
    rows.append(["Windows", "", *(str(cohort["windows"]) for cohort in columns.values())])
    rows.append(["Share", "", *(f"{cohort['share']:.0%}" for cohort in columns.values())])
    table = page.table("Mean squared error on standardised minutes", ["", "Together", *columns], rows)
    if "people_told_apart" not in found:
        return table
    windows = sum(cohort["windows"] for cohort in columns.values())
    chance = sum(cohort["share"] / (2 * cohort["windows"] - 1) for cohort in columns.values())
    return table + page.paragraph(
        f"Telling people apart: of two halves of the days of each of the {windows} validation windows, "
        f"{found['people_told_apart']:.1%} are nearest to their own other half, among all halves of their cohort (by "
        f"chance {chance:.1%})."
    )


def _data(data: Mapping[str, Any]) -> str:
    rows = [
        [
            cohort["name"],
            *(f"{cohort[part]['people']} ({cohort[part]['windows']})" for part in ("train", "validation", "excluded")),
            cohort["source"],
        ]
        for cohort in data["cohorts"]
    ]
    header = ["Cohort", "Learned from", "Held out", "Left out", "Source"]
    parts = [page.table("People (and their windows)", header, rows)]
    if data["lists"]:
        lists = [[str(each["list"]), str(each["test"]), str(each["validation"])] for each in data["lists"]]
        parts.append(page.table("Lists of people not learned from", ["List", "Test", "Validation"], lists))
    return "".join(parts)


def _rows(values: Mapping[str, Any]) -> list[list[object]]:
    return [[key, value if isinstance(value, str) and value else json.dumps(value)] for key, value in values.items()]
