"""PATEnsemble: exact on disk, refused when damaged, honest about whom its runs tested, and a run for pat-predict."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import polars as pl
import pytest
import sklearn.metrics

from pat_keras.apps.ensemble import main
from pat_keras.config import EncoderConfig
from pat_keras.data.cohort import Cohort
from pat_keras.errors import CheckpointError, ConfigError, PATError, RunError
from pat_keras.evaluation.ensemble import PATEnsemble
from pat_keras.evaluation.ensemble_run import EnsembleResult, combine_runs
from pat_keras.evaluation.experiment import finetune
from pat_keras.evaluation.predict import predict
from pat_keras.evaluation.run_folder import read_run
from pat_keras.models.classifier import PATClassifier
from pat_keras.models.scaling import Standardization
from tests.small import small_cohort, small_config

_SPLIT = {"split_seed": 7, "test_fraction": 0.3, "validation_fraction": 0.4, "epochs": 1}


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort(n_people=30)


@pytest.fixture(scope="module")
def new() -> Cohort:
    return small_cohort(n_people=4, seed=1)


@pytest.fixture(scope="module")
def runs(cohort, tmp_path_factory) -> list[pathlib.Path]:
    """Of two seeds and two embeddings, on one split."""
    folder = tmp_path_factory.mktemp("runs")
    for name, changes in (("seed0", {}), ("seed1", {"seed": 1, "embedding": "conv"})):
        finetune(cohort, "label", small_config(**_SPLIT, **changes), out=folder / name)
    return [folder / "seed0", folder / "seed1"]


@pytest.fixture(scope="module")
def stacked(runs, tmp_path_factory) -> EnsembleResult:
    return combine_runs(runs, tmp_path_factory.mktemp("ensembles") / "stacked", "stack", flags="--combine=stack\n")


# --- predictions ---


def _model(seed: int, task: str = "binary", **settings) -> PATClassifier:
    import keras

    keras.utils.set_random_seed(seed)
    model = PATClassifier(EncoderConfig.small(), task=task, standardization=Standardization("cohort"), **settings)
    model.standardization.set_statistics(np.array([200.0]), np.array([300.0]))
    return model


def test_the_weighted_mean_of_probabilities(new) -> None:
    models = [_model(seed, "multiclass", num_classes=3) for seed in range(2)]
    ensemble = PATEnsemble(models, weights=[0.25, 0.75])
    first, second = (model.predict_proba(new.activity) for model in models)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(ensemble.predict_proba(new.activity), 0.25 * first + 0.75 * second, atol=1e-12)
    np.testing.assert_allclose(PATEnsemble(models).predict_proba(new.activity), (first + second) / 2, atol=1e-12)
    with pytest.raises(ConfigError, match="predict_proba"):
        ensemble.predict(new.activity)


def test_the_weighted_mean_of_values(new) -> None:
    models = [_model(seed, "regression") for seed in range(2)]
    first, second = (model.predict_logits(new.activity)[:, 0].astype(np.float64) for model in models)
    np.testing.assert_allclose(PATEnsemble(models, [0.3, 0.7]).predict(new.activity), 0.3 * first + 0.7 * second)


@pytest.mark.parametrize(
    ("weights", "words"),
    [([0.5, 0.6], "with the sum 1"), ([1.5, -0.5], "at least 0"), ([1.0], "expected 2 numbers"), ([np.nan, 1], "nan")],
)
def test_weights_that_are_none(weights, words: str) -> None:
    models = [_model(0), _model(1)]
    with pytest.raises(ConfigError, match=words):
        PATEnsemble(models, weights)
    with pytest.raises(ConfigError, match=r"binary of 1 outputs and regression of 1"):
        PATEnsemble([models[0], _model(0, "regression")])
    with pytest.raises(ConfigError, match="0 models"):
        PATEnsemble([])


# --- from runs ---


def test_runs_of_other_embeddings_and_seeds(runs, new) -> None:
    found = PATEnsemble.from_runs(runs)
    alone = [predict(run, new).windows["probability"].to_numpy() for run in runs]
    np.testing.assert_allclose(found.predict_proba(new.activity)[:, 1], np.mean(alone, axis=0), atol=1e-6)
    assert found.names == ["seed0", "seed1"]


def test_from_runs_refuses(runs, cohort, tmp_path) -> None:
    regression = finetune(cohort, "score", small_config(**_SPLIT, task="regression", mode="linear_probe"),
                          out=tmp_path / "regression").folder  # fmt: skip
    with pytest.raises(RunError, match=r"the task is 'regression', and that of .*seed0 'binary'"):
        PATEnsemble.from_runs([runs[0], regression])
    with pytest.raises(ConfigError, match="each given once"):
        PATEnsemble.from_runs([runs[0], runs[0]])
    with pytest.raises(ConfigError, match="combine is 'vote'"):
        PATEnsemble.from_runs(runs, "vote")
    with pytest.raises(RunError, match=r"metrics\.json: there is no such file"):
        PATEnsemble.from_runs([runs[0], tmp_path])


# --- on disk ---


@pytest.fixture
def saved(runs, tmp_path) -> pathlib.Path:
    PATEnsemble.from_runs(runs).save(tmp_path / "ensemble")
    return tmp_path / "ensemble"


def test_saved_and_loaded_exactly(runs, saved, new) -> None:
    before, after = PATEnsemble.from_runs(runs), PATEnsemble.load(saved)
    np.testing.assert_array_equal(after.predict_proba(new.activity), before.predict_proba(new.activity))
    assert (after.names, after.weights.tolist(), after.trained_on) == (before.names, [0.5, 0.5], before.trained_on)
    assert after.trained_on.minutes == 1440
    with pytest.raises(RunError, match="already there, and is not replaced"):
        before.save(saved)
    assert [path.name for path in saved.parent.iterdir()] == ["ensemble"]


def test_a_run_for_predict(runs, saved, new) -> None:
    found = predict(saved, new)
    alone = [predict(run, new) for run in runs]
    for table in ("windows", "people"):
        each = [getattr(one, table)["probability"].to_numpy() for one in alone]
        np.testing.assert_allclose(getattr(found, table)["probability"].to_numpy(), np.mean(each, axis=0), atol=1e-6)
    said: list[str] = []
    predict(saved, small_cohort(n_people=30), say=said.append)
    assert "the data that the run was trained on" in said[0]
    with pytest.raises(PATError, match="have 1080 minutes"):
        predict(saved, Cohort(new.activity[:, :1080], new.table, new.metadata))


def test_made_by_hand_it_does_not_know_its_data(saved, new, tmp_path) -> None:
    PATEnsemble(PATEnsemble.load(saved).models).save(tmp_path / "by_hand")
    assert PATEnsemble.load(tmp_path / "by_hand").trained_on is None
    with pytest.raises(RunError, match="does not say what its models were trained on"):
        predict(tmp_path / "by_hand", new)


def _flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _edit(path: pathlib.Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _swap(folder: pathlib.Path) -> None:
    first, second = (folder / "members" / f"00{number}.keras" for number in (1, 2))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def _reweigh(folder: pathlib.Path) -> None:
    members = json.loads((folder / "ensemble.json").read_text())["members"]
    _edit(folder / "ensemble.json", members=[{**members[0], "weight": 1.0}, {**members[1], "weight": 0.0}])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: _flip(f / "members" / "002.keras"), r"002\.keras: found a file with the SHA-256"),
        (lambda f: (f / "members" / "001.keras").write_bytes(b""), r"001\.keras: found a file with the SHA-256"),
        (lambda f: (f / "members" / "001.keras").unlink(), r"001\.keras: there is no such file, expected member 1"),
        (_swap, "expected .*: it is damaged or another one"),
        (_reweigh, "does not have the SHA-256 that it states"),
        (lambda f: (f / "ensemble.json").write_text("{"), "no readable JSON"),
        (lambda f: (f / "ensemble.json").write_text("[]"), "something else than the manifest"),
        (lambda f: (f / "ensemble.json").write_bytes(b"\xff\xfe"), "no readable JSON"),
        (lambda f: _edit(f / "ensemble.json", version=2), "found version 2 of the format, expected 1"),
        (lambda f: _edit(f / "ensemble.json", format="other"), "something else than the manifest"),
        (lambda f: (f / "ensemble.json").unlink(), "there is no such file; expected a folder that PATEnsemble.save"),
    ],
)  # fmt: skip
def test_damaged_or_missing(saved, damage, words: str) -> None:
    damage(saved)
    with pytest.raises(CheckpointError, match=words):
        PATEnsemble.load(saved)


def test_an_interrupted_save_leaves_nothing(runs, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    ensemble = PATEnsemble.from_runs(runs)
    monkeypatch.setattr("pat_keras.evaluation.ensemble._canonical", full)
    with pytest.raises(OSError, match="No space"):
        ensemble.save(tmp_path / "ensemble")
    assert not list(tmp_path.iterdir())


# --- scored ---


def test_the_score_is_of_common_test_people(runs, stacked) -> None:
    """Computed anew from the runs' own predictions and the weights in the file."""
    rows = [read_run(run).predictions.filter(pl.col("part") == "test") for run in runs]
    weights = [member["weight"] for member in stacked.metrics["members"]]
    assert sum(weights) == pytest.approx(1)
    mixed = rows[0].with_columns(probability=weights[0] * rows[0]["probability"] + weights[1] * rows[1]["probability"])
    people = mixed.group_by("participant_id").agg(pl.col("label").first(), pl.col("probability").mean())
    expected = sklearn.metrics.roc_auc_score(people["label"], people["probability"])
    assert stacked.metrics["test"]["auc"] == pytest.approx(expected)
    assert stacked.metrics["test"]["n"] == people.height == 9
    assert "the member that was best on validation people" in stacked.metrics["baseline"]["name"]


def test_weights_come_from_validation_people_alone(runs, tmp_path) -> None:
    """Test people of the runs turned over: the score falls, and no weight moves."""
    turned = []
    for run in runs:
        shutil.copytree(run, tmp_path / run.name)
        turned.append(tmp_path / run.name)
        table = pl.read_csv(run / "predictions.csv", schema_overrides={"participant_id": pl.String})
        tested = pl.col("part") == "test"
        table = table.with_columns(
            label=pl.when(tested).then(1 - pl.col("label")).otherwise("label"),
            probability=pl.when(tested).then(0.5 * pl.col("probability")).otherwise("probability"),
        )
        table.write_csv(turned[-1] / "predictions.csv")
    before = combine_runs(runs, tmp_path / "before", "stack").metrics
    after = combine_runs(turned, tmp_path / "after", "stack").metrics
    assert [member["weight"] for member in after["members"]] == [member["weight"] for member in before["members"]]
    assert after["test"]["threshold"] == before["test"]["threshold"]
    assert after["test"]["auc"] == pytest.approx(1 - before["test"]["auc"])


def test_the_folder_reads_like_a_run(stacked, new) -> None:
    run = read_run(stacked.folder)
    assert run.metrics == json.loads(json.dumps(stacked.metrics))
    assert run.people("test").score.tolist() == pytest.approx(
        stacked.predictions.filter(pl.col("part") == "test")
        .group_by("participant_id")
        .agg(pl.col("probability").mean())
        .sort("participant_id")["probability"]
        .to_list()
    )
    assert "Synthetic data" in (stacked.folder / "report.html").read_text()
    assert run.flags == "--combine=stack\n"
    expected = stacked.ensemble.predict_proba(new.activity)[:, 1]
    np.testing.assert_array_equal(predict(stacked.folder, new).windows["probability"].to_numpy(), expected)


def test_its_report_says_what_was_done_to_the_probabilities(runs, stacked, tmp_path) -> None:
    page = (stacked.folder / "report.html").read_text()
    assert "that of the training people, since what class weights did was taken out again" in page
    assert "what the members weigh" in page
    other = tmp_path / "other"
    shutil.copytree(runs[1], other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"recalibration": "none"}))
    mixed = combine_runs([runs[0], other], tmp_path / "mixed").folder
    assert "members of this ensemble differ in it (recalibration none, prior)" in (mixed / "report.html").read_text()


def test_folds(cohort, tmp_path) -> None:
    """Each person is scored by the models of their own fold; the ensemble has those of all folds."""
    settings = {**_SPLIT, "task": "multiclass", "split": "kfold", "folds": 2, "mode": "linear_probe"}
    settings.pop("test_fraction")
    runs = [
        finetune(cohort, "level", small_config(**settings, seed=seed), out=tmp_path / f"seed{seed}").folder
        for seed in (0, 1)
    ]
    result = combine_runs(runs, tmp_path / "together", "stack")
    assert result.ensemble.names == ["seed0/fold_1", "seed0/fold_2", "seed1/fold_1", "seed1/fold_2"]
    assert result.metrics["test"]["n"] == 30
    folds = result.metrics["folds"]
    assert [sum(fold["weights"]) for fold in folds] == pytest.approx([1, 1])
    tables = [read_run(run).predictions.sort("fold", "part", "participant_id", "window") for run in runs]
    found = result.predictions.sort("fold", "part", "participant_id", "window")
    for fold in folds:
        own = [table.filter(pl.col("fold") == fold["fold"])["probability_1"].to_numpy() for table in (*tables, found)]
        np.testing.assert_allclose(own[2], np.tensordot(fold["weights"], np.stack(own[:2]), axes=1), atol=1e-12)
    assert found.select("participant_id", "window", "part", "label").equals(
        tables[0].select("participant_id", "window", "part", "label")
    )


# --- the command ---


def _ensemble(*arguments: str | pathlib.Path) -> int:
    return main(["pat-ensemble", *(str(argument) for argument in arguments)])


def test_the_command(runs, tmp_path, capsys) -> None:
    out = tmp_path / "together"
    assert _ensemble(f"--runs={runs[0]},{runs[1]}", f"--out={out}") == 0
    printed = capsys.readouterr().out
    assert "SYNTHETIC DATA" in printed
    assert "seed1" in printed and "0.500" in printed
    assert "9 people whom no member was trained on" in printed
    assert (out / "flags.txt").read_text() == f"--runs={runs[0]},{runs[1]}\n--combine=average\n"
    assert json.loads((out / "metrics.json").read_text())["combine"] == "average"


def test_a_run_on_another_split_is_refused(runs, cohort, tmp_path, capsys) -> None:
    settings = {**_SPLIT, "split_seed": 8, "mode": "linear_probe"}
    other = finetune(cohort, "label", small_config(**settings), out=tmp_path / "other").folder
    for pair in (f"{runs[0]},{other}", f"{other},{runs[0]}"):
        assert _ensemble(f"--runs={pair}", f"--out={tmp_path / 'together'}") == 2
        error = capsys.readouterr().err
        assert "were not tested here in the same fold" in error
        assert "--split_seed" in error
    assert not (tmp_path / "together").exists()
    assert len(PATEnsemble.from_runs([runs[0], other]).models) == 2  # to predict with, it may be made


def test_refused_before_anything_is_written(runs, tmp_path, capsys) -> None:
    cases = [
        ([f"--runs={runs[0]}", f"--out={tmp_path / 'one'}"], "needs two runs or more"),
        ([f"--runs={runs[0]},{tmp_path}", f"--out={tmp_path / 'two'}"], "metrics.json: there is no such file"),
        ([f"--runs={runs[0]},{runs[1]}", f"--out={runs[0]}"], "not empty"),
        ([f"--runs={runs[0]},{runs[1]}", f"--out={tmp_path / 'x'}", "--combine=vote"], "--combine=vote"),
    ]
    for arguments, words in cases:
        assert _ensemble(*arguments) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- weights that saw who is tested ---


def test_tells_of_people_whom_a_member_s_pretraining_saw(runs, tmp_path, capsys) -> None:
    marked = [pathlib.Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    for name, changes in (("metrics", {"seen_in_pretraining": 4}), ("config", {"weights": "pat_small_nhanes2005"})):
        path = marked[1] / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert main(["pat-ensemble", f"--runs={marked[0]},{marked[1]}", f"--out={tmp_path / 'both'}"]) == 0
    said = "4 of 9 test people were in the pretraining of pat_small_nhanes2005"
    assert said in capsys.readouterr().err
    assert json.loads((tmp_path / "both" / "metrics.json").read_text())["seen_in_pretraining"] == 4
    assert said in (tmp_path / "both" / "report.html").read_text()


def test_nothing_is_told_of_members_that_saw_nobody(stacked) -> None:
    assert stacked.metrics["seen_in_pretraining"] == 0 and "seen_by" not in stacked.metrics
    assert "Not held out from pretraining" not in (stacked.folder / "report.html").read_text()
