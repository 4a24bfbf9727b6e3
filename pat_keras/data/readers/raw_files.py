"""Files of a folder, a pattern, a zip or one by one: found, named and read alike."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import gzip
import os
import pathlib
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence

from pat_keras.errors import RecordingError

_JUNK = ("__MACOSX/", ".")  # what macOS puts beside, and hidden files


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A file that may lie in a zip.

    Attributes:
        where: its path, with the zip's before it, for messages.
        stem: its name without folder and ending; `0012.csv` and `0012.csv.gz` have the stem `0012`. Unicode is composed
            (NFC), as ids of tables are: macOS decomposes it.
        folder: where it lies from what was asked for on, with `/` between folders; empty if it lies there itself.
        suffix: its ending in small letters, without `.gz`.
        read: gives its bytes (unpacked, for `.gz`), or raises RecordingError.
    """

    where: str
    stem: str
    folder: str
    suffix: str
    read: Callable[[], bytes] = dataclasses.field(repr=False, compare=False)

    @property
    def below(self) -> str:
        """The stem with the folder before it, such as `P01/visit1`."""
        return joined_below(self.folder, self.stem)


def find_files(
    raw: str | pathlib.Path, suffixes: Sequence[str], pattern: str | None = None
) -> tuple[list[RawFile], list[str]]:
    """The files to read, in the order of their names, and the names of those left out.

    Args:
        raw: a file, a folder (with the folders in it), a zip, or a pattern such as `data/*.csv`.
        suffixes: endings of the files wanted. A single file and the matches of a pattern need none of them.
        pattern: of names in the folder or zip, such as `patient/*.csv`; all others are left out.

    Raises:
        RecordingError: if there is nothing to read.
    """
    path = pathlib.Path(raw)
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        return _choose(path, names, suffixes, pattern, lambda name: _file(path / name, name.rpartition("/")[0]))
    if path.is_file():
        if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
            return _choose(path, _members(path), suffixes, pattern, lambda name: _member(path, name))
        if pattern is not None:
            raise RecordingError(
                f"{path}: is one file, so that there is nothing to choose with --files={pattern}. Leave --files out."
            )
        return [_file(path, "")], []
    if glob.has_magic(str(raw)):
        paths = sorted(pathlib.Path(name) for name in glob.glob(str(raw), recursive=True))
        found = [_file(one, folder_below(one, raw)) for one in paths if one.is_file()]
        if not found:
            raise RecordingError(f"{raw}: no file has such a name. Check the pattern and the folder.")
        return found, []
    raise RecordingError(f"{path}: no such file or folder. Give a file, a folder, a zip, or a pattern in quotes.")


def _choose(
    path: pathlib.Path,
    names: list[str],
    suffixes: Sequence[str],
    pattern: str | None,
    make: Callable[[str], RawFile],
) -> tuple[list[RawFile], list[str]]:
    chosen, left_out = [], []
    for name in names:
        if name.startswith(_JUNK[0]) or name.rpartition("/")[2].startswith(_JUNK[1]):
            continue
        file = make(name)
        fits = fnmatch.fnmatchcase(name, pattern) if pattern is not None else file.suffix in suffixes
        if fits:
            chosen.append(file)
        else:
            left_out.append(name)
    if not chosen:
        wanted = f"that fits --files={pattern}" if pattern is not None else f"that ends in {', '.join(suffixes)}"
        there = first_of(left_out) or "nothing"
        raise RecordingError(f"{path}: there is no file {wanted}; found {there}. Give another place.")
    return chosen, left_out


def folder_below(path: pathlib.Path, raw: str | os.PathLike[str]) -> str:
    """The folder of a file from where the pattern or folder `raw` leaves off: of `data/*/a.csv`, `P01` or the like."""
    base = pathlib.Path(raw)
    while glob.has_magic(str(base)):
        base = base.parent
    below = path.parent != base and path.parent.is_relative_to(base)
    return path.parent.relative_to(base).as_posix() if below else ""


def joined_below(*parts: str) -> str:
    """Folders and a name as one path, its Unicode composed; what is empty is left out."""
    return unicodedata.normalize("NFC", "/".join(part for part in parts if part))


def account_of(number: int, left_out: Sequence[str]) -> str:
    """How many files are read, and which others are not."""
    return f"{number:,}" + (f"; {len(left_out):,} others left out: {first_of(left_out)}" if left_out else "")


def first_of(names: Sequence[str]) -> str:
    """The first five of these names."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _parts(name: str) -> tuple[str, str]:
    """Stem and ending of a file's name."""
    plain = pathlib.PurePosixPath(name[:-3] if name.lower().endswith(".gz") else name)
    return unicodedata.normalize("NFC", plain.stem), plain.suffix.lower()


def _file(path: pathlib.Path, folder: str) -> RawFile:
    stem, suffix = _parts(path.name)
    return RawFile(str(path), stem, folder, suffix, lambda: _unpacked(path.name, path.read_bytes(), str(path)))


def _members(path: pathlib.Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(one.filename for one in archive.infolist() if not one.is_dir())
    except (zipfile.BadZipFile, OSError) as error:
        raise RecordingError(
            f"{path}: not a readable zip file ({error}); it may be cut short. Download or pack it again, or unpack it "
            "and give the folder."
        ) from error


def _member(path: pathlib.Path, name: str) -> RawFile:
    """A file of a zip. It is read in memory, so that no name in the zip can lead to another place of the disk."""
    where = f"{path}: {name}"

    def read() -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                data = archive.read(name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:  # or encrypted
            raise RecordingError(
                f"{where}: can't be unpacked ({error}). Pack the zip again, or unpack it and give the folder."
            ) from error
        return _unpacked(name, data, where)

    folder, _, last = name.rpartition("/")
    stem, suffix = _parts(last)
    return RawFile(where, stem, folder, suffix, read)


def _unpacked(name: str, data: bytes, where: str) -> bytes:
    if not name.lower().endswith(".gz"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{where}: can't be unpacked ({error}); is it cut short? Fetch it again.") from error
