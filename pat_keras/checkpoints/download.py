"""One HDF5 file over HTTP into memory: time limits, retries, resuming, and nothing else taken for the file.

A published checkpoint has at most 8 MB, so it is held in memory until it is whole: whatever ends the process while the
download runs, nothing half-written is left on the disk.
"""

from __future__ import annotations

import dataclasses
import http.client
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NoReturn

import tqdm

from pat_keras._version import __version__

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Answers that another try may change: request time-out, too early, too many requests. Every 5xx is one as well.
_PASSING_STATUS = frozenset({408, 425, 429})
_PIECE_BYTES = 1 << 16


class DownloadError(Exception):
    """No whole HDF5 file came from the address; the message is a clause that says why."""


class _PassingError(Exception):
    """A failure that may pass, so that another try is worth its time."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a download may take, how often it is tried, and how large the file may be.

    Attributes:
        timeout: seconds to connect, and the longest silence in the middle of an answer.
        total: seconds for the whole download, all tries together.
        tries: how often the file is asked for.
        pause: seconds before the second try; each further pause is twice as long.
        max_bytes: a larger answer is refused. The largest published checkpoint has about 8 MB.
    """

    timeout: float = 20.0
    total: float = 1800.0
    tries: int = 5
    pause: float = 1.0
    max_bytes: int = 64 << 20


def download(address: str, *, limits: Limits | None = None, label: str = "", quiet: bool = False) -> bytes:
    """The content of the HDF5 file at `address`.

    A cut connection, silence and the statuses 408, 425, 429 and 5xx are tried again; a try goes on where the last one
    ended if the server can do so, and starts over if not. Redirects are followed, but never from https to http.

    Args:
        address: an http or https address.
        limits: time, tries and size; None for the defaults.
        label: what stands before the progress bar (on stderr).
        quiet: show no progress bar.

    Raises:
        DownloadError: if the whole file did not come, or something else came.
    """
    limits = limits or Limits()
    with tqdm.tqdm(desc=label, unit="B", unit_scale=True, unit_divisor=1024, disable=quiet, leave=False) as bar:
        transfer = _Transfer(address, limits, bar)
        failure = ""
        for attempt in range(limits.tries):
            if attempt:
                time.sleep(limits.pause * 2 ** (attempt - 1))
            try:
                return transfer.attempt()
            except _PassingError as error:
                failure = str(error)
    raise DownloadError(f"{failure} ({limits.tries} tries)")


def explain_start(start: bytes) -> str | None:
    """What a file with these first bytes is instead of HDF5, as a clause; None if it may be HDF5.

    Fewer than 8 bytes pass if they are how an HDF5 file begins.
    """
    if start and start.startswith(HDF5_SIGNATURE[: len(start)]):
        return None
    if not start:
        return "it is empty"
    if re.match(rb"\s*<(!doctype|html|head|\?xml|!--)", start, re.IGNORECASE):
        return f"it is an HTML page, not an HDF5 file (it begins with {start[:15]!r})"
    return f"it is not an HDF5 file (it begins with {start[:8]!r}, expected {HDF5_SIGNATURE!r})"


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


class _Transfer:
    """The bytes that came so far, kept from one try to the next."""

    def __init__(self, address: str, limits: Limits, bar: tqdm.tqdm) -> None:
        self._address = address
        self._limits = limits
        self._bar = bar
        self._deadline = time.monotonic() + limits.total
        self._opener = urllib.request.build_opener(_Redirects(address.lower().startswith("http:")))
        self._body = bytearray()
        self._total: int | None = None  # bytes of the whole file, where the server tells
        self._validator: str | None = None  # names this version of the file in If-Range

    def attempt(self) -> bytes:
        """The whole file.

        Raises:
            _PassingError: if another try may help; what came is kept for it.
            DownloadError: if it may not.
        """
        try:
            with self._opener.open(self._request(), timeout=self._limits.timeout) as response:
                self._begin(response)
                self._read(response)
        except urllib.error.HTTPError as error:
            with error:
                self._raise_for_status(error.code, error.reason)
        except TimeoutError:
            raise _PassingError(f"the server was silent for {self._limits.timeout:g} s") from None
        except http.client.InvalidURL as error:
            raise DownloadError(f"the address can't be used: {error}") from error
        except (http.client.HTTPException, OSError) as error:
            self._raise_for_connection(error)
        return bytes(self._body)

    def _request(self) -> urllib.request.Request:
        # No compression: lengths and ranges are those of the file itself.
        headers = {"User-Agent": f"pat_keras/{__version__}", "Accept-Encoding": "identity"}
        if self._body:
            headers["Range"] = f"bytes={len(self._body)}-"
            if self._validator:
                headers["If-Range"] = self._validator
        return urllib.request.Request(self._address, headers=headers)

    def _begin(self, response: http.client.HTTPResponse) -> None:
        """Reads the head of an answer: a web page, the whole file, or the rest of it."""
        kind = response.headers.get_content_type()
        if kind in ("text/html", "application/xhtml+xml"):
            raise DownloadError(f"the server sent an HTML page ({kind}), not an HDF5 file")
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            self._resume(response.headers.get("Content-Range", ""))
        else:
            self._body.clear()
            self._total = response.length
        etag = response.headers.get("ETag", "")
        # A weak ETag does not promise equal bytes, and If-Range forbids it (RFC 9110, 13.1.5).
        self._validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        self._check_size(self._total or 0)
        self._bar.total = self._total
        self._bar.n = len(self._body)
        self._bar.refresh()

    def _resume(self, content_range: str) -> None:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
        total = int(match[2]) if match and match[2] != "*" else None
        if match is None or int(match[1]) != len(self._body) or (self._total and total and total != self._total):
            found, had = content_range or "none", len(self._body)
            self._body.clear()
            raise _PassingError(f"the server went on with the range {found} where byte {had} was asked for")
        self._total = self._total or total

    def _read(self, response: http.client.HTTPResponse) -> None:
        while piece := response.read1(_PIECE_BYTES):
            self._body += piece
            self._bar.update(len(piece))
            if instead := explain_start(bytes(self._body[:64])):
                raise DownloadError(f"of what the server sent: {instead}")
            self._check_size(len(self._body))
            if time.monotonic() > self._deadline:
                raise DownloadError(f"only {len(self._body):,} bytes came in {self._limits.total:g} s")
        if self._total is not None and len(self._body) != self._total:
            raise _PassingError(f"the connection ended after {len(self._body):,} of {self._total:,} bytes")
        if len(self._body) < len(HDF5_SIGNATURE):
            raise DownloadError(f"the server sent {len(self._body)} bytes, too few for an HDF5 file")

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise DownloadError(f"the server sent {size:,} bytes or more, and {self._limits.max_bytes:,} is the limit")

    def _raise_for_status(self, status: int, reason: str) -> NoReturn:
        answer = f"the server answered {status} {reason}".rstrip()
        if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._body:
            self._body.clear()  # the next try asks for the whole file
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
