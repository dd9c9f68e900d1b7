"""Requests beside a test, one after another, and the longest time that an answer took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx

PAUSE_S = 0.02
ANSWER_S = 120


class Beside:
    """Asks something of the service without end, with a pause between, and times the answers."""

    def __init__(
        self, ask: Callable[[httpx.Client], httpx.Response], url: str, pause_s: float = PAUSE_S
    ) -> None:
        self._ask = ask
        self._url = url
        self._pause_s = pause_s
        self._longest = 0.0
        self._count = 0
        self._answered = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def taken(self) -> float:
        """The longest time since the last call of this, in seconds, with what is on its way now."""
        with self._answered:
            asked = self._count + 1
            answered = self._answered.wait_for(lambda: self._count >= asked, ANSWER_S)
            assert answered, "it is not answered any more"
            longest, self._longest = self._longest, 0.0
            return longest

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=ANSWER_S) as client:
            while not self._ended.wait(self._pause_s):
                since = time.monotonic()
                status = self._ask(client).status_code
                assert status == 200, status
                with self._answered:
                    self._count += 1
                    self._longest = max(self._longest, time.monotonic() - since)
                    self._answered.notify_all()


def liveness(client: httpx.Client) -> httpx.Response:
    return client.get("/health/liveness")
