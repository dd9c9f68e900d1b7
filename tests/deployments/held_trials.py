"""Fake trials of grammars, which end when the test says how."""

from __future__ import annotations

import asyncio
import threading

from deployments.engine.grammar.compiler import llguidance_source
from deployments.engine.grammar.trial import GrammarTrial
from deployments.seam.generation import Grammar

PATIENCE_S = 30.0


class HeldTrial(GrammarTrial):
    """A trial without a process; :meth:`tell` ends it."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source
        self.ended = asyncio.Event()
        self._over = threading.Event()
        self._objection: str | None = None

    def run(self) -> str:
        assert self._over.wait(PATIENCE_S), "the test did not end the trial"
        if self._objection is None:
            raise TimeoutError("ended")
        return self._objection

    def end(self) -> None:
        self.ended.set()
        self._over.set()

    def tell(self, objection: str = "") -> None:
        self._objection = objection
        self._over.set()

    def is_of(self, grammar: Grammar) -> bool:
        return self.source == llguidance_source(grammar)


class HeldTrials:
    """Makes the trials of a queue, and hands them out in the order in which they begin."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[HeldTrial] = asyncio.Queue()

    def trial(self, source: str) -> GrammarTrial:
        trial = HeldTrial(source)
        self._begun.put_nowait(trial)
        return trial

    async def next(self) -> HeldTrial:
        """The next trial that begins, once it does."""
        return await asyncio.wait_for(self._begun.get(), PATIENCE_S)

    @property
    def idle(self) -> bool:
        """Whether no trial has begun besides those that were handed out."""
        return self._begun.empty()
