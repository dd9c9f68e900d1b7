"""The other end of a stream of events."""

from __future__ import annotations

import asyncio

from starlette.types import Message

SCOPE = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}
NEVER_S = 3600.0


class Client:
    """The other end of an ASGI connection: what it got, and a way to leave."""

    def __init__(self, *, gone: bool = False) -> None:
        self.got: list[Message] = []
        self.chunk = asyncio.Event()
        self.left = asyncio.Event()
        if gone:
            self.left.set()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)
        if message.get("body"):
            self.chunk.set()
