"""Strips TIFF 6.0 and BigTIFF files down to the entries that decode the first image."""

from __future__ import annotations

from deployments.seam.image_files.ifd import ORIENTATION, Directory, Entry
from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError

STRIPS, TILES = (273, 279), (324, 325)
"""Tags of the offsets, and of the byte counts, of the parts that hold the pixels."""

TILE_SIDES = (322, 323)
PICTURE = frozenset(
    {
        *(254, 256, 257, 258, 259, 262, 266, ORIENTATION, 277, 278, 284, 292, 293, 317, 320),
        *(332, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
        *STRIPS,
        *TILES,
        *TILE_SIDES,
    }
)
"""Tags of the entries that Pillow and libtiff need to decode the pixels."""

MAX_STRIPS = 65_536
MAX_TILE_PIXELS = 64_000_000
"""A tile may be larger than its image, and libtiff allocates all of it."""


def strip(raw: bytes) -> StrippedImage:
    """``raw`` with a new directory appended, which has only the entries about the pixels.

    The further directories of the file, one for each further image, are no longer linked. Raises
    ``ValueError`` for a damaged directory, :class:`TooManyPartsError` for too many strips or tiles.
    """
    directory = Directory.read(raw)
    kept = tuple(entry for entry in directory.entries if entry.tag in PICTURE)
    _check(kept)
    layout, padding = directory.layout, b"\x00" * (-len(raw) % 8)
    head, place = layout.offset_at, layout.offset.pack(len(raw) + len(padding))
    pixels = memoryview(raw)[head + len(place) :]
    return StrippedImage(
        b"".join((raw[:head], place, pixels, padding, directory.with_entries(kept)))
    )


def _check(entries: tuple[Entry, ...]) -> None:
    if any(entry.tag in (*STRIPS, *TILES) and entry.count > MAX_STRIPS for entry in entries):
        raise TooManyPartsError("strips or tiles", MAX_STRIPS)
    sides = [entry.number for entry in entries if entry.tag in TILE_SIDES]
    if len(sides) >= 2 and max(sides) * min(sides) > MAX_TILE_PIXELS:
        raise TooManyPartsError("pixels in a tile", MAX_TILE_PIXELS)
