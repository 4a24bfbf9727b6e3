"""One search in a file: killed and gone on with to the same trials, pruned where hopeless, won by the best."""

from __future__ import annotations

import pathlib
import signal
import sqlite3
import subprocess
import sys
from typing import Any

import pytest

from pat_keras.config import FinetuneConfig
from pat_keras.errors import ConfigError, RunError
from pat_keras.evaluation.search_space import read_space
from pat_keras.evaluation.study import Search, Storage, TrialError, Tried, best_of, import_optuna

pytest.importorskip("optuna")

_SPACE = read_space(["dropout=float:0:0.9", "head_learning_rate=log:1e-6:1", "schedule=choice:cosine,constant"],
                    FinetuneConfig())  # fmt: skip


def _search(**changes: Any) -> Search:
    settings = {"space": _SPACE, "first": {}, "trials": 7, "sampler": "tpe", "pruner": "median", "seed": 3}
    return Search(**{**settings, "maximize": True, **changes})


def _bump(number: int, settings: dict[str, Any], report: Any) -> float:
    """Best at dropout 0.3; the epochs before tell it."""
    value = -((settings["dropout"] - 0.3) ** 2)
    for epoch in range(1, 6):
        report(epoch, value - 1 / epoch)
    return value


def _run(path: pathlib.Path, objective: Any = _bump, **changes: Any) -> list[Tried]:
    with Storage(path) as storage:
        return _search(**changes).run(storage, "holdout", objective)


def _content(tried: list[Tried]) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.state, trial.value, trial.settings, trial.reason) for trial in tried]


def test_the_same_seed_makes_the_same_trials(tmp_path) -> None:
    first = _run(tmp_path / "a.db")
    assert _content(_run(tmp_path / "b.db")) == _content(first)
    assert _content(_run(tmp_path / "c.db", seed=4)) != _content(first)
    assert [trial.number for trial in first] == list(range(1, 8))
    assert len({trial.settings["dropout"] for trial in first}) == 7


@pytest.mark.parametrize("maximize", [True, False])
def test_it_finds_the_best_place(tmp_path, maximize: bool) -> None:
    def bump(number: int, settings: dict[str, Any], report: Any) -> float:
        return (1 if maximize else -1) * _bump(number, settings, lambda *_: None)

    tried = _run(tmp_path / "a.db", bump, trials=30, maximize=maximize)
    assert abs(best_of(tried, maximize).settings["dropout"] - 0.3) < 0.05


def test_it_begins_with_what_it_was_given(tmp_path) -> None:
    tried = _run(tmp_path / "a.db", first={"dropout": 0.25}, trials=2)
    assert tried[0].settings["dropout"] == 0.25
    assert tried[1].settings["dropout"] != 0.25


class _StopError(Exception):
    """Stands for a kill: nobody catches it."""


def test_interrupted_anywhere_it_makes_the_trials_it_would_have_made(tmp_path) -> None:
    whole = _run(tmp_path / "whole.db")
    for stop in (1, 4, 7):

        def stopping(number: int, settings: dict[str, Any], report: Any, stop: int = stop) -> float:
            if number == stop:
                report(1, 0.0)
                raise _StopError
            return _bump(number, settings, report)

        path = tmp_path / f"stopped{stop}.db"
        with pytest.raises(_StopError):
            _run(path, stopping)
        assert _content(_run(path)) == _content(whole)


def test_a_finished_search_makes_no_trial(tmp_path) -> None:
    first = _run(tmp_path / "a.db", trials=3)
    again = _run(tmp_path / "a.db", lambda *_: pytest.fail("a trial was made"), trials=3)
    assert again == first


_PROGRAM = """
import pathlib, sys, time
from tests.evaluation.test_study import _bump, _run

def slow(number, settings, report):
    if number >= 4:
        print("in trial 4", flush=True)
        time.sleep(600)
    return _bump(number, settings, report)

_run(pathlib.Path(sys.argv[1]), slow)
"""


def test_a_killed_process_leaves_trials_to_go_on_with(tmp_path) -> None:
    path = tmp_path / "killed.db"
    root = pathlib.Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path)], stdout=subprocess.PIPE, cwd=root)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in trial 4\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert _content(_run(path)) == _content(_run(tmp_path / "whole.db"))


def test_hopeless_trials_are_pruned(tmp_path) -> None:
    def staged(number: int, settings: dict[str, Any], report: Any) -> float:
        value = 0.0 if number == 7 else 1.0 + number / 100
        for epoch in range(1, 10):
            steps.append((number, epoch))
            report(epoch, value)
        return value

    steps: list[tuple[int, int]] = []
    tried = _run(tmp_path / "a.db", staged, trials=8)
    assert [trial.number for trial in tried if trial.state == "pruned"] == [7]
    assert max(epoch for number, epoch in steps if number == 7) < 9
    assert tried[6].value is None
    steps.clear()
    assert all(trial.state == "complete" for trial in _run(tmp_path / "b.db", staged, trials=8, pruner="none"))
    halved = _run(tmp_path / "c.db", staged, trials=8, pruner="halving")
    assert halved[6].state == "pruned"


def test_a_failed_trial_counts_and_says_why(tmp_path) -> None:
    def failing(number: int, settings: dict[str, Any], report: Any) -> float:
        if number % 2:
            raise TrialError("the loss became NaN")
        return float(number)

    tried = _run(tmp_path / "a.db", failing, trials=4)
    assert [(trial.state, trial.value, trial.reason) for trial in tried[:2]] == [
        ("failed", None, "the loss became NaN"),
        ("complete", 2.0, ""),
    ]
    assert best_of(tried, True).number == 4
    with pytest.raises(RunError, match=r"none of 1 trials was completed: the loss became NaN"):
        best_of(tried[:1], True)


def test_equal_values_are_won_by_the_earlier() -> None:
    tried = [Tried(number, "complete", 0.5, {}, "", 0.0) for number in (1, 2)]
    assert best_of(tried, True).number == best_of(tried, False).number == 1


def test_odd_names_and_damaged_files(tmp_path) -> None:
    folder = tmp_path / "50% of? people #1"
    folder.mkdir()
    _run(folder / "trials.db", trials=1)
    with sqlite3.connect(folder / "trials.db") as connection:
        assert connection.execute("select count(*) from trials").fetchone() == (1,)
    connection.close()
    (tmp_path / "text.db").write_text("no database, and longer than a header of one would have to be" * 20)
    with pytest.raises(RunError, match=r"text\.db: found a file that Optuna can't read"):
        _run(tmp_path / "text.db")


def test_without_optuna_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'pat_keras\[tune\]'"):
        import_optuna()
