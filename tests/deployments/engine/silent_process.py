"""A process of an engine that hangs."""

from __future__ import annotations

from multiprocessing import Pipe


class SilentProcess:
    """A process that reads what it is sent, and never answers."""

    def __init__(self) -> None:
        self.connection, self._theirs = Pipe()
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True
