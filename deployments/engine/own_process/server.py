"""The process that runs a torch engine.

Each of the thousand operations of a step releases Python's global interpreter lock and takes it
again. In the process of the replica it would wait there for the event loop each time, and the event
loop for the engine. Started by :mod:`deployments.engine.own_process.client` as
``python -m deployments.engine.own_process.server <file descriptor>``.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection

from deployments.engine.interface import STOPPED, Engine, EngineStopped
from deployments.engine.own_process.ending_thread import in_ending_thread
from deployments.engine.own_process.messages import (
    Admitted,
    Cancellation,
    EngineLaunch,
    EngineOutputs,
    EngineReady,
    LoadFailure,
    Outcome,
    Submission,
)
from deployments.engine.sequence import Sequence
from deployments.engine.torch_engine import open_torch_engine
from deployments.seam.generation import Token
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

HEARTBEAT_S = 1.0


class EngineServer:
    """Submits to the engine what messages say, and sends its outputs.

    Messages are read on the main thread, and outputs are sent on another. The outcomes that arrive
    while one message is sent share the next.
    """

    def __init__(self, engine: Engine, connection: Connection) -> None:
        self._engine = engine
        self._connection = connection
        self._sequences: dict[int, Sequence] = {}
        self._prompt_ids: tuple[int, ...] = ()
        self._outcomes: list[tuple[int, Outcome]] = []
        self._happened = threading.Condition()

    def run(self) -> None:
        """Serve until the connection is closed: raises ``EOFError`` then."""
        threading.Thread(target=self._send_outputs, name="outputs", daemon=True).start()
        while True:
            message = self._connection.recv()
            if isinstance(message, Submission):
                self._submit(message)
            elif isinstance(message, Cancellation):
                sequence = self._sequences.pop(message.number, None)
                if sequence is not None:
                    self._engine.cancel(sequence)

    def _submit(self, submission: Submission) -> None:
        number = submission.number
        try:
            sequence = self._sequence(submission)
            self._sequences[number] = sequence
            self._engine.submit(sequence)
        except EngineStopped:
            self._ended(number, STOPPED)
        except Exception:
            logger.exception("A sequence could not be submitted; the others go on")
            self._ended(number, Problem("internal", "The text could not be continued."))

    def _sequence(self, submission: Submission) -> Sequence:
        if submission.prompt_ids != self._prompt_ids:
            self._prompt_ids = submission.prompt_ids  # choices of a request share one tuple
        number, grammar = submission.number, submission.grammar
        return Sequence(
            codec=self._engine.codec,
            prompt_ids=self._prompt_ids,
            sampling=submission.sampling,
            max_new_tokens=submission.max_new_tokens,
            min_new_tokens=submission.min_new_tokens,
            on_token=partial(self._decoded, number),
            on_failure=partial(self._ended, number),
            on_admitted=partial(self._put, number, Admitted()),
            stop=submission.stop,
            stop_after_tool_call=submission.stop_after_tool_call,
            eos_ids=submission.eos_ids,
            choice=submission.choice,
            request_id=submission.request_id,
            owner=submission.owner,
            resume_ids=submission.resume_ids,
            constraint=self._engine.grammars.compile(grammar).fresh() if grammar else None,
            inputs=submission.inputs,
        )

    def _decoded(self, number: int, token: Token) -> None:
        if token.finish_reason is not None:
            self._sequences.pop(number, None)
        self._put(number, token)

    def _ended(self, number: int, problem: Problem) -> None:
        self._sequences.pop(number, None)
        self._put(number, problem)

    def _put(self, number: int, outcome: Outcome) -> None:
        with self._happened:
            self._outcomes.append((number, outcome))
            self._happened.notify()

    def _send_outputs(self) -> None:
        stopped: str | None = None
        busy = True
        while stopped is None:
            with self._happened:
                if not self._outcomes:
                    self._happened.wait(HEARTBEAT_S if busy else None)
                outcomes, self._outcomes = self._outcomes, []
            stopped = self._why_stopped()
            load = self._engine.load()
            # After the last outcome once more: by then its slot is free.
            busy = bool(outcomes) or load.running + load.waiting > 0
            try:
                self._connection.send(EngineOutputs(outcomes, load, stopped))
            except OSError:
                return

    def _why_stopped(self) -> str | None:
        try:
            self._engine.check()
        except EngineStopped as error:
            return str(error)
        return None


def serve(connection: Connection) -> None:
    """Load the model that the first message names, then decode until the connection is closed."""
    try:
        launch: EngineLaunch = connection.recv()
        try:
            # The engine's thread has to be the only one that computes.
            engine = in_ending_thread(partial(open_torch_engine, launch.folder, launch.settings))
        except Exception as error:  # noqa: BLE001  the edge of the process
            connection.send(LoadFailure(f"{type(error).__name__}: {error}"))
            return
        connection.send(EngineReady(engine.window, engine.device, engine.load()))
        EngineServer(engine, connection).run()
    except (EOFError, OSError):
        return


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    serve(Connection(int(sys.argv[1])))
    os._exit(0)  # a running step is not waited for, and nothing is left to be written
