"""Fetches the files of an NHANES cycle that are missing in a folder, from NCHS."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import zipfile
import zlib

from pat_keras.data.download import LARGE, fetch
from pat_keras.data.readers.nhanes_labels import RULES, YEARS
from pat_keras.data.readers.nhanes_wide import find_wide
from pat_keras.data.readers.xpt import find_xpt
from pat_keras.data.transfer import DownloadError, Expected, Limits
from pat_keras.errors import RecordingError

SITE = "https://wwwn.cdc.gov"
LARGE_FILES = "https://ftp.cdc.gov"  # PAXMIN was missing at SITE

_XPT_START = b"HEADER RECORD*******LIB"
_ZIP_START = b"PK\x03\x04"
_ZIPPED = ("PAXRAW",)


@dataclasses.dataclass(frozen=True)
class Missing:
    """A file to fetch.

    Attributes:
        stem: such as "DEMO_D".
        address: where NCHS has it.
        zipped: whether a zip with STEM.xpt lies there.
    """

    stem: str
    address: str
    zipped: bool


def missing_files(folder: pathlib.Path, cycle: str, site: str = SITE, large_files: str = LARGE_FILES) -> list[Missing]:
    """What is not in `folder` yet: the activity, DEMO and the files of all labels that the cycle has.

    PhysioNet's wide files count as the activity.

    Raises:
        RecordingError: for an unknown cycle.
    """
    if cycle not in YEARS:
        raise RecordingError(f"NHANES: cycle is {cycle!r}, expected one of {', '.join(YEARS)}.")
    hip = cycle in "CD"
    wide = not hip and folder.is_dir() and find_wide(folder, "PAXMTSM")
    activity = ["PAXRAW"] if hip else [] if wide else ["PAXHD", "PAXMIN"]
    labels = list(dict.fromkeys(rule.file for rule in RULES.values() if cycle not in rule.not_in))
    found = []
    for name in [*labels, *activity]:  # the small ones first
        stem = f"{name}_{cycle}"
        if folder.is_dir() and find_xpt(folder, stem):
            continue
        zipped = name in _ZIPPED
        place = f"{site}/Nchs/Data/Nhanes/Public/{YEARS[cycle][:4]}/DataFiles"
        if name == "PAXMIN":
            place = f"{large_files}/pub/NHANES/LargeDataFiles"
        found.append(Missing(stem, f"{place}/{stem}.{'zip' if zipped else 'xpt'}", zipped))
    return found


def download_nhanes(
    folder: str | os.PathLike[str],
    cycle: str,
    *,
    site: str = SITE,
    large_files: str = LARGE_FILES,
    limits: Limits = LARGE,
    quiet: bool = False,
) -> list[str]:
    """Fetches what is missing, whole or not at all; what was begun goes on with the next call.

    Args:
        folder: where the files are and come to; it is made if need be.
        cycle: "C", "D", "G" or "H".
        site: the first part of the addresses.
        large_files: the same, of PAXMIN.
        limits: of each file.
        quiet: show no progress bars.

    Returns:
        Names of the files that came.

    Raises:
        RecordingError: if some did not come; it says which, why, and what to fetch by hand. The others are there.
    """
    folder = pathlib.Path(folder)
    came, failed = [], []
    for one in missing_files(folder, cycle, site, large_files):
        path = folder / f"{one.stem}.xpt"
        try:
            if one.zipped:
                packed = folder / f"{one.stem}.zip"
                fetch(one.address, packed, _expected("a zip file", _ZIP_START), limits, quiet=quiet)
                _unzip(packed, path)
            else:
                fetch(one.address, path, _expected("a SAS transport file", _XPT_START), limits, quiet=quiet)
        except (DownloadError, OSError) as error:
            failed.append(f"{path.name} from {one.address}: {error}")
        else:
            came.append(path.name)
    if failed:
        raise RecordingError(
            f"{folder}: {len(failed)} files of NHANES {YEARS[cycle]} did not come. {'; '.join(failed)}. Run it again "
            f"to go on where it ended, or fetch them by hand and put them (unzipped) into the folder; if an address "
            f"has moved, look for the name of the file at {SITE}/nchs/nhanes."
        )
    return came


def _expected(kind: str, start: bytes) -> Expected:
    def explain(beginning: bytes) -> str | None:
        if beginning[: len(start)] == start[: len(beginning)]:
            return None
        return f"it is not {kind} (it begins with {beginning[:16]!r}, expected {start!r})"

    return Expected(kind, len(start), explain)


def _unzip(packed: pathlib.Path, path: pathlib.Path) -> None:
    """Unpacks the one .xpt of a zip to `path`, and removes the zip.

    Raises:
        DownloadError: if it can't be unpacked; it is removed then, too.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with zipfile.ZipFile(packed) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".xpt")]
            if len(names) != 1:
                raise DownloadError(
                    f"the zip holds {', '.join(archive.namelist()[:5]) or 'nothing'}, expected one .xpt"
                )
            with archive.open(names[0]) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        os.replace(part, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"the zip that came can't be unpacked ({error})") from error
    finally:
        part.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)
