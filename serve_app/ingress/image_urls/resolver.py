"""Resolves host names, in threads of its own: the system's resolver blocks."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Protocol

from serve_app.ingress.image_urls.addresses import Address

THREADS_PER_CALLER = 4
"""Resolvers give up after some 30 s by default, which is three downloads' time."""


class Resolver(Protocol):
    """Answers with the addresses of a host, best first, or raises ``OSError``."""

    async def __call__(self, host: str, port: int) -> list[Address]: ...


class SystemResolver:
    """The system's resolver: its hosts file, its name servers. For ``callers`` at a time.

    A caller that stops waiting does not stop a name server: its thread is free when that answers
    or the system gives up. So there are more threads than callers.
    """

    def __init__(self, callers: int) -> None:
        self._threads = ThreadPoolExecutor(
            THREADS_PER_CALLER * callers, thread_name_prefix="image-url-resolver"
        )

    async def __call__(self, host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, resolved, host, port)


def resolved(host: str, port: int) -> list[Address]:
    """The addresses of ``host``, each once. Raises ``OSError`` when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # Python's own codec for host names
        raise OSError(str(error)) from None
    return list(dict.fromkeys(ip_address(place[0]) for *_, place in found))
