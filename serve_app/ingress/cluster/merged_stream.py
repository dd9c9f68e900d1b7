"""The token streams of several prompts as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol

from deployments.seam.generation import TokenChunk
from serve_app.ingress.cluster.attempts import wait_until
from serve_app.ingress.cluster.workers import run_all


class TokenSource(Protocol):
    """An open stream of token chunks."""

    def __aiter__(self) -> AsyncIterator[TokenChunk]: ...

    def close(self) -> None: ...


class MergedStream:
    """The chunks of several streams, as they come. Closing it closes them all.

    ``openings`` open the streams, one per prompt, each with ``choices`` choices; up to ``workers``
    are open at a time. The choices are numbered through, and ``prompt_tokens`` counts those of all
    prompts that have begun. Chunks wait for their reader, so that a slow one holds the streams up.
    The streams have ``timeout_s`` seconds together.
    """

    def __init__(
        self,
        openings: Sequence[Callable[[], Awaitable[TokenSource]]],
        choices: int,
        *,
        workers: int,
        timeout_s: float,
    ) -> None:
        self._choices = choices
        self._begun: set[int] = set()
        self._prompt_tokens = 0
        self._chunks: asyncio.Queue[TokenChunk | BaseException | None] = asyncio.Queue(workers)
        self._first: TokenChunk | None = None
        works = [partial(self._read, index, opening) for index, opening in enumerate(openings)]
        deadline = asyncio.get_running_loop().time() + timeout_s
        self._task = asyncio.ensure_future(self._run(wait_until(deadline, run_all(works, workers))))

    async def start(self) -> None:
        """Wait for the first chunk. Raises :class:`ServiceError` when a prompt fails before."""
        try:
            self._first = await self._next()
        except BaseException:
            self.close()
            raise

    async def __aiter__(self) -> AsyncIterator[TokenChunk]:
        """Every chunk, the first included. Raises :class:`ServiceError` when a stream breaks."""
        chunk = self._first
        try:
            while chunk is not None:
                yield chunk
                chunk = await self._next()
        finally:
            self.close()

    def close(self) -> None:
        """Stop every generation within one decode step. May be called more than once."""
        self._task.cancel()

    async def _run(self, reading: Awaitable[None]) -> None:
        end: BaseException | None = None
        try:
            await reading
        except Exception as error:  # noqa: BLE001  handed to the reader, who raises it
            end = error
        await self._chunks.put(end)

    async def _read(self, index: int, opening: Callable[[], Awaitable[TokenSource]]) -> None:
        with closing(await opening()) as stream:
            async for chunk in stream:
                await self._chunks.put(self._numbered(index, chunk))

    def _numbered(self, index: int, chunk: TokenChunk) -> TokenChunk:
        if index not in self._begun:
            self._begun.add(index)
            self._prompt_tokens += chunk.prompt_tokens
        first = index * self._choices
        tokens = tuple(token._replace(choice=first + token.choice) for token in chunk.tokens)
        return TokenChunk(self._prompt_tokens, tokens, chunk.device)

    async def _next(self) -> TokenChunk | None:
        item = await self._chunks.get()
        if isinstance(item, BaseException):
            raise item
        return item
