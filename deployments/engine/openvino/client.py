"""Starts the process that runs OpenVINO GenAI, and exchanges messages with it."""

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
    Launch,
    PipelineFailure,
    PipelineReady,
    StepCommand,
    StepResult,
)

Answer = TypeVar("Answer")

_EXIT_WAIT_S = 10
"""How long the process may take to end after its connection was closed."""


class GenaiProcess:
    """The process that holds the pipeline, as the runner uses it."""

    def __init__(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        self._process = process
        self._connection = connection

    @classmethod
    def started(cls, launch: Launch) -> GenaiProcess:
        """Start it and load the model. Raises ``EngineNotLoaded`` when that fails."""
        ours, theirs = socket.socketpair()
        search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.engine.openvino.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": search_path},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        started = cls(process, Connection(ours.detach()))
        try:
            started._ask(launch, PipelineReady)
        except RuntimeError as error:
            started.close()
            raise EngineNotLoaded(f"OpenVINO cannot load {launch.model}: {error}") from error
        return started

    def step(self, command: StepCommand) -> StepResult:
        """One step. Raises ``RuntimeError`` when the pipeline failed or the process is gone."""
        return self._ask(command, StepResult)

    def resident_bytes(self) -> int | None:
        """Memory of the process, where the system tells it in ``/proc``."""
        with suppress(OSError, ValueError, IndexError):
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return None

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """``None`` while the process lives; negative when a signal ended it."""
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Close the connection, upon which the process ends, and wait for that."""
        self._connection.close()
        try:
            self._process.wait(_EXIT_WAIT_S)
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
        raise RuntimeError(answer.reason if isinstance(answer, PipelineFailure) else repr(answer))
