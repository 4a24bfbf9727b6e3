"""Writing a file so that a reader sees either the old one or the whole new one, and never in place of what is read."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from pat_keras.errors import PATError


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], *, overwrite: bool = False, error: type[PATError] = PATError
) -> Iterator[pathlib.Path]:
    """Gives a temporary path in the folder of `path`; what was written there becomes `path` when the block ends well.

    The folder is made if it does not exist. When the block raises, the temporary file is removed and `path` is as it
    was.

    Args:
        path: the file to make.
        overwrite: replace `path` if it exists.
        error: the class of the error raised here.

    Raises:
        PATError: (of class `error`) if `path` exists and `overwrite` is off, is a folder, or its folder can't be made.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise error(f"{path}: is a folder, expected the name of a file to write. Give a file name.")
    if path.exists() and not overwrite:
        raise error(f"{path}: the file is already there, and is not replaced. Choose another name, or overwrite=True.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as problem:
        raise error(f"{path}: can't be written ({problem}). Check the folder, its permissions and its space.") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_apart(
    written: Iterable[pathlib.Path],
    read: Mapping[str, Iterable[str | os.PathLike[str]]],
    *,
    error: type[PATError] = PATError,
) -> None:
    """Refuses to write over what the same command reads: a result would replace the data that it was made of.

    Args:
        written: files to be made, or folders to be emptied. Those that are not there yet can't be in the way.
        read: flag, such as "--data" -> paths that are read. What does not exist (the name of a preset) is passed
            over.
        error: the class of the error raised here.

    Raises:
        PATError: (of class `error`) naming the first of them.
    """
    for path in written:
        for flag, sources in read.items() if path.exists() else ():
            for source in map(pathlib.Path, sources):
                if os.path.exists(source) and (path.samefile(source) or path.resolve() in source.resolve().parents):
                    raise error(
                        f"{path}: would be replaced, but is read by the same command ({flag}: {source}), and its "
                        "content would be lost; expected a place of its own, with or without --overwrite. Choose "
                        "another --out."
                    )
