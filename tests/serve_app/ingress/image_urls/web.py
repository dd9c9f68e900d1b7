"""A small web for tests: one server of canned answers, and a resolver of made-up names."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import httpcore
from httpcore import AsyncNetworkStream
from PIL import Image

from configs.settings import Settings
from serve_app.ingress.image_urls.addresses import Address
from serve_app.ingress.image_urls.downloads import ImageDownloads
from serve_app.ingress.image_urls.fetcher import ImageFetcher
from serve_app.ingress.image_urls.guard import UrlGuard
from tests.deployments.pictures import encoded

PNG = encoded(Image.new("RGB", (4, 3), "red"))
PUBLIC, OTHER, V6 = "8.8.8.8", "1.1.1.1", "2606:4700::1"
NAMES: Mapping[str, list[str]] = {
    "a.example": [PUBLIC],
    "b.example": [OTHER],
    "both.example": [V6, PUBLIC],
    "inside.example": ["10.0.0.1"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "store.internal": ["10.9.0.1"],
}


def answer(
    body: bytes = PNG, status: str = "200 OK", length: int | None = -1, **headers: str
) -> bytes:
    """An HTTP answer to the letter; ``length`` -1 is that of the body, and ``None`` none."""
    lines = {"Content-Type": "image/png"} | {k.replace("_", "-"): v for k, v in headers.items()}
    if length is not None:
        lines["Content-Length"] = str(len(body) if length < 0 else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, Location=location)


class Web:
    """Answers paths with ``pages``; other paths are never answered.

    It stands for the whole internet: a connection to any address goes to it, and is kept in
    ``connected``. Addresses in ``unreachable`` refuse connections.
    """

    def __init__(self, pages: Mapping[str, bytes], port: int) -> None:
        self.pages = dict(pages)
        self.requests: list[str] = []
        self.connected: list[str] = []
        self.resolved: list[str] = []
        self.unreachable: set[str] = set()
        self.asked = asyncio.Event()
        self.port = port
        self._backend = httpcore.AnyIOBackend()

    async def resolve(self, host: str, port: int) -> list[Address]:
        self.resolved.append(host)
        if host not in NAMES:
            raise OSError("no such name")
        return [ip_address(each) for each in NAMES[host]]

    async def connect(
        self, address: Address, port: int, timeout_s: float | None
    ) -> AsyncNetworkStream:
        self.connected.append(str(address))
        if str(address) in self.unreachable:
            raise httpcore.ConnectError("unreachable")
        return await self._backend.connect_tcp("127.0.0.1", self.port, timeout_s)

    def fetcher(self, tls: ssl.SSLContext | None = None, **settings: Any) -> ImageFetcher:
        made = Settings.model_validate(settings)
        return ImageFetcher(
            UrlGuard(made),
            self.resolve,
            self.connect,
            tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # trusts nobody
            max_bytes=made.max_image_url_bytes,
            timeout_s=made.image_url_timeout_s,
        )

    def downloads(self, pauses: list[float] | None = None, **settings: Any) -> ImageDownloads:
        async def pause(seconds: float) -> None:
            if pauses is not None:
                pauses.append(seconds)

        made = Settings.model_validate(settings)
        return ImageDownloads(UrlGuard(made), self.fetcher(**settings), made, pause=pause)


@asynccontextmanager
async def web(pages: Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """A web of ``pages`` by path."""

    serving: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        made.requests.append(head)
        made.asked.set()
        page = made.pages.get(head.split(" ")[1])
        if page is None:
            await reader.read()  # until the client leaves
        else:
            writer.write(page)
            with suppress(ConnectionError):
                await writer.drain()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    made = Web(pages, server.sockets[0].getsockname()[1])
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()
        async with asyncio.timeout(10):
            await asyncio.gather(*serving)
