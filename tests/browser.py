"""A headless Chromium by its DevTools protocol over a pipe: what it loads, complains of, and draws.

Nothing but the browser itself is needed. Messages are JSON ended by a zero byte, which Chromium reads from its file
descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-sandbox",  # the pages are our own, and containers forbid the sandbox
)
_PATIENCE = 30.0  # seconds for one answer


def browser_path() -> str:
    """The installed Chromium; without one the test is skipped."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip("needs Chromium, which is not installed (Debian: apt-get install chromium)")
    return found


class Page:
    """An open page.

    Attributes:
        requests: addresses of all that was asked for.
        complaints: texts of the console, of exceptions, and of what the browser logged.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._buffer = send, receive, b""
        self._number, self._session = 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Ask the browser for something, and wait for the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def go(self, path: pathlib.Path) -> None:
        """Load a file, and wait until it is drawn."""
        self.call("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + _PATIENCE
        while self.value("document.readyState") != "complete" or self.value("location.href") == "about:blank":
            assert time.monotonic() < deadline, "the page did not load"
            time.sleep(0.02)

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def show(self, width: int = 1200, scheme: str = "light", media: str = "screen") -> None:
        """Set the width in pixels, light or dark, screen or print."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def press_tab(self) -> None:
        """Press the key that moves the focus."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def picture(self) -> bytes:
        """A PNG of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._receive, 1 << 20)
            assert piece, "the browser went away"
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(text)
        arguments = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(arguments["request"]["url"])
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(arguments["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(str(arguments["args"]))
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(arguments["exceptionDetails"]["text"])
        return message


@contextlib.contextmanager
def open_page(profile: pathlib.Path) -> Iterator[Page]:
    """A browser with one empty page, closed at the end.

    Args:
        profile: an empty folder for what the browser keeps.
    """
    to_browser, send = os.pipe()
    receive, from_browser = os.pipe()
    command = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    arguments = [browser_path(), *_FLAGS, f"--user-data-dir={profile}"]
    with subprocess.Popen(
        ["bash", "-c", command, *arguments],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Page(send, receive)
        finally:
            process.kill()
            process.wait()
            os.close(send)
            os.close(receive)
