"""Fine-tuning on windows with missing minutes."""

from __future__ import annotations

import numpy as np
import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.simulate import simulate_cohort
from pat_keras.errors import CohortError
from pat_keras.evaluation.experiment import finetune
from pat_keras.evaluation.predict import predict
from pat_keras.training.start import check_start


def cohort_with_gaps(whole_day: bool = False) -> Cohort:
    cohort = simulate_cohort(n_people=30, days=2, seed=1)
    activity = cohort.activity.copy()
    activity[::3, 100:400] = np.nan
    if whole_day:
        activity[4] = np.nan
    return Cohort(activity, cohort.table, cohort.metadata)


@pytest.mark.parametrize("mode", ["full", "linear_probe", "logistic_probe"])
def test_masked_minutes_are_learned_around_and_predicted_around(mode: str, tmp_path) -> None:
    by_steps = {} if mode == "logistic_probe" else {"epochs": 1}
    config = FinetuneConfig(missing="mask", mode=mode, pooling="mean_std", baseline=True, **by_steps)
    cohort = cohort_with_gaps()
    result = finetune(cohort, "label", config, out=tmp_path / "run")
    held = result.predictions["probability"].to_numpy()
    assert np.isfinite(held).all()
    again = predict(tmp_path / "run", cohort, say=lambda message: None).windows
    rows = result.predictions.join(again, on=["participant_id", "window"], suffix="_again")
    np.testing.assert_allclose(rows["probability_again"].to_numpy(), rows["probability"].to_numpy(), atol=1e-6)


def test_missing_minutes_are_refused_unless_masked(tmp_path) -> None:
    with pytest.raises(CohortError, match=r"10 of 30 labelled windows have missing minutes \(3000 in all\).*mask"):
        finetune(cohort_with_gaps(), "label", FinetuneConfig(epochs=1), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_window_without_a_known_patch_is_known_before_training() -> None:
    config, cohort = FinetuneConfig(missing="mask"), cohort_with_gaps(whole_day=True)
    with pytest.raises(CohortError, match="1 of 30 windows have no patch of 18 minutes"):
        check_start(config, cohort.length, cohort.activity)
    check_start(config, cohort.length, np.delete(cohort.activity, 4, axis=0))


def test_a_window_without_a_known_patch_is_an_error() -> None:
    config = FinetuneConfig(missing="mask", epochs=1, baseline=False, standardize="cohort")
    with pytest.raises(CohortError, match="1 of 30 windows have no patch of 18 minutes"):
        finetune(cohort_with_gaps(whole_day=True), "label", config)
