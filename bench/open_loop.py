"""A cheap HTTP client that sends requests when they are due, whether or not others have answers.

Clients of a service under overload do not wait for each other: a closed loop would slow down with
the server and never overload it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
RETRY = re.compile(rb"(?i)\r\nretry-after: *(\d+)")
GIVE_UP_S = 60.0
MAX_CONNECTIONS = 4000

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was due and answered, by ``time.monotonic``; status 0 is no answer at all."""

    due: float
    ended: float
    status: int
    retry_after_s: int | None = None

    @property
    def seconds(self) -> float:
        return self.ended - self.due


class OpenLoop:
    """Requests to one address. ``body(number)`` is that of each; connections are used again."""

    def __init__(
        self, host: str, port: int, path: str, body: Callable[[int], bytes], headers: str = ""
    ) -> None:
        self._address = host, port
        self._head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}"
        self._head += "Content-Type: application/json\r\nContent-Length: "
        self._body = body
        self._free: list[Connection] = []
        self._open = 0
        self._sent = 0
        self.answers: list[Answer] = []

    async def at_rate(self, per_s: float, seconds: float) -> float:
        """Send so many requests a second for so long, and wait for all answers.

        Returns when it began.
        """
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_s * seconds)):
                due = began + number / per_s
                if (early := due - time.monotonic()) > 0.001:
                    await asyncio.sleep(early)
                group.create_task(self._send(due))
        return began

    async def by_clients(self, clients: int, seconds: float) -> float:
        """As many clients that each send their next request when they have an answer.

        Returns when they began.
        """
        began = time.monotonic()

        async def client() -> None:
            while (now := time.monotonic()) < began + seconds:
                await self._send(now)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
        return began

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()

    async def _send(self, due: float) -> None:
        self._sent += 1
        body = self._body(self._sent)
        status, retry = 0, None
        try:
            async with asyncio.timeout(GIVE_UP_S):
                status, retry = await self._exchange(body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        self.answers.append(Answer(due, time.monotonic(), status, retry))

    async def _exchange(self, body: bytes) -> tuple[int, int | None]:
        reader, writer = await self._connection()
        try:
            writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length, retry = LENGTH.search(head), RETRY.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
        except BaseException:
            self._open -= 1
            writer.close()
            raise
        self._free.append((reader, writer))
        return int(head[9:12]), int(retry[1]) if retry else None

    async def _connection(self) -> Connection:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():
                return reader, writer
            self._open -= 1
            writer.close()
        if self._open >= MAX_CONNECTIONS:
            raise OSError("too many connections")
        self._open += 1
        try:
            return await asyncio.open_connection(*self._address, limit=2**20)
        except BaseException:
            self._open -= 1
            raise
