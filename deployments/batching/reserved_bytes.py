"""Backpressure: bounds the bytes of the files that a replica works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.models.errors import Overloaded


class ReservedBytes:
    """The bytes of all files at work, up to ``limit``, or of one larger file alone.

    ``what`` names the files, such as images.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._bytes = 0

    @contextmanager
    def reserve(self, model: str, size: int) -> Iterator[None]:
        """Count ``size`` bytes while the block runs.

        Raises :class:`Overloaded` when the files of all requests would exceed the limit.
        """
        if self._bytes and self._bytes + size > self._limit:
            raise Overloaded(model, self._what)
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
