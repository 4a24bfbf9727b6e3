"""Nested tuning: test people have no part in the choice, a planted best setting wins, and a stopped one goes on."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import filelock
import numpy as np
import polars as pl
import pytest

pytest.importorskip("optuna")

from pat_keras.apps.finetune import define_flags as finetune_flags
from pat_keras.apps.flags import finetune_config
from pat_keras.apps.tune import main
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.errors import ConfigError, LabelError, RunError
from pat_keras.evaluation import searcher, tuning_report
from pat_keras.evaluation.predict import predict
from pat_keras.evaluation.run_folder import read_run
from pat_keras.evaluation.searcher import TuneSettings
from pat_keras.evaluation.tuning import TuneResult, tune
from pat_keras.training.finetune import Fitted
from tests.small import small_cohort, small_config

_RATES = "head_learning_rate=log:1e-6:1"


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """With a column `part` of who is in which part, which no label changes."""
    people = small_cohort(n_people=40)
    number = pl.col("participant_id").rank("dense").cast(pl.Int64) % 5
    part = pl.when(number == 0).then(pl.lit("test")).when(number == 1).then(pl.lit("validation"))
    return people.with_columns(part=part.otherwise(pl.lit("train")))


def _config(**changes: Any) -> FinetuneConfig:
    """A refit that takes a second."""
    settings = {"mode": "linear_probe", "epochs": 1, "schedule": "constant", "head_learning_rate": 0.5}
    split = {} if "split" in changes else {"split": "column", "split_column": "part"}
    return small_config(**{**settings, **split, **changes})


class _Trials:
    """Stands for training in trials: remembers what it was given; a rate of 0.01 predicts best.

    With `stop`, the so manieth training is interrupted as by the keyboard.
    """

    def __init__(self, stop: int = 0) -> None:
        self.given: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.scores: list[np.ndarray | None] = []
        self.stop = stop

    def __call__(self, activity, y, participant_id, split, config, folder=None, watcher=None, score=None) -> Fitted:
        assert folder is None
        self.given.append((activity, y, participant_id))
        self.scores.append(score)
        noise = abs(np.log10(config.head_learning_rate) + 2)
        rng = np.random.default_rng(0)
        for epoch in range(1, 4):
            if watcher is not None:
                watcher.on_epoch(
                    {
                        "stage": "full",
                        "loss": noise,
                        "validation_auc": 0.9 - noise / 10,
                        "validation_loss": noise,
                        "epoch": epoch,
                    }
                )
        if len(self.given) == self.stop:
            raise KeyboardInterrupt
        chance = 1 / (1 + np.exp(-(y[split.test] - 0.5 + noise * rng.normal(size=len(split.test)))))
        return Fitted(None, [], {"test": np.stack([1 - chance, chance], axis=1)})


def _tune(monkeypatch, trials: _Trials, cohort: Cohort, out: pathlib.Path, **changes: Any) -> TuneResult:
    settings = TuneSettings(**{"search": (_RATES,), "trials": 6, "inner_folds": 2, **changes.pop("settings", {})})
    monkeypatch.setattr(searcher, "train_split", trials)
    more = {name: changes.pop(name) for name in ("resume", "flags", "data_flags") if name in changes}
    return tune(cohort, "label", _config(**changes), settings, out=out, **more)


def _tried(result: TuneResult) -> list[tuple[Any, ...]]:
    return result.trials.drop("seconds").rows()


# --- honest ---


@pytest.fixture(scope="module")
def found(cohort, tmp_path_factory) -> tuple[TuneResult, _Trials]:
    with pytest.MonkeyPatch.context() as patch:
        trials = _Trials()
        out = tmp_path_factory.mktemp("runs") / "tuned"
        return _tune(patch, trials, cohort, out, data_flags="--label=label\n", flags="--label=label\n"), trials


def test_trials_learn_the_score_that_the_config_names(cohort, monkeypatch, tmp_path) -> None:
    trials = _Trials()
    more = {"learn_score": "score", "recalibration": "platt", "settings": {"trials": 1}}
    _tune(monkeypatch, trials, cohort, tmp_path / "tuned", **more)
    for (_, y, people), score in zip(trials.given, trials.scores, strict=True):
        assert score is not None and len(score) == len(people)
        assert score[y == 1].min() > score[y == 0].max()


def test_garbage_in_place_of_test_people_changes_no_trial(cohort, found, monkeypatch, tmp_path) -> None:
    """Their labels turned over, their weeks replaced by noise: trials and winner are the same, the score is not."""
    result, trials = found
    tested = (cohort.table["part"] == "test").to_numpy()
    noise = np.random.default_rng(5).gamma(1.0, 5000.0, cohort.activity.shape).astype(np.float32)
    spoiled = Cohort(
        np.where(tested[:, None], noise, cohort.activity),
        cohort.table.with_columns(label=pl.when(pl.Series(tested)).then(1 - pl.col("label")).otherwise("label")),
        cohort.metadata,
    )
    others = _Trials()
    again = _tune(monkeypatch, others, spoiled, tmp_path / "spoiled")
    assert _tried(again) == _tried(result)
    assert again.config == result.config
    assert again.metrics["test"]["auc"] != result.metrics["test"]["auc"]
    for first, second in zip(trials.given, others.given, strict=True):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


def test_no_trial_is_given_a_test_person(cohort, found) -> None:
    result, trials = found
    part = dict(cohort.table.select("participant_id", "part").rows())
    assert len(trials.given) >= 7
    for _, _, people in trials.given:
        assert {part[who] for who in people} == {"train", "validation"}
    tested = result.metrics["test"]["n"]
    assert tested == sum(value == "test" for value in part.values())


def test_the_best_setting_wins_and_is_refitted(found) -> None:
    result, _ = found
    (search,) = result.metrics["tuning"]["searches"]
    complete = result.trials.filter(pl.col("state") == "complete")
    assert search["inner"] == complete["auc"].max() == result.metrics["tuning"]["inner"]
    best = complete.sort("auc", descending=True)["head_learning_rate"][0]
    assert search["settings"] == {"head_learning_rate": best}
    assert result.config == _config(head_learning_rate=best)
    assert abs(np.log10(best) + 2) < abs(np.log10(0.5) + 2)  # better than the recipe, which was tried first
    assert result.trials.height == search["trials"] == 6
    (history,) = read_run(result.folder).history
    assert history["head_learning_rate"] == pytest.approx(best, rel=1e-5)  # of the model that was scored


def test_the_report_puts_the_honest_score_first(found) -> None:
    result, _ = found
    page = (result.folder / "tuning.html").read_text()
    honest, flattering = f"{result.metrics['test']['auc']:.3f}", f"{result.metrics['tuning']['inner']:.3f}"
    assert 0 < page.index(honest) < page.index(f"inner value was {flattering}")
    assert "do not report it" in page.replace("\n", " ")
    assert "Synthetic data" in page
    assert (result.folder / "report.html").is_file()


def test_the_folder_is_a_run(found) -> None:
    result, _ = found
    run = read_run(result.folder)
    assert run.metrics["tuning"]["search"] == ["head_learning_rate=log:1e-06:1"]
    assert predict(result.folder, small_cohort(n_people=4, seed=1)).people.height == 4
    trials = pl.read_csv(result.folder / "trials.csv")
    assert trials.columns == ["people", "trial", "state", "auc", "head_learning_rate", "seconds", "reason"]
    assert trials.height == 6


def test_best_flags_are_for_pat_finetune(found) -> None:
    result, _ = found
    values = finetune_flags()
    values(["pat-finetune", f"--flagfile={result.folder / 'best.flags'}"])
    assert finetune_config(values) == result.config
    assert values.label == "label"


def test_real_training_finds_the_rate_that_learns(cohort, tmp_path) -> None:
    """The recipe's own rate moves nothing."""
    config = _config(head_learning_rate=1e-12, epochs=6, patience=6)
    settings = TuneSettings(
        search=("head_learning_rate=choice:1e-12,0.01",),
        trials=4,
        inner_folds=1,
        objective="log_loss",
        sampler="random",
    )
    result = tune(cohort, "label", config, settings, out=tmp_path / "run")
    losses = dict(result.trials.select("head_learning_rate", "log_loss").drop_nulls().rows())
    assert result.trials["head_learning_rate"][0] == 1e-12
    assert losses[0.01] < losses[1e-12] - 0.02
    assert result.config.head_learning_rate == 0.01


def test_tells_of_people_whom_pretraining_saw(cohort, tmp_path) -> None:
    survey = Cohort(cohort.activity, cohort.table, {**cohort.metadata, "source": "NHANES 2005-2006"})
    said: list[str] = []

    class StopError(Exception):
        """Before anything is trained."""

    def stop(message: str) -> None:
        said.append(message)
        raise StopError

    with pytest.raises(StopError):
        tune(
            survey,
            "label",
            _config(weights="pat_small_nhanes2005"),
            TuneSettings(search=(_RATES,)),
            out=tmp_path / "run",
            say=stop,
        )
    assert "test people were in the pretraining of pat_small_nhanes2005" in said[0]


# --- outer folds ---


def test_each_fold_has_its_own_search_and_winner(cohort, monkeypatch, tmp_path) -> None:
    trials = _Trials()
    settings = {"trials": 3, "inner_folds": 1, "sampler": "random", "pruner": "none"}
    result = _tune(monkeypatch, trials, cohort, tmp_path / "run", split="kfold", folds=2, settings=settings)
    searches = result.metrics["tuning"]["searches"]
    assert [search["people"] for search in searches] == ["fold 1 of 2", "fold 2 of 2", "everybody"]
    assert len(trials.given) == result.trials.height == 9
    rows = read_run(result.folder).predictions.filter(pl.col("part") == "test")
    tested = {fold: set(rows.filter(pl.col("fold") == fold)["participant_id"]) for fold in (1, 2)} | {3: set()}
    for number, (_, _, people) in enumerate(trials.given):
        fold = number // 3 + 1
        assert set(people) | tested[fold] == set(cohort.participant_id)
        assert not set(people) & tested[fold]
    assert result.metrics["test"]["n"] == 40
    outer = [search["inner"] for search in searches[:2]]
    assert result.metrics["tuning"]["inner"] == pytest.approx(np.mean(outer))
    assert result.config.head_learning_rate == searches[2]["settings"]["head_learning_rate"]


# --- stopped and resumed ---


def test_stopped_and_resumed_is_as_never_stopped(cohort, found, monkeypatch, tmp_path) -> None:
    """In the second inner split of the third trial; then in the refit, with all trials done."""
    whole, trials = found
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        _tune(monkeypatch, _Trials(stop=6), cohort, out, flags="--label=label\n")
    assert not (out / "metrics.json").exists()

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pat_keras.evaluation.experiment.train_split", stopped)
        _tune(monkeypatch, _Trials(), cohort, out, resume=True)
    rest = _Trials(stop=1)  # no trial is left to make
    result = _tune(monkeypatch, rest, cohort, out, resume=True)
    assert not rest.given
    assert _tried(result) == _tried(whole)
    assert json.dumps(result.metrics) == json.dumps(whole.metrics)
    assert len(trials.given) >= 6


def test_what_can_not_be_resumed(cohort, found, monkeypatch) -> None:
    result, _ = found
    content = {path.name: path.read_bytes() for path in result.folder.iterdir() if path.is_file()}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"settings": {"trials": 9}}, "the tuning has trials 6, resuming was asked with 9"),
        ({"settings": {"search": ("dropout=float:0:0.5",)}}, "the tuning has search"),
        ({"epochs": 2}, "the run has epochs 1, resuming was asked with 2"),
    ]
    for changes, words in cases:
        with pytest.raises(RunError, match=words):
            _tune(monkeypatch, _Trials(), cohort, result.folder, resume=True, **changes)
    with pytest.raises(RunError, match="not empty"):
        _tune(monkeypatch, _Trials(), cohort, result.folder)
    with filelock.FileLock(result.folder / ".tuning.lock"), pytest.raises(RunError, match="another process is tuning"):
        _tune(monkeypatch, _Trials(), cohort, result.folder, resume=True)
    assert {path.name: path.read_bytes() for path in result.folder.iterdir() if path.is_file()} == content


# --- trials that fail, and what is refused ---


def test_settings_that_fail_are_noted(cohort, monkeypatch, tmp_path) -> None:
    def failing(activity, y, participant_id, split, config, folder=None, watcher=None, score=None) -> Fitted:
        if config.head_learning_rate > 1e-3:
            raise RunError("the loss became NaN.")
        return _Trials()(activity, y, participant_id, split, config, folder, watcher)

    result = _tune(monkeypatch, failing, cohort, tmp_path / "run", settings={"sampler": "random"})  # type: ignore[arg-type]
    failed = result.trials.filter(pl.col("state") == "failed")
    assert 0 < failed.height < 6
    assert (failed["head_learning_rate"] > 1e-3).all()
    assert failed["reason"].unique().to_list() == ["the loss became NaN."]
    assert failed["auc"].null_count() == failed.height
    assert result.metrics["tuning"]["searches"][0]["failed"] == failed.height


def test_refused_before_anything_is_written(cohort, monkeypatch, tmp_path) -> None:
    few = cohort.with_columns(label=(pl.int_range(pl.len()) < 8).cast(pl.Int32))
    cases: list[tuple[Cohort, dict[str, Any], dict[str, Any], type[Exception], str]] = [
        (cohort, {}, {"objective": "mae"}, ConfigError, "for a binary task, one of auc"),
        (cohort, {}, {"search": ("rate=log:1:2",)}, ConfigError, "there is no setting 'rate'"),
        (few, {"split": "holdout"}, {"inner_folds": 5}, LabelError, "people of each class"),
    ]
    for data, changes, settings, error, words in cases:
        with pytest.raises(error, match=words):
            _tune(monkeypatch, _Trials(), data, tmp_path / "run", settings=settings, **changes)
    for settings, words in (({"trials": 0}, "at least 1"), ({"sampler": "grid"}, "one of tpe, random")):
        with pytest.raises(ConfigError, match=words):
            TuneSettings(**settings)
    assert not list(tmp_path.iterdir())


# --- the command ---


def test_the_command(cohort, monkeypatch, tmp_path, capsys) -> None:
    cohort.write(tmp_path / "small.parquet")
    monkeypatch.setattr(searcher, "train_split", _Trials())
    out = tmp_path / "run"
    arguments = [f"--data={tmp_path / 'small.parquet'}", "--mode=linear_probe", "--epochs=1", "--nobaseline"]
    arguments += ["--trials=2", "--inner_folds=1", f"--search={_RATES}", "--search=dropout=float:0:0.5"]
    assert main(["pat-tune", *arguments, f"--out={out}"]) == 0
    printed = capsys.readouterr().out
    assert "SYNTHETIC DATA. label" in printed
    assert "people who had no part in the choice" in printed
    assert "it flatters: do not report it" in printed
    kept = (out / "flags.txt").read_text().splitlines()
    assert [line for line in kept if line.startswith("--search")] == [
        f"--search={_RATES}",
        "--search=dropout=float:0:0.5",
    ]
    values = finetune_flags()
    values(["pat-finetune", f"--flagfile={out / 'best.flags'}"])
    assert values.data == str(tmp_path / "small.parquet")
    assert (values.mode, values.epochs, values.baseline) == ("linear_probe", 1, False)
    before = (out / "trials.csv").read_bytes()
    for again in ([], arguments):  # the same command with --resume does not search each setting twice
        assert main(["pat-tune", "--resume", f"--out={out}", *again]) == 0
        assert (out / "trials.csv").read_bytes() == before
    assert main(["pat-tune", "--resume", f"--out={out}", "--trials=3"]) == 2
    assert "the tuning has trials 2" in capsys.readouterr().err
    assert main(["pat-tune", "--search=seed=int:1:3", f"--out={tmp_path / 'other'}"]) == 2
    assert "not to be chosen by its result" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["pat-tune", *arguments, f"--out={tmp_path / 'other'}"]) == 2
    assert "pip install 'pat_keras[tune]'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_trials_are_counted_in_whole_numbers() -> None:
    trials = pl.DataFrame(
        {"people": ["holdout"] * 3, "state": ["complete"] * 3, "trial": [1, 2, 3], "auc": [0.5, 0.6, 0.4]}
    )
    (axes,) = tuning_report._trials_figure(trials, {"objective": "auc"}).axes
    assert all(tick == round(tick) for tick in axes.get_xticks())
