"""Which test people a report shows, and what it needs to draw of them: weeks, attention, embeddings.

Called after the test people were scored; nothing is chosen by it.

Axes: B windows, T minutes, N patches, D embed_dim, n people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pat_keras.data.splits import Split
from pat_keras.errors import CohortError, ConfigError
from pat_keras.evaluation.attention import attention_profile
from pat_keras.evaluation.certainty import choose_people
from pat_keras.evaluation.embeddings import person_means, principal_components, umap_positions, week_vectors
from pat_keras.evaluation.individuals import MOST_EMBEDDED, Embedding, Individuals, Person
from pat_keras.evaluation.metrics import by_participant
from pat_keras.evaluation.protocols import LabelledData
from pat_keras.evaluation.run_folder import score_columns
from pat_keras.evaluation.subgroups import groups_of
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.committee import predictors_in
from pat_keras.models.predictor import Predictor

_LEAST_EMBEDDED = 5  # people of a fold: fewer make no picture


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a report is to show of single people.

    Attributes:
        people: weeks of each kind; 0 leaves everything out that is of one person, the embeddings too.
        columns: of the cohort, by which embeddings are coloured beside the label and the subgroups.
    """

    people: int = 3
    columns: tuple[str, ...] = ()


SHOWN = Shown()


def checked_shown(data: LabelledData, people: int, columns: Sequence[str]) -> Shown:
    """What a report is to show, once it is known that it can: before training, not after.

    Raises:
        ConfigError: for a number of people below 0.
        CohortError: if a column is not there, or embeddings can't be coloured by it.
    """
    if people < 0:
        raise ConfigError(f"report_people is {people}, expected 0 (nothing of single people) or a number of weeks.")
    for column in columns:
        try:
            groups_of(data.cohort, column)
        except CohortError as error:
            raise CohortError(f"report_columns, {column!r}: it is read as subgroups are. {error}") from error
    return Shown(people, tuple(columns))


def gather(
    data: LabelledData,
    parts: Sequence[Split],
    models: Sequence[Predictor],
    predictions: pl.DataFrame,
    metrics: dict[str, Any],
    count: int,
    columns: Sequence[str],
    seed: int,
) -> Individuals:
    """Choose people, and compute what the report draws of them.

    Args:
        data: the labelled windows.
        parts: the splits.
        models: one a split.
        predictions: as in predictions.csv.
        metrics: as in metrics.json.
        count: weeks of each kind.
        columns: that embeddings are coloured by.
        seed: of who is embedded where there are many, and of UMAP.
    """
    rows = np.concatenate([split.test for split in parts])  # in the order of predictions.csv
    test = predictions.with_row_index("line", offset=2).filter(pl.col("part") == "test")
    test = test.with_columns(row=rows)
    people = _chosen(data, models, test, metrics, count)
    groups = {column: groups_of(data.cohort, column) for column in dict.fromkeys(columns)}
    everybody = np.unique(data.participant_id[rows])
    embedded = np.random.default_rng(seed).permutation(everybody)[:MOST_EMBEDDED]
    embeddings = []
    for number, (split, model) in enumerate(zip(parts, models, strict=True), 1):
        own = split.test[np.isin(data.participant_id[split.test], embedded)]
        model = predictors_in(model)[0]
        if not isinstance(model, PATClassifier) or len(np.unique(data.participant_id[own])) < _LEAST_EMBEDDED:
            continue
        names, vectors = person_means(data.participant_id[own], week_vectors(model, data.activity[own]))
        positions, shares = principal_components(vectors)
        found = {"PCA": positions, "UMAP": umap_positions(vectors, seed)}
        of_column = {
            column: np.array([group.of_person[name] for name in names.tolist()]) for column, group in groups.items()
        }
        there = {method: places for method, places in found.items() if places is not None}
        embeddings.append(Embedding(number, (float(shares[0]), float(shares[1])), there, of_column))
    named = {column: group.names for column, group in groups.items()} if embeddings else {}
    return Individuals(people, embeddings, named, len(everybody) - len(embedded))


def _chosen(
    data: LabelledData, models: Sequence[Predictor], test: pl.DataFrame, metrics: dict[str, Any], count: int
) -> list[Person]:
    """The people at the ends of certainty, with their first window.

    Args:
        data: the labelled windows.
        models: one a split.
        test: predictions.csv's rows of test people, with `line` and `row`, the row of the data.
        metrics: as in metrics.json.
        count: of each kind.
    """
    task = metrics["task"]
    score = test.select(score_columns(test, task)).to_numpy()
    tested = by_participant(
        test["participant_id"].to_numpy(),
        data.y[test["row"].to_numpy()],
        score if task == "multiclass" else score[:, 0],
    )
    first = test.sort("participant_id", "window").unique("participant_id", keep="first", maintain_order=True)
    threshold = thresholds(metrics, first["fold"].to_numpy())
    starts = data.cohort.table["start"].to_list()
    people = []
    for kind, places in choose_people(task, tested.y, tested.score, threshold, count).items():
        for place in places.tolist():
            window = first.row(place, named=True)
            begin = starts[window["row"]]
            people.append(
                Person(
                    kind,
                    window["line"],
                    place,
                    int(tested.n_windows[place]),
                    None if begin is None else begin.hour * 60 + begin.minute,
                    data.activity[window["row"]],
                    _attention(models[window["fold"] - 1], data.activity[window["row"]]),
                )
            )
    return people


def thresholds(metrics: dict[str, Any], fold: np.ndarray) -> np.ndarray | float | None:
    """The threshold of each person's model, given the number of their fold (n,); None for a task without."""
    if metrics["task"] != "binary":
        return None
    if not metrics.get("folds"):
        return metrics["test"].get("threshold")
    return np.array([own["threshold"] for own in metrics["folds"]])[fold - 1]


def _attention(model: Predictor, week: np.ndarray) -> np.ndarray:
    """(T,) raw minutes -> (N,), the mean over the members of a committee; empty for a model without attention."""
    members = [member for member in predictors_in(model) if isinstance(member, PATClassifier)]
    if not members:
        return np.zeros(0, np.float32)
    return np.stack([attention_profile(member, week[None])[0] for member in members]).mean(axis=0)
