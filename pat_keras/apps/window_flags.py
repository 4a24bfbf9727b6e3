"""Flags of pat-prepare for the windows that are cut from recordings, and the config that is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from pat_keras.errors import ConfigError

if TYPE_CHECKING:
    from pat_keras.data.readers.study import Study
    from pat_keras.data.windows import WindowConfig

# flag -> attribute of WindowConfig, help
_WINDOWS = {
    "window_days": ("days", "Whole days in a window."),
    "window_start": (
        "start",
        "Where the first window begins: at the first midnight of the recording, or at its first sample. Others begin "
        "whole days later.",
    ),
    "step_days": (
        "step_days",
        "Least number of days from the start of one window to that of the next; --window_days if not given, so that "
        "none overlap.",
    ),
    "max_windows": ("max_windows", "Keep at most so many windows of a person; all if not given."),
    "window_choice": (
        "choice",
        "Which windows --max_windows keeps: the first, or the best (most worn minutes; of equal ones the earlier).",
    ),
    "max_missing": (
        "max_missing",
        "Share of a window's minutes that may be not recorded (from 0 up to 1). They stay missing: a model has to "
        "allow it. Non-wear is not counted here.",
    ),
    "min_moving_minutes": (
        "min_moving_minutes",
        "Worn minutes above zero that a window needs. 0 keeps windows of a device that was never worn.",
    ),
    "nonwear": (
        "nonwear",
        "What is taken for non-wear, and becomes missing. none: nothing, as in PAT's paper. device: what the device "
        "itself says. For counts: troiano (60 minutes of zeros, with 1 or 2 minutes up to 100 counts; Troiano et al. "
        "2008) or choi (90 minutes of zeros, with 1 or 2 minutes of counts that have none in the 30 minutes before "
        "and after; Choi et al. 2011).",
    ),
    "min_worn_minutes": (
        "min_worn_minutes",
        "Worn minutes that make a day valid: recorded, and no non-wear by --nonwear. 600 is usual with troiano or "
        "choi. 0 asks for nothing.",
    ),
    "min_valid_days": (
        "min_valid_days",
        "Valid days that a window needs, all of its days if not given; 4 of 7 is usual. Needs --min_worn_minutes.",
    ),
    "fill_gaps": (
        "fill_gaps",
        "clock_change: the hour that clocks jump over in spring (60 minutes missing from 0, 1, 2 or 3 o'clock of a "
        "Sunday in March, April, or August to October) gets the median of the same minutes of the person's other days. "
        "Other gaps are never filled.",
    ),
}


def define_windows(values: flags.FlagValues) -> None:
    """Defines the flags of `window_config` and `limited`."""
    from pat_keras.data.windows import ALLOWED, WindowConfig

    default = WindowConfig()
    for name, (attribute, text) in _WINDOWS.items():
        value = getattr(default, attribute)
        if attribute in ALLOWED:
            flags.DEFINE_enum(name, value, ALLOWED[attribute], text, flag_values=values)
        elif isinstance(value, float):
            flags.DEFINE_float(name, value, text, flag_values=values)
        else:
            flags.DEFINE_integer(name, value, text, flag_values=values)
    flags.DEFINE_string(
        "days_table",
        None,
        "CSV (commas, semicolons or tabs) with the columns participant_id and days: each recording is cut after so "
        "many whole days from its first midnight, where wear ended. People without a number in it are rejected.",
        flag_values=values,
    )


def window_config(values: flags.FlagValues) -> WindowConfig:
    """The windows that were asked for.

    Raises:
        ConfigError: for values that make no window, or do not go together.
    """
    from pat_keras.data.windows import WindowConfig

    try:
        return WindowConfig(**{attribute: values[name].value for name, (attribute, _) in _WINDOWS.items()})
    except ConfigError as error:
        raise ConfigError(f"{error} The flags are {', '.join(f'--{name}' for name in _WINDOWS)}.") from None


def limited(study: Study, values: flags.FlagValues) -> Study:
    """The study with its recordings cut by the table of --days_table, if there is one.

    Raises:
        RecordingError: if the table can't be used.
    """
    if values.days_table is None:
        return study
    from pat_keras.data.days_table import limit_days, read_days_table

    return limit_days(study, read_days_table(values.days_table))
