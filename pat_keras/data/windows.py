"""Recording -> windows of whole days.

Axes: n minutes of a recording, k windows of a person, T = days * 1440 minutes of a window.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime

import numpy as np

from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

DAY_MINUTES = 1440
STARTS = ("midnight", "first_sample")
FILLS = ("clock_change", "none")


@dataclasses.dataclass(frozen=True)
class WindowConfig:
    """Which windows are cut from a recording.

    Attributes:
        days: length of a window.
        start: "midnight" (the first midnight in the recording) or "first_sample" (whatever the clock says then).
        step_days: days from the start of a kept window to that of the next; None = `days`, so that none overlap. After
            a window that can't be used the next is tried one day later.
        max_windows: windows kept of a person, the first ones; None = all.
        max_missing: share of a window's minutes that may be missing. They stay missing (NaN) in it.
        min_moving_minutes: minutes above zero that a window needs; 0 keeps a device that lay in a drawer.
        fill_gaps: "clock_change" fills the hour that the clock jumps over in spring, see `fill_clock_change`; "none"
            leaves it missing. No other gap is ever filled.

    Raises:
        ConfigError: for values that make no window.
    """

    days: int = 7
    start: str = "midnight"
    step_days: int | None = None
    max_windows: int | None = None
    max_missing: float = 0.0
    min_moving_minutes: int = 1
    fill_gaps: str = "clock_change"

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("step_days", 1), ("max_windows", 1), ("min_moving_minutes", 0)):
            value = getattr(self, name)
            if value is None and name in ("step_days", "max_windows"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"WindowConfig: {name} is {value!r}, expected a whole number, {least} or more.")
        for name, allowed in (("start", STARTS), ("fill_gaps", FILLS)):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"WindowConfig: {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}."
                )
        if not 0.0 <= self.max_missing < 1.0:
            raise ConfigError(f"WindowConfig: max_missing is {self.max_missing!r}, expected a share from 0 up to 1.")


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of one person.

    Attributes:
        activity: (k, T) float32 in the recording's unit, NaN = missing.
        starts: clock time of the first minute of each.
        passed_over: places where a window could have begun but was refused: reason -> number.
        filled_minutes: minutes of the windows that were missing and were filled.
        reason: why there is none, if k is 0; else "".
    """

    activity: np.ndarray
    starts: list[datetime.datetime]
    passed_over: dict[str, int]
    filled_minutes: int
    reason: str


def cut_windows(recording: Recording, config: WindowConfig) -> Windows:
    """Cuts windows from the start of a recording on.

    Raises:
        RecordingError: if the recording's epochs are not minutes.
    """
    if recording.epoch_length != 60:
        raise RecordingError(
            f"{recording.source}: the epochs of {recording.participant_id} last {recording.epoch_length} s, expected "
            "60 s. Bring the recording to one value a minute first."
        )
    activity, filled = recording.activity, np.zeros(len(recording), dtype=np.bool_)
    if config.fill_gaps == "clock_change":
        activity, filled = fill_clock_change(recording)
    length = config.days * DAY_MINUTES
    at = minutes_to_midnight(recording.start) if config.start == "midnight" else 0
    step = (config.step_days or config.days) * DAY_MINUTES
    kept: list[int] = []
    passed_over: collections.Counter[str] = collections.Counter()
    while at + length <= len(activity) and len(kept) < (config.max_windows or len(activity)):
        reason = _refusal(activity[at : at + length], config)
        if reason:
            passed_over[reason] += 1
            at += DAY_MINUTES
        else:
            kept.append(at)
            at += step
    reason = ""
    if not kept:
        whole = "whole days from midnight" if config.start == "midnight" else "days"
        reason = max(passed_over, key=passed_over.__getitem__, default=f"recorded for fewer than {config.days} {whole}")
    return Windows(
        activity=np.stack([activity[i : i + length] for i in kept]) if kept else np.empty((0, length), np.float32),
        starts=[recording.start + datetime.timedelta(minutes=i) for i in kept],
        passed_over=dict(passed_over),
        filled_minutes=sum(int(filled[i : i + length].sum()) for i in kept),
        reason=reason,
    )


def minutes_to_midnight(time: datetime.datetime) -> int:
    """Whole minutes from `time` to the first midnight at or after it, rounded down."""
    return int((DAY_MINUTES * 60 - (time.hour * 3600 + time.minute * 60 + time.second)) // 60 % DAY_MINUTES)


def _refusal(window: np.ndarray, config: WindowConfig) -> str:
    """Why a window can't be used, or ""."""
    if np.isnan(window).mean() > config.max_missing:
        share = f"more than {config.max_missing:.0%} of the" if config.max_missing else "some"
        return f"{share} minutes missing in every window of {config.days} days"
    if np.count_nonzero(window > 0) < config.min_moving_minutes:
        least = config.min_moving_minutes
        found = f"fewer than {least} moving minutes" if least > 1 else "only zeros"
        return f"{found} in every window of {config.days} days"
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
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    for first, last in edges.reshape(-1, 2):
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
