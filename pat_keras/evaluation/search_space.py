"""Which settings of a fine-tuning are searched, and how: the text of --search, checked, as dimensions to draw from."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Sequence
from typing import Any, Protocol

from pat_keras.config import AUTO_WEIGHTS, FinetuneConfig
from pat_keras.errors import ConfigError

_FORM = (
    "expected NAME=float:LOW:HIGH, NAME=log:LOW:HIGH (even on a logarithmic scale), NAME=int:LOW:HIGH or "
    "NAME=choice:A,B,C, such as head_learning_rate=log:1e-5:1e-2"
)
# What says whom the result is about, how it is scored, or how fast it is computed is no setting to choose by results.
_NOT_SEARCHED = (
    "task", "split", "test_people", "train_size", "split_column", "folds", "validation_fraction", "test_fraction",
    "learn_score",  # one score is read for all trials, whatever they are said to learn
    "seed", "split_seed", "baseline", "subgroups", "repair_fixed_scaling", "missing", "jit",
    "committee",  # says how much is spent; every trial trains one model
)  # fmt: skip
_FLOATS_OR_NONE = ("encoder_learning_rate",)
_INTS_OR_NONE = ("schedule_epochs",)


class Trial(Protocol):
    """What of an Optuna trial a space needs."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from low to high."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number from low to high."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        ...


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One searched setting.

    Attributes:
        name: the attribute of `FinetuneConfig`.
        kind: "float", "int" or "choice".
        choices: of a "choice"; of the others the lowest and the highest value.
        log: even on a logarithmic scale.
    """

    name: str
    kind: str
    choices: tuple[Any, ...]
    log: bool = False

    def suggest(self, trial: Trial) -> Any:
        """A value for this trial."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.name, self.choices)
        low, high = self.choices
        suggest = trial.suggest_int if self.kind == "int" else trial.suggest_float
        return suggest(self.name, low, high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether a value is in it."""
        if self.kind == "choice":
            return value in self.choices
        return isinstance(value, int | float) and self.choices[0] <= value <= self.choices[1]

    def __str__(self) -> str:
        """As --search takes it."""
        if self.kind == "choice":
            return f"{self.name}=choice:{','.join(_written(value) for value in self.choices)}"
        return f"{self.name}={'log' if self.log else self.kind}:{self.choices[0]:g}:{self.choices[1]:g}"


def read_space(search: Sequence[str], config: FinetuneConfig) -> list[Dimension]:
    """The dimensions of these texts, or the default ones of the config if there are none.

    Raises:
        ConfigError: for a text that is none, a setting that does not exist or is not to be searched, or a value that
            the setting can't have beside the others of the config.
    """
    space = [_dimension(text) for text in search or default_search(config)]
    names = [dimension.name for dimension in space]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--search: {name} is there {names.count(name)} times, expected each setting once.")
    for dimension in space:
        for value in dimension.choices:
            try:
                dataclasses.replace(config, **{dimension.name: value})
            except ConfigError as error:
                raise ConfigError(f"--search={dimension}: with {dimension.name} {value}: {error}") from None
    return space


def default_search(config: FinetuneConfig) -> list[str]:
    """What is searched if nothing is named: rates around those known to work, and what keeps from overfitting."""
    shared = ["weight_decay=log:1e-5:0.1", "batch_size=choice:8,16,32,64"]
    if config.model != "pat":
        return ["head_learning_rate=log:1e-4:1e-2", *shared]
    shared = ["dropout=float:0:0.5", *shared]
    if config.mode == "logistic_probe":
        return ["pooling=choice:mean,mean_std", "standardize=choice:cohort,per_minute,per_recording"]
    if config.mode == "linear_probe":
        return ["head_learning_rate=log:1e-4:3e-2", *shared]
    encoder = "encoder_learning_rate=log:1e-6:1e-3" if config.weights else "encoder_learning_rate=log:5e-5:3e-3"
    return ["head_learning_rate=log:1e-4:5e-3", encoder, "layer_decay=float:0.6:1", *shared]


def values_of(config: FinetuneConfig, space: Sequence[Dimension]) -> dict[str, Any]:
    """What the config itself has of the space, as far as it lies within: the first point to try."""
    own = {dimension.name: getattr(config, dimension.name) for dimension in space}
    if own.get("encoder_learning_rate", 0) is None:
        own["encoder_learning_rate"] = config.encoder_rate
    return {dimension.name: own[dimension.name] for dimension in space if dimension.holds(own[dimension.name])}


def flag_lines(config: FinetuneConfig) -> str:
    """The config as lines of a flag file: what differs from the defaults of the flags."""
    default, lines = FinetuneConfig(weights=AUTO_WEIGHTS), []
    for field in dataclasses.fields(FinetuneConfig):
        value = getattr(config, field.name)
        if value == getattr(default, field.name):
            continue
        if isinstance(value, bool):
            lines.append(f"--{'' if value else 'no'}{field.name}")
        elif isinstance(value, tuple):
            lines.append(f"--{field.name}={','.join(str(part) for part in value)}")
        else:
            lines.append(f"--{field.name}={value!r}" if isinstance(value, float) else f"--{field.name}={value}")
    return "".join(f"{line}\n" for line in lines)


def _dimension(text: str) -> Dimension:
    name, _, rest = text.partition("=")
    kind, _, values = rest.partition(":")
    name, kind = name.strip(), kind.strip()
    fields = {field.name: field.default for field in dataclasses.fields(FinetuneConfig)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, 1)
        raise ConfigError(
            f"--search={text}: there is no setting {name!r}{f' (did you mean {near[0]}?)' if near else ''}; {_FORM}."
        )
    if name in _NOT_SEARCHED:
        raise ConfigError(
            f"--search={text}: {name} says what is measured or how, and is not to be chosen by its result; leave it "
            "out, or give it as a flag."
        )
    default = fields[name]
    if kind == "choice":
        choices = [_value(part.strip(), name, default, text) for part in values.split(",")]
        if len(choices) < 2 or len(set(choices)) < len(choices):
            raise ConfigError(f"--search={text}: found {len(choices)} choices, expected two or more, all different.")
        return Dimension(name, "choice", tuple(choices))
    whole = name in _INTS_OR_NONE or (isinstance(default, int) and not isinstance(default, bool))
    numeric = whole or name in _FLOATS_OR_NONE or isinstance(default, float)
    ends = values.split(":")
    if kind not in ("float", "int", "log") or len(ends) != 2 or not numeric or (kind == "float" and whole):
        raise ConfigError(f"--search={text}: {_FORM}{'' if numeric else f'; {name} has choices'}.")
    if kind == "int" and not whole:
        raise ConfigError(f"--search={text}: {name} is no whole number; {_FORM}.")
    low, high = (_value(end.strip(), name, default, text) for end in ends)
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low < high):
        raise ConfigError(f"--search={text}: expected two numbers, the lower one first.")
    if not (math.isfinite(low) and math.isfinite(high)) or (kind == "log" and low <= 0):
        raise ConfigError(f"--search={text}: expected finite numbers{', above 0' if kind == 'log' else ''}.")
    return Dimension(name, "int" if whole else "float", (low, high), kind == "log")


def _value(written: str, name: str, default: Any, text: str) -> Any:
    """A value as the setting has it."""
    try:
        if name in (*_FLOATS_OR_NONE, *_INTS_OR_NONE) and written == "none":
            return None
        if isinstance(default, bool):
            return {"true": True, "false": False}[written.lower()]
        if name in _INTS_OR_NONE or isinstance(default, int):
            return int(written)
        if name in _FLOATS_OR_NONE or isinstance(default, float):
            return float(written)
    except (ValueError, KeyError):
        raise ConfigError(f"--search={text}: {written!r} is no value of {name}; {_FORM}.") from None
    return written


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
