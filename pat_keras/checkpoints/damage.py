"""Checks that HDF5's own library leaves out, made before it opens a file.

A damaged count or size of names sends the C library into an endless loop or out of memory, where no Python exception
can follow. Names live in two places: those of groups in symbol nodes, those of Keras' lists in heaps. Layout of both:
HDF5 File Format Specification 3.0, sections II.A, III.B and III.E; h5py and Keras write 8-byte sizes and addresses.
"""

from __future__ import annotations

import mmap
import pathlib
import struct
from collections.abc import Iterator

# Signature and version of a heap. In a tensor these bytes would be float32 values above 100, which no trained weight
# comes near; the same holds for symbol nodes.
_HEAP = b"GCOL\x01"
_HEAP_HEADER = struct.Struct("<8xQ")  # signature, version and reserved bytes; size of the heap with this header
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size of the object's data
_REFERENCE = struct.Struct("<IQI")  # length of a name, address of its heap, index of its object
_ALIGNMENT = 8
_LONGEST_TEXT = 2**26  # a whole model's configuration, the longest there is, takes 1 to 2 MB
_SYMBOL_NODE = b"SNOD\x01"
_SYMBOLS = struct.Struct("<6xH")  # signature, version and a reserved byte; number of symbols


def find_damage(path: pathlib.Path) -> str | None:
    """What is wrong with the places of names in an HDF5 file, or None when the library can read them safely."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        version = content[8] if len(content) > 24 else None
        if version not in (0, 1, 2, 3) or content[14 if version < 2 else 10] != 8:
            return "a superblock that is not HDF5's"
        most = 2 * int.from_bytes(content[16:18], "little") if version < 2 else 2**16
        for place in _places(content, _SYMBOL_NODE):
            if _SYMBOLS.unpack_from(content, place)[0] > most:
                return f"more names than fit in the symbol node at byte {place}"
        for place in _places(content, _HEAP):
            sizes = _object_sizes(content, place)
            if sizes is None:
                return f"a heap of names at byte {place} whose sizes don't add up"
            if _has_long_reference(content, place, sizes):
                return f"a name of gigabytes said to be in the heap at byte {place}"
    return None


def _places(content: mmap.mmap, signature: bytes) -> Iterator[int]:
    place = content.find(signature, 0, len(content) - _HEAP_HEADER.size)
    while place >= 0:
        yield place
        place = content.find(signature, place + 1, len(content) - _HEAP_HEADER.size)


def _object_sizes(content: mmap.mmap, start: int) -> dict[int, int] | None:
    """Sizes of a heap's objects by their index, or None unless they fill it exactly."""
    end = start + _HEAP_HEADER.unpack_from(content, start)[0]
    if not start + _HEAP_HEADER.size < end <= len(content):
        return None
    place, sizes = start + _HEAP_HEADER.size, dict[int, int]()
    while place + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(content, place)
        # Object 0 is the free space. It ends the heap, and its size counts its own header.
        place += size if index == 0 else _OBJECT.size + -(-size // _ALIGNMENT) * _ALIGNMENT
        if index in sizes or (index == 0 and place != end):
            return None
        sizes[index] = size
    return sizes if place <= end else None


def _has_long_reference(content: mmap.mmap, heap: int, sizes: dict[int, int]) -> bool:
    """Whether a reference into a heap claims an absurd length, which the library would reserve before it looks."""
    for place in _places(content, heap.to_bytes(8, "little")):
        length, _, index = _REFERENCE.unpack_from(content, max(place - 4, 0))
        if index in sizes and length > _LONGEST_TEXT:
            return True
    return False
