"""A cache of replica reports, so that many callers share one broadcast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

Fetch: TypeAlias = Callable[[], Coroutine[Any, Any, list[Any]]]


class ReportCache:
    """The last reports of each family's replicas.

    A broadcast reaches every replica and bypasses Serve's queue limits: without a cache, a client
    that polls would slow down all others.
    """

    def __init__(self) -> None:
        self._latest: dict[str, _Fetched] = {}

    async def latest(self, family: str, fetch: Fetch, max_age_s: float) -> list[Any]:
        """Reports that are at most ``max_age_s`` old, or being fetched; else those of ``fetch``.

        A caller that is cancelled does not cancel the fetch, which other callers may share.
        """
        fetched = self._latest.get(family)
        if fetched is None or fetched.is_older_than(max_age_s):
            fetched = self._latest[family] = _Fetched(fetch)
        return await asyncio.shield(fetched.reports)

    def forget(self, family: str) -> None:
        """Drop the reports of a family whose models are being changed."""
        self._latest.pop(family, None)


class _Fetched:
    """The reports of one fetch, and when they arrived."""

    def __init__(self, fetch: Fetch) -> None:
        self.reports = asyncio.ensure_future(fetch())
        self.reports.add_done_callback(self._done)
        self._done_at = float("inf")

    def is_older_than(self, age_s: float) -> bool:
        return time.monotonic() - self._done_at > age_s

    def _done(self, reports: asyncio.Future[list[Any]]) -> None:
        failed = reports.cancelled() or reports.exception() is not None
        self._done_at = float("-inf") if failed else time.monotonic()
