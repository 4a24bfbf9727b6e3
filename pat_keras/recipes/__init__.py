"""Recipes: settings of a fine-tuning as flag files that come with the package, each with where it comes from.

The first line of a file says in a sentence what it is. Standard library only, for `pat-finetune --help`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from pat_keras.config import FinetuneConfig
from pat_keras.errors import ConfigError

_FOLDER = pathlib.Path(__file__).resolve().parent
_KINDS: dict[str, Any] = {"int": int, "float": float, "str": str}


def recipe_names() -> tuple[str, ...]:
    """The names of all recipes."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.flags")))


def recipe_path(name: str) -> pathlib.Path:
    """The flag file of a recipe, for `--flagfile`.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name not in recipe_names():
        there = "; ".join(f"{known}: {about(known).rstrip('.')}" for known in recipe_names())
        raise ConfigError(f"recipe is {name!r}, expected one of: {there}.")
    return _FOLDER / f"{name}.flags"


def about(name: str) -> str:
    """What a recipe is, in a sentence."""
    return recipe_path(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def recipe_settings(name: str) -> dict[str, Any]:
    """The settings of a recipe by their names in FinetuneConfig; the others keep their defaults.

    Raises:
        ConfigError: if there is no recipe of that name.

    Example:
        >>> from pat_keras import FinetuneConfig
        >>> FinetuneConfig(**recipe_settings("two_rates")).encoder_rate
        2e-05
    """
    kinds = {field.name: str(field.type).partition(" ")[0] for field in dataclasses.fields(FinetuneConfig)}
    settings: dict[str, Any] = {}
    for line in recipe_path(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("--"):
            flag, given, value = line[2:].partition("=")
            if given:
                settings[flag] = _KINDS[kinds[flag]](value)
            else:
                settings[flag.removeprefix("no")] = not flag.startswith("no")
    return settings
