"""Cuts off answers whose clients take nothing of them."""

from __future__ import annotations

import asyncio
from typing import Protocol

CHECKS = 4
"""How often within the timeout all answers are looked at."""


class SentAnswer(Protocol):
    """An answer on its way."""

    sending_since: float | None
    """Since when, in the time of the event loop, the client's connection takes nothing more."""

    def cut_off(self) -> None: ...


class SlowReaders:
    """Looks at all answers together: a timer for each would cost more than the rest of a refusal.

    An answer whose client takes nothing of it for ``timeout_s`` is cut off, at most a quarter of
    that later. One that has nothing to send is not.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._answers: set[SentAnswer] = set()
        self._is_looking = False

    def watch(self, answer: SentAnswer) -> None:
        """The answer begins."""
        self._answers.add(answer)
        if not self._is_looking:
            self._look_later()

    def forget(self, answer: SentAnswer) -> None:
        """The answer has ended."""
        self._answers.discard(answer)

    def _look_later(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_later(self.timeout_s / CHECKS, self._look)

    def _look(self) -> None:
        self._is_looking = False
        now = asyncio.get_running_loop().time()
        for answer in tuple(self._answers):
            since = answer.sending_since
            if since is not None and now - since >= self.timeout_s:
                self.forget(answer)
                answer.cut_off()
        if self._answers:
            self._look_later()
