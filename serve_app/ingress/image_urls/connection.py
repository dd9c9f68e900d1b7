"""Connections to an address that was checked, whatever its host's name resolves to meanwhile."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Protocol

import httpcore
import httpx
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from serve_app.ingress.image_urls.addresses import Address


class Connector(Protocol):
    """Opens a TCP connection. Raises errors of httpcore."""

    async def __call__(
        self, address: Address, port: int, timeout_s: float | None
    ) -> AsyncNetworkStream: ...


class TcpConnector:
    """Connects directly: proxies that the environment names are not used."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def __call__(
        self, address: Address, port: int, timeout_s: float | None
    ) -> AsyncNetworkStream:
        return await self._backend.connect_tcp(str(address), port, timeout_s)


class PinnedBackend(AsyncNetworkBackend):
    """Connects to ``addresses``, the first that can be reached, and never to a name.

    TLS is checked against the host of the URL, which httpcore hands to the stream.
    """

    def __init__(self, addresses: tuple[Address, ...], connect: Connector) -> None:
        self._addresses = addresses
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class has it
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        *others, last = self._addresses
        for address in others:
            try:
                return await self._connect(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connect(last, port, timeout)


def pinned(
    addresses: tuple[Address, ...], connect: Connector, tls: ssl.SSLContext
) -> httpcore.AsyncConnectionPool:
    """A pool of one connection, which goes to ``addresses`` only."""
    return httpcore.AsyncConnectionPool(
        ssl_context=tls,
        max_connections=1,
        max_keepalive_connections=0,
        retries=0,
        network_backend=PinnedBackend(addresses, connect),
    )


def tls_context() -> ssl.SSLContext:
    """Trusts certifi's authorities, or those that ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names."""
    return httpx.create_ssl_context()
