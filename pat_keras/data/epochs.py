"""Shorter epochs -> minutes, by one rule a unit.

Axes: n epochs of a recording, m minutes.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np

from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

MINUTE = 60  # seconds
RULES = ("sum", "mean")

# What is counted adds up over a minute, and so does MIMS, the area under an epoch's acceleration (John et al. 2019, J
# Meas Phys Behav 2:268; NHANES' hours and days are sums of its minutes). ENMO is a mean acceleration: it is averaged.
RULE_OF_UNIT = {
    "counts": "sum",
    "steps": "sum",
    "PIM": "sum",
    "TAT": "sum",
    "ZCM": "sum",
    "MIMS": "sum",
    "ENMO": "mean",
}


def to_minutes(recording: Recording, rule: str | None = None) -> Recording:
    """Brings a recording to one value a minute of the clock.

    The epochs that begin in one clock minute make its value. A minute with a missing epoch is missing, since a sum of
    fewer epochs would be too low; the incomplete minutes at both ends are left out. A minute counts as worn if all its
    epochs do. A recording that has minutes already is returned as it is, whatever second its minutes begin at.

    Args:
        recording: with epochs of 60 s, or of whole seconds that divide 60.
        rule: "sum" or "mean"; None for the unit's own, see `RULE_OF_UNIT`.

    Raises:
        RecordingError: if the epochs are longer than a minute, do not divide it, or fill no whole minute; or if the
            unit has no rule and none is given.
        ConfigError: for another rule.
    """
    length = recording.epoch_length
    if length == MINUTE:
        return recording
    place = f"{recording.source}: recording of {recording.participant_id!r}"
    if length > MINUTE:
        raise RecordingError(
            f"{place}: its epochs last {length} s, expected {MINUTE} s or less; longer ones can't be divided into "
            "minutes. Export it from the device's program again, with epochs of a minute or shorter."
        )
    if MINUTE % length:
        raise RecordingError(
            f"{place}: its epochs last {length} s, which does not divide a minute; expected 1, 2, 3, 4, 5, 6, 10, 12, "
            "15, 20, 30 or 60 s. Export it again with one of these."
        )
    summed = minute_rule(recording, rule) == "sum"
    per_minute = MINUTE // length
    # Epochs begin at the same seconds in every minute: the first minute is whole if it begins in its first `length` s.
    begun = (recording.start.second + recording.start.microsecond / 1e6) // length
    first = int(-begun % per_minute)
    minutes = (len(recording) - first) // per_minute
    if minutes < 1:
        raise RecordingError(
            f"{place}: its {len(recording)} epochs of {length} s fill no whole minute of the clock. "
            "Is the file cut short?"
        )
    last = first + minutes * per_minute
    epochs = recording.activity[first:last].reshape(minutes, per_minute).astype(np.float64)  # (m, per_minute)
    wear = None
    if recording.wear is not None:
        wear = np.all(recording.wear[first:last].reshape(minutes, per_minute), axis=1)  # (m,)
    return dataclasses.replace(
        recording,
        start=recording.start + datetime.timedelta(seconds=first * length),
        epoch_length=MINUTE,
        activity=epochs.sum(axis=1) if summed else epochs.mean(axis=1),
        wear=wear,
    )


def minute_rule(recording: Recording, rule: str | None = None) -> str:
    """The rule by which `to_minutes` makes a minute of shorter epochs: "sum" or "mean".

    Raises:
        RecordingError: if the unit has no rule and none is given.
        ConfigError: for another rule.
    """
    if rule is not None:
        if rule not in RULES:
            raise ConfigError(f"The rule for shorter epochs is {rule!r}, expected one of {', '.join(RULES)}.")
        return rule
    if recording.unit not in RULE_OF_UNIT:
        raise RecordingError(
            f"{recording.source}: recording of {recording.participant_id!r}: there is no rule to make minutes of "
            f"epochs of {recording.epoch_length} s in the unit {recording.unit!r}; units with a rule are "
            f"{', '.join(RULE_OF_UNIT)}. Say whether they are summed or averaged, or name the unit."
        )
    return RULE_OF_UNIT[recording.unit]


def describe_rule(recording: Recording, rule: str | None = None) -> str:
    """One sentence for the cohort's metadata: what `to_minutes` does to this recording.

    Raises:
        RecordingError, ConfigError: as `minute_rule`.
    """
    if recording.epoch_length == MINUTE:
        return f"{recording.unit} a minute, as recorded"
    done = {"sum": "summed", "mean": "averaged"}[minute_rule(recording, rule)]
    return f"{recording.unit} of {recording.epoch_length} s {done} to minutes"
