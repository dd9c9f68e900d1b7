"""What replicas hold: each family is asked once at a time, and the answer is shared for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

Ask: TypeAlias = Callable[[], Coroutine[Any, Any, list[Any]]]


class ReportCache:
    """The last answers of each family's replicas, for everybody who asks meanwhile.

    Asking reaches every replica, past Serve's bounds on queues: without this, clients who ask in a
    loop would slow down everybody else.
    """

    def __init__(self) -> None:
        self._latest: dict[str, _Request] = {}

    async def latest(self, family: str, ask: Ask, max_age_s: float) -> list[Any]:
        """The answers that came within the last ``max_age_s``, or those that are on their way.

        Otherwise ``ask`` is called. Whoever stops waiting does not stop it for the others.
        """
        survey = self._latest.get(family)
        if survey is None or survey.is_older_than(max_age_s):
            survey = self._latest[family] = _Request(ask)
        return await asyncio.shield(survey.answers)

    def forget(self, family: str) -> None:
        """What was asked for until now may be wrong by now: the next one asks anew."""
        self._latest.pop(family, None)


class _Request:
    """One question to all replicas of a family."""

    def __init__(self, ask: Ask) -> None:
        self.answers = asyncio.ensure_future(ask())
        self.answers.add_done_callback(self._note)
        self._answered = float("inf")

    def is_older_than(self, age_s: float) -> bool:
        return time.monotonic() - self._answered > age_s

    def _note(self, answers: asyncio.Future[list[Any]]) -> None:
        failed = answers.cancelled() or answers.exception() is not None
        self._answered = float("-inf") if failed else time.monotonic()
