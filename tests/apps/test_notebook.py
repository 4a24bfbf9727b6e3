from __future__ import annotations

import os
import pathlib
import sys

import pytest
from matplotlib.figure import Figure

import pat_keras as pat
from pat_keras.apps import notebook


def test_every_command_can_be_run() -> None:
    folder = pathlib.Path(notebook.__file__).parent
    apps = {path.stem for path in folder.glob("*.py") if "\ndef run()" in path.read_text(encoding="utf-8")}
    assert set(notebook.COMMANDS) == apps


def test_prints_what_the_command_prints(capsys) -> None:
    notebook.command(
        """
        pat-finetune
            --weights=list
        """
    )
    said = capsys.readouterr()
    assert "pat_small_nhanes2005" in said.out and said.err == ""


def test_what_the_command_refuses_is_an_error_with_its_words() -> None:
    with pytest.raises(pat.PATError, match=r"pat-predict: x\.parquet: there is no such file"):
        notebook.command("pat-predict --run=nowhere --data=x.parquet --out=y.csv")
    with pytest.raises(pat.ConfigError, match="no command 'rm'"):
        notebook.command("rm -r .")


def test_bars_are_hidden_and_warnings_kept(monkeypatch, capfd) -> None:
    class App:
        @staticmethod
        def main(argv: list[str]) -> int:
            print("\r 10%|#    | 1/10 [00:00<00:09]\nwarning: the unit differs", file=sys.stderr)
            os.write(2, b"of native code, or of another process")
            print(f"done: {argv}")
            return 0

    monkeypatch.setitem(sys.modules, "pat_keras.apps.embed", App)
    notebook.command("pat-embed --data='two words.parquet'")
    assert capfd.readouterr() == ("done: ['pat-embed', '--data=two words.parquet']\nwarning: the unit differs\n", "")


def test_pictures_are_shown_with_words(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda figure, **more: shown.append((figure, more)))
    figure = Figure()
    notebook.show(figure, "A line that rises.")
    assert shown == [(figure, {"metadata": {"image/png": {"alt": "A line that rises."}}})]
