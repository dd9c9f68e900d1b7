"""What is seen of a graph while it is changed: its replicas, and the 5xx that HAProxy counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import httpx

POLL_S = 0.5
COUNTER = re.compile(
    r'^haproxy_frontend_http_responses_total\{proxy="http_frontend",code="5xx"\} (\S+)',
    re.MULTILINE,
)

Replicas: TypeAlias = dict[str, frozenset[str]]


def replicas(details: dict[str, Any]) -> Replicas:
    """The ids of each deployment's replicas, from Serve's own status."""
    (application,) = details["applications"].values()
    return {
        name: frozenset(each["replica_id"] for each in deployment["replicas"])
        for name, deployment in application["deployments"].items()
    }


class FrontErrors:
    """The 5xx that HAProxy has sent, its own and those of replicas.

    HAProxy counts from zero after each reload, so its counter is read again and again, and what was
    seen before a reload is added up.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._before = 0
        self._last = 0

    async def total(self) -> int:
        """Up to now."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            await self._read(client)
        return self.seen

    @property
    def seen(self) -> int:
        """At the last reading."""
        return self._before + self._last

    def add(self, exposition: str) -> None:
        """Take what HAProxy's metrics say now."""
        found = COUNTER.search(exposition)
        now = int(float(found[1])) if found else 0
        if now < self._last:
            self._before += self._last
        self._last = now

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Read the counter all the time, meanwhile."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                await self._read(client)
                await asyncio.sleep(POLL_S)

    async def _read(self, client: httpx.AsyncClient) -> None:
        try:
            self.add((await client.get(self._url)).text)
        except httpx.TransportError:
            return  # it is being reloaded
