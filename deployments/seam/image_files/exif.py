"""Reads the orientation from EXIF data, and no other entry.

Pillow's own reader parses all entries, and warns of each damaged one.
"""

from __future__ import annotations

from deployments.seam.image_files.ifd import ORIENTATION, Directory

HEADER = b"Exif\x00\x00"
UPRIGHT = 1


def orientation(exif: bytes) -> int:
    """1 to 8 (TIFF 6.0, page 36); 1 where ``exif`` has no valid orientation."""
    try:
        directory = Directory.read(exif.removeprefix(HEADER))
    except ValueError:
        return UPRIGHT
    value = next((each.number for each in directory.entries if each.tag == ORIENTATION), UPRIGHT)
    return value if 1 <= value <= 8 else UPRIGHT
