"""The file of a published checkpoint: one that came with the package, or from a cache that is checked at every load.

In the cache folder, beside each file: `FILE.sha256` (the pin: the hash of what was first downloaded, in the format of
`sha256sum --check`) and `FILE.lock` (held while somebody downloads or checks it). The authors publish no hashes and
those that circulate disagree, so the structure is verified once and the hash of that very content pinned. Hashes of our
own files are in the table of presets.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import sys
import urllib.parse
from collections.abc import Callable, Iterator

import filelock

from pat_keras.checkpoints.download import DownloadError, Limits, download, explain_start
from pat_keras.checkpoints.pins import new_file, pin_path, read_pin, sha256_of, write_pin
from pat_keras.checkpoints.presets import PRESETS, Preset
from pat_keras.errors import CheckpointError, ConfigError

CACHE_VARIABLE = "PAT_KERAS_CACHE"
MIRROR_VARIABLE = "PAT_KERAS_MIRROR"
OFFLINE_VARIABLE = "PAT_KERAS_OFFLINE"
NOTICE_FILE = "LICENCE-PAT-weights.txt"

_SWITCH = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


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
    """The local path of a published checkpoint, downloaded if it did not come with the package nor is in the cache.

    The content is compared with its SHA-256 every time: with the one in the table of presets, or with a pin, which a
    file that is new in the cache (downloaded, or put there by hand) gets when it has been verified. Several processes
    and threads may call this at once: one downloads, the others wait.

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
    if (local := entry.local) is not None:
        _matches(entry, local)
        return local
    path = (pathlib.Path(cache) if cache is not None else cache_folder()) / entry.file
    try:
        # Without the lock first: a pinned file never changes, and a shared cache may be read-only.
        if not _matches(entry, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path, limits or Limits(), quiet):
                if not _matches(entry, path):
                    _obtain(entry, path, verify, offline, quiet, limits)
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. The cache folder must be one that you can read and write: set "
            f"{CACHE_VARIABLE} to such a folder."
        ) from error
    if not quiet and not entry.sha256:
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
    by_hand = f"To do it by hand, {_source(entry)} and save it as {path}; it will be verified and used."
    if _is_offline() if offline is None else offline:
        raise CheckpointError(
            f"{path}: preset {entry.name} is not in the cache, and offline mode (offline=True or {OFFLINE_VARIABLE}) "
            f"forbids to download it. {by_hand}"
        )
    address = _address(entry)
    if not address:
        raise CheckpointError(
            f"{path}: preset {entry.name} did not come with the installed package, is not in the cache, and has no "
            f"address to be downloaded from. {by_hand} Or set {MIRROR_VARIABLE} to the http or https address of a "
            "folder that holds it."
        )
    try:
        content = download(address, limits=limits, label=entry.file, quiet=quiet)
    except DownloadError as error:
        raise CheckpointError(
            f"{path}: preset {entry.name} could not be downloaded from {address}: {error}. Nothing was kept. Check the "
            f"network and try again. {by_hand}"
        ) from error
    found = _check_sent(entry, path, content, address)
    with new_file(path, content) as part:
        try:
            verify(part)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path}: what {address} sent for preset {entry.name} is not that checkpoint, and was not kept. {error}"
            ) from error
        # Before the file has its name, so that a downloaded file is never without its pin.
        if not entry.sha256 and read_pin(path) is None:
            write_pin(path, found, f"downloaded from {address}")


def _check_sent(entry: Preset, path: pathlib.Path, content: bytes, address: str) -> str:
    """The SHA-256 of what was downloaded.

    Raises:
        CheckpointError: if it should be another one.
    """
    found = hashlib.sha256(content).hexdigest()
    if entry.sha256 and found != entry.sha256:
        raise CheckpointError(
            f"{path}: {address} sends other content than preset {entry.name}: SHA-256 {found}, expected "
            f"{entry.sha256}. Nothing was kept. Is it the file of another version?"
        )
    pinned = read_pin(path)
    if pinned is not None and found != pinned:
        raise CheckpointError(
            f"{path}: {address} now sends other content than at the first download: SHA-256 {found}, pinned {pinned} "
            f"in {pin_path(path)}. Nothing was kept. If the authors published a new version, remove that pin."
        )
    return found


def _adopt(path: pathlib.Path, verify: Callable[[pathlib.Path], None]) -> None:
    """Verifies and pins a file that somebody put into the cache by hand."""
    found = sha256_of(path)
    with path.open("rb") as file:
        instead = explain_start(file.read(64))
    if instead:
        raise CheckpointError(f"{path}: {instead}. Remove it and save the file itself under this name.")
    verify(path)
    write_pin(path, found, "found in the cache")


def _matches(entry: Preset, path: pathlib.Path) -> bool:
    """Whether the file is there, and the hash that it should have is known.

    Raises:
        CheckpointError: if its content has another one.
    """
    if not path.exists() or (expected := entry.sha256 or read_pin(path)) is None:
        return False
    if (found := sha256_of(path)) == expected:
        return True
    if path == entry.local:
        raise CheckpointError(
            f"{path}: SHA-256 is {found}, expected {expected} of preset {entry.name}. The file was changed or damaged "
            "since it was published. Install the package again, or check the file out again."
        )
    if entry.sha256:
        raise CheckpointError(
            f"{path}: SHA-256 is {found}, expected {expected} of preset {entry.name}. The file was changed or damaged, "
            f"or is of another version. Remove it, then {_source(entry)} again."
        )
    raise CheckpointError(
        f"{path}: SHA-256 is {found}, but {expected} was pinned in {pin_path(path)}. The file was changed or damaged "
        "since. Remove the file to download it again (the pin will check it); or, if you replaced it on purpose, "
        "remove the pin, and the file will be verified and pinned anew."
    )


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


def _source(entry: Preset) -> str:
    """Where a person gets the file, as the beginning of a sentence."""
    if entry.address:
        return f"download {entry.address}"
    return f"take weights/{entry.file} of the repository of pat_keras"


def _address(entry: Preset) -> str:
    """Where the program gets the file; empty if nowhere."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        return entry.address
    try:
        parts = urllib.parse.urlsplit(mirror)
    except ValueError:  # "http://[::1"
        parts = urllib.parse.urlsplit("")
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
