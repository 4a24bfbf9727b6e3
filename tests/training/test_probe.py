"""A head that is solved: it is scikit-learn's regression, the encoder stays, and it is saved as any model."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import polars as pl
import pytest
import sklearn.linear_model

import pat_keras as pat
from pat_keras.apps import finetune as command
from pat_keras.config.combinations import without_effect
from pat_keras.data.cohort import Cohort
from pat_keras.data.splits import Split, holdout
from pat_keras.errors import ConfigError, LabelError
from pat_keras.evaluation.metrics import by_participant
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.estimators import INVERSE_PENALTIES
from pat_keras.training.finetune import Fitted, train_split
from pat_keras.training.start import build_encoder
from tests.small import small_cohort

TASKS = (("binary", "label"), ("multiclass", "level"), ("regression", "score"))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort(40)


@pytest.fixture(scope="module")
def split(cohort: Cohort) -> Split:
    y = cohort.label("level")
    return holdout(cohort.participant_id, y, validation_fraction=0.25, test_fraction=0.25, seed=0, task="multiclass")


def config(**changes: Any) -> pat.FinetuneConfig:
    return pat.FinetuneConfig(**{"mode": "logistic_probe", "baseline": False, **changes})


def fit(cohort: Cohort, split: Split, label: str = "label", **changes: Any) -> Fitted:
    return train_split(cohort.activity, cohort.label(label), cohort.participant_id, split, config(**changes))


def pooled(fitted: Fitted, rows: np.ndarray, cohort: Cohort) -> np.ndarray:
    """What the head sees, through the model as Keras runs it."""
    assert isinstance(fitted.model, PATClassifier)
    return keras.ops.convert_to_numpy(fitted.model.pool(cohort.activity[rows])).astype(np.float64)


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@pytest.mark.parametrize(("task", "label"), TASKS)
def test_it_is_the_regression_of_scikit_learn(cohort, split, task: str, label: str, pooling: str) -> None:
    fitted = fit(cohort, split, label, task=task, pooling=pooling, class_weight="none", recalibration="none")
    (row,) = fitted.history
    assert row["stage"] == "probe" and row["inverse_penalty"] in INVERSE_PENALTIES
    x, y = pooled(fitted, split.train, cohort), cohort.label(label)[split.train]
    tested = pooled(fitted, split.test, cohort)
    assert x.shape[1] == (96 if pooling == "mean" else 192)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    z, tested = (x - centre) / spread, (tested - centre) / spread
    if task == "regression":
        model = sklearn.linear_model.Ridge(alpha=1 / row["inverse_penalty"])
        expected = model.fit(z, (y - y.mean()) / y.std()).predict(tested)[:, None] * y.std() + y.mean()
    else:
        model = sklearn.linear_model.LogisticRegression(C=row["inverse_penalty"], max_iter=10_000, tol=1e-8)
        expected = model.fit(z, y).predict_proba(tested)
    np.testing.assert_allclose(fitted.predictions["test"], expected, atol=2e-3 * max(1, np.abs(expected).max()))


def test_the_encoder_stays_and_the_loss_is_least(cohort, split) -> None:
    fitted = fit(cohort, split, recalibration="none")
    keras.utils.set_random_seed(0)
    for before, after in zip(build_encoder(config()).get_weights(), fitted.model.encoder.get_weights(), strict=True):
        assert before.tobytes() == after.tobytes()
    x, y = pooled(fitted, split.train, cohort), cohort.label("label")[split.train]
    weight = np.array([len(y) / (2 * (y == value).sum()) for value in y])
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    kernel, bias = (np.asarray(part, dtype=np.float64) for part in fitted.model.output_layer.get_weights())
    kernel, bias = kernel[:, 0] * x.std(axis=0), bias + x.mean(axis=0) @ kernel

    def loss(kernel: np.ndarray) -> float:
        eta = z @ kernel + bias
        penalty = kernel @ kernel / 2 / fitted.history[0]["inverse_penalty"]
        return float(weight @ (np.logaddexp(0, eta) - y * eta) + penalty)

    rng = np.random.default_rng(0)
    steps = rng.normal(size=(200, len(kernel)))
    steps *= 0.05 * np.linalg.norm(kernel) / np.linalg.norm(steps, axis=1, keepdims=True)
    assert all(loss(kernel) < loss(kernel + step) for step in steps)


def test_people_of_other_parts_are_not_learned_from(cohort, split) -> None:
    kept = cohort.activity.copy()
    others = np.concatenate([split.validation, split.test])
    kept[others] = kept[others][:, ::-1] * 3
    changed = train_split(kept, cohort.label("label"), cohort.participant_id, split, config())
    for mine, other in zip(fit(cohort, split).model.get_weights(), changed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_two_classes_by_their_numbers_are_those_of_yes_and_no(cohort, split) -> None:
    """A multi-class model of two classes has two outputs, scikit-learn's regression one."""
    found = [fit(cohort, split, task=task).predictions["test"] for task in ("binary", "multiclass")]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_class_weights_are_taken_out_of_probabilities(cohort, split) -> None:
    rare = cohort.label("level") == 2
    y = rare.astype(float)
    means = {}
    for kind in ("none", "prior"):
        fitted = train_split(cohort.activity, y, cohort.participant_id, split, config(recalibration=kind))
        means[kind] = fitted.model.predict_proba(cohort.activity[split.train])[:, 1].mean()
    share = rare[split.train].mean()
    assert abs(means["prior"] - share) < 0.05 < means["none"] - share


@pytest.mark.parametrize("class_weight", ["balanced", "none"])
@pytest.mark.parametrize(("task", "label"), TASKS[:2])
def test_probabilities_fit_the_shares_of_people_and_not_of_windows(task: str, label: str, class_weight: str) -> None:
    many = small_cohort(40, windows=5, effect=0.0)
    window = np.arange(many.n_windows) % 5
    kept = many.filter((pl.col("label") == 0) | pl.Series(window == 0))  # cases have one week, the others five
    every = np.arange(kept.n_windows)
    fitted = fit(kept, Split(every, every, np.array([], dtype=int), "all"), label, task=task, class_weight=class_weight)
    people = by_participant(kept.participant_id, kept.label(label), fitted.predictions["validation"])
    shares = np.bincount(people.y.astype(int)) / len(people.y)
    np.testing.assert_allclose(people.score.mean(axis=0), shares, atol=0.05)


def test_a_missing_class_or_a_single_person_is_told(cohort, split) -> None:
    y = cohort.label("level").copy()
    y[np.isin(cohort.participant_id, cohort.participant_id[split.train]) & (y == 1)] = 0
    with pytest.raises(LabelError, match="no training window has class 1"):
        train_split(cohort.activity, y, cohort.participant_id, split, config(task="multiclass"))
    y = np.zeros(len(y))
    y[cohort.participant_id == cohort.participant_id[split.train[0]]] = 1
    with pytest.raises(LabelError, match=r"logistic_probe: the training part has \d+ people, 1 in the smallest"):
        train_split(cohort.activity, y, cohort.participant_id, split, config())


def test_what_is_for_training_by_steps_is_refused_or_named() -> None:
    with pytest.raises(ConfigError, match=r"mixup is 0\.2.*solved at once.*linear_probe"):
        config(mixup=0.2)
    with pytest.raises(ConfigError, match="augment_days is True"):
        config(augment_days=True)
    with pytest.raises(ConfigError, match="unfreeze_epochs is 2"):
        config(unfreeze_epochs=2)
    assert without_effect(config()) == []
    (said,) = without_effect(config(epochs=7))
    assert said.startswith("epochs is 7, which has no effect: mode is 'logistic_probe'")


def test_the_command_makes_an_ordinary_run(tmp_path, cohort, capsys: pytest.CaptureFixture[str]) -> None:
    cohort.write(tmp_path / "small.parquet")
    out, arguments = tmp_path / "run", ["--mode=logistic_probe", "--pooling=mean_std", "--missing=mask"]
    given = ["pat-finetune", f"--data={tmp_path / 'small.parquet'}", f"--out={out}", *arguments]
    assert command.main(given) == 0
    said = capsys.readouterr()
    assert "no effect" not in said.out + said.err
    result = (out / "predictions.csv").read_text()
    again = pat.predict(out, cohort, say=lambda message: None).windows
    model = pat.load_model(out / "model.keras")
    assert (model.head, model.pooling, model.output_layer.kernel.shape) == ("linear", "mean_std", (192, 1))
    kept = pl.read_csv(out / "predictions.csv", schema_overrides={"participant_id": pl.String, "window": pl.Int32})
    both = kept.join(again, on=["participant_id", "window"], suffix="_again")
    assert both.height == kept.height > 0
    np.testing.assert_allclose(both["probability_again"].to_numpy(), both["probability"].to_numpy(), atol=1e-6)
    assert "probe" in (out / "history.csv").read_text()
    page = (out / "report.html").read_text()
    assert "solved, not trained by steps" in page and "Inverse penalty" in page and "Training epochs" not in page
    assert command.main(["pat-finetune", "--resume", f"--out={out}"]) == 0
    assert (out / "predictions.csv").read_text() == result


def test_a_run_of_before_this_setting_can_be_resumed(tmp_path, cohort) -> None:
    own = pat.FinetuneConfig(epochs=1, baseline=False)
    pat.finetune(cohort, "label", own, out=tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    stated = json.loads(path.read_text())
    del stated["pooling"]
    path.write_text(json.dumps(stated))
    pat.finetune(cohort, "label", own, out=tmp_path / "run", resume=True)
    stated["patience"] += 1
    path.write_text(json.dumps(stated))
    with pytest.raises(pat.RunError, match="patience"):
        pat.finetune(cohort, "label", own, out=tmp_path / "run", resume=True)


def test_both_poolings_can_be_trained_whole(cohort, split) -> None:
    fitted = fit(cohort, split, mode="full", pooling="mean_std", epochs=1)
    assert np.isfinite(fitted.predictions["test"]).all()
    assert fitted.model.hidden.kernel.shape == (192, 128)
    with pytest.raises(ConfigError, match="pooled by mean_std"):
        pat.save_official(fitted.model, "never_written.h5")
    with pytest.raises(ConfigError, match="pooling is 'max', expected one of mean, mean_std"):
        PATClassifier(pat.EncoderConfig.small(), pooling="max")
