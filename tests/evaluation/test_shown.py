"""What a run keeps of single test people: the right ones, without their names, and nothing if nobody is to be shown."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pat_keras.checkpoints.store import load_state
from pat_keras.config import EncoderConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.standardize import Standardizer
from pat_keras.errors import CohortError, ConfigError
from pat_keras.evaluation.attention import attention_profile
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.individuals import FILE, load_individuals
from pat_keras.evaluation.protocols import labelled_data, make_splits
from pat_keras.evaluation.scoring import predictions_table
from pat_keras.evaluation.shown import gather
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.networks import BaselineNetwork
from tests.small import small_cohort, small_config


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort(n_people=30)


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory) -> Result:
    config = small_config(epochs=1, split="kfold", folds=2, validation_fraction=0.3)
    out = tmp_path_factory.mktemp("runs") / "run"
    return finetune(cohort, "label", config, out=out, report_people=2, report_columns=["level"])


def test_the_line_the_week_and_the_attention_are_of_one_person(cohort, run) -> None:
    found = load_individuals(run.folder)
    assert found is not None
    assert len(found.people) >= 4
    table = pl.read_csv(run.folder / "predictions.csv")
    tested = sorted(set(table.filter(pl.col("part") == "test")["participant_id"]))
    for person in found.people:
        row = table.row(person.line - 2, named=True)
        assert row["part"] == "test"
        assert row["participant_id"] == tested[person.place]
        own = (cohort.participant_id == row["participant_id"]) & (cohort.table["window"].to_numpy() == row["window"])
        np.testing.assert_array_equal(person.activity, cohort.activity[own][0])
        model = run.models[row["fold"] - 1]
        np.testing.assert_allclose(person.attention, attention_profile(model, cohort.activity[own])[0], atol=1e-6)


def test_embeddings_are_of_each_folds_test_people(cohort, run) -> None:
    found = load_individuals(run.folder)
    assert found is not None
    assert [embedding.fold for embedding in found.embeddings] == [1, 2]
    assert sum(len(embedding.positions["PCA"]) for embedding in found.embeddings) == 30
    assert found.names == {"label": ["0", "1"], "level": ["0", "1", "2"]}
    positives = sum(int((embedding.groups["label"] == 1).sum()) for embedding in found.embeddings)
    assert positives == len(set(cohort.participant_id[cohort.label("label") == 1]))


def test_no_ids_are_kept(cohort, run) -> None:
    arrays, meta = load_state(run.folder / FILE)
    assert all(array.dtype.kind in "fi" for array in arrays.values())
    assert not any(name in str(meta) for name in cohort.participant_id.tolist())
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Single people" in text
    assert not any(name in text for name in cohort.participant_id.tolist())


def test_a_report_without_single_people(cohort, run, tmp_path) -> None:
    """Resuming a finished run with other flags writes its report again, and takes away what is not to be kept."""
    config = small_config(epochs=1, split="kfold", folds=2, validation_fraction=0.3)
    finetune(cohort, "label", config, out=run.folder, resume=True, report_people=0)
    assert not (run.folder / FILE).exists()
    assert "Single people" not in (run.folder / "report.html").read_text(encoding="utf-8")
    finetune(cohort, "label", config, out=run.folder, resume=True, report_people=2, report_columns=["level"])
    assert load_individuals(run.folder) is not None


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(cohort, task: str) -> None:
    """Of a model that has not been trained, which is as good here."""
    label = {"multiclass": "level", "regression": "score"}[task]
    config = small_config(task=task, test_fraction=0.3, validation_fraction=0.3)
    data = labelled_data(cohort, label, config, print)
    (split,) = make_splits(data, config)
    model = PATClassifier(EncoderConfig.small(), task=task, num_classes=3 if task == "multiclass" else 2)
    model = model.taking_raw(Standardizer.fit(data.activity, "cohort"))
    scores = model.predict_proba(data.activity) if task == "multiclass" else model.predict_logits(data.activity)
    table = predictions_table(
        data, split, 1, {"validation": scores[split.validation], "test": scores[split.test]}, task
    )
    found = gather(data, [split], [model], table, {"task": task, "test": {}}, 1, [label], seed=0)
    assert len(found.people) >= 2
    assert len(found.names[label]) == 3  # three classes, or bands at the thirds
    tested = sorted(set(data.participant_id[split.test].tolist()))
    for person in found.people:
        assert table["participant_id"][person.line - 2] == tested[person.place]


def test_networks_without_attention_have_weeks_alone(cohort) -> None:
    config = small_config(test_fraction=0.3, validation_fraction=0.3)
    data = labelled_data(cohort, "label", config, print)
    (split,) = make_splits(data, config)
    model = BaselineNetwork("cnn1d", length=cohort.length)
    scores = {part: np.full((len(getattr(split, part)), 2), 0.4) for part in ("validation", "test")}
    table = predictions_table(data, split, 1, scores, "binary")
    found = gather(data, [split], [model], table, {"task": "binary", "test": {"threshold": 0.5}}, 1, ["label"], seed=0)
    assert found.people
    assert all(len(person.attention) == 0 for person in found.people)
    assert found.embeddings == []


def test_what_cannot_be_shown_is_known_before_training(cohort, tmp_path) -> None:
    with pytest.raises(ConfigError, match="report_people is -1"):
        finetune(cohort, "label", small_config(), out=tmp_path / "run", report_people=-1)
    with pytest.raises(CohortError, match=r"report_columns, 'shoe_size'.*level"):
        finetune(cohort, "label", small_config(), out=tmp_path / "run", report_columns=["shoe_size"])
    assert not (tmp_path / "run").exists()
