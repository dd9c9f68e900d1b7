"""A directory of TIFF entries (IFD), as in TIFF and BigTIFF files and in EXIF data."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from deployments.seam.image_files.stripped import TooManyPartsError

ORIENTATION = 274
MAX_ENTRIES = 4096
"""A photograph's directory has about sixty."""

INTEGERS = {1: "B", 3: "H", 4: "L", 13: "L", 16: "Q"}
"""Types of whole numbers, as :mod:`struct` calls them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order, and how wide numbers are: a BigTIFF's are twice as wide."""

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
        """Where a file says where its first directory is."""
        return 8 if self.big else 4


@dataclass(frozen=True, slots=True)
class Entry:
    """``value`` is the value where it fits into so few bytes, else the offset to it."""

    tag: int
    type: int
    count: int
    value: bytes
    order: Literal["<", ">"]

    @property
    def number(self) -> int:
        """The value of an entry that is one integer; 0 of any other."""
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
        """Raises ``ValueError`` where there is none, :class:`TooManyPartsError` for a huge one."""
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

    def written(self, entries: tuple[Entry, ...]) -> bytes:
        """A directory of ``entries``, the last one of its file."""
        packed = (self.layout.entry.pack(e.tag, e.type, e.count, e.value) for e in entries)
        return b"".join([self.layout.count.pack(len(entries)), *packed, self.layout.offset.pack(0)])


LAYOUTS = {
    b"II*\x00": Layout("<", big=False),
    b"MM\x00*": Layout(">", big=False),
    b"II\x00*": Layout("<", big=False),  # this one and the next are wrong, and read by Pillow
    b"MM*\x00": Layout(">", big=False),
    b"II+\x00": Layout("<", big=True),
}
"""By a file's first bytes. A BigTIFF of the other byte order is none that Pillow reads."""
