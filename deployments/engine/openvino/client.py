"""Starts the process that runs OpenVINO GenAI, and exchanges messages with it."""

from __future__ import annotations

from typing import TypeVar

from deployments.engine.interface import EngineNotLoaded
from deployments.engine.openvino.messages import (
    Launch,
    PipelineFailure,
    PipelineReady,
    StepCommand,
    StepResult,
)
from deployments.models.child_process import ChildProcess

Answer = TypeVar("Answer")


class GenaiProcess:
    """The process that holds the pipeline, as the runner uses it."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process

    @classmethod
    def started(cls, launch: Launch, load_timeout_s: float) -> GenaiProcess:
        """Start it and load the model. Raises ``EngineNotLoaded`` when that fails or takes longer
        than ``load_timeout_s`` seconds."""
        started = cls(ChildProcess("deployments.engine.openvino.process"))
        try:
            started._ask(launch, PipelineReady, load_timeout_s)
        except RuntimeError as error:
            started.close()
            raise EngineNotLoaded(f"OpenVINO cannot load {launch.model}: {error}") from error
        return started

    def step(self, command: StepCommand) -> StepResult:
        """One step. Raises ``RuntimeError`` when the pipeline failed or the process is gone."""
        return self._ask(command, StepResult)

    def resident_bytes(self) -> int | None:
        """Memory of the process, where the system tells it in ``/proc``."""
        return self._process.resident_bytes()

    @property
    def process_id(self) -> int:
        return self._process.process_id

    @property
    def exit_code(self) -> int | None:
        """``None`` while the process lives; negative when a signal ended it."""
        return self._process.exit_code

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Close the connection, upon which the process ends, and wait for that."""
        self._process.close()

    def _ask(self, message: object, kind: type[Answer], timeout_s: float | None = None) -> Answer:
        try:
            self._process.connection.send(message)
            if timeout_s is not None and not self._process.connection.poll(timeout_s):
                raise RuntimeError(f"its process has said nothing for {timeout_s:.0f} s")
            answer = self._process.connection.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("the decoding process is gone") from error
        if isinstance(answer, kind):
            return answer
        raise RuntimeError(answer.reason if isinstance(answer, PipelineFailure) else repr(answer))
