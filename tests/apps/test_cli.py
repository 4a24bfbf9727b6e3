from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from absl import flags

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


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"lower_bound": 1}, "a positive integer"),
        ({"lower_bound": 0}, "a non-negative integer"),
        ({"lower_bound": 3, "upper_bound": 5}, "an integer in the range [3, 5]"),
    ],
)
def test_a_number_out_of_its_bounds(capsys, bounds: dict[str, int], words: str) -> None:
    values = flags.FlagValues()
    flags.DEFINE_integer("plots", 4, "", flag_values=values, **bounds)
    assert cli.execute(["x", "--plots=-1"], values, "", lambda values: None) == cli.BAD_INPUT
    assert capsys.readouterr().err == f"pat-x: --plots=-1: expected {words}. See pat-x --help.\n"


def test_whatever_else_is_said_of_a_flag_ends_its_sentence(capsys) -> None:
    for message in ("no such flag", "no such flag."):

        def refused(values: flags.FlagValues, message: str = message) -> None:
            raise flags.Error(message)

        assert cli.execute(["x"], finetune.define_flags(), "", refused) == cli.BAD_INPUT
        assert capsys.readouterr().err == "pat-x: no such flag. See pat-x --help.\n"


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
