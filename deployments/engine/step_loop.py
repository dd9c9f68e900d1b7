"""The thread of an engine: who gets a slot or loses it, who is cancelled, whether it lives."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Listed
from functools import partial
from typing import ClassVar
from weakref import WeakSet

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import ConstraintError, GrammarCompiler
from deployments.engine.interface import STOPPED, EngineHangs, EngineLoad, EngineStopped
from deployments.engine.scheduler import Scheduler
from deployments.engine.sequence import Sequence
from deployments.models.thread_priority import give_way
from deployments.seam.generation import TokenLogprob
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

_LAST_STEP_S = 30.0


class SteppingEngine(ABC):
    """An engine that advances in steps, each giving its running sequences at most a token or so.

    A subclass loads its model, calls :meth:`_start` last in its constructor, and says how a
    sequence takes a slot, how it gives it up and what a step is. Those run on the engine's thread,
    which sleeps while there is nothing to do. Slots go by turns of requests
    (:mod:`deployments.engine.scheduler`): a sequence may lose its slot and get one again later, to
    go on behind what it has generated. One that fails is its own problem. ``hang_after_s``
    bounds one step before :meth:`check` calls the engine hung. ``computes`` says that the steps are
    this thread's own arithmetic, and not a GPU's or another process's.
    """

    _abortable: ClassVar = False
    """Whether :meth:`_abort` ends a step that does not return."""

    def __init__(
        self,
        codec: TextCodec,
        *,
        slots: int,
        window: int,
        hang_after_s: float = 120.0,
        computes: bool = False,
    ) -> None:
        self._codec = codec
        self._grammars = GrammarCompiler(codec)
        self._slots = slots
        self._window = window
        self._hang_after_s = hang_after_s
        self._computes = computes
        self._wake = threading.Condition()
        self._scheduler = Scheduler(slots, self._fits)
        self._seated: WeakSet[Sequence] = WeakSet()
        self._closing = False
        self._stopped: str | None = None
        self._turn_began: float | None = None
        self._tokens = 0
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @property
    def codec(self) -> TextCodec:
        return self._codec

    @property
    def window(self) -> int:
        return self._window

    @property
    def grammars(self) -> GrammarCompiler:
        return self._grammars

    @property
    def process_id(self) -> int | None:
        return None

    @property
    def device(self) -> str:
        return "cpu"

    def submit(self, sequence: Sequence) -> None:
        prompt, new = len(sequence.prompt_ids), sequence.max_new_tokens
        if prompt == 0 or new < 1 or prompt + new > self._window:
            raise ValueError(
                f"{prompt} prompt and {new} new tokens do not fit a window of {self._window}"
            )
        with self._wake:
            if self._stopped is not None or self._closing:
                raise EngineStopped(self._stopped or "The engine is closing")
            self._scheduler.add(sequence)
            self._wake.notify()

    def cancel(self, sequence: Sequence) -> None:
        sequence.cancelled = True
        with self._wake:
            if sequence not in self._scheduler.running:
                self._scheduler.remove(sequence)

    def load(self) -> EngineLoad:
        with self._wake:
            running, waiting = len(self._scheduler.running), self._scheduler.waiting
        return EngineLoad(
            slots=self._slots,
            running=running,
            waiting=waiting,
            kv_usage=self._kv_usage(),
            tokens=self._tokens,
            memory_bytes=self._memory_bytes(),
        )

    def check(self) -> None:
        if self._stopped is not None:
            raise EngineStopped(self._stopped)
        if self._hangs():
            kind = EngineStopped if self._abortable else EngineHangs
            raise kind(f"A decode step takes longer than {self._hang_after_s:.0f} s")

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is threading.current_thread():
            return
        if not self._hangs():
            self._thread.join(_LAST_STEP_S)
        if self._thread.is_alive():
            self._abort()

    def _hangs(self) -> bool:
        began = self._turn_began
        return began is not None and time.monotonic() - began > self._hang_after_s

    @abstractmethod
    def _enter(self, sequence: Sequence) -> None:
        """Give the sequence a slot, to begin or to go on behind what it has generated."""

    @abstractmethod
    def _leave(self, sequence: Sequence) -> None:
        """Free the slot of a sequence that is over or preempted, even if entering had failed."""

    @abstractmethod
    def _step(self) -> None:
        """Advance running sequences; called also when the last one has just left."""

    @abstractmethod
    def _release(self) -> None:
        """Free the model; the last call on the thread."""

    def _abort(self) -> None:  # noqa: B027  most engines have no means
        """End a step that does not return, where that can be done; called by another thread."""

    def _fits(self, sequences: Listed[Sequence]) -> bool:
        """Whether these sequences have room in the KV memory together."""
        return True

    def _kv_usage(self) -> float | None:
        return None

    def _memory_bytes(self) -> int | None:
        return None

    def _start(self) -> None:
        self._thread.start()

    @property
    def _running(self) -> list[Sequence]:
        return list(self._scheduler.running)

    def _hand_over(
        self, sequence: Sequence, token_id: int, logprob: TokenLogprob | None = None
    ) -> None:
        """Append a token; free the slot when that finished the sequence or its reader failed."""
        self._tokens += 1
        self._serve(sequence, 1)
        self._alone(sequence, lambda: sequence.append(token_id, logprob))
        if sequence.finished:
            self._drop(sequence)

    def _serve(self, sequence: Sequence, units: int) -> None:
        """Count work for a sequence; a decoded token is one unit, and counted already."""
        with self._wake:
            self._scheduler.serve(sequence, units)

    def _alone(self, sequence: Sequence, work: Callable[[], object]) -> bool:
        """Do what concerns one sequence; false if it raised, and only that sequence has failed."""
        try:
            work()
        except ConstraintError as error:
            self._give_up(sequence, Problem("validation", str(error), "grammar"))
        except BaseException:  # a panic of a library in Rust is no Exception
            logger.exception("A sequence failed; the others go on")
            self._give_up(sequence, Problem("internal", "The text could not be continued."))
        else:
            return True
        return False

    def _give_up(self, sequence: Sequence, problem: Problem) -> None:
        """Free the slot of a sequence that cannot go on, and say why."""
        self._drop(sequence)
        if not sequence.cancelled:
            sequence.cancelled = True
            self._report(sequence, problem)

    def _drop(self, sequence: Sequence) -> None:
        with self._wake:
            running = self._scheduler.remove(sequence)
        if running:
            self._leave(sequence)

    def _report(self, sequence: Sequence, problem: Problem) -> None:
        try:
            sequence.fail(problem)
        except BaseException:
            logger.exception("A sequence's reader failed while it was told of a failure")

    def _run(self) -> None:
        reason = "The engine was closed"
        try:
            if self._computes:
                give_way()
            while self._turn():
                pass
        except BaseException as error:
            logger.exception("The engine died")
            reason = f"The engine died: {type(error).__name__}: {error}"
        finally:
            self._end(reason)

    def _turn(self) -> bool:
        """Wait for work, seat and unseat sequences, step once; false when it is time to end."""
        self._turn_began = None
        with self._wake:
            while self._scheduler.idle and not self._closing:
                self._wake.wait()
            if self._closing:
                return False
        self._turn_began = time.monotonic()
        self._schedule()
        self._step()
        return True

    def _schedule(self) -> None:
        for sequence in [each for each in self._running if each.cancelled]:
            self._drop(sequence)
        self._admit()
        for _ in range(self._slots):
            with self._wake:
                preempted = self._scheduler.preempt()
            if not preempted:
                return
            for sequence in preempted:
                self._leave(sequence)
            self._admit()

    def _admit(self) -> None:
        while True:
            with self._wake:
                sequence = self._scheduler.admit()
            if sequence is None:
                return
            self._alone(sequence, partial(self._seat, sequence))

    def _seat(self, sequence: Sequence) -> None:
        if sequence not in self._seated:
            self._seated.add(sequence)
            if sequence.on_admitted is not None:
                sequence.on_admitted()
        self._enter(sequence)

    def _end(self, reason: str) -> None:
        with self._wake:
            self._stopped = reason
            left = self._scheduler.sequences
            self._scheduler = Scheduler(self._slots)
        self._turn_began = None
        for sequence in left:
            if not sequence.finished:
                self._report(sequence, STOPPED)
        self._release()
