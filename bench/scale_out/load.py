"""Open-loop load: requests leave at their time, whether or not those before are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

TIMEOUT_S = 240.0
CONNECTIONS = 2000


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: when it left, in seconds since the run began, how long it took, and whether it
    failed."""

    family: str
    left_s: float
    took_s: float
    failure: str | None = None


@dataclass(slots=True)
class Load:
    """The requests of a run against the graph at ``url``."""

    url: str
    began: float = field(default_factory=time.monotonic)
    sent: dict[str, int] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    @property
    def failures(self) -> list[Answered]:
        return [each for each in self.answered if each.failure is not None]

    def of(self, family: str, since_s: float, until_s: float = float("inf")) -> list[float]:
        """The times of the requests to a family that were answered in this part of the run."""
        return [
            each.took_s
            for each in self.answered
            if each.family == family and since_s <= each.left_s + each.took_s < until_s
        ]

    async def send(self, client: httpx.AsyncClient, family: str) -> Answered:
        """Send one request and keep what became of it."""
        self.sent[family] = self.sent.get(family, 0) + 1
        left, failure = self.now, None
        try:
            answer = await client.post(f"/work/{family}")
            if answer.status_code != 200:
                failure = f"{answer.status_code} {answer.text[:200]}"
        except httpx.HTTPError as error:
            failure = repr(error)
        made = Answered(family, left, self.now - left, failure)
        self.answered.append(made)
        return made

    async def at_rates(
        self, client: httpx.AsyncClient, rates: dict[str, float], seconds: float
    ) -> list[asyncio.Task[Answered]]:
        """Send requests to each family, so many a second; returns those that are under way."""
        flows = (self._flow(client, family, rate, seconds) for family, rate in rates.items())
        return [task for tasks in await asyncio.gather(*flows) for task in tasks]

    async def _flow(
        self, client: httpx.AsyncClient, family: str, rate: float, seconds: float
    ) -> list[asyncio.Task[Answered]]:
        began, tasks = self.now, list[asyncio.Task[Answered]]()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - self.now))
            tasks.append(asyncio.create_task(self.send(client, family)))
        return tasks


def open_client(url: str) -> httpx.AsyncClient:
    """A client that keeps as many requests under way as there are."""
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits, trust_env=False)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie; not a number where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
