"""ActiGraph counts in .agd files, the SQLite databases of ActiLife."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import tempfile
from collections.abc import Iterator

import numpy as np

from pat_keras.data.readers.actigraph_axes import check_axis, needed_axes, record_axes
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_TICKS_OF_1970 = 621_355_968_000_000_000  # the times are units of 100 ns since the year 1
_SETTINGS = "SELECT settingName, settingValue FROM settings"


def read_agd(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, axis: str = "vertical"
) -> list[Recording]:
    """Reads an .agd file, an SQLite database of ActiLife. It is opened for reading alone.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        axis: "vertical" (axis 1), or "vector_magnitude", see `record_axes`.

    Raises:
        RecordingError: if it is no such file, is damaged, or lacks the axes.
        ConfigError: for an unknown axis.
    """
    file = DeviceFile.of(source)
    check_axis(axis)
    with _database(file) as database:
        try:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not {"settings", "data"} <= tables:
                raise RecordingError(
                    f"{file.where}: the database has the tables {', '.join(sorted(tables)) or 'none'}; expected "
                    "settings and data, as in an .agd file of ActiLife. Is it a database of another program?"
                )
            settings = {str(name).lower(): value for name, value in database.execute(_SETTINGS)}
            columns = [str(row[1]).lower() for row in database.execute("PRAGMA table_info(data)")]
            needed = needed_axes(axis, columns, f"{file.where}: table data")
            rows = database.execute(
                f"SELECT dataTimestamp, {', '.join(needed)} FROM data ORDER BY dataTimestamp"  # names of _AXIS_COLUMNS
            ).fetchall()
        except sqlite3.Error as error:
            raise RecordingError(
                f"{file.where}: the database can't be read ({error}). It may be cut short; copy it again."
            ) from error
    epoch_length = _whole_number(settings.get("epochlength"), "epochlength", file.where)
    return [_agd_recording(file, participant_id, rows, epoch_length)]


def _agd_recording(file: DeviceFile, participant_id: str | None, rows: list[tuple], epoch_length: int) -> Recording:
    if not rows:
        raise RecordingError(f"{file.where}: the table data has no row. Export the recording again.")
    bad = [at for at, row in enumerate(rows) if not all(isinstance(value, (int, float)) for value in row)]
    if bad:
        raise RecordingError(
            f"{file.where}: row {bad[0] + 1} of the table data is {rows[bad[0]]!r}, expected a time and counts "
            f"({len(bad)} such rows). Export the recording again."
        )
    ticks = np.array([row[0] for row in rows], dtype=np.int64)
    times = ((ticks - _TICKS_OF_1970) // 10).astype("datetime64[us]")
    counts = np.array([row[1:] for row in rows], dtype=np.float64).T  # (axes, n)
    return record_axes(file, participant_id, times, epoch_length, list(counts))


def _whole_number(value: object, name: str, where: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise RecordingError(f"{where}: {name} of the settings is {value!r}, expected whole seconds, 1 or more.")
    return number


@contextlib.contextmanager
def _database(file: DeviceFile) -> Iterator[sqlite3.Connection]:
    """The database, read-only and distrusted: nothing in its schema is run, no file is made beside it."""
    with file.open() as opened:
        beginning = opened.read(16)
    if beginning != b"SQLite format 3\0":
        raise RecordingError(
            f"{file.where}: not an SQLite database: it begins with {beginning!r}. Expected an .agd file of ActiLife."
        )
    with contextlib.ExitStack() as stack:
        path = file.path
        if path is None or path.suffix.lower() == ".gz":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = pathlib.Path(folder, "recording.agd")
            path.write_bytes(file.read())
        # immutable: no journal or lock is made, so that a folder without write permission will do
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        stack.callback(database.close)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        yield database
