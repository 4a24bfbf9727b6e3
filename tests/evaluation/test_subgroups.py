from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.errors import CohortError
from pat_keras.evaluation import metrics
from pat_keras.evaluation.experiment import finetune
from pat_keras.evaluation.subgroups import by_subgroup, groups_of
from tests.small import small_cohort, small_config


def _cohort(**columns: object) -> Cohort:
    n = len(next(iter(columns.values())))  # type: ignore[arg-type]
    table = pl.DataFrame({"participant_id": [f"p{number:03d}" for number in range(n)], **columns})
    return Cohort(np.ones((n, 10)), table)


def _members(cohort: Cohort, column: str) -> dict[str, list[object]]:
    """Values of each group's people."""
    groups = groups_of(cohort, column)
    found: dict[str, list[object]] = {name: [] for name in groups.names}
    for name, value in cohort.table.select("participant_id", column).iter_rows():
        found[groups.names[groups.of_person[name]]].append(value)
    return found


def test_ages_are_cut_at_the_birthdays() -> None:
    ages = [12.0, 17.9, 18, 25, 30, 39, 39.9, 40, 59, 60, 85, None]
    assert _members(_cohort(age=ages), "age") == {
        "<18": [12.0, 17.9],
        "18-39": [18, 25, 30, 39, 39.9],
        "40-59": [40, 59],
        "60+": [60, 85],
        "missing": [None],
    }
    adults = _members(_cohort(age=[float(age) for age in range(20, 50)]), "age")
    assert list(adults) == ["18-39", "40-59"]


def test_other_numbers_are_cut_at_their_thirds() -> None:
    values = np.random.default_rng(0).normal(27, 5, 300)
    found = _members(_cohort(bmi=values), "bmi")
    assert [len(people) for people in found.values()] == pytest.approx([100] * 3, abs=6)
    low, middle, high = found
    edge, other = float(low[1:]), float(high[2:])
    assert middle == f"{edge:g} to <{other:g}"
    assert max(found[low]) < edge <= min(found[middle]) and max(found[middle]) < other <= min(found[high])


def test_few_values_texts_and_truth() -> None:
    assert _members(_cohort(sex=[2, 1, 2, None]), "sex") == {"1": [1], "2": [2, 2], "missing": [None]}
    assert _members(_cohort(site=["b", None, "a"]), "site") == {"a": ["a"], "b": ["b"], "missing": [None]}
    assert _members(_cohort(smokes=[True, False, True]), "smokes") == {"false": [False], "true": [True, True]}


def test_numbers_of_32_bits_are_named_as_they_were_written() -> None:
    """pandas and R write such columns; 0.1 of 32 bits is 0.10000000149011612."""
    near = float(np.nextafter(np.float32(0.7), np.float32(1)))
    for values in ([0.1, 0.7, None, 0.1, 2.0, near], [0.1, 0.7, None, 0.1, 2.0, near] * 9):
        cohort = _cohort(dose=pl.Series(values, dtype=pl.Float32))
        groups = groups_of(cohort, "dose")
        assert groups.names == ["0.1", "0.7", "0.70000005", "2", "missing"]
        assert [len(people) for people in _members(cohort, "dose").values()] == [
            len(values) // 6 * count for count in (2, 1, 1, 1, 1)
        ]
    # Of bands, the names say who is in them: 0.9 of 32 bits is less than 0.9.
    many = pl.Series([*np.repeat(np.arange(1, 13) / 10, 5), 1.3], dtype=pl.Float32)
    found = _members(_cohort(dose=many), "dose")
    assert list(found) == ["<0.5", "0.5 to <0.9", ">=0.9"]
    assert [len(people) for people in found.values()] == [20, 20, 21]
    assert "dose: 0.1: 2 people, 0.7: 1 people" in _cohort(dose=pl.Series([0.1, 0.7, 0.1], dtype=pl.Float32)).describe()


def test_the_word_missing_is_a_value_like_others() -> None:
    cohort = _cohort(smoker=["missing", "no", None])
    assert _members(cohort, "smoker") == {"missing": ["missing"], "no": ["no"], "no value": [None]}
    assert groups_of(cohort, "smoker").known == ["missing", "no"]
    full = groups_of(_cohort(smoker=["no", "missing"]), "smoker")
    assert full.known == full.names == ["missing", "no"]


def test_columns_that_make_no_groups() -> None:
    with pytest.raises(CohortError, match="found no column 'height', expected some of the cohort's: sex"):
        groups_of(_cohort(sex=[1, 2]), "height")
    with pytest.raises(CohortError, match="'name' has 12 different texts, expected at most 10"):
        groups_of(_cohort(name=[chr(65 + number) for number in range(12)]), "name")
    table = pl.DataFrame({"participant_id": ["a", "a", "b"], "weekday": [1, 2, 1]})
    with pytest.raises(CohortError, match="1 people have windows with different values of 'weekday'"):
        groups_of(Cohort(np.ones((3, 10)), table), "weekday")


def test_results_of_a_group_are_those_of_its_people_and_small_groups_give_none() -> None:
    rng = np.random.default_rng(0)
    n = 120
    site = np.repeat(["large", "few of a class", "small"], [70, 42, 8])
    y = (rng.random(n) < 0.4).astype(float)
    y[70:112] = np.arange(42) < 4
    p = 1 / (1 + np.exp(-rng.normal(y, 1)))
    cohort = _cohort(site=site)
    threshold = np.where(np.arange(n) % 2, 0.4, 0.6)
    found = by_subgroup(groups_of(cohort, "site"), "binary", cohort.participant_id, y, p, threshold, seed=3)
    results = {one.pop("group"): one for one in found}
    assert results["large"] == metrics.evaluate("binary", y[:70], p[:70], threshold[:70], seed=3)
    assert results["large"]["auc_low"] < results["large"]["auc"] < results["large"]["auc_high"]
    few = results["few of a class"]
    assert (few["n"], few["n_positive"], few["auc"]) == (42, 4, None)
    assert few["reasons"]["auc"] == "4 people of class 1, fewer than 5"
    assert results["small"]["reasons"]["auc"] == "8 people, fewer than 10"


def test_a_class_is_named_by_its_label() -> None:
    cohort = _cohort(site=[1000001.0] * 20 + [1000002.0] * 20)
    y = np.array([0.0] * 16 + [1.0] * 4 + [0.0, 1.0] * 10)
    p = np.full((40, 2), 0.5)
    groups, people = groups_of(cohort, "site"), cohort.participant_id
    found = by_subgroup(groups, "multiclass", people, y, p, None, seed=0, classes=[3.0, 1000001.0])
    assert [one["group"] for one in found] == ["1000001", "1000002"]
    assert found[0]["reasons"]["auc"] == "4 people of class 1000001, fewer than 5"


def test_an_experiment_gives_them_and_asks_for_columns_that_are_there(tmp_path) -> None:
    cohort = small_cohort(n_people=60, windows=1)
    person = pl.col("participant_id").rank("dense")
    cohort = cohort.with_columns((person % 2).alias("sex"), (20 + person).alias("age"))
    config = small_config(epochs=1, split="kfold", folds=3, subgroups=("sex", "age"))
    result = finetune(cohort, "label", config, out=tmp_path / "run")
    assert result.folder is not None
    written = json.loads((result.folder / "metrics.json").read_text())["subgroups"]
    assert [one["group"] for one in written["sex"]] == ["0", "1"]
    assert [(one["group"], one["n"]) for one in written["age"]] == [("18-39", 19), ("40-59", 20), ("60+", 21)]
    assert sum(one["n"] for one in written["sex"]) == 60
    page = (result.folder / "report.html").read_text()
    assert "Subgroups" in page and "40-59" in page
    with pytest.raises(CohortError, match="found no column 'height'"):
        finetune(cohort, "label", small_config(subgroups=("height",)), out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
