"""The files of a device: one file, a folder, a pattern, or a zip, found and opened in one way, however large.

Members of a zip are read in place: nothing is unpacked, so no name in a zip can lead to another place of the disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import glob
import gzip
import io
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, cast

from pat_keras.data.readers.raw_files import first_of, folder_below, joined_below
from pat_keras.errors import RecordingError

# RuntimeError: an encrypted member.
_BROKEN = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))

Opener = Callable[[], contextlib.AbstractContextManager[IO[bytes]]]


@dataclasses.dataclass(frozen=True)
class DeviceFile:
    """A file on the disk, a member of a zip, or bytes in memory.

    Attributes:
        name: of the file, without folders.
        where: what messages call it: the path, or "ZIP: MEMBER".
        folders: names of the folders and zips (without their suffix) that it lies in, from the nearest on.
        path: on the disk; None if it is not a plain file of its own there.
        folder: those of the folders and zips that lie below what was asked for, with `/` between; empty if none does.
    """

    name: str
    where: str
    folders: tuple[str, ...]
    path: pathlib.Path | None
    _opener: Opener = dataclasses.field(repr=False, compare=False)
    folder: str = ""

    @classmethod
    def of(cls, source: DeviceFile | str | os.PathLike[str]) -> DeviceFile:
        """The file at a path; `.gz` is unpacked as it is read.

        Raises:
            RecordingError: if there is none.
        """
        if isinstance(source, DeviceFile):
            return source
        path = pathlib.Path(source)
        if not path.is_file():
            found = "a folder, not a file" if path.is_dir() else "no such file"
            raise RecordingError(f"{path}: {found}. Give the path of one recording.")
        packed = path.suffix.lower() == ".gz"
        opener: Opener = (lambda: _unpacking(path.open("rb"))) if packed else (lambda: path.open("rb"))
        return cls(path.name, str(path), _folders(path.resolve()), None if packed else path, opener)

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> DeviceFile:
        """A file whose content is in memory."""
        return cls(pathlib.PurePosixPath(name).name, name, (), None, lambda: io.BytesIO(data))

    @property
    def stem(self) -> str:
        """The name without its suffix, as text: `0012.csv` and `0012.csv.gz` have the stem `0012`."""
        name = self.name[:-3] if self.name.lower().endswith(".gz") else self.name
        return pathlib.PurePosixPath(name).stem.strip()

    @property
    def below(self) -> str:
        """The stem with the folder before it, such as `P01/visit1`."""
        return joined_below(self.folder, self.stem)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The file, opened for reading bytes.

        Raises:
            RecordingError: if the system or the zip does not give it.
        """
        try:
            with self._opener() as file:
                yield file
        except _BROKEN as error:
            raise RecordingError(f"{self.where}: can't be unpacked ({error}). Copy or download it again.") from error
        except OSError as error:
            raise RecordingError(f"{self.where}: can't be read ({error.strerror or error}). Check the file.") from error

    def read(self) -> bytes:
        """Everything in it.

        Raises:
            RecordingError: as `open`, and if it is empty.
        """
        with self.open() as file:
            data = file.read()
        if not data:
            raise RecordingError(f"{self.where}: the file is empty. Copy it from the device's program again.")
        return data

    def text(self) -> str:
        """Everything in it as text: UTF-8, UTF-16 with a mark, or Windows-1252 if it is not UTF-8.

        Programs for Windows write exports in any of the three. Numbers and dates are the same in all; only accents in
        headers could be taken for others.

        Raises:
            RecordingError: as `read`, and if it is no text.
        """
        data = self.read()
        encodings = next(([encoding] for mark, encoding in _MARKS if data.startswith(mark)), ["utf-8", "cp1252"])
        if encodings != ["utf-16"] and b"\0" in data:
            raise self._no_text(f"byte {data.index(0) + 1} is 0, and it begins with {data[:8]!r}")
        for encoding in encodings:
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                found = f"byte {error.start + 1} is {data[error.start]:#04x}, which {encoding} does not have"
        raise self._no_text(found)

    def _no_text(self, found: str) -> RecordingError:
        return RecordingError(
            f"{self.where}: not a text file in UTF-8, UTF-16 or Windows-1252: {found}. Is it a file of another device, "
            "or damaged?"
        )


def find_device_files(raw: str | os.PathLike[str], patterns: Sequence[str]) -> tuple[list[DeviceFile], list[str]]:
    """The files at `raw` whose names match one of `patterns`, in the order of their names, and the names of the others.

    Args:
        raw: a file (its name need not match), a folder (searched with the folders in it), a zip, or a pattern such as
            `data/*.csv`. Zips in a folder or among the matches of a pattern are looked into.
        patterns: such as `*.awd`; upper and lower case are the same.

    Raises:
        RecordingError: if nothing is there or nothing matches.
    """
    path = pathlib.Path(raw)
    if path.is_dir():
        paths = sorted(one for one in path.rglob("*") if one.is_file() and not _is_hidden(one.relative_to(path)))
    elif path.exists():
        paths = [path]
    elif paths := [pathlib.Path(one) for one in sorted(glob.glob(os.fspath(raw), recursive=True))]:
        paths = [one for one in paths if one.is_file()]
    else:
        raise RecordingError(f"{raw}: no such file or folder, and no file that matches it. Check the path.")
    found, left_out = [], []
    for one in paths:
        by_user = not path.is_dir() and not _is_zip(one)  # then it is taken whatever its name
        folder = folder_below(one, raw)
        # What is in the one zip that was asked for lies directly in what was asked for.
        for file in _look_into(one, joined_below(folder, one.stem) if _is_zip(one) and one != path else folder):
            if by_user or _matches(file.name, patterns):
                found.append(file)
            else:
                left_out.append(file.where.removeprefix(str(path)).lstrip(":/ "))
    if not found:
        raise RecordingError(
            f"{raw}: no file in it has a name like {' or '.join(patterns)}; found {first_of(left_out) or 'nothing'}. "
            "Check the folder, or choose another source."
        )
    return found, left_out


def _folders(path: pathlib.PurePath) -> tuple[str, ...]:
    return tuple(parent.name for parent in path.parents if parent.name)


def _look_into(path: pathlib.Path, folder: str) -> Iterator[DeviceFile]:
    """The file itself, or the members of a zip; `folder` is where it lies, or what a zip's members lie in."""
    if not _is_zip(path):
        yield dataclasses.replace(DeviceFile.of(path), folder=folder)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(one.filename for one in archive.infolist() if not one.is_dir())
    except (zipfile.BadZipFile, OSError) as error:
        raise RecordingError(
            f"{path}: not a readable zip file ({error}); it may be cut short. Copy or download it again."
        ) from error
    for name in names:
        member = pathlib.PurePosixPath(name)
        if not _is_hidden(member):
            folders = (*_folders(member), path.stem, *_folders(path.resolve()))
            own = joined_below(folder, name.rpartition("/")[0])
            yield DeviceFile(member.name, f"{path}: {name}", folders, None, _member(path, name), own)


def _member(path: pathlib.Path, name: str) -> Opener:
    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            if name.lower().endswith(".gz"):
                with _unpacking(file) as unpacked:
                    yield unpacked
            else:
                yield file

    return opened


@contextlib.contextmanager
def _unpacking(packed: IO[bytes]) -> Iterator[IO[bytes]]:
    with packed, gzip.GzipFile(fileobj=packed) as file:
        yield cast(IO[bytes], file)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _is_zip(path: pathlib.Path) -> bool:
    return path.suffix.lower() == ".zip"


def _is_hidden(path: pathlib.PurePath) -> bool:
    """Files that systems leave beside the user's: `.DS_Store`, `__MACOSX/._name`."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)
