"""Files that stream to disk, from servers that cut connections and processes that end."""

from __future__ import annotations

import json
import pathlib

import pytest

from pat_keras.data.download import fetch
from pat_keras.data.transfer import DownloadError, Expected, Limits
from tests.checkpoints import misbehaving_server as bad
from tests.checkpoints.misbehaving_server import CONTENT, HALF, Server

LIMITS = Limits(timeout=10.0, total=30.0, tries=3, pause=0.01, max_bytes=1 << 20)
ONE_TRY = Limits(timeout=10.0, total=30.0, tries=1, pause=0.01, max_bytes=1 << 20)
START = CONTENT[:8]
EXPECTED = Expected("a test file", 8, lambda start: None if START.startswith(start[:8]) else "it is something else")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "new" / "file.xpt"


def get(server: Server, path: pathlib.Path, limits: Limits = LIMITS) -> None:
    fetch(f"{server.base}/file.xpt", path, EXPECTED, limits, quiet=True)


def half_with_etag(path: pathlib.Path) -> None:
    """Leaves half of the file, as a process that ended in the middle does."""
    with Server(bad.cut_with_etag) as server:
        with pytest.raises(DownloadError, match="1 tries"):
            get(server, path, ONE_TRY)
        notes = path.with_name("file.xpt.part.json")
        known = json.loads(notes.read_text())
        notes.write_text(json.dumps({**known, "address": "ADDRESS"}))
    assert path.with_name("file.xpt.part").stat().st_size == HALF
    assert not path.exists()


def same_server(path: pathlib.Path, server: Server) -> None:
    """The next server has another port; its address is put into the notes."""
    notes = path.with_name("file.xpt.part.json")
    notes.write_text(notes.read_text().replace("ADDRESS", f"{server.base}/file.xpt"))


def test_whole(path: pathlib.Path) -> None:
    with Server(bad.whole) as server:
        get(server, path)
    assert path.read_bytes() == CONTENT
    assert [one.name for one in path.parent.iterdir()] == ["file.xpt"]


def test_cut_connections_go_on(path: pathlib.Path) -> None:
    def a_little_more(handler: bad.Handler) -> None:
        start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
        range_ = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.head(206, len(CONTENT) - start, Content_Range=range_)
        handler.wfile.write(CONTENT[start : start + 1000])

    with Server(bad.cut_with_etag, *[a_little_more] * 6, bad.rest) as server:
        get(server, path)  # more tries than three, since each got further
        assert len(server.requests) == 8
    assert path.read_bytes() == CONTENT


def test_next_process_goes_on(path: pathlib.Path) -> None:
    half_with_etag(path)
    with Server(bad.rest) as server:
        same_server(path, server)
        get(server, path)
        assert server.requests[0][1]["Range"] == f"bytes={HALF}-"
        assert server.requests[0][1]["If-Range"] == '"one"'
    assert path.read_bytes() == CONTENT
    assert [one.name for one in path.parent.iterdir()] == ["file.xpt"]


def test_next_process_starts_over_when_the_file_has_changed(path: pathlib.Path) -> None:
    half_with_etag(path)
    other = START + b"another version" * 9
    with Server(bad.sends(other)) as server:
        same_server(path, server)
        get(server, path)
    assert path.read_bytes() == other


@pytest.mark.parametrize("notes", [None, "{", '{"address": "elsewhere", "validator": "x", "total": 5}', "[]"])
def test_rest_of_something_unknown_is_not_used(path: pathlib.Path, notes: str | None) -> None:
    path.parent.mkdir()
    path.with_name("file.xpt.part").write_bytes(b"what is this")
    if notes is not None:
        path.with_name("file.xpt.part.json").write_text(notes)
    with Server(bad.whole) as server:
        get(server, path)
        assert "Range" not in server.requests[0][1]
    assert path.read_bytes() == CONTENT


def test_ended_between_last_byte_and_renaming(path: pathlib.Path) -> None:
    half_with_etag(path)
    path.with_name("file.xpt.part").write_bytes(CONTENT)
    with Server(bad.status(500)) as server:
        same_server(path, server)
        get(server, path)
        assert server.requests == []
    assert path.read_bytes() == CONTENT


def test_something_else_is_removed(path: pathlib.Path) -> None:
    with Server(bad.sends(b"PK" * 50, ETag='"x"')) as server, pytest.raises(DownloadError, match="something else"):
        get(server, path)
    assert list(path.parent.iterdir()) == []


def test_what_was_there_stays_until_the_new_one_is_whole(path: pathlib.Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"old")
    with Server(bad.cut) as server, pytest.raises(DownloadError):
        get(server, path)
    assert path.read_bytes() == b"old"
