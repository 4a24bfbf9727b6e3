"""The published checkpoints by name: where they come from, whose they are, and a cache that is checked at every load.

In the cache folder, beside each file: `FILE.sha256` (the pin: the hash of what was first downloaded, in the format of
`sha256sum --check`) and `FILE.lock` (held while somebody downloads or checks it). The authors publish no hashes and
those that circulate disagree, so the structure is verified once and the hash of that very content pinned.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import hashlib
import importlib.resources
import os
import pathlib
import re
import sys
import types
import urllib.parse
from collections.abc import Callable, Iterator, Mapping

import filelock

from pat_keras.checkpoints.download import DownloadError, Limits, download, explain_start
from pat_keras.errors import CheckpointError, ConfigError

CACHE_VARIABLE = "PAT_KERAS_CACHE"
MIRROR_VARIABLE = "PAT_KERAS_MIRROR"
OFFLINE_VARIABLE = "PAT_KERAS_OFFLINE"
NOTICE_FILE = "LICENCE-PAT-weights.txt"

_SWITCH = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}
_PIECE_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Preset:
    """A published checkpoint.

    Attributes:
        name: what `fetch` calls it, as "pat_large_29k".
        file: its file name, at the source and in the cache.
        size: the `EncoderConfig` size it holds (all published ones have the linear embedding).
        people: how many people it was pretrained on.
        pretraining: the NHANES cycles they come from; results on these are not held out.
        licence: of the weights (not of this package).
        authors: who made it.
        citation: what to cite.
        address: where the authors publish it.
    """

    name: str
    file: str
    size: str
    people: int
    pretraining: str
    licence: str
    authors: str
    citation: str
    address: str


def _read_presets() -> Mapping[str, Preset]:
    table = importlib.resources.files("pat_keras.checkpoints").joinpath("presets.csv").read_text(encoding="utf-8")
    presets = {}
    for row in csv.DictReader(table.splitlines()):
        fields: dict[str, object] = {**row, "people": int(row["people"])}
        presets[row["name"]] = Preset(**fields)  # type: ignore[arg-type]
    return types.MappingProxyType(presets)


PRESETS: Mapping[str, Preset] = _read_presets()


def cache_folder() -> pathlib.Path:
    """`PAT_KERAS_CACHE` if it is set, else `pat_keras` in `XDG_CACHE_HOME` or `~/.cache`. It need not exist."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return pathlib.Path(chosen).expanduser()
    # The XDG specification: a relative path is invalid and to be ignored.
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (pathlib.Path(shared) if os.path.isabs(shared) else pathlib.Path.home() / ".cache") / "pat_keras"


def fetch(
    preset: str,
    *,
    verify: Callable[[pathlib.Path], None],
    cache: str | os.PathLike[str] | None = None,
    offline: bool | None = None,
    quiet: bool = False,
    limits: Limits | None = None,
) -> pathlib.Path:
    """The local path of a published checkpoint, downloaded if the cache does not hold it.

    A file that is new in the cache (downloaded, or put there by hand) is verified, then pinned by its SHA-256; later
    calls compare the hash alone. Several processes and threads may call this at once: one downloads, the others wait.

    Args:
        preset: a name in `PRESETS`.
        verify: the structural check of a file that is not pinned yet; raises `CheckpointError`.
        cache: the folder; None for `cache_folder()`.
        offline: never use the network; None for what `PAT_KERAS_OFFLINE` says (1 or 0).
        quiet: show no progress bar, no message while waiting, no licence.
        limits: of the download; None for the defaults.

    Returns:
        The path of a file whose content was verified.

    Raises:
        CheckpointError: for an unknown preset; a file that can't be had; one that is unsound or differs from its pin.
        ConfigError: if `PAT_KERAS_OFFLINE` or `PAT_KERAS_MIRROR` can't be understood.
    """
    if preset not in PRESETS:
        raise CheckpointError(f"preset is {preset!r}, expected one of {', '.join(PRESETS)}.")
    entry = PRESETS[preset]
    path = (pathlib.Path(cache) if cache is not None else cache_folder()) / entry.file
    try:
        # Without the lock first: a pinned file never changes, and a shared cache may be read-only.
        if not _matches_pin(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path, limits or Limits(), quiet):
                if not _matches_pin(path):
                    _obtain(entry, path, verify, offline, quiet, limits)
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. The cache folder must be one that you can read and write: set "
            f"{CACHE_VARIABLE} to such a folder."
        ) from error
    if not quiet:
        _show_notice(entry, path.parent)
    return path


def _obtain(
    entry: Preset,
    path: pathlib.Path,
    verify: Callable[[pathlib.Path], None],
    offline: bool | None,
    quiet: bool,
    limits: Limits | None,
) -> None:
    """Brings a verified and pinned file to `path`, whose lock is held."""
    if path.exists():
        _adopt(path, verify)
        return
    by_hand = f"To do it by hand, download {entry.address} and save it as {path}; it will be verified and used."
    if _is_offline() if offline is None else offline:
        raise CheckpointError(
            f"{path}: preset {entry.name} is not in the cache, and offline mode (offline=True or {OFFLINE_VARIABLE}) "
            f"forbids to download it. {by_hand}"
        )
    address = _address(entry)
    try:
        content = download(address, limits=limits, label=entry.file, quiet=quiet)
    except DownloadError as error:
        raise CheckpointError(
            f"{path}: preset {entry.name} could not be downloaded from {address}: {error}. Nothing was kept. Check the "
            f"network and try again. {by_hand}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    pinned = _read_pin(path)
    if pinned is not None and found != pinned:
        raise CheckpointError(
            f"{path}: {address} now sends other content than at the first download: SHA-256 {found}, pinned {pinned} "
            f"in {_pin_path(path)}. Nothing was kept. If the authors published a new version, remove that pin."
        )
    with _new_file(path, content) as part:
        try:
            verify(part)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path}: what {address} sent for preset {entry.name} is not that checkpoint, and was not kept. {error}"
            ) from error
        # Before the file has its name, so that a downloaded file is never without its pin.
        if pinned is None:
            _write_pin(path, found, f"downloaded from {address}")


def _adopt(path: pathlib.Path, verify: Callable[[pathlib.Path], None]) -> None:
    """Verifies and pins a file that somebody put into the cache by hand."""
    found = _sha256(path)
    with path.open("rb") as file:
        instead = explain_start(file.read(64))
    if instead:
        raise CheckpointError(f"{path}: {instead}. Remove it and save the file itself under this name.")
    verify(path)
    _write_pin(path, found, "found in the cache")


def _matches_pin(path: pathlib.Path) -> bool:
    """Whether the file and its pin are there.

    Raises:
        CheckpointError: if they are, and disagree.
    """
    if not path.exists() or (pinned := _read_pin(path)) is None:
        return False
    if (found := _sha256(path)) != pinned:
        raise CheckpointError(
            f"{path}: SHA-256 is {found}, but {pinned} was pinned in {_pin_path(path)}. The file was changed or "
            "damaged since. Remove the file to download it again (the pin will check it); or, if you replaced it on "
            "purpose, remove the pin, and the file will be verified and pinned anew."
        )
    return True


def _pin_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".sha256")


def _read_pin(path: pathlib.Path) -> str | None:
    pin = _pin_path(path)
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


def _write_pin(path: pathlib.Path, sha256: str, origin: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    with _new_file(_pin_path(path), f"# {origin}, pinned {now}\n{sha256}  {path.name}\n".encode()):
        pass  # there is nothing to check in it


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _new_file(path: pathlib.Path, content: bytes) -> Iterator[pathlib.Path]:
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


@contextlib.contextmanager
def _locked(path: pathlib.Path, limits: Limits, quiet: bool) -> Iterator[None]:
    """Holds the lock of `path`: the operating system's own, so that it ends with the process that holds it."""
    name = path.with_name(path.name + ".lock")
    lock = filelock.FileLock(name)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if not quiet:
                print(f"Waiting for another process that is fetching {path.name} (lock: {name})", file=sys.stderr)
            lock.acquire(timeout=limits.total, poll_interval=0.1)
    except filelock.Timeout as error:
        raise CheckpointError(
            f"{path}: another process has held {name} for more than {limits.total:g} s. End it, then try again."
        ) from error
    try:
        # Left by a process that was killed between writing and renaming.
        path.with_name(path.name + ".part").unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _is_offline() -> bool:
    value = os.environ.get(OFFLINE_VARIABLE, "")
    if value.strip().lower() not in _SWITCH:
        raise ConfigError(f"{OFFLINE_VARIABLE} is {value!r}, expected 1 (never use the network) or 0.")
    return _SWITCH[value.strip().lower()]


def _address(entry: Preset) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        return entry.address
    parts = urllib.parse.urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{MIRROR_VARIABLE} is {mirror!r}, expected the http or https address of a folder that holds {entry.file}."
        )
    return f"{mirror.rstrip('/')}/{entry.file}"


def _show_notice(entry: Preset, folder: pathlib.Path) -> None:
    """Says whose the weights are, once for a cache folder; the file that remembers it holds the same words."""
    notice = (
        f"The pretrained PAT weights are by {entry.authors}, under {entry.licence} "
        "(https://creativecommons.org/licenses/by/4.0/). If you use them, cite:\n"
        f"  {entry.citation}\n"
    )
    try:
        with (folder / NOTICE_FILE).open("x", encoding="utf-8") as file:
            file.write(notice)
    except FileExistsError:
        return
    except OSError:
        pass  # a cache that can't be written to: the notice is due all the same
    print(notice, end="", file=sys.stderr)
