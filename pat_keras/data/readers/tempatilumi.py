"""CE Brasil Tempatilumi .txt logs: a few lines of comment, Portuguese titles, fields between semicolons."""

from __future__ import annotations

import pathlib

from pat_keras.data.readers.clock import read_clock, usual_step
from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.text_table import read_table, split_line
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_DATE, _TIME, _ACTIVITY = "Data", "Hora", "Atividade"


def read_tempatilumi(
    source: DeviceFile | str | pathlib.Path, participant_id: str | None = None, *, date_order: str | None = None
) -> list[Recording]:
    """Reads the activity of a log.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.
        date_order: "day_first", "month_first" or "year_first" where the dates do not tell; None reads it off.

    Raises:
        RecordingError: if it is no such file or is damaged.
    """
    file = DeviceFile.of(source)
    lines = file.text().splitlines()
    rows = ((at, split_line(line, ";")) for at, line in enumerate(lines[:60]))
    header, titles = next(((at, row) for at, row in rows if {_DATE, _TIME, _ACTIVITY} <= set(row)), (None, []))
    if header is None:
        raise RecordingError(
            f"{file.where}: none of its first lines has the titles {_DATE}; {_TIME}; ...; {_ACTIVITY}; it begins with "
            f"{lines[0][:40]!r}. Is it a log of another device?"
        )
    table = read_table(lines[header + 1 :], header + 2, ";", titles, file.where)
    times = read_clock(table.text(_DATE) + " " + table.text(_TIME), table, date_order)
    return [
        Recording.from_timestamps(
            times,
            table.number(_ACTIVITY, decimal_comma=True),
            participant_id=participant_id or file.stem,
            epoch_length=usual_step(times, file.where),
            unit="counts",
            source=file.where,
            first_line=int(table.lines[0]),
        )
    ]
