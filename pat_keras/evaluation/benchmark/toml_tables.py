"""Reading a TOML file whose every key is known: errors say the file, the table, the key, and what was meant."""

from __future__ import annotations

import difflib
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

from pat_keras.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_T = TypeVar("_T")

_WORDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    float: "a number",
    object: "a value",
}


def read_toml(path: pathlib.Path) -> Table:
    """The top table of a file.

    Raises:
        ConfigError: if the file is not there or not TOML.
    """
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), path, "")
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be read ({error.strerror}); expected a benchmark in TOML. Check the path."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path}: found no text; expected a benchmark in TOML. A cohort goes to --data, and --config is the file "
            "that says what to compare."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error}). Correct that place.") from None


class Table:
    """A table of a TOML file: every key is taken once, by its name and type; `done` refuses those left over.

    Args:
        values: of the table.
        path: of the file, for errors.
        place: of the table in the file, for errors; empty for the top.
    """

    def __init__(self, values: dict[str, Any], path: pathlib.Path, place: str) -> None:
        self.path, self.place = path, place
        self._left, self._known = dict(values), set[str]()

    def fail(self, key: str, problem: str, error: type[Exception] = ConfigError) -> NoReturn:
        """Raises a ConfigError that names the key."""
        place = f"[{self.place}] {key}" if self.place else key
        raise error(f"{self.path}: {place}: {problem}")

    def left(self) -> list[str]:
        """Keys that were not taken yet."""
        return list(self._left)

    def peek(self, key: str) -> Any:
        """A value that stays to be taken; None if it is absent."""
        return self._left.get(key)

    def take(self, key: str, kind: type[_T], default: _T | None = None, required: bool = False) -> _T | None:
        """The value of a key, of this type.

        Raises:
            ConfigError: if it is of another type, or absent and required.
        """
        self._known.add(key)
        if key not in self._left:
            if required:
                self.fail(key, f"is not there; expected {_WORDS[kind]}.")
            return default
        value = self._left.pop(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            self.fail(key, f"is {value!r}, expected {_WORDS[kind]}.")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Text, with a default."""
        return self.take(key, str, default) or ""

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts, or None if the key is absent."""
        return self.items(key, lambda value: isinstance(value, str), "texts")

    def items(self, key: str, fits: Callable[[Any], bool], what: str) -> tuple[Any, ...] | None:
        """A list of at least one value that fits, none twice, or None if the key is absent."""
        values = self.take(key, list)
        if values is None:
            return None
        wrong = [value for value in values if not fits(value) or isinstance(value, bool)]
        if wrong or not values:
            self.fail(key, f"{'holds ' + repr(wrong[0]) if wrong else 'is empty'}, expected a list of {what}.")
        if len(set(values)) < len(values):
            self.fail(key, "holds a value twice, expected each once.")
        return tuple(values)

    def table(self, key: str) -> Table:
        """A table in this one; an empty one if the key is absent."""
        return Table(self.take(key, dict) or {}, self.path, f"{self.place}.{key}" if self.place else key)

    def tables(self, key: str) -> list[Table]:
        """The tables of a list, at least one.

        Raises:
            ConfigError: if there is none.
        """
        values = self.take(key, list, [])
        if not values or not all(isinstance(value, dict) for value in values):
            self.fail(key, f"expected one table [[{key}]] or more.")
        return [Table(value, self.path, f"{key} {number}") for number, value in enumerate(values, 1)]

    def rest(self) -> dict[str, Any]:
        """Everything that is left, for tables whose keys are names of the user's."""
        rest, self._left = self._left, {}
        return rest

    def done(self) -> None:
        """Refuses keys that nobody took.

        Raises:
            ConfigError: naming the first of them, and what was probably meant.
        """
        for key in self._left:
            self.fail(key, f"is unknown here{meant(key, self._known)}.")


def meant(given: str, known: Iterable[str]) -> str:
    """What was probably meant by a name that is none of the known ones, or what they are; to end a sentence with."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean {names[close[0]]!r}?" if close else f"; expected one of {', '.join(sorted(names.values()))}"
