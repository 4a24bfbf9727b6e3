"""Commands and figures in a notebook: `command("pat-prepare --source=csv ...")`, `show(figure, "what is to be seen")`.

`quiet()` in the first cell keeps TensorFlow's lines about itself out of the others.

A command runs in the process of the notebook, which saves its start, needs no shell, and finds the same installation;
`!pat-prepare ...` works as well where the notebook's kernel is on the PATH.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import shlex
import tempfile
from typing import TYPE_CHECKING

from pat_keras.apps import cli
from pat_keras.errors import ConfigError, PATError
from pat_keras.quiet import stderr_to

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMANDS = ("prepare", "finetune", "predict", "ensemble", "benchmark", "tune", "pretrain", "embed", "explain", "export")


def quiet() -> None:
    """Imports TensorFlow without what it prints about itself, then and later."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # it also calls errors what its processor can't do
    cli.import_quietly()
    # Each training compiles functions of its own, which TensorFlow takes for a mistake once there are five.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def command(line: str) -> None:
    """Runs a command as it would be typed in a shell, and prints what it prints, but for its progress bar.

    Args:
        line: name and flags, quoted as in a shell; it may go over several lines. Wildcards are left to the command.

    Raises:
        ConfigError: if there is no such command.
        PATError: with what the command says if it does not end with status 0.
    """
    program, *arguments = shlex.split(line) or [""]
    name = program.removeprefix("pat-")
    if name not in COMMANDS:
        raise ConfigError(f"There is no command {program!r}; expected pat- and one of {', '.join(COMMANDS)}.")
    app = importlib.import_module(f"pat_keras.apps.{name}")
    with (
        tempfile.TemporaryFile() as native,
        stderr_to(native),
        contextlib.redirect_stderr(io.StringIO()) as aside,
    ):
        status = app.main([program, *arguments])
    said = [part for part in aside.getvalue().splitlines() if part.startswith(("warning: ", f"{program}: "))]
    if status:
        raise PATError("\n".join(said))
    if said:
        print("\n".join(said))


def show(figure: Figure, alt: str) -> None:
    """Displays a figure, with text in its place for those who can't see it.

    Args:
        figure: of matplotlib.
        alt: what is to be seen, in a sentence or two.
    """
    from IPython.display import display

    display(figure, metadata={"image/png": {"alt": alt}})
