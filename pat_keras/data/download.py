"""Files over HTTP to the disk, of any size: whole or not at all, and going on where the last process ended."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib

import tqdm

from pat_keras.data.transfer import Expected, Limits, Transfer, Version

# Gigabytes from a slow server: days, as long as something comes.
LARGE = Limits(timeout=60.0, total=7 * 86_400.0, tries=5, pause=1.0, max_bytes=20 << 30)


def fetch(address: str, path: pathlib.Path, expected: Expected, limits: Limits = LARGE, *, quiet: bool = False) -> None:
    """Puts the file at `address` to `path`, whole or not at all.

    What came of it before something went wrong stays beside it as NAME.part, with NAME.part.json that says of which
    version it is; another call goes on from there.

    Args:
        address: an http or https address.
        path: of the file, which is replaced if it exists.
        expected: what the file is.
        limits: time, tries and size.
        quiet: show no progress bar.

    Raises:
        DownloadError: if the whole file did not come, or something else came; the latter is removed.
    """
    part = path.with_name(f"{path.name}.part")
    notes = part.with_name(f"{part.name}.json")
    version = _read_notes(notes, address)
    if version is None:
        part.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            part.open("r+b" if part.exists() else "w+b") as sink,
            tqdm.tqdm(desc=path.name, unit="B", unit_scale=True, unit_divisor=1024, disable=quiet, leave=False) as bar,
        ):
            noted = functools.partial(_write_notes, notes, address)
            Transfer(address, sink, expected, limits, bar, version, noted).run()
    finally:
        if part.exists() and not part.stat().st_size:
            part.unlink()
            notes.unlink(missing_ok=True)
    os.replace(part, path)
    notes.unlink(missing_ok=True)


def _read_notes(notes: pathlib.Path, address: str) -> Version | None:
    """The version of what came, or None if it is not known to be of this address."""
    try:
        known = json.loads(notes.read_text(encoding="utf-8"))
        if known["address"] == address and known["validator"]:  # without one, nothing tells a new version from the old
            return Version(str(known["validator"]), known["total"] and int(known["total"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _write_notes(notes: pathlib.Path, address: str, version: Version) -> None:
    notes.write_text(json.dumps({"address": address, **dataclasses.asdict(version)}), encoding="utf-8")
