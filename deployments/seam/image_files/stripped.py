"""What a walk over an image file comes to, and the bound that every walk has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_PARTS = 65_536
"""Parts that a walk looks at; each costs it a microsecond. A PNG of 10 MiB in chunks of 1 KiB has
10,000, a GIF with a comment of 10 MiB 41,000."""


class TooManyPartsError(ValueError):
    """A file in more parts than any program writes. The text is fit for a client."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"more than {limit} {what}")


@dataclass(frozen=True, slots=True)
class StrippedImage:
    """``raw`` is an image file of the same picture. ``orientation`` is EXIF's, from 1 to 8, where
    the walk found it; ``None`` leaves it to what Pillow finds in ``raw``."""

    raw: bytes
    orientation: int | None = None


def bounded_steps(what: str = "parts", limit: int = MAX_PARTS) -> Iterator[None]:
    """Something to step through once a part. Raises :class:`TooManyPartsError` behind the last."""
    for _ in range(limit):
        yield
    raise TooManyPartsError(what, limit)
