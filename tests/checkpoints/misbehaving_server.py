"""A local HTTP server that answers each request as the test says, badly if need be."""

from __future__ import annotations

import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 1000
HALF = len(CONTENT) // 2
HTML = b"<!DOCTYPE html><html><title>Sign in</title></html>"

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so that the connection ends with the answer."""

    server: Server

    def do_GET(self) -> None:
        with self.server.counting:
            number = len(self.server.requests)
            self.server.requests.append((self.path, dict(self.headers)))
        self.server.asked.set()
        answers = self.server.answers
        answers[min(number, len(answers) - 1)](self)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def head(self, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in {"Content_Type": "application/octet-stream", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Server(http.server.ThreadingHTTPServer):
    """Gives the first request the first answer and so on; the last answer is for all that follow.

    Attributes:
        requests: (path, headers) of each request so far.
        asked: set when a request has come.
        go_on: what the answers that stall wait for; set at the end.
    """

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.counting = threading.Lock()
        self.asked = threading.Event()
        self.go_on = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are what the tests are about

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()


def sends(body: bytes, **headers: str) -> Answer:
    """The body, whole."""

    def answer(handler: Handler) -> None:
        handler.head(length=len(body), **headers)
        handler.wfile.write(body)

    return answer


whole = sends(CONTENT)


def status(code: int, **headers: str) -> Answer:
    """A status with no body."""
    return lambda handler: handler.head(code, length=0, **headers)


def cut(handler: Handler, **headers: str) -> None:
    """Half of the file, then the end of the connection."""
    handler.head(length=len(CONTENT), **headers)
    handler.wfile.write(CONTENT[:HALF])


def cut_with_etag(handler: Handler) -> None:
    cut(handler, ETag='"one"')


def reset(handler: Handler) -> None:
    """Half of the file, then a connection reset (linger 0 makes close() send RST)."""
    cut(handler)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def rest(handler: Handler) -> None:
    """What the Range header asks for."""
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"])
    assert match is not None
    start = int(match[1])
    handler.head(206, len(CONTENT) - start, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.wfile.write(CONTENT[start:])


def silent(handler: Handler) -> None:
    """Nothing at all, not even a status."""
    handler.server.go_on.wait(10)


def stalls(handler: Handler) -> None:
    """Half of the file; the rest only when the test says so."""
    cut(handler)
    handler.server.go_on.wait(10)
    handler.wfile.write(CONTENT[HALF:])


def trickles(handler: Handler) -> None:
    """A little at a time, never silent for long: 3 seconds in all."""
    handler.head(length=len(CONTENT))
    for start in range(0, len(CONTENT), 4000):
        handler.wfile.write(CONTENT[start : start + 4000])
        time.sleep(0.05)
