"""An application behind a front, its clients, and what the front refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.settings import Settings
from serve_app.ingress.front.front import Front, policy_for
from serve_app.ingress.request_id import request_id_of
from serve_app.ingress.routes.dialects import error_answers

NATIVE = "/api/v1/huggingface"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what arrived: id, headers, length of the body."""
    request = Request(scope, receive)
    body = await request.body()
    found = {"id": request_id_of(scope), "headers": dict(request.headers), "length": len(body)}
    await JSONResponse(found)(scope, receive, send)


def fronted(
    app: ASGIApp = echo,
    *,
    host: str | None = None,
    refused: Callable[[Scope, str], None] | None = None,
    **settings: Any,
) -> Front:
    return Front(app, policy_for(Settings(**settings), host, refused, error_answers()))


async def asked(
    front: ASGIApp,
    path: str = "/",
    *,
    method: str = "POST",
    content: bytes | AsyncIterator[bytes] = b"",
    headers: Iterable[tuple[str | bytes, str | bytes]] = (),
    base: str = "http://house",
) -> httpx.Response:
    transport = httpx.ASGITransport(front)
    sent = [(_raw(name), _raw(value)) for name, value in headers]
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        return await client.request(method, path, content=content, headers=sent)


async def by(
    front: Front, key: str | None, path: str = f"{NATIVE}/generate", method: str = "POST"
) -> httpx.Response:
    """The answer to whoever has ``key``; ``None`` is nobody."""
    headers = [] if key is None else [("authorization", f"Bearer {key}")]
    return await asked(front, path, method=method, headers=headers)


def _raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def keys_in(folder: Path, *lines: str) -> Path:
    """A file of keys; a line ``name=key[:scopes]`` has the hash of its key made."""
    file = folder / "keys"
    file.write_text("\n".join(_hashed(line) for line in lines) + "\n")
    return file


def _hashed(line: str) -> str:
    name, equals, rest = line.partition("=")
    key, colon, scopes = rest.partition(":")
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{colon}{scopes}" if equals else line


class Wire:
    """A request at the level of ASGI, in pieces; its client takes so many messages and no more."""

    def __init__(self, front: ASGIApp, *, takes: int | None = None, **scope: Any) -> None:
        self.arriving: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.takes = takes
        self.begun = asyncio.Event()
        self.waited_for = asyncio.Event()
        whole = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        self.done = asyncio.ensure_future(front(whole | scope, self._receive, self._send))

    def arrives(self, body: bytes, *, more: bool = True) -> None:
        self.arriving.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def _receive(self) -> Message:
        if self.arriving.empty():
            self.waited_for.set()
        return await self.arriving.get()

    async def _send(self, message: Message) -> None:
        if len(self.sent) == self.takes:
            await asyncio.Event().wait()
        self.sent.append(message)
        self.begun.set()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])
