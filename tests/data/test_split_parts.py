"""Splits made of splits: nested draws of people to learn from, and inner splits that never see the outer test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pat_keras.data.split_parts import inner_splits, take_people
from pat_keras.data.splits import holdout
from pat_keras.errors import CohortError
from tests.data.test_splits import in_part, people


def test_fewer_people_are_nested_keep_their_parts_and_their_shares() -> None:
    ids, y = people([900, 100])
    whole = holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=3)
    sizes = (50, 100, 333, 800)
    found = [take_people(whole, ids, y, size, seed=7) for size in sizes]
    everybody = in_part(whole, ids)
    for size, split in zip(sizes, found, strict=True):
        names = in_part(split, ids)
        assert len(names["train"] | names["validation"]) == size
        assert len(names["validation"]) == pytest.approx(0.2 * size, abs=1.5)
        for part in ("train", "validation"):
            assert names[part] <= everybody[part]
            positive = np.unique(ids[getattr(split, part)][y[getattr(split, part)] == 1]).size
            assert positive == pytest.approx(0.1 * len(names[part]), abs=1.5) and positive >= 1
        np.testing.assert_array_equal(split.test, whole.test)
        assert split.left_out == ({"beyond train_size": 800 - size} if size < 800 else {})
    for smaller, larger in itertools.pairwise(found):
        for part in ("train", "validation"):
            assert in_part(smaller, ids)[part] < in_part(larger, ids)[part]
    np.testing.assert_array_equal(found[-1].train, whole.train)


def test_another_seed_draws_others_and_the_order_of_rows_does_not_matter() -> None:
    ids, y = people([60, 40])
    whole = holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=0)
    one, other = (in_part(take_people(whole, ids, y, 40, seed), ids)["train"] for seed in (0, 1))
    assert one != other
    order = np.random.default_rng(0).permutation(len(ids))
    mixed = holdout(ids[order], y[order], validation_fraction=0.2, test_fraction=0.2, seed=0)
    assert in_part(take_people(mixed, ids[order], y[order], 40, 0), ids[order])["train"] == one


def test_a_rare_class_is_in_every_part_and_too_many_people_are_an_error() -> None:
    ids, y = people([500, 10])
    whole = holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=0)
    few = take_people(whole, ids, y, 20, seed=0)
    for part in ("train", "validation"):
        assert set(y[getattr(few, part)]) == {0, 1}
    with pytest.raises(CohortError, match="408 people are not tested, expected at least the 409 of train_size"):
        take_people(whole, ids, y, 409, seed=0)


def test_values_to_predict_are_taken_from_every_fifth() -> None:
    rng = np.random.default_rng(0)
    ids = np.array([f"p{number:04d}" for number in range(500)])
    y = rng.normal(size=500)
    whole = holdout(ids, y, validation_fraction=0.2, test_fraction=0.2, seed=0, task="regression")
    few = take_people(whole, ids, y, 50, seed=0, task="regression")
    taken = np.histogram(y[np.concatenate([few.train, few.validation])], np.quantile(y, np.linspace(0, 1, 6)))[0]
    assert taken.min() >= 8


@pytest.mark.parametrize("folds", [1, 4])
def test_inner_splits_never_see_the_outer_test(folds: int) -> None:
    ids, y = people([40, 24])
    outer = holdout(ids, y, validation_fraction=0.25, test_fraction=0.25, seed=0)
    inner = inner_splits(outer, ids, y, folds=folds, seed=1)
    assert len(inner) == folds
    tested = in_part(outer, ids)["test"]
    for one in inner:
        names = in_part(one, ids)
        assert all(names[part] and not names[part] & tested for part in names)
        assert not names["train"] & names["validation"] and not names["test"] & (names["train"] | names["validation"])
        for part in names:
            assert set(y[getattr(one, part)]) == {0, 1}
    scored = np.sort(np.concatenate([one.test for one in inner]))
    expected = outer.validation if folds == 1 else np.sort(np.concatenate([outer.train, outer.validation]))
    np.testing.assert_array_equal(scored, expected)


def test_inner_splits_keep_groups_together() -> None:
    ids, y = people([40, 40], most_windows=1)
    group = np.array([f"g{int(name[1:]) // 2}" for name in ids])
    outer = holdout(group, y, validation_fraction=0.25, test_fraction=0.25, seed=0)
    for one in inner_splits(outer, ids, y, folds=3, seed=0, group=group):
        parts = in_part(one, group)
        assert not parts["train"] & parts["test"] and not parts["train"] & parts["validation"]
