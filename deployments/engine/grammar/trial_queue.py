"""The queue to the trials of grammars: who waits for which, and what is known already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cachetools import LRUCache

from deployments.engine.grammar.constraint import ConstraintError, tried
from deployments.engine.grammar.rejections import reason
from deployments.engine.grammar.trial import PART, GrammarTrial
from deployments.seam.generation import Grammar

MAX_RUNNING_TRIALS = 2
"""Trials that run; each may take a second of one core, and no more of a replica's than two."""

MAX_WAITING_TRIALS = 16
"""Grammars that wait for one of those: if all are bad the last begins after some ten seconds where
the processor is free, later where models are at work, and a good one should not be held for longer.
Those who ask for the same count as one."""

REMEMBERED = 256
"""Grammars whose trial need not be repeated."""


class TooManyTrials(Exception):
    """No more grammars can wait; the message is for the client."""


@dataclass(slots=True)
class _Asked:
    verdict: asyncio.Task[str]
    askers: int = 0


class GrammarTrials:
    """Who waits for which grammar to be tried out.

    Those who ask for the same grammar share one trial, and it is theirs only: when the last of them
    is cancelled it leaves the queue, or its process is ended. What is known waits for nothing. For
    one event loop.
    """

    def __init__(self, trial: Callable[[str], GrammarTrial] = GrammarTrial) -> None:
        self._trial = trial
        self._known: LRUCache[str, str] = LRUCache(REMEMBERED)
        self._asked: dict[str, _Asked] = {}
        self._turns = asyncio.Semaphore(MAX_RUNNING_TRIALS)
        self._threads = ThreadPoolExecutor(MAX_RUNNING_TRIALS, thread_name_prefix="trial")

    async def check(self, grammar: Grammar) -> None:
        """Back once it is known that ``grammar`` can be compiled.

        Raises ``ConstraintError`` when it cannot: it is not valid, it uses what cannot be decoded
        under a constraint (``uniqueItems``, look-around, ...), it is too large, or compiling it
        takes more than :mod:`deployments.engine.grammar.trial` allows. Raises
        :class:`TooManyTrials` when too many others wait, and ``TimeoutError`` when the machine is
        too busy to find out.
        """
        source = tried(grammar)
        objection = self._known.get(source)
        if objection is None:
            objection = await self._verdict(source)
        if objection:
            part, _, alone = objection.partition(PART)
            if part.isdecimal():
                raise ConstraintError(reason(alone), part=int(part))
            raise ConstraintError(reason(objection))

    async def _verdict(self, source: str) -> str:
        asked = self._asked.get(source) or self._queue(source)
        asked.askers += 1
        try:
            return await asyncio.shield(asked.verdict)
        finally:
            asked.askers -= 1
            if not asked.askers:
                del self._asked[source]
                asked.verdict.cancel()

    def _queue(self, source: str) -> _Asked:
        if len(self._asked) >= MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS:
            raise TooManyTrials("too many other grammars wait to be tried out")
        asked = self._asked[source] = _Asked(asyncio.create_task(self._try(source)))
        return asked

    async def _try(self, source: str) -> str:
        async with self._turns:
            trial = self._trial(source)
            loop = asyncio.get_running_loop()
            try:
                objection = await loop.run_in_executor(self._threads, trial.run)
            finally:
                trial.end()
        self._known[source] = objection
        return objection
