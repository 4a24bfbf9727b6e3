"""A cell's computation: who is learned from, and by which threshold people are called positive."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pat_keras.data.cohort import Cohort
from pat_keras.errors import RunError
from pat_keras.evaluation.benchmark import plan
from pat_keras.evaluation.benchmark.compute import compute_cell, seen_by_pretraining
from pat_keras.evaluation.benchmark.config import BenchmarkConfig
from pat_keras.evaluation.benchmark.plan import Source, plan_cells
from pat_keras.evaluation.benchmark.tables import notes
from pat_keras.models.baselines import make_baseline
from tests.evaluation.benchmark.generate import FAST, write_benchmark
from tests.small import small_cohort, small_config

TEXT = """
data = "small.parquet"
seeds = [0, 1]
[split]
test_fraction = 0.3
[settings]
recalibration = "none"
[[tasks]]
name = "label"
seeds = [1]
[[models]]
name = "train"
baseline = "simple_logistic"
[[models]]
name = "both"
baseline = "simple_logistic"
threshold = 0.5
fit_on_validation = true
"""


def test_validation_people_are_learned_from_where_they_decide_nothing(tmp_path: pathlib.Path) -> None:
    cohort = small_cohort(40, windows=1)
    config = BenchmarkConfig.read(write_benchmark(tmp_path, TEXT, cohort))
    source = Source()
    train, both = plan_cells(config, source)
    assert train.seed == both.seed == 1 and train.definition != both.definition
    data, split = source.labelled(both.task, both.config), source.splits(both.task, both.config)[0]
    for cell, learned in ((train, split.train), (both, np.concatenate([split.train, split.validation]))):
        result = compute_cell(cell, source)
        assert result.account["people"] == {
            "train": len(learned),
            "validation": len(split.validation),
            "test": len(split.test),
        }
        alone = make_baseline("simple_logistic", seed=1)
        alone.fit(data.activity[learned], data.y[learned], data.participant_id[learned])
        np.testing.assert_allclose(result.test.score, alone.predict_proba(data.activity[split.test]), rtol=1e-6)
    assert compute_cell(both, source).account["threshold"] == 0.5


def test_a_baseline_needs_no_network() -> None:
    """A worker that computes baselines alone starts without what takes seconds and hundreds of megabytes."""
    program = (
        "import sys, pat_keras.evaluation.benchmark.compute, pat_keras.evaluation.baseline\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'h5py'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_people_whom_pretraining_saw_are_counted_and_named(tmp_path: pathlib.Path) -> None:
    small = small_cohort(40, windows=1)
    survey = Cohort(small.activity, small.table, {**small.metadata, "source": "NHANES 2005-2006"})
    network = '[[models]]\nname = "PAT"\nsettings = { weights = "pat_small_nhanes2005" }\n'
    config = BenchmarkConfig.read(write_benchmark(tmp_path, TEXT + network, survey))
    source = Source()
    *baselines, cell = plan_cells(config, source)
    data, split = source.labelled(cell.task, cell.config), source.splits(cell.task, cell.config)[0]
    assert seen_by_pretraining(cell, data, split) == len(split.test) > 0
    assert [seen_by_pretraining(cell, data, split) for cell in baselines] == [0, 0]
    rows = [{"model": "PAT", "baseline": False, "seen_in_pretraining": 12}]
    rows[0] |= {"against_reference": None, "against_baseline": None}
    said = notes({"paper_source": None, "kind": "binary", "folds": 1, "rows": rows})
    assert said[0].startswith("PAT: 12 of the people tested were in the pretraining")
    rows[0]["seen_in_pretraining"] = 0
    assert not notes({"paper_source": None, "kind": "binary", "folds": 1, "rows": rows})


def test_a_cell_depends_on_what_is_in_the_folder_of_a_pretraining(tmp_path) -> None:
    """Pretrained again under the same name, a cell of the old weights is not done."""
    found = []
    for number in (1, 2):
        plan._planned_weights.cache_clear()  # of another process
        (tmp_path / "encoder.keras").write_bytes(bytes([number]))
        found.append(plan._defining(small_config(weights=str(tmp_path)), False)["weights"])
    assert found[0] != found[1]


def test_weights_replaced_between_plan_and_cell(tmp_path) -> None:
    """A long job must not file what started from other weights under the hash of those it planned with."""
    weights = tmp_path / "start.h5"
    weights.write_bytes(b"1")
    text = FAST.replace("epochs = 1", 'epochs = 1\nweights = "start.h5"').replace('{model = "cnn1d"}', "{}")
    config = BenchmarkConfig.read(write_benchmark(tmp_path, text, small_cohort(40, windows=1)))
    cell = next(cell for cell in plan_cells(config, Source()) if not cell.model.baseline)
    weights.write_bytes(b"2")
    with pytest.raises(RunError, match=r"start\.h5 are not those that were planned"):
        compute_cell(cell, Source())
