"""pat-benchmark as a user meets it: runs, is killed, goes on, fails in a part, and says what is wrong."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import sklearn.metrics

from pat_keras.apps.benchmark import main
from pat_keras.config import FinetuneConfig
from pat_keras.data.cohort import Cohort
from pat_keras.data.simulate import simulate_cohort
from pat_keras.evaluation.benchmark import pool
from pat_keras.evaluation.benchmark.cells import read_cell
from pat_keras.evaluation.benchmark.plan import Cell, Source
from pat_keras.evaluation.benchmark.pool import Told
from pat_keras.evaluation.protocols import labelled_data, make_splits
from pat_keras.models.baselines import BASELINES, make_baseline
from tests.evaluation.benchmark.generate import FAST, write_benchmark
from tests.small import small_cohort

_CNN = '[[models]]\nname = "CNN"\nsettings = {model = "cnn1d"}\n'
_BASELINES = FAST.replace(_CNN, "").replace('reference = "CNN"\n', "")


@pytest.fixture
def workers(monkeypatch) -> None:
    """Real processes; they start with this environment. JAX starts sooner than TensorFlow, and must do without it."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")


@pytest.fixture
def here(monkeypatch) -> None:
    """Cells are computed in this process, which has imported everything already."""

    def run_here(cells: list[Cell], folder: pathlib.Path, workers: int, told: Told) -> None:
        source = Source()
        for cell in cells:
            told(cell, *pool.attempt(cell, source, folder))

    monkeypatch.setattr(pool, "run_locally", run_here)


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """small.parquet, and bench.toml of baselines alone."""
    write_benchmark(tmp_path, _BASELINES, small_cohort(40, windows=1))
    return tmp_path


def _run(folder: pathlib.Path, *flags: str) -> int:
    return main(["pat-benchmark", f"--config={folder / 'bench.toml'}", f"--out={folder / 'out'}", *flags])


def _times(folder: pathlib.Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "out" / "cells").glob("*.npz")}


def _change(folder: pathlib.Path, old: str, new: str) -> None:
    text = (folder / "bench.toml").read_text()
    assert old in text
    (folder / "bench.toml").write_text(text.replace(old, new))


# --- whole ---


def test_two_models_two_sizes_two_seeds(workers, tmp_path, capsys) -> None:
    write_benchmark(tmp_path, FAST, small_cohort(40, windows=1))
    assert _run(tmp_path, "--workers=2") == 0
    out = tmp_path / "out"
    assert len(_times(tmp_path)) == 8
    results = json.loads((out / "results.json").read_text())
    assert results["complete"] and results["synthetic"]
    assert results["versions"]["backend"] == ["jax"]
    (task,) = results["tasks"]
    predictions = pl.read_parquet(out / "predictions.parquet")
    assert len(task["rows"]) == 4
    for row in task["rows"]:
        for found in row["by_seed"]:
            own = predictions.filter(
                (pl.col("model") == row["model"])
                & (pl.col("train_size") == row["train_size"])
                & (pl.col("seed") == found["seed"])
                & (pl.col("part") == "test")
            )
            people = own.group_by("participant_id").agg(pl.col("label").first(), pl.col("probability").mean())
            auc = sklearn.metrics.roc_auc_score(people["label"], people["probability"])
            assert found["auc"] == pytest.approx(auc, abs=1e-12)
        mean = np.mean([found["auc"] for found in row["by_seed"]])
        assert row["metrics"]["auc"]["value"] == pytest.approx(mean)
    table = pl.read_csv(out / "results.csv")
    assert table["auc"].to_list() == pytest.approx([row["metrics"]["auc"]["value"] for row in task["rows"]])
    for name in ("results.html", "results.md"):
        text = (out / name).read_text()
        assert f"{task['rows'][0]['metrics']['auc']['value']:.3f}" in text
        assert "SYNTHETIC" in text
    printed = capsys.readouterr()
    assert not re.search(r"synthetic_\d", printed.out + printed.err)  # no participant's id in any log


def test_parent_and_workers_import_no_tensorflow(workers, folder) -> None:
    """Neither to plan and sum up, nor to train where another backend is asked for."""
    (folder / "bench.toml").write_text(FAST)
    code = (
        "import sys\nfrom pat_keras.apps.benchmark import main\n"
        f"status = main(['pat-benchmark', '--config={folder / 'bench.toml'}', '--out={folder / 'out'}',\n"
        "               '--only=*--n12--seed0'])\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules, 'parent'\nsys.exit(status)\n"
    )
    hidden = folder / "hidden" / "tensorflow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')\n")
    environment = os.environ | {"PYTHONPATH": f"{hidden.parent}:{pathlib.Path.cwd()}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(_times(folder)) == ["label--cnn--n12--seed0", "label--logistic--n12--seed0"]


# --- killed, changed, damaged ---


def test_killed_and_started_again_does_what_is_missing(workers, folder) -> None:
    _change(folder, "seeds = [0, 1]", f"seeds = {list(range(20))}")
    command = [sys.executable, "-m", "pat_keras.apps.benchmark"]
    command += [f"--config={folder / 'bench.toml'}", f"--out={folder / 'out'}", "--workers=1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 180
    while time.monotonic() < until and len(_times(folder)) < 3 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # its worker ends itself when the command is gone
    before = _times(folder)
    assert 3 <= len(before) < 40
    assert _run(folder) == 0
    after = _times(folder)
    assert len(after) == 40
    assert {name: after[name] for name in before} == before


def test_stopped_by_the_keyboard(workers, folder) -> None:
    _change(folder, "seeds = [0, 1]", f"seeds = {list(range(40))}")
    command = [sys.executable, "-m", "pat_keras.apps.benchmark"]
    command += [f"--config={folder / 'bench.toml'}", f"--out={folder / 'out'}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 180
    while time.monotonic() < until and len(_times(folder)) < 2:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the command and its workers
    error = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 130
    assert "stopped by the keyboard" in error
    assert "Traceback" not in error


@pytest.mark.usefixtures("here")
def test_a_changed_setting_recomputes_its_cells_alone(folder, capsys) -> None:
    text = (folder / "bench.toml").read_text() + '\n[[models]]\nname = "other"\nbaseline = "simple_logistic"\n'
    (folder / "bench.toml").write_text(text)
    assert _run(folder) == 0
    before = _times(folder)
    (folder / "bench.toml").write_text(text + 'settings = {recalibration = "none"}\n')
    assert _run(folder, "--dry_run") == 0
    assert "4 of earlier settings or data" in capsys.readouterr().out
    assert _times(folder) == before  # a dry run does nothing
    assert _run(folder) == 0
    after = _times(folder)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {name for name in before if "--other--" in name}
    assert len(list((folder / "out" / "stale").iterdir())) == 4
    _change(folder, "epochs = 1", "epochs = 2")  # nothing to a baseline
    assert _run(folder) == 0
    assert _times(folder) == after


@pytest.mark.usefixtures("here")
def test_changed_data_recompute_and_a_new_column_does_not(folder, capsys) -> None:
    assert _run(folder) == 0
    before = _times(folder)
    cohort = small_cohort(40, windows=1)
    cohort.with_columns(pl.lit(1.0).alias("another")).write(folder / "small.parquet", overwrite=True)
    assert _run(folder) == 0
    assert _times(folder) == before
    small_cohort(40, windows=1, seed=1).write(folder / "small.parquet", overwrite=True)
    capsys.readouterr()
    assert _run(folder, "--dry_run") == 0
    assert "4 of earlier settings or data" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_damaged_cell_is_computed_again(folder, capsys) -> None:
    assert _run(folder) == 0
    path = sorted((folder / "out" / "cells").glob("*.npz"))[1]
    whole, before = path.read_bytes(), _times(folder)
    path.write_bytes(whole[: len(whole) // 2])
    capsys.readouterr()
    assert _run(folder) == 0
    assert "1 damaged, to compute again" in capsys.readouterr().out
    after = _times(folder)
    assert {name for name in after if after[name] != before[name]} == {path.stem}


# --- failures and parts ---


@pytest.mark.usefixtures("here")
def test_one_failing_cell_leaves_the_others(folder, capsys) -> None:
    """A model for weeks, where windows are days: its process finds that out."""
    text = (folder / "bench.toml").read_text()
    (folder / "bench.toml").write_text(text + '\n[[models]]\nname = "huge"\nsettings = {model = "cnn3d"}\n')
    assert _run(folder) == 2
    printed = capsys.readouterr()
    assert "4 of 8 cells are not there" in printed.err
    assert "label--huge--n12--seed0: failed:" in printed.err
    assert "NOT COMPLETE: 4 of 8 cells" in printed.out
    results = json.loads((folder / "out" / "results.json").read_text())
    assert not results["complete"]
    assert {row["model"] for row in results["tasks"][0]["rows"]} == {"logistic"}


@pytest.mark.usefixtures("here")
def test_a_part_computed_elsewhere(folder, capsys) -> None:
    assert _run(folder, "--only=*--seed1") == 0
    assert sorted(_times(folder)) == ["label--logistic--all--seed1", "label--logistic--n12--seed1"]
    assert "NOT COMPLETE: 2 of 4 cells" in capsys.readouterr().out
    assert _run(folder, "--report_only") == 2
    assert len(_times(folder)) == 2
    assert _run(folder, "--only=nothing*") == 2
    assert "matches none of the 4 cells" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("split", "folds"), [('split = "kfold"\nfolds = 3', 3), ('split = "leave_one_out"', 24)])
def test_folds_are_cells(tmp_path, split: str, folds: int) -> None:
    text = _BASELINES.replace("test_fraction = 0.3", split).replace('[12, "all"]', '["all"]').replace("[0, 1]", "[0]")
    write_benchmark(tmp_path, text, small_cohort(24, windows=2))
    assert _run(tmp_path) == 0
    assert len(_times(tmp_path)) == folds
    (task,) = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]
    (row,) = task["rows"]
    assert (row["n"], row["seeds"], task["widening"]) == (24, [0], pytest.approx((2 - 1 / folds) ** 0.5))
    cells = [read_cell(path) for path in (tmp_path / "out" / "cells").glob("*--seed0--fold*.npz")]
    people = [cell.test.people("binary") for cell in cells]
    y, score = (np.concatenate([getattr(part, name) for part in people]) for name in ("y", "score"))
    assert row["by_seed"][0]["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, score), abs=1e-12)


@pytest.mark.usefixtures("here")
def test_a_difference_tells_of_how_many_seeds_it_is(folder) -> None:
    _change(folder, '"simple_logistic"\n', '"simple_logistic"\n\n[[models]]\nname = "field"\nseeds = [1]\n')
    _change(folder, "seeds = [1]\n", 'seeds = [1]\nbaseline = "features_logistic"\n')
    _change(folder, 'data = "small.parquet"\n', 'data = "small.parquet"\nreference = "logistic"\n')
    assert _run(folder) == 0
    field = pl.read_csv(folder / "out" / "results.csv").filter(pl.col("model") == "field")
    assert field["against_reference_seeds"].to_list() == [1, 1]
    (task,) = json.loads((folder / "out" / "results.json").read_text())["tasks"]
    first = {row["model"]: row for row in task["rows"] if row["train_size"] == "12"}
    (own,) = first["field"]["by_seed"]
    (other,) = (found for found in first["logistic"]["by_seed"] if found["seed"] == 1)
    assert first["field"]["against_reference"]["value"] == pytest.approx(own["auc"] - other["auc"])
    for name in ("results.html", "results.md"):
        text = (folder / "out" / name).read_text()
        assert "(1 of 2 seeds)" in text
        assert "two-sided, of one seed" in text


@pytest.mark.usefixtures("here")
def test_the_people_tested_are_those_of_all_seeds(folder) -> None:
    _change(folder, "split_seed = 3\n", "")
    assert _run(folder) == 0
    tested = pl.read_parquet(folder / "out" / "predictions.parquet").filter(pl.col("part") == "test")
    people = tested.unique("participant_id")
    assert people.height > tested.filter(pl.col("seed") == 0)["participant_id"].n_unique()
    words = f"{people.height} people tested, {people['label'].sum():.0f} positive (by all seeds together)"
    assert words in (folder / "out" / "results.md").read_text()


@pytest.mark.usefixtures("here")
def test_every_baseline_predicts_as_it_does_alone(folder) -> None:
    """Features made once for all cells, and columns of the cohort, are what the baseline itself would have made."""
    models = "".join(f'\n[[models]]\nname = "{name}"\nbaseline = "{name}"\n' for name in BASELINES)
    text = _BASELINES[: _BASELINES.index("\n[[models]]")].replace('[12, "all"]', '["all"]').replace("[0, 1]", "[0]")
    text = text.replace("[settings]\n", '[settings]\nrecalibration = "none"\n')
    cohort = small_cohort(40, windows=2)
    age = np.linspace(20, 80, cohort.n_windows)
    cohort = cohort.with_columns(pl.Series("age", age), pl.Series("sex", np.arange(cohort.n_windows) % 2))
    write_benchmark(folder, text + models, cohort)
    assert _run(folder) == 0
    data = labelled_data(cohort, "label", FinetuneConfig(), print)
    (split,) = make_splits(data, FinetuneConfig(test_fraction=0.3, split_seed=3))
    train, test = ((rows, data.participant_id[rows]) for rows in (split.train, split.test))
    for name in BASELINES:
        model = make_baseline(name)
        x = np.stack([data.cohort.label(c) for c in model.columns], axis=1) if model.columns else data.activity
        expected = model.fit(x[train[0]], data.y[train[0]], train[1]).predict_proba(x[test[0]], test[1])
        found = read_cell(folder / "out" / "cells" / f"label--{name.replace('_', '-')}--all--seed0.npz")
        np.testing.assert_allclose(found.test.score, expected, atol=1e-12)


@pytest.mark.usefixtures("here")
def test_multiclass_and_regression(tmp_path) -> None:
    tasks = '[[tasks]]\nname = "level"\nkind = "multiclass"\n\n[[tasks]]\nname = "score"\nkind = "regression"\n'
    text = _BASELINES.replace('[[tasks]]\nname = "label"\n', tasks).replace('[12, "all"]', '["all"]')
    write_benchmark(tmp_path, text, small_cohort(60, windows=1))
    assert _run(tmp_path) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "over people (within each class, where there are classes)," in results["interval"]["method"]
    level, score = results["tasks"]
    assert (level["metric"], score["metric"]) == ("auc", "mae")
    predictions = pl.read_parquet(tmp_path / "out" / "predictions.parquet")
    own = predictions.filter((pl.col("task") == "score") & (pl.col("part") == "test") & (pl.col("seed") == 0))
    mae = sklearn.metrics.mean_absolute_error(own["label"], own["prediction"])
    assert score["rows"][0]["by_seed"][0]["mae"] == pytest.approx(mae)
    own = predictions.filter((pl.col("task") == "level") & (pl.col("part") == "test") & (pl.col("seed") == 0))
    p = own.select("^probability_.*$").to_numpy()
    auc = sklearn.metrics.roc_auc_score(own["label"], p, multi_class="ovr")
    assert level["rows"][0]["by_seed"][0]["auc"] == pytest.approx(auc)


@pytest.mark.usefixtures("here")
def test_what_is_wrong_with_the_data_is_said_before_anything_runs(folder, capsys) -> None:
    _change(folder, 'name = "label"', 'name = "label"\nlabel = "depressed"')
    assert _run(folder) == 2
    assert "task 'label': cohort: there is no label 'depressed'" in capsys.readouterr().err
    assert not (folder / "out").exists()
    _change(folder, "depressed", "label")
    _change(folder, "[12,", "[400,")
    assert _run(folder) == 2
    assert "training size 400, seed 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("days", "gap", "words"),
    [
        (2, 1.0, "found windows of 2880 minutes, expected 1440"),
        (1, np.nan, "40 of 40 days have missing minutes"),
        (1, 1.0, ""),
    ],
)
def test_a_baseline_of_days_is_not_planned_for_other_windows(folder, capsys, days: int, gap: float, words: str) -> None:
    cohort = simulate_cohort(n_people=40, days=days)
    activity = cohort.activity.copy()
    activity[:, 7] = gap
    Cohort(activity, cohort.table, cohort.metadata).write(folder / "small.parquet", overwrite=True)
    _change(folder, "simple_logistic", "days_logistic")
    _change(folder, "epochs = 1", 'epochs = 1\nmissing = "mask"')
    assert _run(folder, "--dry_run") == (2 if words else 0)
    error = capsys.readouterr().err
    if words:
        assert "task 'label', model 'logistic' (days_logistic): features of days: " in error and words in error


def test_a_cohort_among_the_results_is_not_replaced(folder, here, capsys) -> None:
    (folder / "out").mkdir()
    data = (folder / "small.parquet").rename(folder / "out" / "predictions.parquet")
    before = data.read_bytes()
    assert _run(folder, f"--data={data}") == 2
    assert (
        "predictions.parquet: would be replaced, but is read by the same command (--data: " in capsys.readouterr().err
    )
    assert data.read_bytes() == before and list(data.parent.iterdir()) == [data]
