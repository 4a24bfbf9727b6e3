"""People to train on, and who of them is in which part, where a module has none of its own."""

from __future__ import annotations

import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split, holdout
from tests.small import small_cohort


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort()


@pytest.fixture(scope="module")
def split(cohort) -> Split:
    y = cohort.label("label")
    return holdout(cohort.participant_id, y, validation_fraction=0.25, test_fraction=0.25, seed=0, task="binary")
