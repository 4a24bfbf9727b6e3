"""What --download fetches, from a server of this machine."""

from __future__ import annotations

import io
import pathlib
import zipfile

import pytest

from pat_keras.data.readers.nhanes import read_nhanes
from pat_keras.data.readers.nhanes_download import download_nhanes, missing_files
from pat_keras.data.transfer import Limits
from pat_keras.errors import RecordingError
from tests.checkpoints.misbehaving_server import Handler, Server
from tests.data.readers.generate import paxraw_rows, write_nhanes

LIMITS = Limits(timeout=10.0, total=30.0, tries=2, pause=0.01, max_bytes=1 << 26)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Site:
    """Serves the files of a folder by their names, and cuts every first answer for a name in the middle."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: dict[str, int] = {}

    def __call__(self, handler: Handler) -> None:
        name = handler.path.rpartition("/")[2]
        data = self.files.get(name)
        if data is None:
            handler.head(404, 0)
            return
        self.asked[handler.path] = self.asked.get(handler.path, 0) + 1
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        head = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        handler.head(206 if start else 200, len(data) - start, ETag='"v1"', **head)
        handler.wfile.write(data[start : len(data) // 2 if self.asked[handler.path] == 1 else None])


def published(tmp_path: pathlib.Path) -> dict[str, bytes]:
    """The files as NCHS has them, PAXRAW in a zip."""
    folder = write_nhanes(tmp_path / "published", [paxraw_rows(101, 300)])
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("paxraw_d.xpt", files.pop("PAXRAW_D.xpt"))
    return {**files, "PAXRAW_D.zip": packed.getvalue()}


def test_missing_files_of_every_cycle(tmp_path):
    def names(cycle):
        return [one.address for one in missing_files(tmp_path, cycle)]

    public = "https://wwwn.cdc.gov/Nchs/Data/Nhanes/Public"
    assert f"{public}/2005/DataFiles/DPQ_D.xpt" in names("D")
    assert f"{public}/2003/DataFiles/PAXRAW_C.zip" == names("C")[-1]
    assert not any("DPQ" in name for name in names("C"))
    assert names("H")[-1] == "https://ftp.cdc.gov/pub/NHANES/LargeDataFiles/PAXMIN_H.xpt"
    assert f"{public}/2011/DataFiles/RXQ_RX_G.xpt" in names("G")
    (tmp_path / "nhanes_1440_PAXMTSM.csv.xz").write_bytes(b"")
    assert not any("PAXMIN" in name for name in names("H"))


def test_download_through_cut_connections(tmp_path):
    site = Site(published(tmp_path))
    folder = tmp_path / "raw"
    with Server(site) as server:
        came = download_nhanes(folder, "D", site=server.base, limits=LIMITS, quiet=True)
        asked = dict(site.asked)
        assert download_nhanes(folder, "D", site=server.base, limits=LIMITS, quiet=True) == []  # all are there
    assert sorted(came) == sorted(path.name for path in folder.iterdir())
    assert "PAXRAW_D.xpt" in came
    assert set(asked.values()) == {2} and asked == site.asked
    (one,) = read_nhanes(folder, "D", "depression").recordings
    assert len(one) == 300


def test_what_does_not_come_is_named_and_the_rest_is_there(tmp_path):
    site = Site(published(tmp_path))
    site.files["PAXRAW_D.zip"] = b"PK\x03\x04 not a zip after all"
    del site.files["DPQ_D.xpt"]
    site.files["SLQ_D.xpt"] = b"<html>moved</html>" * 9
    folder = tmp_path / "raw"
    with Server(site) as server, pytest.raises(RecordingError) as caught:
        download_nhanes(folder, "D", site=server.base, limits=LIMITS, quiet=True)
    message = str(caught.value)
    assert "3 files of NHANES 2005-2006 did not come" in message
    assert "DPQ_D.xpt from " in message and "404" in message
    assert "SLQ_D.xpt" in message and "it is not a SAS transport file" in message
    assert "PAXRAW_D.xpt" in message and "can't be unpacked" in message
    assert "by hand" in message
    assert sorted(path.name for path in folder.glob("*.xpt")) == ["BMX_D.xpt", "DEMO_D.xpt", "RXQ_RX_D.xpt"]


def test_unknown_cycle(tmp_path):
    with pytest.raises(RecordingError, match="expected one of C, D, G, H"):
        download_nhanes(tmp_path, "X")
