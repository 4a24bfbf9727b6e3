"""Flags that several commands share: each is defined here once and turned into a config here.

Every function takes the `FlagValues` of one command; the global ones of absl are not used.
"""

from __future__ import annotations

from absl import flags

from pat_keras.data.windows import FILLS, STARTS, WindowConfig


def define_output(values: flags.FlagValues, help_text: str) -> None:
    """Defines --out and --overwrite."""
    flags.DEFINE_string("out", None, help_text, required=True, flag_values=values)
    flags.DEFINE_boolean("overwrite", False, "Replace what is already there under --out.", flag_values=values)


def define_windows(values: flags.FlagValues) -> None:
    """Defines the flags of `window_config`."""
    default = WindowConfig()
    flags.DEFINE_integer("window_days", default.days, "Whole days in a window.", flag_values=values)
    flags.DEFINE_enum(
        "window_start",
        default.start,
        STARTS,
        "Where the first window begins: at the first midnight of the recording, or at its first sample.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "step_days",
        default.step_days,
        "Days from the start of one window to that of the next; --window_days if not given, so that none overlap.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "max_windows",
        default.max_windows,
        "Keep the first so many windows of a person; all if not given.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "max_missing",
        default.max_missing,
        "Share of a window's minutes that may be missing (from 0 up to 1). They stay missing: a model has to allow it.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "min_moving_minutes",
        default.min_moving_minutes,
        "Minutes above zero that a window needs. 0 keeps windows of a device that was never worn.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "fill_gaps",
        default.fill_gaps,
        FILLS,
        "clock_change: the hour that clocks jump over in spring (60 minutes missing from 0, 1, 2 or 3 o'clock of a "
        "Sunday in March, April, or August to October) gets the median of the same minutes of the person's other days. "
        "Other gaps are never filled.",
        flag_values=values,
    )


def window_config(values: flags.FlagValues) -> WindowConfig:
    """The windows that were asked for.

    Raises:
        ConfigError: for values that make no window.
    """
    return WindowConfig(
        days=values.window_days,
        start=values.window_start,
        step_days=values.step_days,
        max_windows=values.max_windows,
        max_missing=values.max_missing,
        min_moving_minutes=values.min_moving_minutes,
        fill_gaps=values.fill_gaps,
    )
