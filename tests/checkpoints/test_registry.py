"""The cache of published checkpoints: what is kept, what is refused, and who waits for whom."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import filelock
import pytest

from pat_keras.checkpoints import presets, registry
from pat_keras.checkpoints.download import Limits
from pat_keras.checkpoints.registry import PRESETS, cache_folder, fetch
from pat_keras.config import SIZES
from pat_keras.errors import CheckpointError, ConfigError
from tests.checkpoints import misbehaving_server as bad
from tests.checkpoints.misbehaving_server import CONTENT, Server

PRESET = "pat_small_29k"
FILE = "PAT-S_29k_weights.h5"
QUICK = Limits(timeout=10.0, total=30.0, tries=2, pause=0.01)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[:-1] + b"?"
ROOT = pathlib.Path(registry.__file__).parents[2]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAT_KERAS_CACHE", "PAT_KERAS_MIRROR", "PAT_KERAS_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PAT_KERAS_CACHE", str(folder))
    return folder


def verify(path: pathlib.Path) -> None:
    """Stands for the check of structure."""
    if path.read_bytes() != CONTENT:
        raise CheckpointError(f"{path}: tensor missing.")


def never(path: pathlib.Path) -> None:
    raise AssertionError(f"{path} was verified although its hash is pinned")


def fetch_from(
    server: Server, monkeypatch: pytest.MonkeyPatch, preset: str = PRESET, quiet: bool = True
) -> pathlib.Path:
    monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
    return fetch(preset, verify=verify, quiet=quiet, limits=QUICK)


def names(folder: pathlib.Path) -> set[str]:
    """What is in the cache, but for the lock, which is meant to stay."""
    return {path.name for path in folder.iterdir()} - {FILE + ".lock"}


# The table


_OFFICIAL = {name: preset for name, preset in PRESETS.items() if not preset.sha256}


def test_six_official_presets() -> None:
    assert set(_OFFICIAL) == {
        f"pat_{size}_{people}" for size in ("small", "medium", "large") for people in ("29k", "21k")
    }


@pytest.mark.parametrize("preset", _OFFICIAL.values(), ids=_OFFICIAL.keys())
def test_preset_is_consistent(preset: presets.Preset) -> None:
    letter, people = re.fullmatch(r"PAT-([SML])_(29|21)k_weights\.h5", preset.file).groups()  # type: ignore[union-attr]
    assert preset.size in SIZES
    assert preset.size[0].upper() == letter
    assert preset.name == f"pat_{preset.size}_{people}k"
    assert preset.people == {"29": 29307, "21": 21538}[people]
    assert ("2013-14" in preset.pretraining) == (people == "29")
    assert preset.address.startswith("https://")
    assert f"/{preset.file}?" in preset.address
    assert preset.licence == "CC BY 4.0"
    assert "2411.15240" in preset.citation
    assert "Ruan" in preset.authors


def test_presets_cannot_be_changed() -> None:
    assert len({preset.address for preset in _OFFICIAL.values()}) == 6
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS[PRESET]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS[PRESET].address = "http://example.org"  # type: ignore[misc]


def test_unknown_preset(cache: pathlib.Path) -> None:
    with pytest.raises(CheckpointError, match=r"'pat_larg'.*pat_large_29k"):
        fetch("pat_larg", verify=verify)
    assert not cache.exists()


def test_imports_neither_keras_nor_h5py() -> None:
    code = (
        "import sys, pat_keras.checkpoints.registry; print({'keras', 'h5py', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The folder


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(pathlib.Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "pat_keras"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "pat_keras"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pat_keras"
    monkeypatch.setenv("PAT_KERAS_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_cache_that_is_a_file(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("in the way")
    with Server(bad.whole) as server, pytest.raises(CheckpointError, match="PAT_KERAS_CACHE"):
        fetch_from(server, monkeypatch)
    assert cache.read_text() == "in the way"


def test_cache_argument_wins(cache: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        path = fetch(PRESET, verify=verify, cache=str(tmp_path / "other"), quiet=True)
    assert path == tmp_path / "other" / FILE
    assert not cache.exists()


# Download, pin, later loads


def test_first_download_is_pinned(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole) as server:
        path = fetch_from(server, monkeypatch)
    assert path == cache / FILE
    assert path.read_bytes() == CONTENT
    assert names(cache) == {FILE, FILE + ".sha256"}
    comment, line = (cache / (FILE + ".sha256")).read_text().splitlines()
    assert line == f"{SHA256}  {FILE}"
    assert re.match(rf"# downloaded from {re.escape(server.base)}/{FILE}, pinned \d{{4}}-\d\d-\d\dT", comment)


def test_later_loads_use_the_pin_alone(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole) as server:
        path = fetch_from(server, monkeypatch)
        assert fetch(PRESET, verify=never, quiet=True) == path
        assert len(server.requests) == 1


def test_changed_file_is_refused(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole) as server:
        path = fetch_from(server, monkeypatch)
    path.write_bytes(OTHER)
    with pytest.raises(CheckpointError) as caught:
        fetch(PRESET, verify=never, quiet=True)
    for part in (str(path), SHA256, hashlib.sha256(OTHER).hexdigest(), "Remove"):
        assert part in str(caught.value)
    assert path.read_bytes() == OTHER


def test_pin_checks_a_second_download(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole, bad.whole, bad.sends(OTHER)) as server:
        path = fetch_from(server, monkeypatch)
        path.unlink()
        assert fetch_from(server, monkeypatch).read_bytes() == CONTENT
        path.unlink()
        with pytest.raises(CheckpointError, match="other content than at the first download"):
            fetch_from(server, monkeypatch)
    assert names(cache) == {FILE + ".sha256"}


@pytest.mark.parametrize("pin", ["", "abc\n", f"{SHA256}  another.h5\n", f"{SHA256}  {FILE}\n" * 2])
def test_damaged_pin(cache: pathlib.Path, pin: str) -> None:
    cache.mkdir()
    (cache / FILE).write_bytes(CONTENT)
    (cache / (FILE + ".sha256")).write_text(pin)
    with pytest.raises(CheckpointError, match=r"\.sha256: expected one line"):
        fetch(PRESET, verify=verify, quiet=True)


def test_file_put_there_by_hand_is_verified_then_pinned(cache: pathlib.Path) -> None:
    cache.mkdir()
    (cache / FILE).write_bytes(CONTENT)
    path = fetch(PRESET, verify=verify, offline=True, quiet=True)
    assert "found in the cache" in (cache / (FILE + ".sha256")).read_text()
    assert fetch(PRESET, verify=never, offline=True, quiet=True) == path


@pytest.mark.parametrize(("content", "message"), [(OTHER, "tensor missing"), (bad.HTML, "HTML page"), (b"", "empty")])
def test_unsound_file_put_there_by_hand(cache: pathlib.Path, content: bytes, message: str) -> None:
    cache.mkdir()
    (cache / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{FILE}: .*{message}"):
        fetch(PRESET, verify=verify, quiet=True)
    assert names(cache) == {FILE}
    assert (cache / FILE).read_bytes() == content


def short(handler: bad.Handler) -> None:
    """Announces less than the file has, so that it arrives truncated and nothing on the way can tell."""
    handler.head(length=1000)
    handler.wfile.write(CONTENT[:1000])


@pytest.mark.parametrize("answer", [bad.sends(OTHER), short])
def test_unsound_download_is_not_kept(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, answer: bad.Answer) -> None:
    with Server(answer, bad.whole) as server:
        with pytest.raises(CheckpointError, match=r"not that checkpoint, and was not kept.*tensor missing"):
            fetch_from(server, monkeypatch)
        assert names(cache) == set()
        assert fetch_from(server, monkeypatch).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (bad.cut, "the connection ended"),
        (bad.status(500), "500"),
        (bad.status(404), "404"),
        (bad.sends(bad.HTML, Content_Type="text/html"), "an HTML page"),
    ],
)
def test_failed_download_says_what_to_do(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, answer: bad.Answer, reason: str
) -> None:
    with Server(answer) as server, pytest.raises(CheckpointError, match=reason) as caught:
        fetch_from(server, monkeypatch)
    for part in (server.base, PRESETS[PRESET].address, str(cache / FILE)):
        assert part in str(caught.value)
    assert names(cache) == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_check_leaves_nothing(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | OSError
) -> None:
    def interrupted(path: pathlib.Path) -> None:
        assert path.read_bytes() == CONTENT
        raise error

    with Server(bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        with pytest.raises((KeyboardInterrupt, CheckpointError)):
            fetch(PRESET, verify=interrupted, quiet=True)
        assert names(cache) == set()
        assert fetch_from(server, monkeypatch).read_bytes() == CONTENT


# Addresses


def test_authors_address_is_the_default(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(registry, "download", lambda address, **_: asked.append(address) or CONTENT)
    fetch(PRESET, verify=verify, quiet=True)
    assert asked == [PRESETS[PRESET].address]


def test_mirror_serves_files_by_name(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", f"{server.base}/weights/")
        for preset in _OFFICIAL:
            fetch(preset, verify=verify, quiet=True)
    assert [path for path, _ in server.requests] == [f"/weights/{preset.file}" for preset in _OFFICIAL.values()]


@pytest.mark.parametrize("mirror", ["/some/folder", "http://[::1", "ftp://example.org", "https://"])
def test_unusable_mirror(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("PAT_KERAS_MIRROR", mirror)
    with pytest.raises(ConfigError, match="PAT_KERAS_MIRROR"):
        fetch(PRESET, verify=verify, quiet=True)


# No network


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "environment":
        monkeypatch.setenv("PAT_KERAS_OFFLINE", "1")
    with Server(bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        with pytest.raises(CheckpointError) as caught:
            fetch(PRESET, verify=verify, offline=True if how == "argument" else None, quiet=True)
        assert server.requests == []
    assert str(cache / FILE) in str(caught.value)
    assert PRESETS[PRESET].address in str(caught.value)


def test_argument_overrules_offline_variable(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAT_KERAS_OFFLINE", "1")
    with Server(bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        assert fetch(PRESET, verify=verify, offline=False, quiet=True).exists()


def test_offline_variable_that_says_nothing(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAT_KERAS_OFFLINE", "perhaps")
    with pytest.raises(ConfigError, match="PAT_KERAS_OFFLINE is 'perhaps'"):
        fetch(PRESET, verify=verify, quiet=True)


def test_no_network(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PAT_KERAS_MIRROR", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(CheckpointError, match="the connection failed") as caught:
            fetch(PRESET, verify=verify, quiet=True, limits=QUICK)
    assert f"download {PRESETS[PRESET].address} and save it as {cache / FILE}" in str(caught.value)


# Files of our own, whose hashes are in the table


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """Where the file of the preset "mine" lies if it came with the package; it is not there yet."""
    mine = dataclasses.replace(PRESETS[PRESET], name="mine", file="mine.h5", address="", sha256=SHA256)
    monkeypatch.setattr(registry, "PRESETS", {"mine": mine})
    monkeypatch.setattr(presets, "FOLDERS", (tmp_path / "absent", tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights" / "mine.h5"


def test_a_file_that_came_with_the_package(ours: pathlib.Path, cache: pathlib.Path, capsys) -> None:
    ours.write_bytes(CONTENT)
    assert fetch("mine", verify=never, offline=True) == ours
    assert not cache.exists() and capsys.readouterr().err == ""
    ours.write_bytes(OTHER)
    with pytest.raises(CheckpointError, match=rf"mine\.h5: SHA-256 is .*expected {SHA256} .*Install the package again"):
        fetch("mine", verify=never, offline=True)


def test_a_file_of_ours_from_a_mirror_is_checked_by_the_table(
    ours: pathlib.Path, cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with Server(bad.sends(OTHER), bad.whole) as server:
        with pytest.raises(CheckpointError, match=f"sends other content than preset mine: .*expected {SHA256}"):
            fetch_from(server, monkeypatch, "mine")
        assert fetch_from(server, monkeypatch, "mine", quiet=False) == cache / "mine.h5"
    assert fetch("mine", verify=never, offline=True) == cache / "mine.h5"
    assert not list(cache.glob("*.sha256")) and "Ruan" not in capsys.readouterr().err
    (cache / "mine.h5").write_bytes(OTHER)
    with pytest.raises(CheckpointError, match=r"Remove it, then take weights/mine\.h5 of the repository"):
        fetch("mine", verify=never, quiet=True)


@pytest.mark.parametrize("offline", [True, False])
def test_a_file_of_ours_that_is_nowhere(ours: pathlib.Path, cache: pathlib.Path, offline: bool) -> None:
    with pytest.raises(CheckpointError) as caught:
        fetch("mine", verify=never, offline=offline, quiet=True)
    for words in ("take weights/mine.h5 of the repository", str(cache / "mine.h5")):
        assert words in str(caught.value)
    assert ("PAT_KERAS_MIRROR" in str(caught.value)) == (not offline)


def test_every_preset_has_its_line() -> None:
    lines = presets.preset_lines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    assert all("downloaded" in line for line in lines if line.split()[0] in _OFFICIAL)


# The licence


def test_notice_is_shown_once(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server(bad.whole) as server:
        fetch_from(server, monkeypatch, quiet=True)
        assert capsys.readouterr().err == ""
        fetch_from(server, monkeypatch, quiet=False)
        captured = capsys.readouterr()
        assert captured.out == ""
        for part in ("CC BY 4.0", "Ruan", "arXiv 2411.15240"):
            assert part in captured.err
        fetch_from(server, monkeypatch, quiet=False)
        fetch_from(server, monkeypatch, preset="pat_large_29k", quiet=False)
    assert "CC BY 4.0" not in capsys.readouterr().err
    assert "CC BY 4.0" in (cache / registry.NOTICE_FILE).read_text()


# Several at once


SCRIPT = """
import pathlib, sys, time
from pat_keras.checkpoints.registry import fetch

def verify(path):
    if "slow" in sys.argv:
        print("verifying", flush=True)
        time.sleep(20)

print(fetch("pat_small_29k", verify=verify).stat().st_size)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_second_process_waits_and_uses_the_first_ones_file(
    cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(bad.stalls) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        with start() as first:
            assert server.asked.wait(30)
            with start() as second:
                assert second.stderr is not None
                assert "Waiting for another process" in second.stderr.readline()
                server.go_on.set()
                for process in (first, second):
                    output, _ = process.communicate(timeout=30)
                    assert process.returncode == 0
                    assert output.strip() == str(len(CONTENT))
    assert len(server.requests) == 1
    assert "downloaded from" in (cache / (FILE + ".sha256")).read_text()  # the second did not pin it again


def test_threads_share_one_download(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole) as server, ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch_from(server, monkeypatch), range(8)))
    assert set(paths) == {cache / FILE}
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["kill", "terminate", "interrupt"])
def test_process_ended_in_mid_download(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    with Server(bad.stalls, bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        with start() as process:
            assert server.asked.wait(30)
            if how == "interrupt":
                process.send_signal(signal.SIGINT)
            else:
                getattr(process, how)()
            process.communicate(timeout=30)
        assert process.returncode != 0
        assert names(cache) == set()
        assert fetch_from(server, monkeypatch).read_bytes() == CONTENT


def test_process_killed_before_the_file_had_its_name(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(bad.whole, bad.status(404), bad.whole) as server:
        monkeypatch.setenv("PAT_KERAS_MIRROR", server.base)
        with start("slow") as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "verifying"
            process.kill()
        assert not (cache / FILE).exists()
        with pytest.raises(CheckpointError, match="404"):
            fetch_from(server, monkeypatch)
        assert names(cache) == set()
        assert fetch_from(server, monkeypatch).read_bytes() == CONTENT
    assert names(cache) == {FILE, FILE + ".sha256"}


def test_lock_that_never_ends(cache: pathlib.Path) -> None:
    cache.mkdir()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with filelock.FileLock(cache / (FILE + ".lock")):
            held.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert held.wait(30)
        with pytest.raises(CheckpointError, match=r"has held .*\.lock for more than 0\.2 s"):
            fetch(PRESET, verify=verify, quiet=True, limits=Limits(total=0.2))
        done.set()
