"""The running batch: the sequences that have a slot, as a model runner advances them in a step."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVarTuple

from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.scheduler import Scheduler
from deployments.engine.sequence import Sequence
from deployments.seam.generation import TokenLogprob
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")


class RunningBatch:
    """The running sequences of an engine, for its model runner. Used on the engine's thread.

    ``lock`` guards the ``scheduler``, which other threads submit to. ``free`` is called
    when a sequence has lost its slot, so that the model runner frees its KV cache.
    """

    def __init__(
        self, scheduler: Scheduler, lock: threading.Condition, free: Callable[[Sequence], None]
    ) -> None:
        self._scheduler = scheduler
        self._lock = lock
        self._free = free
        self.tokens = 0
        """Tokens decoded since the start."""

    @property
    def sequences(self) -> list[Sequence]:
        """The running sequences, in the order in which they were admitted."""
        return list(self._scheduler.running)

    def next(self) -> Sequence | None:
        """The sequence to advance, for runners that advance one a step."""
        with self._lock:
            return self._scheduler.next()

    def append(
        self, sequence: Sequence, token_id: int, logprob: TokenLogprob | None = None
    ) -> None:
        """Deliver a decoded token; frees the slot if that finished the sequence."""
        self.tokens += 1
        self.count(sequence, 1)
        self.guard(sequence, sequence.append, token_id, logprob)
        if sequence.finished:
            self.drop(sequence)

    def count(self, sequence: Sequence, units: int) -> None:
        """Count prefill or replay for fairness: a unit takes as long as decoding one token."""
        with self._lock:
            self._scheduler.count(sequence, units)

    def served(self, sequence: Sequence) -> tuple[float, float, float]:
        """The work that was counted for the sequence's tenant, fairness id and request."""
        with self._lock:
            return self._scheduler.served(sequence)

    def guard(
        self, sequence: Sequence, work: Callable[[*Arguments], object], *arguments: *Arguments
    ) -> None:
        """Call ``work``, which concerns one sequence: if it raises, only that sequence fails."""
        try:
            work(*arguments)
        except ConstraintError as error:
            self.fail(sequence, Problem("validation", str(error), "grammar"))
        except BaseException:  # a panic of a library in Rust is no Exception
            logger.exception("A sequence failed; the others go on")
            self.fail(sequence, Problem("internal", "The text could not be continued."))

    def fail(self, sequence: Sequence, problem: Problem) -> None:
        """Free the slot of a sequence that cannot continue, and call its failure callback."""
        self.drop(sequence)
        if not sequence.cancelled:
            sequence.cancelled = True
            report(sequence, problem)

    def drop(self, sequence: Sequence) -> None:
        """Forget a sequence and free its slot, if it has one."""
        with self._lock:
            running = self._scheduler.remove(sequence)
        if running:
            self._free(sequence)


def report(sequence: Sequence, problem: Problem) -> None:
    """Call the failure callback of a sequence, whatever it raises."""
    try:
        sequence.fail(problem)
    except BaseException:
        logger.exception("A sequence raised in its failure callback")
