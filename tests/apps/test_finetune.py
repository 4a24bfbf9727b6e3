"""pat-finetune as a user meets it: runs, is killed, goes on, and says what is wrong with what it was given."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from pat_keras.apps.finetune import _summary, define_flags, main
from pat_keras.apps.flags import finetune_config
from pat_keras.apps.training_flags import kept_flags
from pat_keras.checkpoints.saved import load_classifier
from pat_keras.checkpoints.store import load_state
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.evaluation.experiment import Result
from tests.small import small_cohort

_SMALL = ("--batch_size=4", "--head_learning_rate=0.01", "--encoder_learning_rate=0.001", "--warmup_epochs=0")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return small_cohort()


@pytest.fixture(scope="module")
def folder(cohort, tmp_path_factory) -> pathlib.Path:
    """A folder with the cohort as small.parquet, and as X.npy and y.npy."""
    folder = tmp_path_factory.mktemp("data")
    cohort.write(folder / "small.parquet")
    np.save(folder / "X.npy", cohort.activity)
    np.save(folder / "y.npy", cohort.label("label"))
    return folder


def _finetune(*arguments: str | pathlib.Path) -> int:
    return main(["pat-finetune", *(str(argument) for argument in arguments)])


# --- killed and resumed ---


def _results(run: pathlib.Path) -> dict[str, object]:
    """What a run leaves, without times."""
    models = [load_classifier(path) for path in sorted([*run.glob("model.keras"), *run.glob("models/*.keras")])]
    return {
        "weights": [array.tobytes() for model in models for array in model.get_weights()],
        "history": pl.read_csv(run / "history.csv").drop("seconds").rows(),
        "metrics": (run / "metrics.json").read_text(),
        "predictions": (run / "predictions.csv").read_text(),
    }


def _kill_when(ready: pathlib.Path, epoch: int, arguments: list[str | pathlib.Path]) -> None:
    """Starts the command as a process of its own, and kills it when the state of this epoch is there."""
    command = [sys.executable, "-m", "pat_keras.apps.finetune", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            if ready.exists() and load_state(ready)[1]["epoch"] >= epoch:
                break
            time.sleep(0.01)
        assert process.poll() is None, f"ended before it could be killed: {process.stderr.read().decode()}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("split", ["holdout", "kfold"])
def test_killed_and_resumed_is_as_never_killed(folder, tmp_path, split: str) -> None:
    """The killed process is another one than the two that finish, and dropout is on."""
    arguments = [f"--data={folder / 'small.parquet'}", *_SMALL, "--epochs=5", "--nobaseline", "--dropout=0.2"]
    arguments += ["--mode=two_stage", "--probe_epochs=1"] if split == "holdout" else ["--split=kfold", "--folds=2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _finetune(*arguments, f"--out={whole}") == 0
    state = killed / "checkpoints" / ("full.npz" if split == "holdout" else "fold_2/full.npz")
    _kill_when(state, 2, [*arguments, f"--out={killed}"])
    assert not (killed / "metrics.json").exists()
    assert load_state(state)[1]["epoch"] < 5
    assert _finetune("--resume", f"--out={killed}") == 0  # with the flags that the run itself has kept
    assert _results(killed) == _results(whole)


# --- what it leaves and prints ---


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> pathlib.Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    arguments = [f"--data={folder / 'small.parquet'}", *_SMALL, "--epochs=1", "--test_fraction=0.3"]
    assert _finetune(*arguments, f"--out={run}") == 0
    return run


def test_flags_run_again(finished, tmp_path, capsys) -> None:
    again = tmp_path / "again"
    assert _finetune(f"--flagfile={finished / 'flags.txt'}", f"--out={again}") == 0
    assert (again / "metrics.json").read_text() == (finished / "metrics.json").read_text()
    assert (again / "flags.txt").read_text() == (finished / "flags.txt").read_text()
    printed = capsys.readouterr()
    assert "SYNTHETIC DATA. label: 7 test people" in printed.out
    assert "sensitivity (true positive rate)" in printed.out
    assert f"report: {again / 'report.html'}" in printed.out
    assert "simple features" in printed.out
    assert list((again / "tensorboard").rglob("events.out.tfevents.*"))


def test_a_finished_run_prints_its_table_again(finished, capsys) -> None:
    before = _results(finished)
    assert _finetune("--resume", f"--out={finished}") == 0
    printed = capsys.readouterr().out
    assert "AUC" in printed
    assert f"run:    {finished}" in printed
    assert _results(finished) == before


def test_the_table_names_the_network_and_the_groups(folder, tmp_path, capsys) -> None:
    arguments = [f"--data={folder / 'small.parquet'}", "--epochs=1", "--model=cnn1d", "--subgroups=level"]
    assert _finetune(*arguments, "--split=kfold", "--folds=2", "--nobaseline", f"--out={tmp_path / 'run'}") == 0
    printed = capsys.readouterr().out
    assert ", each by a model that never saw them; 95 % intervals" in printed and "CNN-1D" in printed
    groups = json.loads((tmp_path / "run" / "metrics.json").read_text())["subgroups"]["level"]
    for group in groups:
        assert f"level {group['group']}, {group['n']} people" in printed


def test_the_table_says_what_was_learned_in_the_label_s_place() -> None:
    metrics = {"task": "binary", "label": "depression", "split": "holdout", "synthetic": False, "test": {"n": 9}}
    config = FinetuneConfig(learn_score="phq9", recalibration="platt")
    text = _summary(Result(metrics, pl.DataFrame(), [], [], None), config)
    assert "depression (learned from phq9): 9 test people; 95 % intervals" in text


def test_the_table_says_whom_the_weights_saw() -> None:
    metrics = {"task": "binary", "label": "ill", "split": "kfold", "synthetic": False, "test": {"n": 9, "auc": 0.5}}
    for seen in (0, 4):
        result = Result({**metrics, "seen_in_pretraining": seen}, pl.DataFrame(), [], [], None)
        text = _summary(result, FinetuneConfig())
        assert ("never saw them" in text) == (not seen)
        assert ("4 of the test people were in the training of the weights" in text) == bool(seen)


def test_long_names_of_metrics_stand_apart_from_their_numbers() -> None:
    metrics = {"task": "multiclass", "label": "level", "split": "holdout", "synthetic": False, "test": {"n": 9}}
    result = Result({**metrics, "baseline": {"auc": 0.5}}, pl.DataFrame(), [], [], None)
    lines = _summary(result, FinetuneConfig()).splitlines()
    assert lines[3].index("simple") == lines[4].rindex("0.5")
    assert "each class against the rest  undefined" in lines[4]


def test_long_numbers_stand_apart() -> None:
    mae = {"mae": 12345.678, "mae_low": 10000.123, "mae_high": 13333.333}
    metrics = {"task": "regression", "label": "steps", "split": "holdout", "synthetic": False, "test": {"n": 9, **mae}}
    lines = _summary(Result({**metrics, "baseline": mae}, pl.DataFrame(), [], [], None), FinetuneConfig()).splitlines()
    assert "13333.333)  12345.678 (" in lines[4]
    assert lines[3].index("simple") == lines[4].rindex("12345.678")


def test_arrays_are_the_same_data(folder, tmp_path) -> None:
    run = tmp_path / "run"
    arguments = [*_SMALL, "--epochs=1", "--nobaseline", "--mode=linear_probe"]
    assert _finetune(f"--data={folder / 'X.npy'}", f"--labels={folder / 'y.npy'}", *arguments, f"--out={run}") == 0
    expected = Cohort.from_arrays(np.load(folder / "X.npy"), np.load(folder / "y.npy"))
    data = json.loads((run / "data.json").read_text())
    assert data["content_hash"] == expected.content_hash()
    assert (data["people"], data["source"], data["synthetic"]) == (48, "X.npy", False)


def test_fixed_scaling_is_warned_of_and_repaired(cohort, finished, tmp_path, capsys) -> None:
    scaled = Cohort((cohort.activity - 2.5) / 2.0, cohort.table, cohort.metadata)
    scaled.write(tmp_path / "scaled.parquet")
    arguments = [f"--flagfile={finished / 'flags.txt'}", f"--data={tmp_path / 'scaled.parquet'}"]
    repaired = tmp_path / "repaired"
    assert _finetune(*arguments, "--repair_fixed_scaling=2.5,2.0", f"--out={repaired}") == 0
    assert "warning" not in capsys.readouterr().err
    assert (repaired / "metrics.json").read_text() == (finished / "metrics.json").read_text()
    assert "--repair_fixed_scaling=2.5,2.0" in (repaired / "flags.txt").read_text()
    assert _finetune(*arguments, "--weights=nothing.h5", f"--out={tmp_path / 'warned'}") == 2  # warned before that
    assert "warning: one mean and deviation" in capsys.readouterr().err


def test_every_setting_is_a_flag_with_its_default() -> None:
    values = define_flags()
    values(["pat-finetune", "--weights="])
    assert finetune_config(values) == FinetuneConfig()
    changed = define_flags()
    changed(
        [
            "pat-finetune",
            "--weights=",
            "--epochs=3",
            "--encoder_learning_rate=1e-5",
            "--repair_fixed_scaling=1,2",
            "--nobaseline",
        ]
    )
    expected = FinetuneConfig(epochs=3, encoder_learning_rate=1e-5, repair_fixed_scaling=(1.0, 2.0), baseline=False)
    assert finetune_config(changed) == expected


@pytest.mark.parametrize(
    ("arguments", "weights"),
    [
        ([], "pat_small_nhanes2005"),
        (["--size=large"], "pat_large_nhanes2005"),
        (["--size=medium", "--embedding=conv"], "pat_conv_medium_nhanes2005"),
        (["--embedding=conv_linear"], "pat_small_nhanes2005"),
        (["--size=huge"], ""),
        (["--model=lstm"], ""),
        (["--weights="], ""),
        (["--weights=mine.h5"], "mine.h5"),
    ],
)
def test_starts_from_weights_of_the_package(arguments: list[str], weights: str) -> None:
    values = define_flags()
    values(["pat-finetune", *arguments])
    assert finetune_config(values).weights == weights
    assert f"--weights={weights}\n" in kept_flags(values)  # and the run says so


# --- what can't be used ---


def _refused(capsys, *arguments: str | pathlib.Path) -> str:
    """The one paragraph on stderr of a command that fails with status 2."""
    assert _finetune(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("pat-finetune: ")
    assert error.count("\n") == 1
    assert error.endswith(".\n")
    assert "Traceback" not in error
    assert len(error) > 40
    return error


_NAN = np.full((12, 1440), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data=nowhere.parquet"], "nowhere.parquet: there is no such file, expected a cohort"),
        (["--data=."], "this is a folder, expected a cohort"),
        (["--data=text.parquet"], "text.parquet: can't be read as Parquet"),
        (["--data=no_activity.parquet"], "no column activity; the columns are participant_id, label"),
        (["--data=missing.parquet"], "missing.parquet: synthetic: 1 of 48 labelled windows have missing minutes (2 in"),
        (["--data=short.parquet"], "1430 minutes, which is not a multiple of the 18 minutes"),
        (["--data=small.parquet", "--label=mood"], "small.parquet: --label=mood: there is no such label; the"),
        (["--data=small.parquet", "--label=one"], "small.parquet: label 'one': all labelled people have the value 1"),
        (["--data=small.parquet", "--label=score"], "expected 0 and 1"),
        (["--data=small.parquet", "--label=few"], "expected at least 3 people of each class"),
        (["--data=small.parquet", "--split=column", "--split_column=torn"], "24 people are in both train and test"),
        (["--data=small.parquet", "--split=column"], "found no column 'split'"),
        (["--data=small.parquet", "--weights=cut.h5"], "cut.h5: "),
        (["--data=small.parquet", "--weights=nothing.h5"], "nothing.h5: found neither such a file nor a preset"),
        (["--data=small.parquet", "--labels=y.npy"], "--labels and --participants go with arrays"),
        (["--data=table.csv"], "Make a cohort of tables by pat-prepare --source=csv"),
        (["--labels=y.npy"], "--labels and --participants go with arrays"),
        (["--data=X.npy"], "expected --labels=y.npy with it"),
        (["--data=X.npy", "--labels=short_y.npy"], "short_y.npy: has the type float64 and the shape (5,)"),
        (["--data=pickled.npy", "--labels=y.npy"], "pickled Python objects (which could run any code: never loaded)"),
        (["--data=nan.npy", "--labels=y.npy"], "nan.npy: 12 of 12 rows have NaN"),
        (["--data=small.parquet", "--epoch=3"], "Unknown command line flag 'epoch'. Did you mean: epochs"),
        (["--data=small.parquet", "--epochs=many"], "--epochs=many"),
        (["--data=small.parquet", "--epochs=0"], "epochs is 0, expected at least 1"),
        (["--data=small.parquet", "--mode=half"], "--mode=half: expected one of"),
        (["--data=small.parquet", "--encoder_learning_rate=0"], "To keep the encoder as it is, use mode linear_probe"),
        (["--data=small.parquet", "--repair_fixed_scaling=2.5"], "expected two numbers, mean and deviation"),
        (["--data=small.parquet", "--task=regression", "--monitor=auc"], "a regression has none"),
        (["small.parquet"], "Unexpected argument 'small.parquet'; settings are given as --name=value"),
        (["--flagfile=nowhere.txt"], "nowhere.txt"),
        (["--data=small.parquet", "--resume"], "no run to resume"),
    ],
)  # fmt: skip
def test_refused_in_one_paragraph(bad_files, tmp_path, capsys, monkeypatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(bad_files)
    before = sorted(bad_files.iterdir())
    assert words in _refused(capsys, *arguments, f"--out={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.iterdir())
    assert sorted(bad_files.iterdir()) == before


@pytest.fixture(scope="module")
def bad_files(cohort, folder) -> pathlib.Path:
    """The folder of the good files, with files that can't be used."""
    row = pl.int_range(pl.len())
    bad = cohort.with_columns(
        one=pl.lit(1),
        few=(row < 4).cast(pl.Int32),
        torn=pl.when(row % 2 == 0).then(pl.lit("train")).otherwise(pl.lit("test")),
    )
    bad.write(folder / "small.parquet", overwrite=True)
    gap = cohort.activity.copy()
    gap[3, 5:7] = np.nan
    Cohort(gap, cohort.table, cohort.metadata).write(folder / "missing.parquet")
    Cohort(cohort.activity[:, :1430], cohort.table, cohort.metadata).write(folder / "short.parquet")
    cohort.table.select("participant_id", "label").write_parquet(folder / "no_activity.parquet")
    (folder / "table.csv").write_text("time,activity\n2024-03-04 14:37:00,4\n")
    (folder / "text.parquet").write_text("participant_id,label\n")
    (folder / "cut.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    np.save(folder / "short_y.npy", np.zeros(5))
    np.save(folder / "nan.npy", _NAN)
    np.save(folder / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder


def test_resume_needs_a_folder(capsys) -> None:
    assert "--resume: expected --out=RUN" in _refused(capsys, "--resume")


def test_a_folder_in_use_is_left_alone(finished, folder, tmp_path, capsys) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    data = f"--data={folder / 'small.parquet'}"
    assert "not empty" in _refused(capsys, data, f"--out={finished}")
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    assert "found a file, expected a new folder" in _refused(capsys, data, f"--out={notes}")
    assert "not empty" in _refused(capsys, data, f"--out={tmp_path}")
    assert notes.read_text() == "mine"
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_resuming_something_else_is_refused(finished, folder, tmp_path, capsys) -> None:
    before = (finished / "metrics.json").stat().st_mtime_ns
    changed = _refused(capsys, "--resume", f"--out={finished}", "--epochs=9")
    assert "the run has epochs 1, resuming was asked with 9" in changed
    small_cohort(seed=1).write(tmp_path / "other.parquet")
    other = _refused(capsys, "--resume", f"--out={finished}", f"--data={tmp_path / 'other.parquet'}")
    assert "was started on other data" in other
    assert (finished / "metrics.json").stat().st_mtime_ns == before


def test_resuming_from_another_folder_says_where_paths_start(folder, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.txt").write_text("--data=small.parquet\n")
    monkeypatch.chdir(tmp_path)
    error = _refused(capsys, "--resume", "--out=run")
    assert "--data=small.parquet: there is no such file" in error
    assert "from the folder where the run began" in error
    assert "from the folder" not in _refused(capsys, "--resume", "--out=run", "--data=other.parquet")
    monkeypatch.chdir(folder)
    assert "from the folder" not in _refused(capsys, "--resume", f"--out={tmp_path / 'run'}")


def test_training_that_runs_away_stops_and_keeps_finite_weights(folder, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    rates = ["--head_learning_rate=1e38", "--encoder_learning_rate=1e38", "--schedule=constant"]
    assert _finetune(f"--data={folder / 'small.parquet'}", *rates, "--nobaseline", f"--out={run}") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "became NaN or infinite in training epoch 1" in error
    assert "Lower the learning rates" in error
    arrays, _ = load_state(run / "checkpoints" / "full.npz")
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert not (run / "metrics.json").exists()
    assert not (run / "model.keras").exists()


# --- a process of its own ---


def test_saved_models_in_a_fresh_process(finished) -> None:
    """model.keras on raw minutes gives predictions.csv, where nothing of the training is in memory."""
    program = (
        "import sys, json, numpy as np, polars as pl\n"
        "import pat_keras as pat\n"
        "from pat_keras.checkpoints.saved import load_classifier\n"
        "cohort = pat.Cohort.read(sys.argv[2])\n"
        "rows = pl.read_csv(sys.argv[1] + '/predictions.csv', schema_overrides={'participant_id': pl.String})\n"
        "keys = {key: i for i, key in enumerate(cohort.table.select('participant_id', 'window').rows())}\n"
        "windows = [keys[key] for key in rows.select('participant_id', 'window').rows()]\n"
        "found = load_classifier(sys.argv[1] + '/model.keras').predict_proba(cohort.activity[windows])[:, 1]\n"
        "print(json.dumps(float(np.abs(found - rows['probability'].to_numpy()).max())))\n"
    )
    data = next(line for line in (finished / "flags.txt").read_text().splitlines() if line.startswith("--data="))
    command = [sys.executable, "-c", program, str(finished), data.removeprefix("--data=")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) < 1e-6


@pytest.mark.parametrize("name", ["finetune", "prepare"])
def test_help_is_light(name: str) -> None:
    program = (
        "import sys\n"
        f"from pat_keras.apps.{name} import main\n"
        f"status = main(['pat-{name}', '--help'])\n"
        "heavy = {'tensorflow', 'keras', 'polars', 'sklearn', 'scipy', 'matplotlib', 'jax'} & set(sys.modules)\n"
        "print('status', status, 'heavy', sorted(heavy))\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    took = time.monotonic() - began
    assert done.stdout.splitlines()[-1] == "status 0 heavy []"
    assert f"Flags of pat-{name}:" in done.stdout
    assert "--flagfile" in done.stdout
    assert took < 5  # 0.3 s alone; a busy machine may take longer, the list above is what counts
