"""CamNtech MotionWatch .mtn files: XML, a history of properties and the channels of a recording."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping

import numpy as np
import polars as pl

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.data.readers.safe_xml import parse_xml
from pat_keras.data.recording import Recording
from pat_keras.errors import RecordingError

_START = "=StartTime"
_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclasses.dataclass
class _Contents:
    """What was found so far; the last value of a property is the one in force."""

    root: str = ""
    properties: dict[str, str] = dataclasses.field(default_factory=dict)
    channels: list[dict[str, str]] = dataclasses.field(default_factory=list)
    inside: list[str] = dataclasses.field(default_factory=list)
    name: str = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.root = self.root or tag
        self.inside.append(tag)
        if tag == "channel":
            self.channels.append({})
        elif tag == "data" and self.channels:
            self.channels[-1]["encoding"] = attributes.get("encoding", "")

    def end(self, tag: str, text: str) -> None:
        self.inside.pop()
        parent = self.inside[-1] if self.inside else ""
        if parent == "channel":
            self.channels[-1][tag] = text
        elif parent == "property" and tag == "name":
            self.name = text.strip()
        elif parent == "property" and tag == "content":
            self.properties[self.name] = text.strip()


def read_mtn(source: DeviceFile | str | pathlib.Path, participant_id: str | None = None) -> list[Recording]:
    """Reads the motion channel of an .mtn file.

    Args:
        source: the file.
        participant_id: who; the file's name without its suffix if not given.

    Raises:
        RecordingError: if it is no such file, is damaged, or its data are stored in another way than as text.
    """
    file = DeviceFile.of(source)
    contents = _Contents()
    parse_xml(file, contents.start, contents.end)
    if contents.root != "motionfile":
        raise RecordingError(
            f"{file.where}: the XML is a <{contents.root}>, expected a <motionfile> of a MotionWatch. Choose another "
            "source or file."
        )
    motion = [channel for channel in contents.channels if channel.get("name", "").strip().lower() == "motion"]
    if len(motion) != 1:
        found = ", ".join(channel.get("name", "?") for channel in contents.channels) or "none"
        raise RecordingError(
            f"{file.where}: {len(motion)} channels are called motion (channels: {found}), expected one. Export the "
            "recording again."
        )
    channel = motion[0]
    if channel.get("encoding") != "text" or channel.get("offset", "0").strip() not in ("0", ""):
        raise RecordingError(
            f"{file.where}: the motion channel has the encoding {channel.get('encoding')!r} and the offset "
            f"{channel.get('offset')!r}, expected 'text' and 0; nothing else can be read. Export it as text."
        )
    epoch_length = channel.get("epoch", "").strip()
    if not epoch_length.isdigit() or int(epoch_length) < 1:
        raise RecordingError(
            f"{file.where}: the epoch of the motion channel is {epoch_length!r}, expected whole seconds, 1 or more. "
            "Export the recording again."
        )
    counts = _counts(channel.get("data", ""), file.where)
    start = _start(contents.properties, file.where)
    return [Recording(participant_id or file.stem, start, int(epoch_length), counts, "counts", file.where)]


def _start(properties: Mapping[str, str], where: str) -> datetime.datetime:
    text = properties.get(_START, "")
    try:
        return datetime.datetime.strptime(text, _FORMAT)
    except ValueError:
        raise RecordingError(
            f"{where}: the property {_START} is {text!r}, expected a time such as 2018-05-23 17:30:00. Export the "
            "recording again."
        ) from None


def _counts(text: str, where: str) -> np.ndarray:
    texts = pl.Series(text.split(","), dtype=pl.String).str.strip_chars()
    if len(texts) and texts[-1] == "":  # the list ends with a comma
        texts = texts.head(-1)
    counts = texts.cast(pl.Float64, strict=False)
    bad = counts.is_null().arg_true()
    if len(bad) or not len(counts):
        found = repr(texts[int(bad[0])]) if len(bad) else "nothing"
        place = f"sample {int(bad[0]) + 1}" if len(bad) else "the data"
        raise RecordingError(
            f"{where}: {place} of the motion channel is {found}, expected a number ({len(bad)} such samples). Export "
            "the recording again."
        )
    return counts.to_numpy()
