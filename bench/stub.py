"""A stub server that answers at once: `bench.ceiling` measures the load client with it.

    uvicorn bench.stub:app --port 8190

It implements as much of OpenAI's protocol as the client reads: vectors of 384 dimensions, and
streams of as many tokens as requested. It is plain ASGI with answers made beforehand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

DIMENSIONS = 384
Message = dict[str, Any]


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"].endswith("/embeddings"):
        await _vectors(orjson.loads(body), send)
    elif scope["path"].endswith("/chat/completions"):
        await _stream(orjson.loads(body), send)
    else:
        await _start(send, 200 if scope["path"] == "/health" else 404, b"application/json")
        await send({"type": "http.response.body", "body": b"{}"})


async def _vectors(asked: Message, send: Callable[[Message], Awaitable[None]]) -> None:
    await _start(send, 200, b"application/json")
    body = b'{"data":[' + b",".join([_VECTOR] * len(asked["input"])) + b"]}"
    await send({"type": "http.response.body", "body": body})


async def _stream(asked: Message, send: Callable[[Message], Awaitable[None]]) -> None:
    await _start(send, 200, b"text/event-stream")
    for _ in range(asked["max_tokens"]):
        await send({"type": "http.response.body", "body": _TOKEN, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _start(send: Callable[[Message], Awaitable[None]], status: int, kind: bytes) -> None:
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})


_VECTOR = orjson.dumps({"embedding": [1 / (1 + n) for n in range(DIMENSIONS)]})
_TOKEN = b"data: %s\n\n" % orjson.dumps({"choices": [{"index": 0, "delta": {"content": " word"}}]})
