"""Starts a module of ours in a process of its own, and exchanges messages with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

_EXIT_WAIT_S = 10
"""How long the process may take to end after its connection was closed."""


class ChildProcess:
    """A process that runs ``python -m module FD``, where ``FD`` is its end of the connection.

    It has to end when the connection is closed, which happens also when this process dies. Signals
    of the terminal do not reach it. ``environment`` adds variables; those that this process has
    already win.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**(environment or {}), **os.environ, "PYTHONPATH": search_path},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket = ours
        self.connection = Connection(os.dup(ours.fileno()))

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while the process lives; negative when a signal ended it."""
        return self._process.poll()

    def resident_bytes(self) -> int | None:
        """Memory of the process, where the system tells it in ``/proc``."""
        with suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return None

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """End the connection, upon which the process ends, and wait for that."""
        with suppress(OSError):  # the process has ended already
            self._socket.shutdown(socket.SHUT_RDWR)  # also wakes a thread that reads
        try:
            self._process.wait(_EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.connection.close()
        self._socket.close()
