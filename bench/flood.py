"""Clients that send one request again and again, without a pause, in a process of their own.

So they do not hold up the event loop of the client that is measured beside them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from typing import TypeAlias

import aiohttp
import click

from bench.heavy import Request

LIMIT_S = 320.0
AFTER_REFUSAL_S = 0.25

Counter: TypeAlias = "Synchronized[int]"
"""In shared memory."""


class Flood:
    """The clients: ``answered`` and ``refused`` count what they got."""

    def __init__(
        self, url: str, clients: int, request: Request, headers: Mapping[str, str]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._answered, self._refused = context.Value("L", 0), context.Value("L", 0)
        self._process = context.Process(
            target=_run,
            args=(url, clients, request, dict(headers), self._answered, self._refused),
            daemon=True,
        )

    @property
    def answered(self) -> int:
        return int(self._answered.value)

    @property
    def refused(self) -> int:
        """Answers with 429."""
        return int(self._refused.value)

    @contextmanager
    def running(self) -> Iterator[Flood]:
        """The clients send while the block runs. Raises if they got an answer of another status."""
        self._process.start()
        try:
            yield self
            if not self._process.is_alive():
                raise click.ClickException("the flood got an answer other than 200 and 429")
        finally:
            self._process.terminate()
            self._process.join()

    def rate(self, before: int, began: float) -> float:
        """Answers a second since ``began``, when there were ``before``."""
        return (self.answered - before) / (time.monotonic() - began)


def _run(
    url: str,
    clients: int,
    request: Request,
    headers: dict[str, str],
    answered: Counter,
    refused: Counter,
) -> None:
    counters = {200: answered, 429: refused}
    asyncio.run(_send_all(url, clients, request, headers, counters))


async def _send_all(
    url: str,
    clients: int,
    request: Request,
    headers: dict[str, str],
    counters: dict[int, Counter],
) -> None:
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        url, timeout=timeout, connector=connector, headers=headers
    ) as session:
        await asyncio.gather(*(_send(session, request, counters) for _ in range(clients)))


async def _send(
    session: aiohttp.ClientSession, request: Request, counters: dict[int, Counter]
) -> None:
    while True:
        async with session.post(request.path, json=request.body) as answer:
            await answer.read()
        if answer.status not in counters:
            raise click.ClickException(f"{request.path}: {answer.status}")
        counters[answer.status].value += 1
        if answer.status == 429:
            await asyncio.sleep(AFTER_REFUSAL_S)
