"""Whether the times of a person's samples lie on a regular grid of epochs, and what to do if they do not.

A frame of samples is as `local_time` has it, of one person, in order.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pat_keras.data.epochs import MINUTE
from pat_keras.data.recording import MAX_GAP
from pat_keras.errors import RecordingError

_SECOND = 1_000_000  # microseconds
_EPOCHS = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)  # seconds that divide a minute


def median_step(samples: pl.DataFrame, where: str) -> int:
    """Seconds between a person's samples.

    Raises:
        RecordingError: if they are none that make minutes.
    """
    steps = np.diff(samples["local"].to_numpy()).astype(np.int64)  # microseconds
    step = float(np.median(steps))
    place = f"{where}, line {samples['line'][0]} (participant {samples['person'][0]!r})"
    near = next((one for one in _EPOCHS if 0 < abs(step / _SECOND - one) <= one / 20), None)
    if near is not None:
        raise RecordingError(
            f"{place}: the samples are {step / _SECOND:g} s apart (median), expected {near} s, or another number of "
            f"seconds that divides a minute. {_onto_grid(samples['local'], near)}"
        )
    if step > MINUTE * _SECOND:
        raise RecordingError(
            f"{place}: the samples are {step / _SECOND:g} s apart (median), expected a minute or less; longer epochs "
            "can't be divided. Export it with shorter epochs; or, if rows were left out where nothing moved or nothing "
            "was worn, say how long an epoch is by --epoch_length=60: what is not there is then missing."
        )
    if step < _SECOND or step % _SECOND or MINUTE * _SECOND % step:
        kind = "raw acceleration has to be brought to epochs first" if step < _SECOND else "it has to divide a minute"
        raise RecordingError(
            f"{place}: the samples are {step / _SECOND:g} s apart (median), expected epochs of whole seconds up to 60; "
            f"{kind}. Export it with epochs of 1 to 60 s, or give --epoch_length."
        )
    return int(step) // _SECOND


def check_grid(samples: pl.DataFrame, epoch_length: int, where: str) -> None:
    """The checks of `Recording.from_timestamps` once more, since lines of the file are known here.

    Raises:
        RecordingError: for times beside the grid that begins at the first, or more than a year apart.
    """
    since = (samples["local"] - samples["local"][0]).dt.total_microseconds().to_numpy()
    beside = np.flatnonzero(since % (epoch_length * _SECOND))
    if beside.size:
        row = samples.row(int(beside[0]), named=True)
        raise RecordingError(
            f"{where}, line {row['line']}: the time {row['local']} of participant {row['person']!r} is not a whole "
            f"number of {epoch_length} s after the first, {samples['local'][0]} ({beside.size} such lines); expected a "
            f"sample every epoch. {_onto_grid(samples['local'], epoch_length)}"
        )
    far = np.flatnonzero(np.diff(since) > MAX_GAP.total_seconds() * _SECOND)
    if far.size:
        before, row = (samples.row(int(far[0]) + number, named=True) for number in (0, 1))
        raise RecordingError(
            f"{where}, line {row['line']}: the time {row['local']} of participant {row['person']!r} comes "
            f"{(row['local'] - before['local']).days} days after the one before it, {before['local']}; a hole of more "
            "than a year is taken for a wrong date. Correct it, or cut the file in two with a column of the person's "
            "id in both: --id_column joins them, and keeps them one person."
        )


def _onto_grid(times: pl.Series, epoch_length: int) -> str:
    """What brings times that lie beside the grid of epochs onto it: shown by what it would do to these."""
    step = float(np.median(np.diff(times.to_numpy()).astype(np.int64))) / _SECOND
    if step != epoch_length and step in _EPOCHS:
        return f"They are {step:g} s apart (median): leave --epoch_length out, or give --epoch_length={step:g}."
    every = f"{epoch_length}s"
    moved = {"floor": times.dt.truncate(every), "round": times.dt.round(every)}
    doubled = {name: len(one) - one.n_unique() for name, one in moved.items()}
    way = "round" if doubled["round"] < doubled["floor"] else "floor"
    done = {"floor": "Bring each time down to", "round": "Round each time to"}[way]
    left = f" {doubled[way]:,} times are then there twice: choose by --duplicates." if doubled[way] else ""
    return (
        f"If no line is wrong, the clock drifts, or the device was started anew at another second. {done} a whole "
        f"number of {epoch_length} s, in pandas by .dt.{way}('{every}'), and read the new file.{left} A minute that is "
        "passed over so is missing, see --max_missing."
    )
