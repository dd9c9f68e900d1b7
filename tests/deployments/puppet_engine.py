"""A fake engine that decodes what the test says, on a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.compiler import GrammarCompiler
from deployments.engine.interface import STOPPED, EngineHangs, EngineLoad, EngineStopped
from deployments.engine.sequence import Sequence
from deployments.seam.problems import Problem

PATIENCE_S = 30.0


class PuppetEngine:
    """Holds every sequence that is submitted; :meth:`emit` decodes for one of them."""

    def __init__(
        self, codec: TextCodec, window: int = 64, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.hangs = False
        self.closed = False
        self.stopped: str | None = None
        self.refuses_after: int | None = None
        self.held: list[Sequence] = []
        self.codec = codec
        self.window = window
        self.grammars = GrammarCompiler(codec)
        self.process_id: int | None = None
        self.device = "puppet:0"
        self._thread = ThreadPoolExecutor(1)
        self._loop = loop or asyncio.get_running_loop()
        self._submitted: asyncio.Queue[Sequence] = asyncio.Queue()
        self._taken = 0

    def submit(self, sequence: Sequence) -> None:
        if self.stopped is not None or self._taken == self.refuses_after:
            raise EngineStopped(self.stopped or "enough")
        self._taken += 1
        self.held.append(sequence)
        self._submitted.put_nowait(sequence)

    def cancel(self, sequence: Sequence) -> None:
        if sequence in self.held:
            self.held.remove(sequence)

    def load(self) -> EngineLoad:
        return EngineLoad(4, len(self.held), 0, None, 0)

    def check(self) -> None:
        if self.hangs:
            raise EngineHangs("A decode step takes longer than 120 s")
        if self.stopped is not None:
            raise EngineStopped(self.stopped)

    def close(self) -> None:
        self.closed = True
        self._thread.shutdown()

    async def submitted(self) -> Sequence:
        """The next sequence that was submitted, once it is."""
        return await asyncio.wait_for(self._submitted.get(), PATIENCE_S)

    def emit(self, sequence: Sequence, text: str) -> None:
        """Decode ``text``, a token a byte, on the engine's thread; back when that is done."""
        for token_id in self.codec.encode(text):
            self._thread.submit(sequence.append, token_id).result(PATIENCE_S)

    def finish(self, sequence: Sequence) -> None:
        """Decode an end of sequence."""
        (end,) = self.codec.eos_ids
        self._thread.submit(sequence.append, end).result(PATIENCE_S)

    def fail(self, sequence: Sequence, problem: Problem) -> None:
        self._thread.submit(sequence.fail, problem).result(PATIENCE_S)

    def die(self) -> None:
        """End, and tell all that was held and is not over."""
        self.stopped = "The engine died: OutOfMemoryError"
        for sequence in list(self.held):
            if not sequence.finished:
                self.fail(sequence, STOPPED)
