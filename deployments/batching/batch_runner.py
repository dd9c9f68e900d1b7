"""Runs one batch in the model's thread; when a forward fails, finds the items that it fails on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from traceback import format_exception
from typing import Any, Generic, TypeVar

from deployments.batching.decode_steps import DecodeSteps
from deployments.batching.device_failures import (
    FAILED,
    BatchFailures,
    DeviceFailures,
    is_out_of_memory,
)
from deployments.batching.scheduler import QueuedItem
from deployments.models.memory import give_back
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Paused(Generic[I]):
    """In place of an answer: the item was preempted, and is queued again as ``item``."""

    item: I


@dataclass(frozen=True, slots=True)
class BatchedModel(Generic[I, R]):
    """A model that answers items in batches.

    ``run`` takes the items of a batch and answers in their order. ``size`` is an item's length in
    tokens or pixels; only items of one ``kind`` share a forward; ``nbytes`` is the memory that an
    item takes while it waits. At most ``concurrency`` batches run at a time.

    With ``by_steps`` a batch takes many forwards, one a token: ``run`` is given the
    :class:`DecodeSteps` of its batch as well, and may answer an item with :class:`Paused`.
    """

    run: Callable[..., Sequence[R | Problem | Paused[I]]]
    size: Callable[[I], int]
    kind: Callable[[I], Hashable] = lambda item: None
    nbytes: Callable[[I], int] = lambda item: 0
    concurrency: int = 1
    by_steps: bool = False


class BatchRunner(Generic[I, R]):
    """Runs batches of ``model``. Its methods but :meth:`check` and :meth:`close` block.

    A batch that raises, or that gets more or fewer answers than it has items, is tried again in
    halves, so that only bad items fail.
    """

    def __init__(
        self, model: BatchedModel[I, R], device: DeviceFailures, clock: Callable[[], float]
    ) -> None:
        self.model = model
        self._device = device
        self._clock = clock
        self._failures = BatchFailures()
        self._known_good: QueuedItem[I, Any] | None = None  # an item that the model can answer

    def run(
        self, rows: Sequence[QueuedItem[I, Any]], steps: DecodeSteps
    ) -> tuple[Sequence[R | Problem | Paused[I]], float | None]:
        """One answer a row, and the seconds that the forward took if it did not fail."""
        began = self._clock()
        answers = self._try(rows, steps)
        if answers is not None:
            self._failures.record_batch(all_failed=False)
            self._known_good = self._known_good or rows[0]
            return answers, self._clock() - began
        answers = self._run_in_halves(rows, steps)
        self._failures.record_batch(all_failed=all(answer is FAILED for answer in answers))
        if self._failures.suspect_model and self._known_good and self._can_still_answer(steps):
            self._failures.record_batch(all_failed=False)  # the items were at fault
        return answers, None

    def run_unqueued(self, items: Sequence[I]) -> float:
        """Run a forward over items that are not in the queue; the seconds that it took.

        Raises what the model raises.
        """
        began = self._clock()
        self._answers(items, DecodeSteps([_Unqueued()] * len(items), self._clock))
        return self._clock() - began

    def check(self) -> None:
        """Raises ``RuntimeError`` when this model, or any on its device, cannot run any more."""
        self._device.check()
        self._failures.check()

    def close(self) -> None:
        """Drop the model: Serve's batching refers to its last batch, and so to this runner."""
        self.model, self._known_good = replace(self.model, run=_closed), None

    def _can_still_answer(self, steps: DecodeSteps) -> bool:
        known = self._known_good
        return known is not None and not self._device.is_lost and bool(self._try([known], steps))

    def _run_in_halves(
        self, rows: Sequence[QueuedItem[I, Any]], steps: DecodeSteps
    ) -> Sequence[R | Problem | Paused[I]]:
        """Answers to rows whose forward has failed together."""
        if len(rows) == 1 or self._device.is_lost:
            return [FAILED] * len(rows)
        middle = len(rows) // 2
        found: list[R | Problem | Paused[I]] = []
        for half in (rows[:middle], rows[middle:]):
            answers = self._try(half, steps)
            found += self._run_in_halves(half, steps) if answers is None else answers
        return found

    def _try(
        self, rows: Sequence[QueuedItem[I, Any]], steps: DecodeSteps
    ) -> Sequence[R | Problem | Paused[I]] | None:
        """The answers of one forward, or ``None`` when it failed.

        When this returns, the tensors of a failed forward are gone: the next forward needs their
        memory, and a traceback, or a log that keeps records, would hold them.
        """
        steps.begin(rows)
        try:
            return self._answers([row.item for row in rows], steps)
        except Exception as error:  # noqa: BLE001  the model's thread is an outermost edge
            trace = "".join(format_exception(error))
            logger.error("a forward of %d failed\n%s", len(rows), trace)  # noqa: TRY400
            self._device.record(error)
            self._failures.record_error(error)
            out_of_memory = is_out_of_memory(error)
        if out_of_memory:
            give_back()
        return None

    def _answers(self, items: Sequence[I], steps: DecodeSteps) -> Sequence[R | Problem | Paused[I]]:
        model = self.model
        answers = model.run(items, steps) if model.by_steps else model.run(items)
        if len(answers) != len(items):  # which answer belongs to which item is unknown
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(items)} items")
        return answers


class _Unqueued:
    """A row of a warm-up."""

    def is_wanted(self, now: float) -> bool:
        return True


def _closed(*_: Any) -> Sequence[Any]:
    raise RuntimeError("the model is closed")
