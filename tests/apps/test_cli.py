from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from pat_keras.apps import cli, finetune


def test_help_into_a_closed_pipe_ends_without_a_traceback() -> None:
    command = f"{sys.executable} -m pat_keras.apps.finetune --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("pat-finetune")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--epochs=many", "pat-x: --epochs=many: expected a whole number. See pat-x --help."),
        ("--dropout=x", "pat-x: --dropout=x: expected a number."),
        ("--resume=maybe", "pat-x: --resume=maybe: expected --resume=true or --resume=false."),
        ("--mode=half", "pat-x: --mode=half: expected one of <full|"),
        ("--subgroups", "pat-x: --subgroups has no value; expected --subgroups=VALUE."),
        ("--flagfile=nowhere.txt", "pat-x: --flagfile: 'nowhere.txt' can't be read."),
    ],
)
def test_a_mistaken_flag_is_told_in_plain_words(capsys, argument: str, words: str) -> None:
    assert cli.execute(["x", argument], finetune.define_flags(), "", lambda values: None) == cli.BAD_INPUT
    assert capsys.readouterr().err.startswith(words)


def test_no_flag_has_an_empty_default() -> None:
    assert "Default: ." not in cli.help_text("pat-x", "", finetune.define_flags())


@pytest.mark.parametrize(("backend", "words"), [("jaxx", "expected tensorflow or jax"), ("jax", "pat_keras[jax]")])
def test_a_backend_that_is_not_there_is_told(capsys, monkeypatch, backend: str, words: str) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    command = cli.import_quietly
    assert cli.execute(["x"], finetune.define_flags(), "", lambda values: command()) == cli.BAD_INPUT
    assert f"KERAS_BACKEND={backend}: " in (error := capsys.readouterr().err) and words in error


@pytest.mark.parametrize(("backend", "hidden"), [("jax", True), ("tensorflow", False)])
def test_tensorflow_leaves_the_gpu_to_jax(backend: str, hidden: bool) -> None:
    program = (
        "import tensorflow as tf; told = []; tf.config.set_visible_devices = lambda *given: told.append(given); "
        "from pat_keras.apps import cli; cli.import_quietly(); print('told', told)"
    )
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    out = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ("told [([], 'GPU')]" if hidden else "told []") in out.stdout


def test_tensorflow_does_not_warn_of_a_prediction_compiled_for_each_model(capsys) -> None:
    cli.import_quietly()
    logger = logging.getLogger("tensorflow")
    logger.warning("5 out of the last 9 calls to predict triggered tf.function retracing.")
    logger.warning("something else")
    assert "retracing" not in (error := capsys.readouterr().err)
    assert "something else" in error or not logger.handlers
