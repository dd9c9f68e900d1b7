"""This side of the process that runs OpenVINO GenAI."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from deployments.engine.interface import EngineNotLoaded
from deployments.engine.openvino.messages import (
    EngineFailure,
    Launch,
    Ready,
    SequenceUpdate,
    StepCommand,
)

Answer = TypeVar("Answer")


class GenaiProcess:
    """The engine's end of the process that holds the pipeline."""

    def __init__(self, launch: Launch) -> None:
        ours, theirs = socket.socketpair()
        search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deployments.engine.openvino.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": search_path},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        try:
            self._ask(launch, Ready)
        except RuntimeError as error:
            self.close()
            raise EngineNotLoaded(f"OpenVINO cannot load {launch.model}: {error}") from error

    def turn(self, turn: StepCommand) -> SequenceUpdate:
        """One step. Raises ``RuntimeError`` when the pipeline failed or the process is gone."""
        return self._ask(turn, SequenceUpdate)

    def resident_bytes(self) -> int | None:
        """Memory of the process, where the system tells it in ``/proc``."""
        with suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return None

    @property
    def number(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while the process lives; negative when a signal ended it."""
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._connection.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: object, kind: type[Answer]) -> Answer:
        try:
            self._connection.send(message)
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("the decoding process is gone") from error
        if isinstance(answer, kind):
            return answer
        raise RuntimeError(answer.reason if isinstance(answer, EngineFailure) else repr(answer))
