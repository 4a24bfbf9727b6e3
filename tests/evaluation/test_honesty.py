"""Where there is nothing to find, nothing is found: the 95 % interval of the AUC holds 0.5 as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.honesty import simulate, summary


@pytest.mark.parametrize("split", ["holdout", "kfold"])
def test_chance_is_seen_to_be_chance(split: str) -> None:
    numbers = summary([simulate(split, seed) for seed in range(20)])
    assert numbers["covered"] >= 0.8
    assert numbers["auc"] == pytest.approx(0.5, abs=4 * numbers["auc_error"])


@pytest.mark.slow
@pytest.mark.parametrize("split", ["holdout", "kfold"])
def test_chance_is_seen_to_be_chance_in_200_experiments(split: str) -> None:
    numbers = summary([simulate(split, seed) for seed in range(200)])
    assert numbers["covered"] >= 0.93
    if split == "kfold":
        assert numbers["covered_within"] >= 0.92
        assert numbers["within"] == pytest.approx(0.5, abs=3 * numbers["within_error"])


def test_leaving_one_out_does_not_tell_whom_by_the_shares_of_the_classes() -> None:
    """A model that learns the share of a class alone: naively, cases have one case less among the others."""
    naive = [simulate("kfold", seed, n_people=24, inverse_penalty=1e-6, folds=24).auc for seed in range(3)]
    ours = [simulate("leave_one_out", seed, n_people=24, inverse_penalty=1e-6).auc for seed in range(3)]
    assert np.mean(naive) < 0.1
    assert np.mean(ours) > 0.25
