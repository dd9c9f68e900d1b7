"""Requests and tokens that a key may use in a minute."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.keys.records import Amounts

MINUTE_S = 60
REQUESTS, TOKENS = "requests", "tokens"
HEADERS = tuple(
    f"x-ratelimit-{part}-{what}"
    for what in (REQUESTS, TOKENS)
    for part in ("limit", "remaining", "reset")
)
"""The names of OpenAI's headers, on every answer to a request that counts against a limit."""

RawHeader = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a key stands. ``retry_after_s`` is above zero, if the request has to be refused, and
    ``exceeded`` says why."""

    headers: tuple[RawHeader, ...] = ()
    retry_after_s: int = 0
    exceeded: str = ""


NO_LIMITS = Standing()


class KeyLimits:
    """Counts in minutes of ``clock``, which is in seconds since 1970.

    A request counts when it is admitted. Tokens count when they have been used, since nobody knows
    earlier how many they are: a key over its limit of tokens has its next request refused. Keys of
    one name share their limits. All uses of one instance belong to one event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._tasks: set[asyncio.Task[None]] = set()

    async def admit(self, key: ApiKey) -> Standing:
        """Count a request, unless the key has no more left. A refused one does not count."""
        limited = [(what, limit) for what, limit in _limits(key) if limit is not None]
        if not limited:
            return NO_LIMITS
        spent = [
            (what, limit)
            for what, limit in limited
            if not await self._windows.test(self._per_minute(limit), what, key.name)
        ]
        if not spent and key.requests_per_minute is not None:
            await self._windows.hit(self._per_minute(key.requests_per_minute), REQUESTS, key.name)
        headers = list[RawHeader]()
        retry_after_s = 0
        for what, limit in limited:
            reset_s, left = await self._stats(key, what, limit)
            values = (str(limit), str(left), f"{reset_s}s")
            named = zip(("limit", "remaining", "reset"), values, strict=True)
            headers += [(f"x-ratelimit-{part}-{what}".encode(), v.encode()) for part, v in named]
            if (what, limit) in spent:
                retry_after_s = max(retry_after_s, reset_s, 1)
        exceeded = " and ".join(f"{limit} {what}" for what, limit in spent)
        return Standing(tuple(headers), retry_after_s, exceeded)

    def used(self, name: str, amounts: Amounts) -> None:
        """Requests that other replicas admitted, and tokens that were used, here or there."""
        if amounts.requests > 0 or amounts.tokens > 0:
            task = asyncio.get_running_loop().create_task(self._count(name, amounts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _count(self, name: str, amounts: Amounts) -> None:
        for what, amount in ((REQUESTS, amounts.requests), (TOKENS, amounts.tokens)):
            if amount > 0:
                await self._windows.hit(self._per_minute(amount), what, name, cost=amount)

    def _per_minute(self, limit: int) -> SharedLimit:
        return SharedLimit(limit, math.ceil(MINUTE_S - self._clock() % MINUTE_S))

    async def _stats(self, key: ApiKey, what: str, limit: int) -> tuple[int, int]:
        """Whole seconds until the window ends, and what is left in it."""
        found = await self._windows.get_window_stats(self._per_minute(limit), what, key.name)
        return max(0, math.ceil(found.reset_time - time.time())), found.remaining


def _limits(key: ApiKey) -> tuple[tuple[str, int | None], ...]:
    return (REQUESTS, key.requests_per_minute), (TOKENS, key.tokens_per_minute)


class SharedLimit(RateLimitItemPerSecond):
    """A limit whose window does not depend on its height, nor on how much of a minute is left: keys
    of one name share it while they are rotated."""

    def key_for(self, *identifiers: bytes | str | float) -> str:
        return "/".join(str(each) for each in identifiers)
