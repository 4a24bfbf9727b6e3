"""What every command does around its work: flags, help, errors as one paragraph, exit status.

Only the standard library and absl are imported here, so that `--help` and a mistyped flag answer at once.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import flags

from pat_keras.errors import ConfigError, PATError
from pat_keras.quiet import import_tensorflow

_HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")
_WIDTH = 100
OK, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141
_BACKENDS = ("tensorflow", "jax")
_PLAIN = {  # what absl and Python say of a flag, and what that means
    r"flag --(\w+)=None: Flag --\1 must have a value other than None\.": r"--\1 is missing: this command needs it.",
    r"flag (--\w+=.*): invalid literal for int\(\) .*": r"\1: expected a whole number.",
    r"flag (--\w+=.*): could not convert string to float: .*": r"\1: expected a number.",
    r"flag (--\w+)=(.*): \('Non-boolean argument to boolean flag', .*": r"\1=\2: expected \1=true or \1=false.",
    r"flag (--\w+=.*): value should be (one of <.*>)": r"\1: expected \2.",
    r"flag (--\w+=.*): .* is not (an? .*)": r"\1: expected \2.",
    r"Missing value for flag (--\w+)": r"\1 has no value; expected \1=VALUE.",
    r"ERROR:: Unable to open flagfile: .*: ('.*')": r"--flagfile: \1 can't be read. Check the path.",
}


def execute(
    argv: Sequence[str], flag_values: flags.FlagValues, doc: str, command: Callable[[flags.FlagValues], None]
) -> int:
    """Parses flags, runs a command with them and turns the user's mistakes into one paragraph on stderr.

    Args:
        argv: name of the program, then its arguments. `--flagfile=FILE` reads flags from a file.
        flag_values: the flags of this command, defined with `flag_values=`; fresh ones for each call, so that two
            commands of one process never share a flag.
        doc: what the command does, for `--help`.
        command: the work; any other exception than those below is a bug of ours and is left to show its traceback.

    Returns:
        The exit status: 0 if the work is done; 2 for a bad flag, `PATError`, or a file or folder that the system
        refuses to read or write; 130 if stopped by the keyboard; 141 if nobody reads the output any more.
    """
    program = "pat-" + pathlib.PurePath(argv[0]).stem.removeprefix("pat-")  # also for `python -m pat_keras.apps.NAME`
    try:
        if any(argument in _HELP for argument in argv[1:]):
            print(help_text(program, doc, flag_values), flush=True)
            return OK
        rest = flag_values(list(argv))[1:]
        if rest:
            raise flags.Error(f"Unexpected argument {rest[0]!r}; settings are given as --name=value.")
        command(flag_values)
    except flags.Error as error:
        return _fail(program, f"{_plain(str(error))} See {program} --help.")
    except PATError as error:
        return _fail(program, str(error))
    except BrokenPipeError:  # whoever read our output has stopped, as `--help | head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(program, f"{error.filename}: {error.strerror}. Check the path and its permissions.")
    except KeyboardInterrupt:
        print(f"\n{program}: stopped by the keyboard.", file=sys.stderr)
        return INTERRUPTED
    return OK


def help_text(program: str, doc: str, flag_values: flags.FlagValues) -> str:
    """The command's description and every flag with its default, in the order of their definition."""
    lines = [doc.strip(), "", f"Flags of {program}:"]
    for name in flag_values:
        flag = flag_values[name]
        lines.append(f"  --[no]{name}" if flag.boolean else f"  --{name}")
        text = str(flag.help)
        if flag.default not in (None, "", []):
            default = flag.default_as_str.strip("'")  # absl puts quotes around it
            text += f" Default: {default}."
        lines += textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += ["  --flagfile", " " * 6 + "Read flags from this file, one a line."]
    return "\n".join(lines)


def import_quietly() -> None:
    """Imports TensorFlow without its lines about itself, see `pat_keras.quiet`.

    Raises:
        ConfigError: if the backend that KERAS_BACKEND names is not there.
    """
    check_backend()
    import_tensorflow()


def check_backend() -> None:
    """Whether what runs the models is installed.

    Raises:
        ConfigError: if the backend that KERAS_BACKEND names is not.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in _BACKENDS:
        raise ConfigError(f"KERAS_BACKEND={backend}: expected tensorflow or jax. Unset it for TensorFlow.")
    if importlib.util.find_spec(backend) is None:
        raise ConfigError(
            f"KERAS_BACKEND={backend}: {backend} is not installed. Install it with: pip install 'pat_keras[jax]', and "
            "on an NVIDIA GPU pip install 'jax[cuda13]'; or unset the variable for TensorFlow."
        )


def bar_interval() -> float:
    """Seconds between two drawings of a progress bar: rarely where they would pile up in a file."""
    return 0.1 if sys.stderr.isatty() else 10.0


def _plain(message: str) -> str:
    """What is wrong with a flag, without the words of a programming language."""
    for pattern, plain in _PLAIN.items():
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return found.expand(plain)
    if len(lines := message.splitlines()) > 1:  # one a flag
        return " ".join(map(_plain, lines))
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _fail(program: str, message: str) -> int:
    print(f"{program}: " + " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT
