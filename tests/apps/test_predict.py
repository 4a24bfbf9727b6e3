"""pat-predict: a trained run on people it has not seen."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import numpy as np
import polars as pl
import pytest

from pat_keras.apps.predict import main
from pat_keras.data.cohort import Cohort
from pat_keras.data.learned_days import window_means
from pat_keras.errors import CohortError
from pat_keras.evaluation.ensemble import PATEnsemble, TrainedOn
from pat_keras.evaluation.experiment import Result, finetune
from pat_keras.evaluation.predict import _say_if_out_of_range, check_measured_alike, predict
from tests.small import small_cohort, small_config


@pytest.fixture(scope="module")
def new() -> Cohort:
    return small_cohort(n_people=6, seed=1).select(range(11))  # the last person has one window


@pytest.fixture(scope="module")
def holdout(tmp_path_factory) -> Result:
    out = tmp_path_factory.mktemp("runs") / "holdout"
    return finetune(small_cohort(), "label", small_config(epochs=1), out=out)


@pytest.fixture(scope="module")
def kfold(tmp_path_factory) -> Result:
    out = tmp_path_factory.mktemp("runs") / "kfold"
    config = small_config(task="multiclass", epochs=1, split="kfold", folds=2, validation_fraction=0.4)
    return finetune(small_cohort(), "level", config, out=out)


def _predict(*arguments: str | pathlib.Path) -> int:
    return main(["pat-predict", *(str(argument) for argument in arguments)])


def test_windows_and_people(holdout, new, tmp_path, capsys) -> None:
    new.write(tmp_path / "new.parquet")
    arguments = [f"--run={holdout.folder}", f"--data={tmp_path / 'new.parquet'}", f"--out={tmp_path / 'p.csv'}"]
    assert _predict(*arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "windows: " in printed.out
    windows = pl.read_csv(tmp_path / "p.csv")
    assert windows.columns == ["participant_id", "window", "start", "probability"]
    np.testing.assert_allclose(
        windows["probability"].to_numpy(), holdout.models[0].predict_proba(new.activity)[:, 1], atol=1e-6
    )
    people = pl.read_csv(tmp_path / "p.people.csv")
    assert people["windows"].to_list() == [2, 2, 2, 2, 2, 1]
    expected = windows.group_by("participant_id", maintain_order=True).agg(pl.col("probability").mean())
    np.testing.assert_allclose(people["probability"].to_numpy(), expected["probability"].to_numpy())
    content = (tmp_path / "p.csv").read_bytes()
    assert _predict(*arguments) == 2
    assert "p.csv: is already there" in capsys.readouterr().err
    assert (tmp_path / "p.csv").read_bytes() == content
    assert _predict(*arguments, "--overwrite") == 0


def test_arrays(holdout, new, tmp_path, capsys) -> None:
    np.save(tmp_path / "X.npy", new.activity)
    np.save(tmp_path / "who.npy", new.participant_id)
    arguments = [f"--data={tmp_path / 'X.npy'}", f"--participants={tmp_path / 'who.npy'}"]
    assert _predict(f"--run={holdout.folder}", *arguments, f"--out={tmp_path / 'p.csv'}") == 0
    assert "the unit is 'unknown'" in capsys.readouterr().err
    assert pl.read_csv(tmp_path / "p.people.csv").height == 6


def test_models_of_folds_are_averaged(kfold, new) -> None:
    found = predict(kfold.folder, new)
    assert found.windows.columns[3:] == ["probability_0", "probability_1", "probability_2"]
    expected = np.mean([model.predict_proba(new.activity) for model in kfold.models], axis=0)
    np.testing.assert_allclose(found.windows.select(pl.col("^probability_.*$")).to_numpy(), expected, atol=1e-6)
    first = new.participant_id == new.participant_id[0]
    np.testing.assert_allclose(found.people.row(0)[2:], expected[first].mean(axis=0), atol=1e-6)


def test_the_data_of_the_run_itself_are_pointed_out(holdout) -> None:
    said: list[str] = []
    predict(holdout.folder, small_cohort(), say=said.append)
    assert len(said) == 1
    assert "the data that the run was trained on" in said[0]


def test_what_learned_from_simulated_people_says_nothing_of_real_ones(holdout, new, tmp_path) -> None:
    PATEnsemble.from_runs([holdout.folder]).save(tmp_path / "ensemble")
    for folder in (holdout.folder, tmp_path / "ensemble"):
        said: list[str] = []
        predict(folder, new, say=said.append)
        assert said == []
        predict(folder, _changed(new, synthetic=False), say=said.append)
        assert ["trained on simulated people" in words for words in said] == [True]


def test_fixed_scaling_is_seen_and_undone(holdout, new) -> None:
    scaled = Cohort((new.activity - 2.5) / 2.0, new.table, new.metadata)
    said: list[str] = []
    found = predict(holdout.folder, scaled, repair_fixed_scaling=(2.5, 2.0), say=said.append)
    assert said == []
    assert found.windows.equals(predict(holdout.folder, new).windows)
    predict(holdout.folder, scaled, say=said.append)
    assert "--repair_fixed_scaling=2.5,2" in said[0]


def test_says_who_of_a_part_of_the_data_was_seen_and_what_is_no_such_recording(holdout, new, tmp_path) -> None:
    """Also of an ensemble that was saved; nothing is said of test people alone."""
    data, tested = small_cohort(), holdout.predictions.filter(pl.col("part") == "test")["participant_id"].unique()
    held = np.isin(data.participant_id, tested.to_list())
    PATEnsemble.from_runs([holdout.folder]).save(tmp_path / "both")
    for folder in (holdout.folder, tmp_path / "both"):
        said: list[str] = []
        predict(folder, data.select(np.flatnonzero(held)), say=said.append)
        assert said == []
        predict(folder, data.select(np.arange(1, data.n_windows)), say=said.append)
        assert f"{24 - len(tested)} of 24 people are among those whom the run was trained on" in said[0]
        predict(folder, Cohort(new.activity * 50, new.table, new.metadata), say=said.append)
        assert "Are they of another device, or in another unit?" in said[1]


def test_a_window_without_a_known_minute_has_no_mean() -> None:
    """Neither in the range that a run keeps, nor in what is compared with it."""
    about = TrainedOn("label", 60, "counts", 60, (), (), masks=True, scales=True, activity_range=(10.0, 200.0))
    said: list[str] = []
    for level in (100.0, 900.0, np.nan):
        activity = np.full((4, 60), level)
        activity[:2] = np.nan
        assert window_means(activity) == [level] * 2 * (level > 0)
        assert window_means(activity, [0, 3]) == [level] * (level > 0)
        _say_if_out_of_range(about, activity, said.append)
    assert len(said) == 1 and "is 900 counts a minute" in said[0]


def _changed(new: Cohort, **metadata) -> Cohort:
    return Cohort(new.activity, new.table, {**new.metadata, **metadata})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda new: Cohort(new.activity[:, :1080], new.table, new.metadata), "have 1080 minutes, the run .* of 1440"),
        (lambda new: _changed(new, unit="MIMS"), "the unit is 'MIMS', that of the data .* 'counts'"),
        (lambda new: _changed(new, epoch_length=30), "the epoch_length is 30, that .* 60"),
        (lambda new: Cohort(np.where(new.activity > 900, np.nan, new.activity), new.table), "windows have missing"),
    ],
)  # fmt: skip
def test_other_recordings_are_refused(holdout, new, tmp_path, capsys, change, words: str) -> None:
    change(new).write(tmp_path / "new.parquet")
    assert _predict(f"--run={holdout.folder}", f"--data={tmp_path / 'new.parquet'}", f"--out={tmp_path / 'p.csv'}") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("pat-predict: ")
    assert re.search(words, error), error
    assert not (tmp_path / "p.csv").exists()


def _starting(cohort: Cohort, *times: str | None, **reading: str) -> Cohort:
    """Windows that begin at these clock times, one after the other."""
    starts = [None if time is None else f"2024-03-04 {time}" for time in times]
    column = pl.Series([starts[row % len(times)] for row in range(cohort.n_windows)], dtype=pl.String)
    return _changed(cohort.with_columns(start=column.str.to_datetime("%Y-%m-%d %H:%M:%S")), reading=reading)


@pytest.fixture(scope="module")
def from_midnight(tmp_path_factory) -> pathlib.Path:
    """A run on windows from midnight, some of them half a minute later, of the vertical axis."""
    cohort = _starting(small_cohort(), "00:00:00", "00:00:30", axis="vertical")
    return finetune(cohort, "label", small_config(epochs=1), out=tmp_path_factory.mktemp("runs") / "midnight").folder


@pytest.mark.parametrize(
    ("times", "reading", "words"),
    [
        (("00:00:00",), {"axis": "vertical"}, ""),
        (("00:00:30",), {}, ""),
        (("14:37:00",), {}, "begin at 14:37, .* at 00:00. .*--window_start=midnight"),
        (("00:00:00", "14:37:00"), {}, "begin at various times of day, .* at 00:00"),
        (("00:00:00",), {"axis": "vector_magnitude"}, "the axis is 'vector_magnitude', that .* 'vertical'"),
    ],
)  # fmt: skip
def test_windows_from_another_time_of_day_or_axis_are_refused(from_midnight, new, times, reading, words: str) -> None:
    """The days of the people of the run, from another minute, would not be known again; and the model tells hours."""
    said: list[str] = []
    cohort = _starting(new, *times, **reading)
    if not words:
        predict(from_midnight, cohort, say=said.append)
    else:
        with pytest.raises(CohortError, match=words):
            predict(from_midnight, cohort, say=said.append)
    assert said == []


def test_a_run_that_is_not_bound_to_a_time_of_day(from_midnight, new, tmp_path) -> None:
    """Where its own windows began at several; of older runs, and of dates that nobody knows, it is asked for."""
    older, various = (shutil.copytree(from_midnight, tmp_path / name) for name in ("older", "various"))
    account = json.loads((older / "data.json").read_text())
    assert (account.pop("window_start"), account.pop("axis")) == ("00:00", "vertical")
    for folder, start in ((older, {}), (various, {"window_start": "various times of day"})):
        (folder / "data.json").write_text(json.dumps(account | start))
    for folder, time, words in (
        (older, "00:00:00", None),
        (older, "14:37:00", "begin at 14:37, those of the run's data at one that is not known: make sure"),
        (various, "14:37:00", None),
        (from_midnight, None, "begin at a time of day that is not known, those of the run's data at 00:00"),
    ):
        said: list[str] = []
        predict(folder, _starting(new, time), say=said.append)
        assert len(said) == (words is not None) and (words or "") in "".join(said)
    withheld = _changed(new, windows={"start": "midnight"})  # NHANES gives no dates
    predict(from_midnight, withheld, say=said.append)
    assert len(said) == 1


def test_the_start_of_windows_is_kept_with_an_ensemble(from_midnight, new, tmp_path) -> None:
    PATEnsemble.from_runs([from_midnight]).save(tmp_path / "both")
    with pytest.raises(CohortError, match="begin at 14:37"):
        predict(tmp_path / "both", _starting(new, "14:37:00"))


def test_an_unknown_unit_is_said_whatever_it_is_called() -> None:
    """Tables call it "unknown unit", arrays "unknown"; of two that are unknown nobody knows that they are the same."""
    table = pl.DataFrame({"start": [None]}, schema={"start": pl.Datetime})
    for unit, of_run, words in (
        ("counts", "unknown unit", "the unit is 'counts' (of 'Licht'), and that of the run's data 'unknown unit'"),
        ("unknown unit", "unknown", "the unit is 'unknown unit' (of 'Licht'), and that of the run's data 'unknown'"),
        ("unknown unit", "unknown unit", "make sure that they are the same"),
        ("steps", "steps", "the column is 'Licht', that of the run's data 'Schritte'"),
    ):
        trained = TrainedOn("label", 60, of_run, 60, (), (), masks=True, scales=True, values="'Schritte'")
        metadata = {
            "source": "x",
            "unit": unit,
            "epoch_length": 60,
            "reading": {"values": f"'Licht' in {unit}, decimal comma"},
        }
        said: list[str] = []
        check_measured_alike("run", trained, 60, table, metadata, said.append)
        assert len(said) == 1 and words in said[0]


def test_other_folders_are_refused(holdout, new, tmp_path, capsys) -> None:
    new.write(tmp_path / "new.parquet")
    data, out = f"--data={tmp_path / 'new.parquet'}", f"--out={tmp_path / 'p.csv'}"
    cases = [
        ([f"--run={tmp_path}", data, out], "metrics.json: there is no such file; expected one of a finished run"),
        ([f"--run={holdout.folder}", data, f"--out={tmp_path / 'p.parquet'}"], "a file that ends in .csv"),
        ([f"--run={holdout.folder}", data], "out"),
        ([f"--run={holdout.folder}", f"--data={tmp_path / 'nothing.parquet'}", out], "there is no such file"),
        ([f"--run={holdout.folder}", data, f"--participants={out}", out], "go with arrays"),
    ]
    for arguments, words in cases:
        assert _predict(*arguments) == 2
        assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "new.parquet"]


def test_a_damaged_model_is_refused(holdout, new, tmp_path, capsys) -> None:
    new.write(tmp_path / "new.parquet")
    run = tmp_path / "run"
    run.mkdir()
    for name in ("metrics.json", "predictions.csv", "data.json", "config.json"):
        (run / name).write_bytes((holdout.folder / name).read_bytes())
    whole = (holdout.folder / "model.keras").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no model", None):
        (run / "model.keras").unlink(missing_ok=True)
        if damaged is not None:
            (run / "model.keras").write_bytes(damaged)
        assert _predict(f"--run={run}", f"--data={tmp_path / 'new.parquet'}", f"--out={tmp_path / 'p.csv'}") == 2
        assert "model.keras: " in capsys.readouterr().err


def test_what_is_read_is_never_replaced(holdout, new, tmp_path, capsys) -> None:
    cohort = tmp_path / "new.people.csv"  # a cohort may have any name
    new.write(cohort)
    before = cohort.read_bytes()
    predictions = holdout.folder / "predictions.csv"
    of_run = predictions.read_bytes()
    for out, read in ((cohort, "--data"), (tmp_path / "new.csv", "--data"), (predictions, "--run")):
        assert _predict(f"--run={holdout.folder}", f"--data={cohort}", f"--out={out}", "--overwrite") == 2
        assert f"is read by the same command ({read}: " in capsys.readouterr().err
    assert cohort.read_bytes() == before and predictions.read_bytes() == of_run
    assert list(tmp_path.iterdir()) == [cohort]
