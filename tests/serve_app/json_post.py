"""A POST of JSON to an application, without a server or a client between."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.types import Message


async def json_post(app: FastAPI, route: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """The status and the body of the answer."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    given = {"content-type": "application/json"} | headers
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": "POST", "path": route, "raw_path": route.encode()}
    await app(scope | {"query_string": b"", "headers": pairs, "root_path": ""}, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent)
