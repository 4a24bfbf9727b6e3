"""pat-pretrain: a whole run directory, people who are left out, resuming, and what it refuses."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import polars as pl
import pytest

from pat_keras.apps import finetune, pretrain
from pat_keras.checkpoints.official import save_official
from pat_keras.checkpoints.presets import PRESETS
from pat_keras.checkpoints.weights import load_model
from pat_keras.config import EncoderConfig, PretrainConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.learned_days import LearnedDays
from pat_keras.data.people import read_people
from pat_keras.data.simulate import simulate_cohort
from pat_keras.data.standardize import Standardizer
from pat_keras.evaluation import pretraining
from pat_keras.models.encoder import PATEncoder
from pat_keras.models.mae import PATMaskedAutoencoder
from pat_keras.training.pretrain import build_autoencoder
from tests.small import small_cohort

_SMALL = (
    *("--patch_size=120", "--mask_ratio=0.5", "--epochs=2", "--batch_size=8", "--warmup_epochs=0", "--plots=1"),
    *("--output=tanh", "--standardize=per_minute"),
)


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
    """Two cohorts of one-day windows, two a person, and a list of four people of the first."""
    folder = tmp_path_factory.mktemp("cohorts")
    paths = [folder / "one.parquet", folder / "two.parquet"]
    for seed, path in enumerate(paths):
        cohort = small_cohort(n_people=10, seed=seed)
        names = pl.Series([f"{path.stem}-{name}" for name in cohort.participant_id])
        cohort.with_columns(participant_id=names).write(path)
    people = np.unique(Cohort.read(paths[0]).participant_id)
    rows = [f"{name},{part}" for name, part in zip(people[:4], ["test"] * 2 + ["validation"] * 2, strict=True)]
    (folder / "left_out.csv").write_text("participant_id,part\n" + "\n".join(rows) + "\n")
    return paths


@pytest.fixture(scope="module")
def finished(cohorts: list[pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    data = ",".join(map(str, cohorts))
    listed = cohorts[0].with_name("left_out.csv")
    arguments = [f"--data={data}", "--shares=3,1", f"--exclude_people={listed}", f"--out={out}", *_SMALL]
    assert pretrain.main(["pat-pretrain", *arguments]) == 0
    return out


def test_run_directory_is_whole(finished: pathlib.Path, cohorts: list[pathlib.Path]) -> None:
    autoencoder, encoder = load_model(finished / "autoencoder.keras"), load_model(finished / "encoder.keras")
    assert isinstance(autoencoder, PATMaskedAutoencoder)
    for a, b in zip(autoencoder.encoder.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["synthetic"]
    assert {"loss", "person_mean", "mean_day", "best_epoch", "cohorts"} == set(metrics["validation"])
    assert {name: c["share"] for name, c in metrics["validation"]["cohorts"].items()} == {"one": 0.75, "two": 0.25}
    assert len(pl.read_csv(finished / "history.csv")) == 2
    for name in ("encoder_weights.h5", "mae_weights.h5", "flags.txt", "config.json", "report.html"):
        assert (finished / name).stat().st_size > 0, name
    assert len(list((finished / "reconstructions").glob("one_epoch_*.png"))) == 2  # the first and the last
    assert "Synthetic data" in (finished / "report.html").read_text()


def test_listed_people_are_not_learned_from(finished: pathlib.Path, cohorts: list[pathlib.Path]) -> None:
    parts = {c["name"]: c for c in json.loads((finished / "data.json").read_text())["cohorts"]}
    people = {name: [c[part]["people"] for part in ("train", "validation", "excluded")] for name, c in parts.items()}
    assert people == {"one": [6, 2, 2], "two": [9, 1, 0]}
    cohort = Cohort.read(cohorts[0])
    kept = np.isin(cohort.participant_id, np.unique(cohort.participant_id)[4:])
    expected = Standardizer.fit(cohort.activity[kept], "per_minute")
    np.testing.assert_array_equal(Standardizer.load(finished / "scaling" / "one.json").mean, expected.mean)


def test_resuming_a_finished_run_changes_nothing_and_other_settings_are_refused(
    finished: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads((finished / "data.json").read_text())
    kept = LearnedDays.read(finished)  # of people to learn from, and nobody else
    assert kept is not None and len(kept.own) == sum(cohort["train"]["windows"] for cohort in data["cohorts"])
    before = load_model(finished / "encoder.keras").get_weights()
    assert pretrain.main(["pat-pretrain", "--resume", f"--out={finished}"]) == 0
    for a, b in zip(load_model(finished / "encoder.keras").get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert pretrain.main(["pat-pretrain", "--resume", f"--out={finished}", "--seed=5"]) == 2
    assert "resuming was asked with 5" in capsys.readouterr().err


def test_the_demonstration_is_quick_unless_told_and_says_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrain, "_DEMO_PEOPLE", 12)
    out = tmp_path / "run"
    given = ["--epochs=1", "--patch_size=120", "--mask_ratio=0.75"]
    assert pretrain.main(["pat-pretrain", f"--out={out}", *given]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    config = json.loads((out / "config.json").read_text())
    for name, value in pretrain._DEMO.items():
        if name in ("epochs", "mask_ratio"):
            assert f"--{name}" not in said
        else:
            assert f"--{name}={value}" in said and (name == "plots" or config[name] == value)
    assert (config["epochs"], config["mask_ratio"]) == (1, 0.75)
    # As a start of fine-tuning, by the run directory's name.
    arguments = ["--epochs=1", "--nobaseline", "--mode=linear_probe", "--batch_size=64", "--head=linear"]
    assert finetune.main(["pat-finetune", f"--weights={out}", f"--out={tmp_path / 'tuned'}", *arguments]) == 0
    assert "each by a model" not in capsys.readouterr().out
    # Resumed, it is the same run.
    assert pretrain.main(["pat-pretrain", "--resume", f"--out={out}"]) == 0


def test_people_are_told_apart_where_weeks_have_days(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate_cohort(n_people=12, days=2).write(tmp_path / "days.parquet")
    arguments = [f"--data={tmp_path / 'days.parquet'}", *_SMALL]
    assert pretrain.main(["pat-pretrain", *arguments, f"--out={tmp_path / 'run'}"]) == 0
    assert "nearest to their other half" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["validation"]["people_told_apart"] <= 1
    assert "by chance" in (tmp_path / "run" / "report.html").read_text()
    assert pretrain.main(["pat-pretrain", *arguments, "--person_loss=0", f"--out={tmp_path / 'without'}"]) == 0
    assert "nearest to their other half" not in capsys.readouterr().out
    assert "Telling people apart" not in (tmp_path / "without" / "report.html").read_text()


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (pretrain.main, finetune.main):
        assert command(["command", "--weights=list"]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PRESETS)


def test_the_options_of_the_authors_way_are_those_of_the_config() -> None:
    assert pretrain.__doc__ is not None
    told = pretrain.__doc__.split("no longer falls:")[1].split(", for S and M")
    values = pretrain.define_flags()
    values(["pat-pretrain", *told[0].split(), *told[1].split(", for L")[0].split()])
    for size in ("small", "medium"):
        original = PretrainConfig.original(size).to_dict()
        assert {name: values[name].value for name in original} == {**original, "size": "small"}
    large = PretrainConfig.original("large")
    assert f"for L {large.learning_rate:.0e} and {large.patience}".replace("e-0", "e-") in pretrain.__doc__


def test_the_size_and_embedding_are_those_of_the_weights(finished: pathlib.Path) -> None:
    said: list[str] = []
    asked = PretrainConfig(weights=str(finished), embedding="conv", standardize="per_minute")
    config = pretraining._as_the_weights(asked, said.append)
    assert (config.embedding, len(said)) == ("linear", 1)
    assert said[0].startswith("embedding is linear, that of the weights")
    again = PretrainConfig(weights=str(finished), standardize="per_minute")
    assert pretraining._as_the_weights(again, said.append) == config
    assert len(said) == 1


def test_the_output_is_that_of_an_autoencoder_gone_on_from(tmp_path: pathlib.Path) -> None:
    """Weights learned under 2 tanh mean something else under no activation."""
    whole = save_official(PATMaskedAutoencoder(EncoderConfig.small(), output="tanh"), tmp_path / "whole.h5")
    said: list[str] = []
    config = pretraining._as_the_weights(PretrainConfig(weights=str(whole), output="linear"), said.append)
    assert config.output == "tanh"
    assert build_autoencoder(PretrainConfig(weights=str(whole))).output_kind == "tanh"


def test_scaling_of_the_weights_that_is_not_gone_on_with_is_told(finished: pathlib.Path) -> None:
    said: list[str] = []
    pretraining._as_the_weights(PretrainConfig(weights=str(finished)), said.append)  # learned per minute
    assert len(said) == 1 and said[0].startswith("standardize is cohort; the weights")
    pretraining._as_the_weights(PretrainConfig(weights=str(finished), standardize="per_minute"), said.append)
    assert len(said) == 1


def test_who_is_held_out_of_one_cohort_is_not_learned_from_in_another() -> None:
    """Known by their days, not by their ids."""
    one = small_cohort(n_people=20)
    other = one.select(np.flatnonzero(np.isin(one.participant_id, np.unique(one.participant_id)[:12])))
    other = other.with_columns(participant_id=pl.Series([f"other-{name}" for name in other.participant_id]))
    cohorts, config = {"one": one, "other": other}, PretrainConfig(validation_fraction=0.3)
    said: list[str] = []
    parts = pretraining._apart(
        cohorts, {name: pretraining._split(cohort, name, [], config) for name, cohort in cohorts.items()}, said.append
    )

    def weeks(name: str, part: str) -> set[bytes]:
        return {week.tobytes() for week in cohorts[name].activity[getattr(parts[name], part)]}

    for name, another in (("one", "other"), ("other", "one")):
        assert weeks(name, "train") and not weeks(name, "train") & weeks(another, "validation")
        rows = np.concatenate(list(vars(parts[name]).values()))
        assert sorted(rows) == list(range(cohorts[name].n_windows))
    assert any("held out or left out of another cohort" in line for line in said)


def test_a_list_with_ids_of_two_cohorts_is_told(tmp_path: pathlib.Path) -> None:
    cohorts = {"one": small_cohort(n_people=6), "two": small_cohort(n_people=8, seed=1)}
    (tmp_path / "list.txt").write_text("\n".join(np.unique(cohorts["one"].participant_id)[:3]))
    said: list[str] = []
    pretraining._say_lists([read_people(tmp_path / "list.txt")], cohorts, said.append)
    assert len(said) == 1 and "leaves out 3 of one, 3 of two. Ids are compared as they are written" in said[0]
    pretraining._say_lists([read_people(tmp_path / "list.txt")], {"one": cohorts["one"]}, said.append)
    assert len(said) == 1


def test_other_weights_are_not_resumed_with(
    cohorts: list[pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = tmp_path / "w.h5", tmp_path / "run"
    save_official(PATEncoder(EncoderConfig.small()), weights)
    flags = ["pat-pretrain", f"--data={cohorts[0]}", f"--weights={weights}", f"--out={out}", "--mask_ratio=0.5"]
    flags += ["--epochs=1", "--batch_size=8", "--standardize=per_minute", "--plots=1"]
    assert pretrain.main(flags) == 0
    assert pretrain.main(["pat-pretrain", "--resume", f"--out={out}"]) == 0
    save_official(PATEncoder(EncoderConfig.small()), weights, overwrite=True)
    assert pretrain.main(["pat-pretrain", "--resume", f"--out={out}"]) == 2
    assert "are another file than when the run was started" in " ".join(capsys.readouterr().err.split())


def test_what_is_refused(
    cohorts: list[pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others.txt").write_text("somebody\n")
    out = f"--out={tmp_path / 'run'}"
    for arguments, message in (
        ([f"--data={cohorts[0]}", "--shares=1,2"], "expected 1 numbers"),
        ([f"--data={cohorts[0]}", f"--exclude_people={tmp_path / 'others.txt'}"], "would leave out nobody"),
        ([f"--data={cohorts[0]},{cohorts[0]}"], "another cohort is named one"),
        ([f"--data={cohorts[0]}", "--mask_ratio=1"], "between 0 and 1"),
        ([f"--data={cohorts[0]}", "--shares=inf"], "one: its share is inf, expected a positive number"),
        ([f"--data={cohorts[0]}", "--data_parallel"], "two or more"),  # known only when training is set up
        ([f"--data={cohorts[0]}", "--patch_size=7"], "a multiple of the 7 minutes"),
        ([f"--data={cohorts[0]}", "--person_loss=0.1"], "one window a person"),
        (["--resume"], "no run to resume"),
    ):
        assert pretrain.main(["pat-pretrain", out, *arguments]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
