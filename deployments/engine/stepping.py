"""The thread of an engine: who waits, who has a slot, who is cancelled, whether it lives."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque

from deployments.engine.codec import TextCodec
from deployments.engine.constraint import ConstraintError, Grammars
from deployments.engine.interface import EngineLoad, EngineStopped
from deployments.engine.sequence import Sequence
from deployments.priority import give_way
from deployments.seam import Problem, TokenLogprob

logger = logging.getLogger(__name__)

_LAST_STEP_S = 30.0


class SteppingEngine(ABC):
    """An engine that advances in steps, each giving its active sequences at most a token or so.

    A subclass loads its model, calls :meth:`_start` last in its constructor, and says how a
    sequence takes a slot, how it gives it up and what a step is. Those run on the engine's thread,
    in order of submission, and the thread sleeps while there is nothing to do. ``hang_after_s``
    bounds one step before :meth:`check` calls the engine hung. ``computes`` says that the steps are
    this thread's own arithmetic, and not a GPU's or another process's.
    """

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
        self._grammars = Grammars(codec)
        self._slots = slots
        self._window = window
        self._hang_after_s = hang_after_s
        self._computes = computes
        self._wake = threading.Condition()
        self._waiting: deque[Sequence] = deque()
        self._active: list[Sequence] = []
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
    def grammars(self) -> Grammars:
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
            self._waiting.append(sequence)
            self._wake.notify()

    def cancel(self, sequence: Sequence) -> None:
        sequence.cancelled = True
        with self._wake:
            if sequence in self._waiting:
                self._waiting.remove(sequence)

    def load(self) -> EngineLoad:
        return EngineLoad(
            slots=self._slots,
            active=len(self._active),
            waiting=len(self._waiting),
            kv_usage=self._kv_usage(),
            tokens=self._tokens,
            memory_bytes=self._memory_bytes(),
        )

    def check(self) -> None:
        if self._stopped is not None:
            raise EngineStopped(self._stopped)
        began = self._turn_began
        if began is not None and time.monotonic() - began > self._hang_after_s:
            raise EngineStopped(f"A decode step takes longer than {self._hang_after_s:.0f} s")

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(_LAST_STEP_S)
            if self._thread.is_alive():
                self._abort()

    @abstractmethod
    def _enter(self, sequence: Sequence) -> None:
        """Give the sequence a slot."""

    @abstractmethod
    def _leave(self, sequence: Sequence) -> None:
        """Free the slot of a sequence that is finished, cancelled or failed."""

    @abstractmethod
    def _step(self) -> None:
        """Advance every active sequence once; called also when the last one has just left."""

    @abstractmethod
    def _release(self) -> None:
        """Free the model; the last call on the thread."""

    def _abort(self) -> None:  # noqa: B027  most engines have no means
        """End a step that does not return, where that can be done; called by another thread."""

    def _kv_usage(self) -> float | None:
        return None

    def _memory_bytes(self) -> int | None:
        return None

    def _start(self) -> None:
        self._thread.start()

    def _hand_over(
        self, sequence: Sequence, token_id: int, logprob: TokenLogprob | None = None
    ) -> None:
        """Append a token; free the slot when that finished the sequence or its reader failed."""
        self._tokens += 1
        try:
            sequence.append(token_id, logprob)
        except ConstraintError as error:
            self._give_up(sequence, Problem("validation", str(error), "grammar"))
            return
        except Exception:
            logger.exception("A sequence's reader failed; the sequence is dropped")
            self._report(sequence, Problem("internal", "The token could not be delivered."))
            sequence.cancelled = True
        if sequence.over:
            self._drop(sequence)

    def _give_up(self, sequence: Sequence, problem: Problem) -> None:
        """Free the slot of a sequence that cannot go on, and say why."""
        self._drop(sequence)
        self._report(sequence, problem)

    def _drop(self, sequence: Sequence) -> None:
        if sequence in self._active:
            self._active.remove(sequence)
            self._leave(sequence)

    def _report(self, sequence: Sequence, problem: Problem) -> None:
        if sequence.over:
            return
        try:
            sequence.fail(problem)
        except Exception:
            logger.exception("A sequence's reader failed while it was told of a failure")

    def _run(self) -> None:
        reason = "The engine was closed"
        if self._computes:
            give_way()
        try:
            while self._turn():
                pass
        except Exception as error:
            logger.exception("The engine died")
            reason = f"The engine died: {type(error).__name__}: {error}"
        finally:
            self._end(reason)

    def _turn(self) -> bool:
        """Wait for work, seat and unseat sequences, step once; false when it is time to end."""
        self._turn_began = None
        with self._wake:
            while not (self._closing or self._waiting or self._active):
                self._wake.wait()
            if self._closing:
                return False
        self._turn_began = time.monotonic()
        self._schedule()
        self._step()
        return True

    def _schedule(self) -> None:
        for sequence in [each for each in self._active if each.cancelled]:
            self._drop(sequence)
        while len(self._active) < self._slots:
            with self._wake:
                if not self._waiting:
                    return
                sequence = self._waiting.popleft()
                self._active.append(sequence)
            sequence.seated()
            self._enter(sequence)

    def _end(self, reason: str) -> None:
        with self._wake:
            self._stopped = reason
            left = [*self._active, *self._waiting]
            self._active.clear()
            self._waiting.clear()
        self._turn_began = None
        for sequence in left:
            self._report(sequence, Problem("unavailable", "The model stopped; please try again."))
        self._release()
