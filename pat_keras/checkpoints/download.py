"""One HDF5 file over HTTP into memory: nothing else is taken for the file.

A published checkpoint has at most 8 MB, so it is held in memory until it is whole: whatever ends the process while the
download runs, nothing half-written is left on the disk.
"""

from __future__ import annotations

import io
import re

from pat_keras.data.transfer import DownloadError, Expected, Limits, transfer

__all__ = ["HDF5_SIGNATURE", "DownloadError", "Limits", "download", "explain_start"]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


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
    body = io.BytesIO()
    expected = Expected("an HDF5 file", len(HDF5_SIGNATURE), explain_start)
    transfer(address, body, expected, limits or Limits(), label=label, quiet=quiet)
    return body.getvalue()


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
