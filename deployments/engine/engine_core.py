"""The engine: a thread that admits, preempts and cancels sequences, and steps the model runner."""

from __future__ import annotations

import logging
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from deployments.engine.codec import TextCodec
from deployments.engine.interface import STOPPED, EngineHangs, EngineLoad, EngineStopped
from deployments.engine.model_runner import ModelRunner
from deployments.engine.running import RunningBatch, report
from deployments.engine.scheduler import Scheduler
from deployments.engine.sequence import Sequence, held_tokens
from deployments.models.thread_priority import lower_thread_priority

if TYPE_CHECKING:
    from deployments.engine.grammar.compiler import GrammarCompiler

logger = logging.getLogger(__name__)

_CLOSE_WAIT_S = 30.0
"""Seconds that ``close`` waits for the running step before it aborts the step."""


class EngineCore:
    """The :class:`~deployments.engine.interface.Engine` over a model runner.

    It decodes from :meth:`start` on. ``hang_after_s`` bounds one step before :meth:`check` calls
    the engine hung.
    """

    def __init__(
        self,
        codec: TextCodec,
        runner: ModelRunner,
        *,
        slots: int,
        window: int,
        hang_after_s: float = 120.0,
    ) -> None:
        self.codec = codec
        self.window = window
        self._runner = runner
        self._slots = slots
        self._hang_after_s = hang_after_s
        self._wake = threading.Condition()
        self._scheduler = Scheduler(slots, runner.fits)
        self._batch = RunningBatch(self._scheduler, self._wake, runner.free)
        self._closing = False
        self._stopped: str | None = None
        self._starved_by: Literal["slots", "kv_cache"] | None = None
        self._step_began: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread that decodes."""
        self._thread.start()

    @cached_property
    def grammars(self) -> GrammarCompiler:
        from deployments.engine.grammar.compiler import GrammarCompiler  # imports llguidance

        return GrammarCompiler(self.codec)

    @property
    def process_id(self) -> int | None:
        return self._runner.info.process_id

    @property
    def device(self) -> str:
        return self._runner.info.device

    def submit(self, sequence: Sequence) -> None:
        sequence.check_window(self.window)
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
            running, waiting = self._batch.sequences, self._scheduler.waiting
            held = held_tokens(self._scheduler.sequences)
        return EngineLoad(
            slots=self._slots,
            running=len(running),
            waiting=waiting,
            kv_usage=self._runner.kv_usage(running),
            tokens=self._batch.tokens,
            memory_bytes=self._runner.memory_bytes(),
            kv_cache_bytes=self._runner.info.kv_cache_bytes,
            held_tokens=held,
            kv_tokens=self._runner.info.kv_tokens,
            starved_by=self._starved_by if running else None,
            prefixes=self._runner.prefix_counts(),
        )

    def check(self) -> None:
        if self._stopped is not None:
            raise EngineStopped(self._stopped)
        if self._hangs():
            kind = EngineStopped if self._runner.info.abortable else EngineHangs
            raise kind(f"A decode step takes longer than {self._hang_after_s:.0f} s")
        failure = self._runner.failure()
        if failure is not None:
            raise EngineStopped(failure)

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is threading.current_thread():
            return
        if not self._hangs():
            self._thread.join(_CLOSE_WAIT_S)
        if self._thread.is_alive():
            self._runner.abort()

    def _hangs(self) -> bool:
        began = self._step_began
        return began is not None and time.monotonic() - began > self._hang_after_s

    def _run(self) -> None:
        reason = "The engine was closed"
        try:
            if self._runner.info.computes_in_thread:
                lower_thread_priority()
            while self._wait_for_work():
                self._step_began = time.monotonic()
                self._schedule()
                with self._wake:
                    self._starved_by = self._scheduler.starved_by
                rows, began = len(self._scheduler.running), time.monotonic()
                self._runner.step(self._batch)
                with self._wake:
                    self._scheduler.stepped(rows, time.monotonic() - began)
        except BaseException as error:
            logger.exception("The engine died")
            reason = f"The engine died: {type(error).__name__}: {error}"
        finally:
            self._end(reason)

    def _wait_for_work(self) -> bool:
        """Sleep while there is no sequence; returns false when the engine is closing."""
        self._step_began = None
        with self._wake:
            while self._scheduler.idle and not self._closing:
                self._wake.wait()
            return not self._closing

    def _schedule(self) -> None:
        """Drop cancelled sequences, admit waiting ones, and preempt running ones for others."""
        for sequence in self._batch.sequences:
            if sequence.cancelled:
                self._batch.drop(sequence)
        self._admit()
        for _ in range(self._slots):
            with self._wake:
                preempted = self._scheduler.preempt()
            if not preempted:
                return
            for sequence in preempted:
                self._runner.free(sequence)
            self._admit()

    def _admit(self) -> None:
        while True:
            with self._wake:
                sequence = self._scheduler.admit()
            if sequence is None:
                return
            self._batch.guard(sequence, self._start_sequence, sequence)

    def _start_sequence(self, sequence: Sequence) -> None:
        sequence.admitted()
        self._runner.admit(sequence)

    def _end(self, reason: str) -> None:
        """Fail all unfinished sequences, and free the model."""
        with self._wake:
            self._stopped = reason
            left = self._scheduler.clear()
        self._step_began = None
        for sequence in left:
            if not sequence.finished:
                report(sequence, STOPPED)
        self._runner.close()
