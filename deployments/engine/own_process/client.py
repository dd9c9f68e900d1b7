"""An engine that runs in a process of its own, as the replica uses it."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from functools import cached_property
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from deployments.engine.codec import TextCodec
from deployments.engine.engine_codec import codec_of
from deployments.engine.interface import STOPPED, EngineLoad, EngineNotLoaded, EngineStopped
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
from deployments.engine.running import report
from deployments.engine.sequence import Sequence, held_tokens
from deployments.engine.settings import EngineSettings
from deployments.models.child_process import ChildProcess
from deployments.seam.problems import Problem

if TYPE_CHECKING:
    from deployments.engine.grammar.compiler import GrammarCompiler

logger = logging.getLogger(__name__)

OPENMP = {"GOMP_SPINCOUNT": "2000"}
"""How often a thread of OpenMP looks for the next operation before it sleeps. With the default,
some milliseconds, idle threads spin on cores that other processes need."""


def open_engine_process(folder: Path | str, settings: EngineSettings) -> EngineClient:
    """Load the model in ``folder`` in the torch engine, in a process of its own.

    Raises ``EngineNotLoaded`` when it cannot be loaded, ``FileNotFoundError`` when there is no
    folder.
    """
    codec = codec_of(folder, settings)
    process = ChildProcess("deployments.engine.own_process.server", OPENMP)
    try:
        answer = _launch(process, EngineLaunch(str(folder), settings))
    except BaseException:  # whatever it is, the process must not stay
        process.close()
        raise
    if isinstance(answer, EngineReady):
        return EngineClient(codec, process, answer, settings.hang_after_s)
    process.close()
    raise EngineNotLoaded(answer.reason)


def _launch(process: ChildProcess, launch: EngineLaunch) -> EngineReady | LoadFailure:
    try:
        process.connection.send(launch)
        timeout_s = launch.settings.load_timeout_s
        if not process.connection.poll(timeout_s):
            return LoadFailure(f"its process has said nothing for {timeout_s:.0f} s")
        answer: EngineReady | LoadFailure = process.connection.recv()
    except (EOFError, OSError):
        return LoadFailure(f"its process ended with code {process.exit_code}")
    return answer


class EngineClient:
    """The :class:`~deployments.engine.interface.Engine` in another process.

    The process decodes and detokenizes; here its outputs reach the callbacks of the sequences, on a
    thread of this class. ``hang_after_s`` bounds how long no outputs may come while sequences are
    open.
    """

    def __init__(
        self, codec: TextCodec, process: ChildProcess, ready: EngineReady, hang_after_s: float
    ) -> None:
        self.codec = codec
        self.window = ready.window
        self.device = ready.device
        self._process = process
        self._hang_after_s = hang_after_s
        self._load = ready.load
        self._outputs_at = time.monotonic()
        self._lock = threading.Lock()
        self._numbers = count()
        self._open: dict[int, Sequence] = {}
        self._number_of: dict[Sequence, int] = {}
        self._admitted: set[Sequence] = set()
        self._stopped: str | None = None
        self._outbox: SimpleQueue[Submission | Cancellation | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=target, name="engine client", daemon=True)
            for target in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    @cached_property
    def grammars(self) -> GrammarCompiler:
        from deployments.engine.grammar.compiler import GrammarCompiler  # imports llguidance

        return GrammarCompiler(self.codec)

    @property
    def process_id(self) -> int:
        return self._process.process_id

    def submit(self, sequence: Sequence) -> None:
        sequence.check_window(self.window)
        with self._lock:
            if self._stopped is not None:
                raise EngineStopped(self._stopped)
            if not self._open:
                self._outputs_at = time.monotonic()
            number = next(self._numbers)
            self._open[number] = sequence
            self._number_of[sequence] = number
            self._outbox.put(Submission.of(number, sequence))

    def cancel(self, sequence: Sequence) -> None:
        sequence.cancelled = True
        with self._lock:
            number = self._forget(sequence)
            if number is not None:
                self._outbox.put(Cancellation(number))

    def load(self) -> EngineLoad:
        """As of the last outputs. A preempted sequence counts as running if there is a slot."""
        with self._lock:
            load, sequences = self._load, len(self._open)
            running = min(load.slots, len(self._admitted))
            held = held_tokens(self._open.values())
        waiting = sequences - running
        return replace(
            load,
            running=running,
            waiting=waiting,
            held_tokens=held,
            starved_by=load.starved_by if waiting else None,
        )

    def check(self) -> None:
        if self._stopped is not None:
            raise EngineStopped(self._stopped)
        if self._open and time.monotonic() - self._outputs_at > self._hang_after_s:
            raise EngineStopped(f"The engine says nothing for {self._hang_after_s:.0f} s")

    def close(self) -> None:
        self._end("The engine was closed")
        self._outbox.put(None)
        self._process.close()

    def _forget(self, sequence: Sequence) -> int | None:
        self._admitted.discard(sequence)
        number = self._number_of.pop(sequence, None)
        if number is not None:
            del self._open[number]
        return number

    def _send(self) -> None:
        """Write messages on a thread, because a large one may have to wait for its reader."""
        try:
            while (message := self._outbox.get()) is not None:
                self._process.connection.send(message)
        except OSError:
            return  # the process is gone, as the other thread learns too
        except Exception as error:  # an edge: a thread that ends silently leaves texts waiting
            logger.exception("The engine's process could not be told something")
            self._end(f"The engine cannot be told what to do: {type(error).__name__}")

    def _receive(self) -> None:
        stopped: str | None = None
        try:
            while stopped is None:
                outputs: EngineOutputs = self._process.connection.recv()
                self._outputs_at = time.monotonic()
                self._load = outputs.load
                for number, outcome in outputs.outcomes:
                    self._deliver(number, outcome)
                stopped = outputs.stopped
        except (EOFError, OSError):
            stopped = f"The decoding process ended with code {self._process.exit_code}"
        except Exception as error:  # an edge, as above
            logger.exception("The engine's process said what cannot be read")
            stopped = f"The engine cannot be understood: {type(error).__name__}"
        self._end(stopped)

    def _deliver(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            sequence = self._open.get(number)
            if sequence is None:
                return
            if isinstance(outcome, Admitted):
                self._admitted.add(sequence)
        if isinstance(outcome, Problem):
            self._fail(sequence, outcome)
            return
        try:
            sequence.admitted() if isinstance(outcome, Admitted) else sequence.deliver(outcome)
        except Exception:
            logger.exception("A callback of a sequence failed; the others go on")
            self.cancel(sequence)
            report(sequence, Problem("internal", "The text could not be continued."))
        if sequence.finish_reason is not None:
            with self._lock:
                self._forget(sequence)

    def _fail(self, sequence: Sequence, problem: Problem) -> None:
        with self._lock:
            self._forget(sequence)
        report(sequence, problem)

    def _end(self, reason: str) -> None:
        """Take no more sequences, and fail those that are open."""
        with self._lock:
            self._stopped = self._stopped or reason
            left = list(self._open.values())
            self._open.clear()
            self._number_of.clear()
            self._admitted.clear()
        for sequence in left:
            report(sequence, STOPPED)
