"""Recording -> windows of whole days.

Axes: n minutes of a recording, k windows of a person, T = days * 1440 minutes of a window.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime

import numpy as np

from pat_keras.data.nonwear import METHODS, find_nonwear, true_runs
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

DAY_MINUTES = 1440
STARTS = ("midnight", "first_sample")
CHOICES = ("first", "best")
FILLS = ("clock_change", "none")
MINUTES_MISSING = "minutes missing"  # in the reason of windows that miss more than `max_missing`


@dataclasses.dataclass(frozen=True)
class WindowConfig:
    """Which windows are cut from a recording.

    A minute is worn if it was recorded and is no non-wear. Both what was not recorded and non-wear are NaN in a window.

    Attributes:
        days: length of a window.
        start: "midnight" (the first midnight in the recording) or "first_sample" (whatever the clock says then).
            Windows begin there or whole days later.
        step_days: least number of days from the start of a kept window to that of the next; None = `days`, so that none
            overlap. After a window that can't be used the next is tried one day later.
        max_windows: windows kept of a person; None = all.
        choice: which ones: "first", or "best" (most worn minutes; of equal ones the earlier).
        max_missing: share of a window's minutes that may be not recorded. Non-wear is not counted here.
        min_moving_minutes: worn minutes above zero that a window needs; 0 keeps a device that lay in a drawer.
        min_worn_minutes: worn minutes that make a day valid.
        min_valid_days: valid days that a window needs; None = all its days.
        nonwear: how it is found, see `nonwear.find_nonwear`: "none", "device", "troiano" or "choi".
        fill_gaps: "clock_change" fills the hour that the clock jumps over in spring, see `fill_clock_change`; "none"
            leaves it missing. No other gap is ever filled.

    Raises:
        ConfigError: for values that make no window, or do not go together.
    """

    days: int = 7
    start: str = "midnight"
    step_days: int | None = None
    max_windows: int | None = None
    choice: str = "first"
    max_missing: float = 0.0
    min_moving_minutes: int = 1
    min_worn_minutes: int = 0
    min_valid_days: int | None = None
    nonwear: str = "none"
    fill_gaps: str = "clock_change"

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is None and name in ("step_days", "max_windows", "min_valid_days"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"WindowConfig: {name} is {value!r}, expected a whole number, {least} or more.")
        for name, allowed in ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"WindowConfig: {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}."
                )
        if not 0.0 <= self.max_missing < 1.0:
            raise ConfigError(f"WindowConfig: max_missing is {self.max_missing!r}, expected a share from 0 up to 1.")
        if self.min_worn_minutes > DAY_MINUTES:
            raise ConfigError(f"WindowConfig: min_worn_minutes is {self.min_worn_minutes}; a day has {DAY_MINUTES}.")
        if self.min_valid_days is not None and self.min_valid_days > self.days:
            raise ConfigError(
                f"WindowConfig: min_valid_days is {self.min_valid_days}, but a window has days={self.days}."
            )
        if self.min_valid_days is not None and not self.min_worn_minutes:
            raise ConfigError(
                "WindowConfig: min_valid_days needs min_worn_minutes, which says what a valid day is; 600 is usual."
            )
        if self.choice == "best" and self.max_windows is None:
            raise ConfigError("WindowConfig: choice=best needs max_windows, the number of windows to choose.")


_LEAST = {
    "days": 1,
    "step_days": 1,
    "max_windows": 1,
    "min_moving_minutes": 0,
    "min_worn_minutes": 0,
    "min_valid_days": 1,
}
ALLOWED = {"start": STARTS, "choice": CHOICES, "nonwear": METHODS, "fill_gaps": FILLS}


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of one person.

    Attributes:
        activity: (k, T) float32 in the recording's unit, NaN = not recorded, or not worn.
        starts: clock time of the first minute of each, in the order of time.
        first_minutes: number of that minute in the recording.
        nonwear: (n,) bool, the recording's minutes that have a value but were not worn.
        passed_over: places where a window could have begun but was refused: reason -> number.
        filled_minutes: minutes of the windows that were missing and were filled.
        reason: why there is none, if k is 0; else "".
    """

    activity: np.ndarray
    starts: list[datetime.datetime]
    first_minutes: list[int]
    nonwear: np.ndarray
    passed_over: dict[str, int]
    filled_minutes: int
    reason: str


def cut_windows(recording: Recording, config: WindowConfig) -> Windows:
    """Cuts the windows of a recording.

    Raises:
        RecordingError: if the recording's epochs are not minutes, or non-wear can't be found as chosen.
    """
    if recording.epoch_length != 60:
        raise RecordingError(
            f"{recording.source}: the epochs of {recording.participant_id} last {recording.epoch_length} s, expected "
            "60 s. Bring the recording to one value a minute first."
        )
    activity, filled = recording.activity, np.zeros(len(recording), dtype=np.bool_)
    if config.fill_gaps == "clock_change":
        activity, filled = fill_clock_change(recording)
    nonwear = _nonwear(recording, activity, filled, config.nonwear)
    missing = np.isnan(activity)
    activity = np.where(nonwear, np.float32(np.nan), activity) if nonwear.any() else activity
    length = config.days * DAY_MINUTES
    first = minutes_to_midnight(recording.start) if config.start == "midnight" else 0
    places = range(first, len(activity) - length + 1, DAY_MINUTES)
    refusals = {at: _refusal(activity[at : at + length], missing[at : at + length], config) for at in places}
    worn = {at: int(np.count_nonzero(~np.isnan(activity[at : at + length]))) for at in places if not refusals[at]}
    kept, passed_over = _choose(refusals, worn, config)
    reason = ""
    if not kept:
        whole = "whole days from midnight" if config.start == "midnight" else "days"
        reason = max(passed_over, key=passed_over.__getitem__, default=f"recorded for fewer than {config.days} {whole}")
    return Windows(
        activity=np.stack([activity[i : i + length] for i in kept]) if kept else np.empty((0, length), np.float32),
        starts=[recording.start + datetime.timedelta(minutes=i) for i in kept],
        first_minutes=kept,
        nonwear=nonwear,
        passed_over=passed_over,
        filled_minutes=sum(int(filled[i : i + length].sum()) for i in kept),
        reason=reason,
    )


def _nonwear(recording: Recording, activity: np.ndarray, filled: np.ndarray, method: str) -> np.ndarray:
    """Non-wear (n,) of the recording with its filled minutes."""
    wear = recording.wear
    if wear is not None and filled.any():  # no time passed in the filled hour: as in the minute before it
        wear = wear[np.maximum.accumulate(np.where(filled, 0, np.arange(len(filled))))]
    return find_nonwear(dataclasses.replace(recording, activity=activity, wear=wear), method)


def _choose(refusals: dict[int, str], worn: dict[int, int], config: WindowConfig) -> tuple[list[int], dict[str, int]]:
    """Places of the windows to keep, and why others were passed over.

    Args:
        refusals: first minute of each place -> why it can't be used, or "".
        worn: first minute of each place that can be used -> its worn minutes.
        config: of the windows.
    """
    step = (config.step_days or config.days) * DAY_MINUTES
    order = sorted(worn, key=lambda at: (-worn[at], at)) if config.choice == "best" else list(worn)
    apart: list[int] = []
    for at in order:
        if all(abs(at - other) >= step for other in apart):
            apart.append(at)
    kept = sorted(apart[: config.max_windows])
    passed_over: collections.Counter[str] = collections.Counter()
    for at, reason in refusals.items():
        if reason and not any(0 <= at - other < step for other in kept):
            passed_over[reason] += 1
    if len(apart) > len(kept):
        passed_over[f"more windows than {config.max_windows} of a person"] += len(apart) - len(kept)
    return kept, dict(passed_over)


def minutes_to_midnight(time: datetime.datetime) -> int:
    """Minutes from `time` until the first one that begins at midnight or less than a minute later.

    Where minutes begin at 12:00:30, that is the one of 0:00:30: the one of 23:59:30 is of the day, and weekday, before.
    """
    return -(time.hour * 60 + time.minute) % DAY_MINUTES


def _refusal(window: np.ndarray, missing: np.ndarray, config: WindowConfig) -> str:
    """Why a window can't be used, or "". `missing`: the minutes that were not recorded."""
    every = f"in every window of {config.days} days"
    if missing.mean() > config.max_missing:
        share = f"more than {config.max_missing:.0%} of the" if config.max_missing else "some"
        return f"{share} {MINUTES_MISSING} {every}"
    if np.count_nonzero(window > 0) < config.min_moving_minutes:
        least = config.min_moving_minutes
        zeros = "only zeros" if config.nonwear == "none" else "never worn, or only zeros,"
        return f"{f'fewer than {least} moving minutes' if least > 1 else zeros} {every}"
    if config.min_worn_minutes:
        worn = np.count_nonzero(~np.isnan(window).reshape(config.days, DAY_MINUTES), axis=1)
        least = config.min_valid_days or config.days
        if np.count_nonzero(worn >= config.min_worn_minutes) < least:
            return f"fewer than {least} days with {config.min_worn_minutes} worn minutes {every}"
    return ""


def fill_clock_change(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Fills the hour that local clocks jump over when summer time begins. No time passed in it, so nothing was lost.

    What counts as one: exactly 60 missing minutes from 0, 1, 2 or 3 o'clock sharp of a Sunday in March or April (north)
    or August to October (south). Each minute becomes the median of the same clock minute on the recording's other days.

    Returns:
        activity: (n,) float32.
        filled: (n,) bool, the minutes that got a value here.
    """
    activity = recording.activity
    missing = np.isnan(activity)
    filled = np.zeros(len(activity), dtype=np.bool_)
    if not missing.any():
        return activity, filled
    for first, last in true_runs(missing):
        if last - first == 60 and _may_be_clock_change(recording.start + datetime.timedelta(minutes=int(first))):
            filled[first:last] = True
    minutes = np.flatnonzero(filled)
    activity = activity.copy()
    for minute in minutes:
        same_clock_time = recording.activity[minute % DAY_MINUTES :: DAY_MINUTES]
        same_clock_time = same_clock_time[~np.isnan(same_clock_time)]
        if same_clock_time.size:
            activity[minute] = np.median(same_clock_time)
        else:
            filled[minute] = False
    return activity, filled


def _may_be_clock_change(time: datetime.datetime) -> bool:
    on_the_hour = time.hour in (0, 1, 2, 3) and time.minute == 0
    return on_the_hour and time.isoweekday() == 7 and time.month in (3, 4, 8, 9, 10)
