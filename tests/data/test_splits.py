"""Splits: nobody in two parts, everybody in one, classes alike, and the same again under the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pat_keras.data.people import PeopleList
from pat_keras.data.splits import PARTS, Split, check_disjoint, from_column, from_list, holdout, kfold, leave_one_out
from pat_keras.errors import CohortError, LabelError


def people(sizes: list[int], seed: int = 0, most_windows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Windows in random order, of `sizes[c]` people of class c."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    ids = np.array([f"p{number:04d}" for number in rng.permutation(len(label))])
    row = rng.permutation(np.repeat(np.arange(len(label)), rng.integers(1, most_windows + 1, len(label))))
    return ids[row], label[row].astype(float)


def in_part(split: Split, ids: np.ndarray) -> dict[str, set[str]]:
    return {part: set(ids[getattr(split, part)].tolist()) for part in PARTS}


cohorts = st.builds(
    people,
    st.lists(st.integers(3, 25), min_size=2, max_size=4),
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
)
fractions = st.floats(0.05, 0.6)


@settings(max_examples=60, deadline=None)
@given(cohorts, fractions, fractions, st.integers(0, 10))
def test_holdout_puts_everybody_into_one_part(
    cohort: tuple[np.ndarray, np.ndarray], validation: float, test: float, seed: int
) -> None:
    ids, y = cohort
    split = holdout(ids, y, validation_fraction=validation, test_fraction=test, seed=seed)
    windows = np.concatenate([split.train, split.validation, split.test])
    assert np.array_equal(np.sort(windows), np.arange(len(ids)))
    assert sum(len(names) for names in in_part(split, ids).values()) == np.unique(ids).size
    for part in PARTS:
        assert set(y[getattr(split, part)]) == set(y)  # every class in every part
        assert np.all(np.diff(getattr(split, part)) > 0)


@settings(max_examples=60, deadline=None)
@given(cohorts, st.integers(2, 5), st.sampled_from([0.0, 0.2, 0.5]), st.integers(0, 10))
def test_kfold_tests_everybody_once(
    cohort: tuple[np.ndarray, np.ndarray], folds: int, validation: float, seed: int
) -> None:
    ids, y = cohort
    counts = [np.unique(ids[y == value]).size for value in np.unique(y)]
    try:
        splits = kfold(ids, y, folds=folds, validation_fraction=validation, seed=seed)
    except LabelError:
        assert min(counts) < folds + (folds == 2 and validation > 0) * 2
        return
    tested = np.concatenate([split.test for split in splits])
    assert np.array_equal(np.sort(tested), np.arange(len(ids)))
    n_tested = [len(in_part(split, ids)["test"]) for split in splits]
    assert max(n_tested) - min(n_tested) <= 1
    for split in splits:
        check_disjoint(split, ids)
        assert np.array_equal(np.sort(np.concatenate([split.train, split.validation, split.test])), np.arange(len(ids)))
        for part in PARTS if validation else ("train", "test"):
            assert set(y[getattr(split, part)]) == set(y)
        for value, count in zip(np.unique(y), counts, strict=True):
            n_class = np.unique(ids[split.test][y[split.test] == value]).size
            assert count // folds <= n_class <= -(-count // folds)


def test_sizes_and_classes_are_what_was_asked_for() -> None:
    ids, y = people([300, 100])
    split = holdout(ids, y, validation_fraction=0.2, test_fraction=0.25, seed=1)
    found = {part: len(names) for part, names in in_part(split, ids).items()}
    assert found == {"train": 240, "validation": 60, "test": 100}
    positive = {part: np.unique(ids[getattr(split, part)][y[getattr(split, part)] == 1]).size for part in PARTS}
    assert positive == {"train": 60, "validation": 15, "test": 25}


def test_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    ids, y = people([30, 20])
    order = np.random.default_rng(5).permutation(len(ids))
    first = in_part(holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=3), ids)
    again = in_part(holdout(ids[order], y[order], validation_fraction=0.2, test_fraction=0.2, seed=3), ids[order])
    other = in_part(holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=4), ids)
    assert first == again != other
    folds = [in_part(split, ids) for split in kfold(ids, y, folds=5, validation_fraction=0.2, seed=3)]
    assert folds == [
        in_part(split, ids[order]) for split in kfold(ids[order], y[order], folds=5, validation_fraction=0.2, seed=3)
    ]
    assert len({frozenset(fold["validation"]) for fold in folds}) == 5


def test_every_person_is_drawn_about_equally_often() -> None:
    ids, y = people([12, 8], most_windows=1)
    drawn = np.zeros(len(ids))
    for seed in range(400):
        drawn[holdout(ids, y, validation_fraction=0, test_fraction=0.3, seed=seed).test] += 1
    np.testing.assert_allclose(drawn / 400, 0.3, atol=0.1)


def test_leave_one_participant_out() -> None:
    ids, y = people([6, 5])
    splits = kfold(ids, y, folds=11, validation_fraction=0.2, seed=0)
    assert sorted(name for split in splits for name in in_part(split, ids)["test"]) == sorted(set(ids.tolist()))


@settings(max_examples=30, deadline=None)
@given(cohorts, st.sampled_from([0.0, 0.2, 0.5]), st.integers(0, 10))
def test_leave_one_out_tests_everybody_once_beside_the_same_numbers_of_each_class(
    cohort: tuple[np.ndarray, np.ndarray], validation: float, seed: int
) -> None:
    ids, y = cohort
    splits = leave_one_out(ids, y, validation_fraction=validation, seed=seed)
    assert np.array_equal(np.sort(np.concatenate([split.test for split in splits])), np.arange(len(ids)))
    numbers = set()
    for split in splits:
        names = in_part(split, ids)
        assert len(names["test"]) == 1
        learned = names["train"] | names["validation"]
        numbers.add(tuple(np.unique(ids[np.isin(ids, list(learned)) & (y == value)]).size for value in np.unique(y)))
        assert len(learned) == np.unique(ids).size - len(np.unique(y))
        assert sum(split.left_out.values()) == len(np.unique(y)) - 1
        for part in ("train", "validation") if validation else ("train",):
            assert set(y[getattr(split, part)]) == set(y)
    assert len(numbers) == 1  # whoever is tested, the shares of the classes tell nothing about them


def test_leave_one_out_of_values_leaves_one_out() -> None:
    ids, y = np.array([f"p{number:02d}" for number in range(30)]), np.linspace(0, 1, 30)
    for split in leave_one_out(ids, y, validation_fraction=0.2, seed=0, task="regression"):
        assert len(split.train) + len(split.validation) == 29 and not split.left_out
    with pytest.raises(LabelError, match="2 people with 1; expected at least 3"):
        leave_one_out(ids[:6], np.array([0, 0, 0, 0, 1, 1.0]), validation_fraction=0.2, seed=0)


def _list(test: list[str], validation: list[str] | None = None, shipped: bool = False) -> PeopleList:
    return PeopleList(tuple(test), tuple(validation or ()), "my list", shipped)


def test_a_list_says_who_is_tested() -> None:
    ids, y = people([40, 20])
    listed = [f"p{number:04d}" for number in range(12)]
    one, other = (from_list(ids, y, _list(listed), validation_fraction=0.25, seed=seed) for seed in (0, 1))
    for split in (one, other):
        assert in_part(split, ids)["test"] == set(listed) and not split.left_out
        assert len(in_part(split, ids)["validation"]) == 12 and len(in_part(split, ids)["train"]) == 36
    assert in_part(one, ids)["validation"] != in_part(other, ids)["validation"]
    given = from_list(ids, y, _list(listed, ["p0020", "p0021"]), validation_fraction=0.25, seed=0)
    assert in_part(given, ids)["validation"] == {"p0020", "p0021"} and len(in_part(given, ids)["train"]) == 46


def test_who_shares_recordings_with_somebody_on_a_list_is_left_out() -> None:
    ids, y = people([40, 20], most_windows=2)
    group = np.where(np.isin(ids, ["p0000", "p0030", "p0031"]), "one recording", ids)
    group = np.where(np.isin(ids, ["p0020", "p0040"]), "another", group)
    split = from_list(ids, y, _list(["p0000", "p0001"]), validation_fraction=0.2, seed=0, group=group)
    parts = in_part(split, ids)
    assert not any({"p0030", "p0031"} & names for names in parts.values())
    assert split.left_out == {"share recordings with somebody on the list": 2}
    assert any({"p0020", "p0040"} <= names for names in parts.values())  # drawn together
    given = from_list(
        ids, y, _list(["p0000", "p0031"], ["p0020", "p0030"]), validation_fraction=0.2, seed=0, group=group
    )
    parts = in_part(given, ids)
    assert parts["test"] == {"p0000", "p0031"} and parts["validation"] == {"p0020"}
    assert given.left_out == {"share recordings with somebody on the list": 2}  # p0030 and p0040


def test_the_title_of_a_list_is_nobody() -> None:
    ids, y = people([10, 10])
    split = from_list(ids, y, _list(["id", "p0000", "p0011"]), validation_fraction=0.2, seed=0)
    assert in_part(split, ids)["test"] == {"p0000", "p0011"} and not split.left_out
    with pytest.raises(CohortError, match="1 of 3 ids are of nobody"):
        from_list(ids, y, _list(["x1", "p0000", "p0011"]), validation_fraction=0.2, seed=0)
    called = from_list(ids, y, _list(["id", "p0000"]), validation_fraction=0.2, seed=0, known={"id"})
    assert called.left_out == {"on the list, without a window or a label here": 1}


def test_ids_of_a_list_that_nobody_has() -> None:
    ids, y = people([10, 10])
    listed = _list(["p0000", "p0001", "x1", "x2"])
    with pytest.raises(CohortError, match=r"2 of 4 ids are of nobody in the cohort \(such as 'x1'"):
        from_list(ids, y, listed, validation_fraction=0.2, seed=0)
    counted = {"on the list, without a window or a label here": 2}
    assert from_list(ids, y, listed, validation_fraction=0.2, seed=0, known={"x1", "x2"}).left_out == counted
    shipped = _list(["p0000", "p0001", "x1", "x2"], shipped=True)
    assert from_list(ids, y, shipped, validation_fraction=0.2, seed=0).left_out == counted
    with pytest.raises(CohortError, match=r"nobody on the list is among the 20 people .*, here are such as '"):
        from_list(ids, y, _list(["x1"], shipped=True), validation_fraction=0.2, seed=0)
    with pytest.raises(CohortError, match="nobody in train"):
        from_list(ids, y, _list(sorted(set(ids))), validation_fraction=0.2, seed=0)


def test_a_person_with_different_labels_counts_as_the_largest() -> None:
    ids = np.repeat([f"p{number}" for number in range(20)], 2)
    y = np.zeros(40)
    y[1:20:2] = 1  # the second window of ten people
    split = holdout(ids, y, validation_fraction=0.0, test_fraction=0.2, seed=0)
    assert y[split.test].sum() == 2 and len(split.test) == 8


@pytest.mark.parametrize("task", [None, "regression"])
def test_values_to_predict_are_spread_alike(task: str | None) -> None:
    rng = np.random.default_rng(0)
    ids = np.array([f"p{number}" for number in range(200)])
    y = rng.normal(50, 15, 200) if task is None else np.round(rng.normal(50, 3, 200))
    for seed in range(5):
        split = holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=seed, task=task)
        assert len(split.test) == 40 and len(split.validation) == 32
        in_fifths = np.histogram(y[split.test], np.quantile(y, np.linspace(0, 1, 6)))[0]
        assert in_fifths.min() >= (5 if task is None else 3)
    few = holdout(ids[:4], y[:4], validation_fraction=0.3, test_fraction=0.3, seed=0, task="regression")
    assert [len(getattr(few, part)) for part in PARTS] == [2, 1, 1]


def test_without_strata_one_class_is_fine() -> None:
    ids = np.array(["a", "b", "c", "d"])
    split = holdout(ids, np.ones(4), validation_fraction=0.3, test_fraction=0.25, seed=0, stratify=False)
    assert [len(getattr(split, part)) for part in PARTS] == [2, 1, 1]


def test_a_given_split() -> None:
    ids = np.array(["a", "a", "b", "c"])
    split = from_column(ids, ["train", "train", "test", "validation"])
    assert [getattr(split, part).tolist() for part in PARTS] == [[0, 1], [3], [2]]
    assert from_column(ids, ["train"] * 4).test.size == 0
    with pytest.raises(CohortError, match=r"1 people are in both train and test \(such as a\)"):
        from_column(ids, ["train", "test", "test", "validation"])
    with pytest.raises(CohortError, match=r"'val', None, expected train, validation, test"):
        from_column(ids, ["train", "train", "val", None])
    with pytest.raises(CohortError, match="nobody in train"):
        from_column(ids, ["test"] * 4)
    with pytest.raises(CohortError, match="2 values for 4 windows"):
        from_column(ids, ["test"] * 2)


def test_who_shares_recordings_with_somebody_in_another_part_of_a_given_split_is_left_out() -> None:
    ids, group = np.array(list("aabcdef")), np.array(list("xxxydzy"))  # a and b, and c and f
    split = from_column(ids, ["train", "train", "test", "train", "train", "test", "validation"], group)
    assert [getattr(split, part).tolist() for part in PARTS] == [[4], [6], [2, 5]]
    assert split.left_out == {"share recordings with somebody in another part": 2}  # a, beside b; c, beside f
    with pytest.raises(CohortError, match="nobody in train"):
        from_column(ids, ["train"] * 2 + ["test"] * 5, group)


def test_check_disjoint_sees_windows_that_are_not_there() -> None:
    nothing = np.array([], dtype=np.int64)
    with pytest.raises(CohortError, match="not among the 3"):
        check_disjoint(Split(np.array([0, 3]), nothing, nothing, "mine"), np.array(["a", "b", "c"]))
    with pytest.raises(CohortError, match="same window twice"):
        check_disjoint(Split(np.array([0, 0]), nothing, nothing, "mine"), np.array(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("sizes", "change", "error", "message"),
    [
        ([9], {}, LabelError, r"one class only \(9 people with 0\)"),
        ([9, 2], {}, LabelError, r"9 people with 0, 2 people with 1; expected at least 3"),
        ([9, 9], {"test_fraction": 1.0}, CohortError, "test_fraction is 1"),
        ([9, 9], {"validation_fraction": -0.1}, CohortError, "validation_fraction is -0.1"),
        ([9, 9], {"task": "survival"}, CohortError, "the task is 'survival'"),
        ([3, 3], {"stratify": False, "test_fraction": 0.01}, CohortError, "nobody for test"),
    ],
)
def test_holdouts_that_cannot_be(
    sizes: list[int], change: dict[str, object], error: type[Exception], message: str
) -> None:
    ids, y = people(sizes)
    arguments = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0, **change}
    with pytest.raises(error, match=message):
        holdout(ids, y, **arguments)  # type: ignore[arg-type]


def test_folds_that_cannot_be() -> None:
    ids, y = people([9, 4])
    for folds in (1, 14):
        with pytest.raises(CohortError, match=f"{folds} folds of 13 people, expected from 2 to 13"):
            kfold(ids, y, folds=folds, validation_fraction=0.2, seed=0)
    with pytest.raises(LabelError, match="4 people with 1; expected at least 5"):
        kfold(ids, y, folds=5, validation_fraction=0.2, seed=0)
    y[3] = np.nan
    with pytest.raises(LabelError, match="are missing"):
        kfold(ids, y, folds=2, validation_fraction=0.2, seed=0)
    with pytest.raises(CohortError, match="one of each a window"):
        kfold(ids, y[1:], folds=2, validation_fraction=0.2, seed=0)
