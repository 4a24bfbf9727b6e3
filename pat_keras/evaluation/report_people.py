"""The parts of a report that are about single people: weeks of the surest and the least sure, and embeddings."""

from __future__ import annotations

import itertools

import numpy as np

from pat_keras.evaluation import certainty as kinds
from pat_keras.evaluation import report_page as page
from pat_keras.evaluation.individuals import Embedding, Individuals, Person
from pat_keras.evaluation.metrics import People
from pat_keras.evaluation.people_figures import MOST_PANELS, embedding_figure, hourly, week_figure
from pat_keras.evaluation.report_page import Section
from pat_keras.evaluation.run_folder import Run

_ORDER = (kinds.SUREST, kinds.UNSURE, kinds.WRONG, kinds.NEAREST, kinds.HIGH, kinds.LOW)


def notice(run: Run, individuals: Individuals | None) -> str:
    """What has to be known before this file is given to anybody; empty where it is about nobody real."""
    if individuals is None or run.synthetic or not (individuals.people or individuals.embeddings):
        return ""
    command = "pat-tune" if "tuning" in run.metrics else "pat-finetune"
    words = (
        f"This page shows recordings of {len(individuals.people)} people, and dots that are one person each. There are "
        "no ids and no dates in it, but who knows how somebody lived in that week may know them again. Keep it with "
        f"the data. A page without single people: {command} --resume --out={run.folder.name} --report_people=0"
    )
    return f'<div class="notice" role="note"><strong>Individual recordings</strong>{page.text(words)}</div>\n'


def people_section(run: Run, individuals: Individuals | None) -> list[Section]:
    """Weeks of the people at the ends of certainty, with what the model attended to."""
    if individuals is None or not individuals.people:
        return []
    tested = run.people("test")
    note = page.paragraph(_meaning(run.task) + " One person is an example, and shows nothing about people.")
    if any(len(person.attention) for person in individuals.people):
        note += page.paragraph(
            "Attention is what each patch of the week receives in the last block, the mean over heads and queries. It "
            "says where the model looked, not why it decided so."
            + (" Of the committee it is the mean over its members." if run.committee > 1 else ""),
            "muted",
        )
    parts = [note]
    numbers = itertools.count(1)
    for kind in _ORDER:
        own = [person for person in individuals.people if person.kind == kind]
        if own:
            figures = [_week(run, tested, person, next(numbers)) for person in own]
            parts.append(page.subheading(kind) + f'<div class="figures small">{"".join(figures)}</div>')
    return [Section("Single people", "".join(parts))]


def embedding_section(run: Run, individuals: Individuals | None) -> list[Section]:
    """Embeddings of the test people, a figure for each column that colours them."""
    if individuals is None or not individuals.embeddings:
        return []
    drawn = individuals.embeddings
    words = "Each dot is a test person: what the model's head sees of their tokens, in two dimensions."
    if run.committee > 1:
        words += " Of the committee they are the first member's."
    if len(drawn) > 1:
        words += " Every fold has a model of its own, whose dimensions mean something else: panels can't be compared."
    if len(drawn) > MOST_PANELS:
        words += f" The first {MOST_PANELS} folds are shown."
    if individuals.left_out:
        words += f" {individuals.left_out} test people were left out at random, since dots would hide each other."
    methods = [method for method in ("PCA", "UMAP") if any(method in one.positions for one in drawn)]
    if "UMAP" in methods:
        words += " In UMAP, who is near whom means something; distances between clusters and their sizes do not."
    figures = []
    for number, (column, names) in enumerate(individuals.names.items(), 1):
        for method in methods:
            alt = _embedding_words(drawn, method, column, names)
            drawing = embedding_figure(drawn, method, column, names)
            figures.append(page.figure(drawing, f"embedding-{method.lower()}-{number}", alt))
    return [Section("Embeddings", page.paragraph(words) + f'<div class="figures">{"".join(figures)}</div>')]


def _meaning(task: str) -> str:
    if task == "regression":
        return "Those whose value was missed most, and least."
    if task == "multiclass":
        return "Certain is a prediction whose first class is far more probable than the second."
    return "Certain is a prediction far, in log-odds, from the threshold of its model; uncertain is one beside it."


def _week(run: Run, tested: People, person: Person, number: int) -> str:
    outcome, truth = _outcome(run, tested, person)
    alt = f"{person.kind}. {outcome} {_activity_words(run, person)}"
    where = f"Line {person.line} of predictions.csv"
    windows = f", the first of {person.windows} windows" if person.windows > 1 else ""
    caption = f"{outcome} {where}{windows}."
    return page.figure(week_figure(person, truth), f"week-{number}", alt, caption)


def _outcome(run: Run, tested: People, person: Person) -> tuple[str, str]:
    """What was predicted and what is true, as a sentence and as a title."""
    y, score = tested.y[person.place], tested.score[person.place]
    if run.task == "regression":
        return f"Predicted {score:.4g}, true {y:.4g}.", f"{score:.4g} for {y:.4g}"
    if run.task == "multiclass":
        names = run.class_names
        best = int(score.argmax())
        words = f"Predicted class {names[best]} with probability {score[best]:.3f}; truly {names[int(y)]}."
        return words, f"Predicted {names[best]}, truly {names[int(y)]}"
    return f"Predicted probability of class 1: {score:.3f}; truly {y:.0f}.", f"Predicted {score:.2f}, truly {y:.0f}"


def _activity_words(run: Run, person: Person) -> str:
    """A week in words."""
    by_hour = hourly(person.activity, person.clock)
    unit = run.data.get("unit") or "units"
    words = "No minute of the week is known."
    if np.isfinite(by_hour).any():
        words = f"Most active around {_hour(np.nanargmax(by_hour))} ({np.nanmax(by_hour):.3g} {unit} a minute), least "
        words += f"around {_hour(np.nanargmin(by_hour))} ({np.nanmin(by_hour):.3g})."
    if len(person.attention):
        received = np.repeat(person.attention, len(person.activity) // len(person.attention))
        of_hour = hourly(received / received.mean(), person.clock)
        words += f" Attended to most around {_hour(np.nanargmax(of_hour))} ({np.nanmax(of_hour):.2f} times the mean)"
        words += f" and least around {_hour(np.nanargmin(of_hour))} ({np.nanmin(of_hour):.2f})."
    return words


def _hour(number: np.integer) -> str:
    return f"{int(number)}:00"


def _embedding_words(embeddings: list[Embedding], method: str, column: str, names: list[str]) -> str:
    """How many dots of which group, and how far the groups are apart beside what chance would do."""
    there = [one for one in embeddings if method in one.positions]
    number = np.concatenate([one.groups[column] for one in there])
    counts = ", ".join(f"{int((number == k).sum())} of {name}" for k, name in enumerate(names) if (number == k).any())
    words = f"{method} of {len(number)} test people by {column}: {counts}."
    apart = np.array([_apart(one.positions[method], one.groups[column]) for one in there])
    if np.isfinite(apart).all():
        share, chance = apart.mean(axis=0)
        words += (
            f" Group means hold {share:.0%} of the spread, and would hold {chance:.0%} if groups were drawn by lot."
        )
    return words


def _apart(positions: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """The share of the sum of squares that is between groups, and its expectation if groups meant nothing."""
    centred = positions - positions.mean(axis=0)
    total = float(np.sum(centred**2))
    own = np.unique(group)
    if total == 0 or len(positions) < 2:
        return np.nan, np.nan
    between = sum(float((group == k).sum() * np.sum(centred[group == k].mean(axis=0) ** 2)) for k in own)
    return between / total, (len(own) - 1) / (len(positions) - 1)
