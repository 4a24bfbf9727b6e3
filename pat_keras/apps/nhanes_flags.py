"""Flags of pat-prepare for NHANES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from pat_keras.errors import ConfigError

if TYPE_CHECKING:  # they import polars
    from pat_keras.data.readers.nhanes_minutes import MinutesConfig
    from pat_keras.data.readers.study import Study

NHANES_FLAGS = ("cycle", "download", "days", "flagged_minutes")
_YEARS = {"C": "2003-2004", "D": "2005-2006", "G": "2011-2012", "H": "2013-2014"}


def define_nhanes(values: flags.FlagValues) -> None:
    """Defines the flags of `open_nhanes`."""
    years = ", ".join(f"{letter} {years}" for letter, years in _YEARS.items())
    flags.DEFINE_enum("cycle", None, list(_YEARS), f"nhanes: {years}.", flag_values=values)
    flags.DEFINE_boolean(
        "download",
        False,
        "nhanes: first fetch the files that are missing in --raw from NCHS (0.4 GB for C and D, 8 to 9 GB for G and "
        "H); a download that was cut goes on where it ended.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "days", "2-8", "nhanes G, H: days of the nine to take; 2-8 are the whole ones.", flag_values=values
    )
    flags.DEFINE_enum(
        "flagged_minutes",
        "keep",
        ["keep", "missing"],
        "nhanes G, H: minutes with quality flags (PAXQFM) stay, or become missing.",
        flag_values=values,
    )


def check_nhanes(values: flags.FlagValues) -> None:
    """Refuses an absent cycle, and flags that the cycle leaves without effect.

    Raises:
        ConfigError: naming the first of them.
    """
    if values.cycle is None:
        cycles = " or ".join(f"--cycle={letter} ({years})" for letter, years in _YEARS.items())
        raise ConfigError(f"--source=nhanes needs {cycles}.")
    for name in ("days", "flagged_minutes"):
        if values[name].present and values.cycle in ("C", "D"):
            raise ConfigError(f"--{name} is for --cycle=G or H, but --cycle is {values.cycle}. Leave it out.")


def open_nhanes(values: flags.FlagValues) -> Study:
    """The study, after fetching what is missing if --download is given.

    Raises:
        PATError: for anything wrong with the flags or the files.
    """
    from pat_keras.data.readers.nhanes import read_nhanes
    from pat_keras.data.readers.nhanes_download import download_nhanes

    config = _minutes_config(values)
    if values.download:
        came = download_nhanes(values.raw, values.cycle)
        print(f"{values.raw}: {', '.join(came) or 'nothing'} fetched from NCHS")
    own_label = values.label if values.labels is None else None  # it may be one of the joined table
    return read_nhanes(values.raw, values.cycle, own_label, config)


def _minutes_config(values: flags.FlagValues) -> MinutesConfig:
    from pat_keras.data.readers.nhanes_minutes import MinutesConfig

    try:
        first, _, last = values.days.partition("-")
        days = (int(first), int(last or first))
    except ValueError:
        raise ConfigError(f"--days={values.days}: expected two days such as 2-8.") from None
    return MinutesConfig(*days, flagged=values.flagged_minutes)
