"""One file over HTTP into an open file: time limits, retries, resuming, and nothing else taken for it."""

from __future__ import annotations

import dataclasses
import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO, Any, NoReturn

import tqdm

from pat_keras._version import __version__

# Answers that another try may change: request time-out, too early, too many requests. Every 5xx is one as well.
_PASSING_STATUS = frozenset({408, 425, 429})
_PIECE_BYTES = 1 << 16
_START_BYTES = 64


class DownloadError(Exception):
    """No whole file came from the address; the message is a clause that says why."""


class _PassingError(Exception):
    """A failure that may pass, so that another try is worth its time."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a download may take, how often it is tried, and how large the file may be.

    Attributes:
        timeout: seconds to connect, and the longest silence in the middle of an answer.
        total: seconds for the whole download, all tries together.
        tries: how often the file is asked for in a row; one that goes on where the last ended, and gets further, does
            not count.
        pause: seconds before the second try; each further pause is twice as long.
        max_bytes: a larger answer is refused.
    """

    timeout: float = 20.0
    total: float = 1800.0
    tries: int = 5
    pause: float = 1.0
    max_bytes: int = 64 << 20


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the file is.

    Attributes:
        kind: in messages, such as "an HDF5 file".
        least_bytes: fewer are no such file.
        explain: says of the first bytes (up to 64) what the file is instead, as a clause; None if it may be one.
    """

    kind: str
    least_bytes: int
    explain: Callable[[bytes], str | None]


def transfer(
    address: str, sink: IO[bytes], expected: Expected, limits: Limits, *, label: str = "", quiet: bool = False
) -> None:
    """Writes the file at `address` to `sink`, after what is there already.

    A cut connection, silence and the statuses 408, 425, 429 and 5xx are tried again; a try goes on where the last one
    ended if the server can do so, and starts over if not. Redirects are followed, but never from https to http.

    Args:
        address: an http or https address.
        sink: opened for reading and writing; empty, or the beginning of the file.
        expected: what the file is.
        limits: time, tries and size.
        label: what stands before the progress bar (on stderr).
        quiet: show no progress bar.

    Raises:
        DownloadError: if the whole file did not come, or something else came.
    """
    with tqdm.tqdm(desc=label, unit="B", unit_scale=True, unit_divisor=1024, disable=quiet, leave=False) as bar:
        Transfer(address, sink, expected, limits, bar).run()


@dataclasses.dataclass(frozen=True)
class Version:
    """What a server says of a file.

    Attributes:
        validator: its strong ETag or its date, for If-Range; None if the server gives neither.
        total: bytes of the whole file, None if the server does not tell.
    """

    validator: str | None = None
    total: int | None = None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https; to http only if the first address was http."""

    def __init__(self, allow_http: bool) -> None:
        self._schemes = {"https", "http"} if allow_http else {"https"}

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        target = urllib.parse.urlsplit(newurl)
        if target.scheme not in self._schemes:
            fp.close()
            raise DownloadError(f"the server redirects to {target.scheme}://{target.netloc}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        """As the base's, which leaves the connection open where the new address is none, such as http://[::1."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Transfer:
    """One file on its way; what came is kept in `sink` from one try to the next, unless it is something else."""

    def __init__(
        self,
        address: str,
        sink: IO[bytes],
        expected: Expected,
        limits: Limits,
        bar: tqdm.tqdm,
        version: Version | None = None,
        note: Callable[[Version], None] = lambda version: None,
    ) -> None:
        self._address = address
        self._sink = sink
        self._expected = expected
        self._limits = limits
        self._bar = bar
        self._note = note
        self._deadline = time.monotonic() + limits.total
        self._opener = urllib.request.build_opener(_Redirects(address.lower().startswith("http:")))
        self._version = version or Version()
        sink.seek(0)
        self._start = sink.read(_START_BYTES)
        self._size = sink.seek(0, os.SEEK_END)

    def run(self) -> None:
        """Tries until the file is whole.

        Raises:
            DownloadError: if it does not come.
        """
        failures = 0
        while True:
            before = self._size
            try:
                self._attempt()
            except _PassingError as error:
                went_on = before > 0 and self._size > before
                failures = 1 if went_on else failures + 1
                if failures >= self._limits.tries:
                    raise DownloadError(f"{error} ({failures} tries)") from None
                time.sleep(self._limits.pause * 2 ** (failures - 1))
            else:
                return

    def _attempt(self) -> None:
        """Asks once.

        Raises:
            _PassingError: if another try may help; what came is kept for it.
            DownloadError: if it may not.
        """
        if self._version.total is not None and self._size == self._version.total:
            return  # the process ended between the last byte and the renaming
        try:
            with self._opener.open(self._request(), timeout=self._limits.timeout) as response:
                self._begin(response)
                self._read(response)
        except urllib.error.HTTPError as error:
            with error:
                self._raise_for_status(error.code, error.reason)
        except TimeoutError:
            raise _PassingError(f"the server was silent for {self._limits.timeout:g} s") from None
        except (http.client.InvalidURL, ValueError) as error:  # ValueError: "http://[::1", perhaps of a redirect
            raise DownloadError(f"the address can't be used: {error}") from error
        except (http.client.HTTPException, OSError) as error:
            self._raise_for_connection(error)

    def _request(self) -> urllib.request.Request:
        # No compression: lengths and ranges are those of the file itself.
        headers = {"User-Agent": f"pat_keras/{__version__}", "Accept-Encoding": "identity"}
        if self._size:
            headers["Range"] = f"bytes={self._size}-"
            if self._version.validator:
                headers["If-Range"] = self._version.validator
        return urllib.request.Request(self._address, headers=headers)

    def _begin(self, response: http.client.HTTPResponse) -> None:
        """Reads the head of an answer: a web page, the whole file, or the rest of it."""
        kind = response.headers.get_content_type()
        if kind in ("text/html", "application/xhtml+xml"):
            raise self._not_it(f"the server sent an HTML page ({kind}), not {self._expected.kind}")
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            total = self._resume(response.headers.get("Content-Range", ""))
        else:
            self._clear()
            total = response.length
        etag = response.headers.get("ETag", "")
        # A weak ETag does not promise equal bytes, and If-Range forbids it (RFC 9110, 13.1.5).
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        self._version = Version(validator or self._version.validator, total)
        self._note(self._version)
        self._check_size(total or 0)
        self._bar.total = total
        self._bar.n = self._size
        self._bar.refresh()

    def _resume(self, content_range: str) -> int | None:
        """Bytes of the whole file, if the answer is the rest of the one that began."""
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
        total, known = (int(match[2]) if match and match[2] != "*" else None), self._version.total
        if match is None or int(match[1]) != self._size or (known and total and total != known):
            found, had = content_range or "none", self._size
            self._clear()
            raise _PassingError(f"the server went on with the range {found} where byte {had} was asked for")
        return known or total

    def _read(self, response: http.client.HTTPResponse) -> None:
        while piece := response.read1(_PIECE_BYTES):
            self._sink.write(piece)
            self._start = (self._start + piece[:_START_BYTES])[:_START_BYTES]
            self._size += len(piece)
            self._bar.update(len(piece))
            if instead := self._expected.explain(self._start):
                raise self._not_it(f"of what the server sent: {instead}")
            self._check_size(self._size)
            if time.monotonic() > self._deadline:
                raise DownloadError(f"only {self._size:,} bytes came in {self._limits.total:g} s")
        if self._version.total is not None and self._size != self._version.total:
            raise _PassingError(f"the connection ended after {self._size:,} of {self._version.total:,} bytes")
        if self._size < self._expected.least_bytes:
            raise self._not_it(f"the server sent {self._size} bytes, too few for {self._expected.kind}")

    def _clear(self) -> None:
        self._sink.seek(0)
        self._sink.truncate()
        self._start, self._size = b"", 0
        self._version = Version()

    def _not_it(self, message: str) -> DownloadError:
        self._clear()
        return DownloadError(message)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            limit = self._limits.max_bytes
            raise self._not_it(f"the server sent {size:,} bytes or more, and {limit:,} is the limit")

    def _raise_for_status(self, status: int, reason: str) -> NoReturn:
        answer = f"the server answered {status} {reason}".rstrip()
        if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._size:
            self._clear()  # the next try asks for the whole file
            raise _PassingError(answer)
        if status in _PASSING_STATUS or status >= 500:
            raise _PassingError(answer)
        raise DownloadError(answer)

    def _raise_for_connection(self, error: Exception) -> NoReturn:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            raise _PassingError(f"no connection within {self._limits.timeout:g} s") from error
        clause = f"the connection failed: {cause}"
        if isinstance(cause, ssl.SSLCertVerificationError) or not isinstance(cause, Exception):
            raise DownloadError(clause) from error
        raise _PassingError(clause) from error
