"""Raw acceleration files (ActiGraph .gt3x; GENEActiv .bin and Axivity .cwa) -> mean ENMO a minute, in mg.

ENMO is max(|a| - 1 g, 0) (van Hees et al. 2013), here without calibration to local gravity. The files are read by
actfast (MIT licence), of the extra `raw`; it holds the whole recording in memory, about 20 bytes a sample.

Axes: n samples, m minutes.
"""

from __future__ import annotations

import datetime
import pathlib
import tempfile

import numpy as np

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.recording import Recording
from pat_keras.errors import ConfigError, RecordingError

LEAST_SHARE = 0.95  # of a minute's samples, for it to have a value
IDLE = ("missing", "still")
_MINUTE = 60_000_000_000  # ns
_CHUNK = 1 << 22  # samples


def read_raw_acceleration(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, idle: str = "missing"
) -> list[Recording]:
    """Reads a raw file and reduces it to minutes of the clock that it was recorded with.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        idle: what to make of holes: ActiGraph's idle sleep mode writes no sample while nothing moves. "missing": a
            minute with fewer than 95 % of its samples is NaN. "still": the last sample before the hole goes on, as
            ActiLife fills it; a hole of another cause is then filled too.

    Raises:
        RecordingError: if actfast is not installed or can't read the file, or if there is no whole minute in it.
        ConfigError: for another `idle`.
    """
    if idle not in IDLE:
        raise ConfigError(f"idle is {idle!r}, expected one of {', '.join(IDLE)}.")
    try:
        import actfast
    except ImportError:
        raise RecordingError(
            "Raw acceleration files need the library actfast, which is not installed. Run: pip install 'pat_keras[raw]'"
        ) from None
    file = DeviceFile.of(source)
    suffix = pathlib.PurePath(file.name).suffix.lower()
    with tempfile.TemporaryDirectory() as folder:
        path = file.path
        if path is None:
            path = pathlib.Path(folder, f"recording{suffix}")
            path.write_bytes(file.read())
        try:
            contents = actfast.read(str(path))
        except (ValueError, OSError) as error:
            raise RecordingError(
                f"{file.where}: actfast can't read it ({error}). It reads .gt3x of wGT3X-BT, .bin of GENEActiv and "
                ".cwa of Axivity; from other ActiGraphs export counts with ActiLife. If it is one of these, copy it "
                "again."
            ) from error
    series = contents["timeseries"].get("acceleration")
    times, acceleration = (series["datetime"], series["acceleration"]) if series else (np.empty(0), np.empty((0, 3)))
    if not len(times):
        raise RecordingError(
            f"{file.where}: actfast finds no sample of acceleration in this {contents['format']}. It does not know how "
            "some firmware stores them (such as 1.7.2 of the GT9X Link): export counts with ActiLife, and read those."
        )
    start, activity = _minutes(times, acceleration, idle == "still", file.where)
    return [Recording(participant_id or file.stem, start, 60, activity, "ENMO", file.where)]


def _minutes(
    times: np.ndarray, acceleration: np.ndarray, fill: bool, where: str
) -> tuple[datetime.datetime, np.ndarray]:
    """First minute and (m,) mean ENMO of times (n,) in ns since 1970 and acceleration (n, 3) in g."""
    step = np.diff(times)
    if len(times) < 2 or (step < 0).any() or acceleration.shape != (len(times), 3):
        raise RecordingError(
            f"{where}: {len(times)} samples of shape {acceleration.shape}, whose times do not always increase; "
            "expected three axes in order of time. The file may be damaged: copy it again."
        )
    usual = float(np.median(step))  # ns
    first = int(times[0] // _MINUTE)
    minutes = int(times[-1] // _MINUTE) - first + 1
    total, count = np.zeros(minutes), np.zeros(minutes)
    for begin in range(0, len(times), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        minute = times[chunk] // _MINUTE - first
        total += np.bincount(minute, weights=_enmo(acceleration[chunk]), minlength=minutes)
        count += np.bincount(minute, minlength=minutes)
    for at in np.flatnonzero(step > 1.5 * usual) if fill else ():
        last = float(_enmo(acceleration[at : at + 1])[0])
        edges = (np.arange(times[at] // _MINUTE, times[at + 1] // _MINUTE + 2) * _MINUTE).astype(np.float64)
        held = np.diff(np.clip(edges, times[at] + usual, times[at + 1])) / usual  # samples in each minute of the hole
        hole = slice(int(times[at] // _MINUTE) - first, int(times[at + 1] // _MINUTE) - first + 1)
        total[hole] += held * last
        count[hole] += held
    whole = np.flatnonzero(count >= LEAST_SHARE * _MINUTE / usual)
    if not whole.size:
        raise RecordingError(f"{where}: {len(times)} samples fill no whole minute of the clock. Is the file cut short?")
    enmo = np.full(minutes, np.nan)
    enmo[whole] = total[whole] / count[whole]
    begin, end = whole[0], whole[-1] + 1  # the minutes at both ends are rarely whole
    start = datetime.datetime(1970, 1, 1) + datetime.timedelta(minutes=first + int(begin))
    return start, enmo[begin:end]


def _enmo(acceleration: np.ndarray) -> np.ndarray:
    """mg of (n, 3) g."""
    return np.maximum(np.linalg.norm(acceleration.astype(np.float64), axis=1) - 1.0, 0.0) * 1000.0
