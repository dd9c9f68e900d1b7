"""Clients that leave, that do not read, and that write slowly, each on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Iterable
from urllib.parse import urlsplit

from bench.chaos.requests import StreamRequest

SLOW_WRITE_S = 0.2
RESET = struct.pack("ii", 1, 0)
"""For ``SO_LINGER``: closing resets the connection instead of ending it in order."""


async def cut(url: str, request: StreamRequest) -> None:
    """Begin to read a stream, and reset the connection."""
    reader, writer = await _asked(url, request)
    with contextlib.suppress(ConnectionError):
        await reader.read(1000)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def stall(url: str, request: StreamRequest) -> None:
    """Ask for a stream and never read it, until this task is cancelled."""
    _, writer = await _asked(url, request, limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        await asyncio.Event().wait()
    finally:
        writer.transport.abort()


async def drip(url: str, request: StreamRequest) -> None:
    """Write a request a byte at a time, until the server has enough of it."""
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        with contextlib.suppress(ConnectionError):
            for byte in _head_and_body(request):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(SLOW_WRITE_S)
    finally:
        writer.transport.abort()


def begin(url: str, requests: Iterable[StreamRequest]) -> list[asyncio.Task[None]]:
    """A client of each kind for every request."""
    return [
        asyncio.create_task(kind(url, request))
        for request in requests
        for kind in (cut, stall, drip)
    ]


async def _asked(
    url: str, request: StreamRequest, limit: int = 2**16
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(url)
    opened = await asyncio.open_connection(address.hostname, address.port, limit=limit)
    opened[1].write(_head_and_body(request))
    return opened


def _head_and_body(request: StreamRequest) -> bytes:
    body = json.dumps(request.body).encode()
    head = f"POST {request.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
