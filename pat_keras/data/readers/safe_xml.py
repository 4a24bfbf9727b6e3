"""XML as a stream of elements, of any size, without the expansions that XML allows and nobody's recording needs."""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Callable, Mapping

from pat_keras.data.readers.device_files import DeviceFile
from pat_keras.errors import RecordingError

_PIECE_BYTES = 1 << 20


def parse_xml(
    file: DeviceFile,
    start: Callable[[str, Mapping[str, str]], None],
    end: Callable[[str, str], None] | None = None,
) -> None:
    """Calls `start` for every element as it begins and `end` as it ends; nothing else is held in memory.

    Args:
        file: the document.
        start: gets the name and the attributes.
        end: gets the name and the text directly before the end; None if texts are not wanted.

    Raises:
        RecordingError: if it is not well-formed, or declares an entity (a few lines of which can grow to gigabytes, or
            pull in other files).
    """
    parser = xml.parsers.expat.ParserCreate()

    def refuse(name: str, *_: object) -> None:
        raise RecordingError(
            f"{file.where}, line {parser.CurrentLineNumber}: it declares the entity {name!r}, which no device writes "
            "and which can be an attack. Take a file that comes from the device's program."
        )

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    if end is not None:
        _collect_texts(parser, start, end)
    try:
        with file.open() as opened:
            while piece := opened.read(_PIECE_BYTES):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
    except xml.parsers.expat.ExpatError as error:
        raise RecordingError(
            f"{file.where}, line {error.lineno}: not well-formed XML ({xml.parsers.expat.ErrorString(error.code)}). "
            "The file may be cut short, or of another kind: export it again."
        ) from error


def _collect_texts(
    parser: xml.parsers.expat.XMLParserType,
    start: Callable[[str, Mapping[str, str]], None],
    end: Callable[[str, str], None],
) -> None:
    text: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        text.clear()
        start(name, attributes)

    def finish(name: str) -> None:
        end(name, "".join(text))
        text.clear()

    parser.buffer_text = True
    parser.StartElementHandler = begin
    parser.EndElementHandler = finish
    parser.CharacterDataHandler = text.append
