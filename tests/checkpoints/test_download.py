"""What `download` makes of servers that misbehave."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import Any

import pytest

from pat_keras.checkpoints.download import HDF5_SIGNATURE, DownloadError, Limits, download, explain_start
from tests.checkpoints import misbehaving_server as bad
from tests.checkpoints.misbehaving_server import CONTENT, HALF, Server

QUICK = Limits(timeout=10.0, total=30.0, tries=3, pause=0.01, max_bytes=1 << 20)
IMPATIENT = Limits(timeout=0.3, total=30.0, tries=3, pause=0.01)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def get(server: Server, limits: Limits = QUICK) -> bytes:
    return download(f"{server.base}/file.h5", limits=limits, quiet=True)


def test_whole_file() -> None:
    with Server(bad.whole) as server:
        assert get(server) == CONTENT
        assert len(server.requests) == 1


def test_progress_bar_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(bad.whole) as server:
        download(f"{server.base}/file.h5", limits=QUICK, label="file.h5")
    captured = capsys.readouterr()
    assert "file.h5" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("first", [bad.cut, bad.reset])
def test_cut_once_goes_on_where_it_ended(first: bad.Answer) -> None:
    with Server(first, bad.rest) as server:
        assert get(server) == CONTENT
        assert server.requests[1][1]["Range"].startswith("bytes=")


def test_going_on_asks_for_the_same_version() -> None:
    with Server(bad.cut_with_etag, bad.rest) as server:
        assert get(server) == CONTENT
        assert server.requests[1][1]["Range"] == f"bytes={HALF}-"
        assert server.requests[1][1]["If-Range"] == '"one"'


def test_weak_etag_is_not_a_version() -> None:
    with Server(lambda handler: bad.cut(handler, ETag='W/"one"'), bad.rest) as server:
        get(server)
        assert "If-Range" not in server.requests[1][1]


def test_starts_over_where_ranges_are_not_known() -> None:
    with Server(bad.cut, bad.whole) as server:
        assert get(server) == CONTENT


def test_starts_over_when_the_file_has_changed() -> None:
    other = HDF5_SIGNATURE + b"new version" * 100
    with Server(bad.cut_with_etag, bad.sends(other)) as server:
        assert get(server) == other


@pytest.mark.parametrize(
    "content_range", ["bytes 5-9/99", "nonsense", f"bytes {HALF}-{len(CONTENT)}/{len(CONTENT) + 1}"]
)
def test_starts_over_after_a_wrong_range(content_range: str) -> None:
    wrong = bad.status(206, Content_Range=content_range)
    with Server(bad.cut, wrong, bad.whole) as server:
        assert get(server) == CONTENT
        assert "Range" not in server.requests[2][1]


def test_starts_over_after_range_not_satisfiable() -> None:
    with Server(bad.cut, bad.status(416), bad.whole) as server:
        assert get(server) == CONTENT
        assert "Range" not in server.requests[2][1]


def test_cut_always() -> None:
    with Server(bad.cut) as server, pytest.raises(DownloadError, match=f"{HALF:,} of {len(CONTENT):,} bytes.*3 tries"):
        get(server)
    assert len(server.requests) == 3


def test_more_announced_than_sent() -> None:
    def answer(handler: bad.Handler) -> None:
        handler.head(length=len(CONTENT) + 100)
        handler.wfile.write(CONTENT)

    with Server(answer) as server, pytest.raises(DownloadError, match=f"of {len(CONTENT) + 100:,} bytes"):
        get(server)


@pytest.mark.parametrize("answer", [bad.silent, bad.stalls])
def test_stall_ends_in_bounded_time(answer: bad.Answer) -> None:
    began = time.monotonic()
    with Server(answer) as server, pytest.raises(DownloadError, match=r"silent for 0\.3 s"):
        get(server, IMPATIENT)
    assert len(server.requests) == 3
    assert time.monotonic() - began < 10


def test_stall_once() -> None:
    with Server(bad.stalls, bad.whole) as server:
        assert get(server, IMPATIENT) == CONTENT


def test_trickle_ends_in_bounded_time() -> None:
    began = time.monotonic()
    limits = Limits(timeout=10.0, total=0.5, tries=3, pause=0.01)
    with Server(bad.trickles) as server, pytest.raises(DownloadError, match=r"bytes came in 0\.5 s"):
        get(server, limits)
    assert len(server.requests) == 1
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_passing_status_is_tried_again(code: int) -> None:
    with Server(bad.status(code), bad.whole) as server:
        assert get(server) == CONTENT
        assert len(server.requests) == 2


def test_server_error_always() -> None:
    with Server(bad.status(503)) as server, pytest.raises(DownloadError, match=r"503 .*3 tries"):
        get(server)
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [404, 403, 410])
def test_lasting_status_is_not_tried_again(code: int) -> None:
    with Server(bad.status(code)) as server, pytest.raises(DownloadError, match=str(code)):
        get(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (bad.HTML, "text/html; charset=utf-8", r"an HTML page \(text/html\)"),
        (CONTENT, "text/html", "an HTML page"),
        (b"\n  " + bad.HTML, "application/octet-stream", "an HTML page"),
        (b'{"error": "busy"}' * 10, "application/json", "not an HDF5 file"),
        (b"PK\x03\x04" * 100, "application/octet-stream", "not an HDF5 file"),
        (HDF5_SIGNATURE[:4], "application/octet-stream", "4 bytes, too few"),
        (b"", "application/octet-stream", "0 bytes, too few"),
    ],
)
def test_something_else_is_refused_at_once(body: bytes, kind: str, message: str) -> None:
    with Server(bad.sends(body, Content_Type=kind)) as server, pytest.raises(DownloadError, match=message):
        get(server)
    assert len(server.requests) == 1


def test_html_instead_of_the_rest() -> None:
    page = bad.sends(bad.HTML, Content_Type="text/html")
    with Server(bad.cut, page) as server, pytest.raises(DownloadError, match="an HTML page"):
        get(server)


@pytest.mark.parametrize("announced", [True, False])
def test_too_large(announced: bool) -> None:
    def answer(handler: bad.Handler) -> None:
        handler.head(length=len(CONTENT) if announced else None)
        handler.wfile.write(CONTENT)

    limits = Limits(tries=3, max_bytes=HALF)
    with Server(answer) as server, pytest.raises(DownloadError, match=f"{HALF:,} is the limit"):
        get(server, limits)
    assert len(server.requests) == 1


def test_redirect_is_followed() -> None:
    with Server(bad.status(302, Location="/elsewhere?dl=1"), bad.whole) as server:
        assert get(server) == CONTENT
        assert [path for path, _ in server.requests] == ["/file.h5", "/elsewhere?dl=1"]


def test_redirect_in_a_circle() -> None:
    with Server(bad.status(302, Location="/file.h5")) as server, pytest.raises(DownloadError, match="302"):
        get(server)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/file.h5", "file:///etc/hostname"])
def test_redirect_to_another_scheme_is_refused(target: str) -> None:
    with Server(bad.status(302, Location=target)) as server, pytest.raises(DownloadError, match=r"\b302\b|not https"):
        get(server)
    assert len(server.requests) == 1


def test_redirect_to_no_address() -> None:
    refused = pytest.raises(DownloadError, match="can't be used: Invalid IPv6")
    with Server(bad.status(302, Location="http://[::1/file.h5")) as server, refused:
        get(server)


class PlainConnection(http.client.HTTPConnection):
    """Stands for the https connection, without its encryption."""

    def __init__(self, host: str, timeout: float, **ignored: Any) -> None:
        super().__init__(host, timeout=timeout)


def test_redirect_from_https_to_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client, "HTTPSConnection", PlainConnection)
    with Server(bad.whole) as target, Server(bad.status(302, Location=f"{target.base}/file.h5")) as server:
        with pytest.raises(DownloadError, match=f"redirects to {target.base}, which is not https"):
            download(server.base.replace("http:", "https:"), limits=QUICK, quiet=True)
        assert target.requests == []


def test_redirect_from_https_to_https_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client, "HTTPSConnection", PlainConnection)
    with Server(bad.whole) as target:
        address = target.base.replace("http:", "https:")
        with Server(bad.status(302, Location=f"{address}/file.h5")) as server:
            assert download(server.base.replace("http:", "https:"), limits=QUICK, quiet=True) == CONTENT


def test_bad_certificate_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    class Untrusted(PlainConnection):
        def connect(self) -> None:
            tries.append(self.host)
            raise ssl.SSLCertVerificationError("self-signed certificate")

    monkeypatch.setattr(http.client, "HTTPSConnection", Untrusted)
    with pytest.raises(DownloadError, match="self-signed certificate"):
        download("https://127.0.0.1:9/file.h5", limits=QUICK, quiet=True)
    assert tries == ["127.0.0.1"]


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/file.h5"
        with pytest.raises(DownloadError, match=r"the connection failed.*3 tries"):
            download(address, limits=QUICK, quiet=True)


@pytest.mark.parametrize("address", ["http://127.0.0.1:port/file.h5", "http:///file.h5"])
def test_unusable_address(address: str) -> None:
    with pytest.raises(DownloadError, match=r"can't be used|connection failed") as caught:
        download(address, limits=QUICK, quiet=True)
    assert "tries" not in str(caught.value)


def test_explain_start() -> None:
    assert explain_start(HDF5_SIGNATURE + b"rest") is None
    assert explain_start(HDF5_SIGNATURE[:3]) is None
    assert explain_start(b"") == "it is empty"
    assert "HTML page" in (explain_start(b" <HTML>") or "")
    assert "not an HDF5 file" in (explain_start(b"CDF\x01") or "")
