"""Pins: the SHA-256 of what was first downloaded, kept beside the file in the format of `sha256sum --check`."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator

from pat_keras.errors import CheckpointError

_PIECE_BYTES = 1 << 20


def pin_path(path: pathlib.Path) -> pathlib.Path:
    """Where the pin of a file lies."""
    return path.with_name(path.name + ".sha256")


def read_pin(path: pathlib.Path) -> str | None:
    """The hash that is pinned for a file, or None.

    Raises:
        CheckpointError: if the pin can't be understood.
    """
    pin = pin_path(path)
    if not pin.exists():
        return None
    lines = [line for line in pin.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    matches = [re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line) for line in lines if not line.startswith("#")]
    if len(matches) != 1 or matches[0] is None or matches[0][2] != path.name:
        raise CheckpointError(
            f"{pin}: expected one line with a SHA-256 (64 hexadecimal digits), two spaces and {path.name}. Remove it "
            "to have the file verified and pinned anew."
        )
    return matches[0][1].lower()


def write_pin(path: pathlib.Path, sha256: str, origin: str) -> None:
    """Pin a hash for a file, and note where its content came from."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    with new_file(pin_path(path), f"# {origin}, pinned {now}\n{sha256}  {path.name}\n".encode()):
        pass  # there is nothing to check in it


def sha256_of(path: pathlib.Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def new_file(path: pathlib.Path, content: bytes) -> Iterator[pathlib.Path]:
    """Writes `content` beside `path` for the block to check; it takes that name only if the block ends well."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
