"""Checks of single settings that the configs share: one of some words, or a number within bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pat_keras.errors import ConfigError

_ANY = float("inf")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Where a number has to lie; NaN lies nowhere.

    Attributes:
        least, most: the ends.
        open_least, open_most: whether the end itself is not allowed.
    """

    least: float
    most: float = _ANY
    open_least: bool = False
    open_most: bool = False

    def allow(self, value: float) -> bool:
        """Whether a number lies within."""
        above = self.least < value if self.open_least else self.least <= value
        return above and (value < self.most if self.open_most else value <= self.most)

    def __str__(self) -> str:
        """What is expected, in words."""
        if self.most == _ANY:
            return "a positive number" if self.open_least else f"at least {self.least:g}"
        if self.open_least and self.open_most:
            return f"a number between {self.least:g} and {self.most:g}"
        if self.open_least:
            return f"a number above {self.least:g}, at most {self.most:g}"
        return f"a number from {self.least:g} {'up ' if self.open_most else ''}to {self.most:g}"


POSITIVE = Bounds(0, _ANY, open_least=True, open_most=True)
FRACTION = Bounds(0, 1, open_least=True, open_most=True)


def check_values(config: Any, choices: Mapping[str, tuple[str, ...]], bounds: Mapping[str, Bounds]) -> None:
    """See that attributes of a config are what they can be.

    Args:
        config: any object. An attribute that is None has its default, which is not looked at.
        choices: words, by the attribute that is one of them.
        bounds: of numbers, by the attribute.

    Raises:
        ConfigError: for the first that is not.
    """
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value is not None and value not in allowed:
            raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(allowed)}.")
    for name, within in bounds.items():
        value = getattr(config, name)
        if value is not None and not within.allow(value):
            raise ConfigError(f"{name} is {value}, expected {within}.")
