"""Figures of several classes, regressions and groups show the numbers they were given."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.evaluation import task_figures as figures
from pat_keras.evaluation.individuals import Embedding, Person
from pat_keras.evaluation.people_figures import embedding_figure, hourly, week_figure


def test_groups_of_a_regression_are_even_and_ordered() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.normal(50, 10, 300)
    predicted, true, half = figures.regression_groups(prediction + rng.normal(size=300), prediction)
    assert len(predicted) == 10
    assert (np.diff(predicted) > 0).all()
    assert (np.abs(true - predicted) < 2 * half).all()
    assert predicted.mean() == pytest.approx(prediction.mean())


def test_precision_of_each_class_ends_at_its_share() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90)
    (axes,) = figures.precision_recall_rest_figure(y, p, ["a", "b", "c"]).axes
    for k, line in enumerate(axes.lines):
        assert np.asarray(line.get_ydata())[-1] == pytest.approx(np.mean(y == k))
    assert len(axes.collections) == len(axes.lines) == 3  # bands, lines


def test_groups_without_a_value_are_left_out() -> None:
    scored = {"group": "0", "n": 20, "auc": 0.7, "auc_low": 0.6, "auc_high": 0.8}
    columns = {"sex": [scored, {"group": "1", "n": 3, "auc": None}]}
    (axes,) = figures.subgroup_figure(columns, "auc", "AUC", 0.65).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sex 0 (n = 20)"]
    assert [float(line.get_xdata()[0]) for line in axes.lines] == [0.6, 0.7, 0.65]


def _person(start_minute: int | None, attention: np.ndarray) -> Person:
    activity = np.zeros(2 * 1440, dtype=np.float32)
    activity[600:660] = 100  # the eleventh hour of the window
    activity[0] = np.nan
    return Person("Most certain", 2, 0, 1, start_minute, activity, attention)


@pytest.mark.parametrize(("start_minute", "hour", "days"), [(0, 10, 2), (None, 10, 2), (720, 22, 3)])
def test_a_week_is_laid_by_the_clock(start_minute: int | None, hour: int, days: int) -> None:
    person = _person(start_minute, np.r_[np.full(33, 1.0), 5.0, np.full(126, 1.0)].astype(np.float32))  # patches of 18
    assert int(np.nanargmax(hourly(person.activity, person.clock))) == hour
    (axes,) = week_figure(person, "title").axes
    assert len(axes.get_yticks()) == len(axes.lines) == days
    top = axes.lines[0]
    highest = float(np.asarray(top.get_xdata())[np.nanargmin(np.asarray(top.get_ydata()))])
    assert highest == pytest.approx(hour, abs=0.5)  # the patch from minute 594
    assert axes.get_xlabel() == ("Hours from the start of the window" if start_minute is None else "Clock time")


def test_a_week_without_attention_or_movement() -> None:
    person = Person("Most certain", 2, 0, 1, 0, np.zeros(1440, dtype=np.float32), np.zeros(0, dtype=np.float32))
    (axes,) = week_figure(person, "title").axes
    assert not axes.lines


def test_no_two_groups_of_an_embedding_look_alike() -> None:
    """A column may have ten values, and some of them none."""
    rng = np.random.default_rng(0)
    drawn = Embedding(1, (0.6, 0.2), {"PCA": rng.normal(size=(22, 2))}, {"edu": np.arange(22) % 11})
    lines = embedding_figure([drawn], "PCA", "edu", [str(k) for k in range(11)]).axes[0].lines
    assert len({(line.get_marker(), line.get_color()) for line in lines}) == len(lines) == 11
