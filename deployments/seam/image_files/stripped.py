"""The result of stripping an image file, and the bound on the parts of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_PARTS = 65_536
"""Parts of a file that are looked at, for about a microsecond each. A PNG of 10 MiB in chunks of
1 KiB has 10,000 parts, a GIF with a comment of 10 MiB has 41,000."""


class TooManyPartsError(ValueError):
    """A file has more parts than any program writes. Clients may see the message."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"more than {limit} {what}")


@dataclass(frozen=True, slots=True)
class StrippedImage:
    """``raw`` is a file of the same picture. ``orientation`` is that of its EXIF data, 1 to 8;
    ``None`` where Pillow has to look for it in ``raw``."""

    raw: bytes
    orientation: int | None = None


def bounded_steps(what: str = "parts", limit: int = MAX_PARTS) -> Iterator[None]:
    """To advance once for each part. Raises :class:`TooManyPartsError` after ``limit`` parts."""
    for _ in range(limit):
        yield
    raise TooManyPartsError(what, limit)
