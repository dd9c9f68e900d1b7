"""The queue of grammar trials: decides once for each grammar whether it may be compiled.

Backpressure: the queue is bounded, and a request that would exceed it is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cachetools import LRUCache

from deployments.engine.grammar.compiler import trial_source
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.grammar.rejections import rejection
from deployments.engine.grammar.trial import SEPARATOR, GrammarTrial
from deployments.engine.tuning import MAX_RUNNING_TRIALS, MAX_WAITING_TRIALS, REMEMBERED_TRIALS
from deployments.seam.generation import Grammar


class TooManyTrials(Exception):
    """No more grammars can wait; the message is for the client."""


@dataclass(slots=True)
class _QueuedTrial:
    """A trial that waits or runs, and how many requests wait for its result."""

    result: asyncio.Task[str]
    requests: int = 0


class GrammarTrials:
    """Runs trials of grammars, a few at a time, and remembers their results. For one event loop.

    Requests with the same grammar share a trial. When the last of them is cancelled, the trial
    leaves the queue or its process is killed. A grammar whose result is known does not wait.
    """

    def __init__(self, trial: Callable[[str], GrammarTrial] = GrammarTrial) -> None:
        self._trial = trial
        self._results: LRUCache[str, str] = LRUCache(REMEMBERED_TRIALS)
        self._queued: dict[str, _QueuedTrial] = {}
        self._slots = asyncio.Semaphore(MAX_RUNNING_TRIALS)
        self._threads = ThreadPoolExecutor(MAX_RUNNING_TRIALS, thread_name_prefix="trial")

    async def check(self, grammar: Grammar) -> None:
        """Return once it is known that ``grammar`` can be compiled.

        Raises ``ConstraintError`` when it cannot: it is not valid, it uses what cannot be decoded
        under a constraint (``uniqueItems``, look-around, ...), it is too large, or compiling it
        takes more than :mod:`deployments.engine.grammar.trial` allows. Raises
        :class:`TooManyTrials` when too many others wait, and ``TimeoutError`` when the machine is
        too busy to find out.
        """
        source = trial_source(grammar)
        objection = self._results.get(source)
        if objection is None:
            objection = await self._result(source)
        if objection:
            part, _, alone = objection.partition(SEPARATOR)
            if part.isdecimal():
                raise ConstraintError(rejection(alone), part=int(part))
            raise ConstraintError(rejection(objection))

    async def _result(self, source: str) -> str:
        queued = self._queued.get(source) or self._queue(source)
        queued.requests += 1
        try:
            return await asyncio.shield(queued.result)
        finally:
            queued.requests -= 1
            if not queued.requests:
                del self._queued[source]
                queued.result.cancel()

    def _queue(self, source: str) -> _QueuedTrial:
        if len(self._queued) >= MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS:
            raise TooManyTrials("too many other grammars wait to be tried out")
        queued = self._queued[source] = _QueuedTrial(asyncio.create_task(self._run(source)))
        return queued

    async def _run(self, source: str) -> str:
        async with self._slots:
            trial = self._trial(source)
            loop = asyncio.get_running_loop()
            try:
                objection = await loop.run_in_executor(self._threads, trial.run)
            finally:
                trial.end()
        self._results[source] = objection
        return objection
