"""Reads and writes a directory of TIFF entries (IFD): of TIFF and BigTIFF files, and EXIF data."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from deployments.seam.image_files.stripped import TooManyPartsError

ORIENTATION = 274
MAX_ENTRIES = 4096
"""A photograph's directory has about sixty."""

INTEGERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q"}
"""The :mod:`struct` format of each TIFF type that is an integer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order and width of numbers; those of a BigTIFF are twice as wide."""

    order: Literal["<", ">"]
    big: bool

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHL4s"))

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "L"))

    @property
    def offset_at(self) -> int:
        """Position in the file of the offset to its first directory."""
        return 8 if self.big else 4


@dataclass(frozen=True, slots=True)
class Entry:
    """``value`` holds the value itself if that fits, else the offset to it."""

    tag: int
    type: int
    count: int
    value: bytes
    order: Literal["<", ">"]

    @property
    def number(self) -> int:
        """The value of an entry that is one integer; 0 for any other entry."""
        code = INTEGERS.get(self.type)
        if code is None or self.count != 1 or struct.calcsize(f"={code}") > len(self.value):
            return 0
        return int(struct.unpack_from(self.order + code, self.value)[0])


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of a file."""

    layout: Layout
    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, raw: bytes) -> Directory:
        """The first directory. Raises ``ValueError`` if there is none, or it is damaged;
        :class:`TooManyPartsError` if it is huge."""
        layout = LAYOUTS.get(raw[:4])
        if layout is None:
            raise ValueError("neither TIFF nor EXIF data")
        try:
            (start,) = layout.offset.unpack_from(raw, layout.offset_at)
            if start > len(raw):
                raise ValueError("the directory is beyond the end of the file")
            (count,) = layout.count.unpack_from(raw, start)
            if count > MAX_ENTRIES:
                raise TooManyPartsError("entries", MAX_ENTRIES)
            rows = raw[start + layout.count.size :][: count * layout.entry.size]
            found = layout.entry.iter_unpack(rows)
            entries = (
                Entry(tag, code, count, value, layout.order) for tag, code, count, value in found
            )
            return cls(layout, tuple(entries))
        except struct.error:
            raise ValueError("the directory is cut short") from None

    def with_entries(self, entries: tuple[Entry, ...]) -> bytes:
        """The bytes of a directory of ``entries`` that links to no further directory."""
        packed = (self.layout.entry.pack(e.tag, e.type, e.count, e.value) for e in entries)
        return b"".join([self.layout.count.pack(len(entries)), *packed, self.layout.offset.pack(0)])


LAYOUTS = {
    b"II*\x00": Layout("<", big=False),
    b"MM\x00*": Layout(">", big=False),
    b"II\x00*": Layout("<", big=False),  # not standard, nor is the next, but Pillow reads both
    b"MM*\x00": Layout(">", big=False),
    b"II+\x00": Layout("<", big=True),
}
"""By a file's first bytes. Pillow reads no BigTIFF of the other byte order."""
