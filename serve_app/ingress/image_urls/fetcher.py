"""Fetches one image: follows redirects by hand, and checks each hop as if it were the first."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import TypeAlias

import httpcore
import httpx

from serve_app.ingress.image_urls.addresses import Address
from serve_app.ingress.image_urls.connection import Connector, pinned
from serve_app.ingress.image_urls.guard import UrlGuard, UrlNotAllowed, UrlTarget
from serve_app.ingress.image_urls.resolver import Resolver

MAX_REDIRECTS = 3
MAX_ADDRESSES = 4
CONNECT_TIMEOUT_S = 3.0
"""For one address; a host may have several."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
UNTYPED = frozenset({"application/octet-stream", "binary/octet-stream"})
"""What object stores call a file whose type nobody gave them."""

UNREACHABLE = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,  # of TLS, behind its handshake: a server that wants a certificate of its client
)

Hold: TypeAlias = Callable[[int], None]
"""Counts bytes as memory in use, or frees them where negative. May raise a ``ServiceError``."""


class FetchFailed(Exception):
    """There is no image at the URL, or it may not be fetched.

    The reason is for the log. A client that learned it could ask what is at private addresses.
    """


class ImageFetcher:
    """Fetches images of at most ``max_bytes``, each within ``timeout_s`` with all its redirects.

    ``resolve`` and ``connect`` are the only ways out. Cookies, credentials and the proxies of the
    environment are not used.
    """

    def __init__(
        self,
        guard: UrlGuard,
        resolve: Resolver,
        connect: Connector,
        tls: ssl.SSLContext,
        *,
        max_bytes: int,
        timeout_s: float,
    ) -> None:
        self._guard = guard
        self._resolve = resolve
        self._connect = connect
        self._tls = tls
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def fetched(self, target: UrlTarget, hold: Hold) -> bytes:
        """The file at ``target``, whose bytes are held. Raises :class:`FetchFailed`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(MAX_REDIRECTS + 1):
                    found = await self._hop(target, hold)
                    if isinstance(found, bytes):
                        return found
                    target = found
        except TimeoutError:
            raise FetchFailed(f"it took longer than {self._timeout_s:g} s") from None
        raise FetchFailed(f"there were more than {MAX_REDIRECTS} redirects")

    async def _hop(self, target: UrlTarget, hold: Hold) -> bytes | UrlTarget:
        """The file, or where a redirect leads."""
        addresses = await self._addresses(target)
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        headers = [
            (b"Host", target.url.netloc),
            (b"Accept", b"image/*"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"prsm-serve"),
            (b"Connection", b"close"),
        ]
        timeouts = {"connect": CONNECT_TIMEOUT_S}
        try:
            async with (
                pinned(addresses, self._connect, self._tls) as pool,
                pool.stream(
                    "GET", url, headers=headers, extensions={"timeout": timeouts}
                ) as response,
            ):
                if response.status in REDIRECTS:
                    return self._followed(target, _header(response, b"location"))
                return await self._body(response, hold)
        except UNREACHABLE as error:
            raise FetchFailed(f"{type(error).__name__}: {error}") from None

    async def _addresses(self, target: UrlTarget) -> tuple[Address, ...]:
        """The addresses to connect to, every one of which is allowed."""
        if target.address is not None:
            return (target.address,)
        try:
            found = await self._resolve(target.host, target.port)
        except OSError as error:
            raise FetchFailed(f"its host has no address ({error})") from None
        if not found:
            raise FetchFailed("its host has no address")
        if refused := [each for each in found if not self._guard.allows(each)]:
            raise FetchFailed(f"its host is at an address that is not allowed ({refused[0]})")
        return tuple(found[:MAX_ADDRESSES])

    def _followed(self, target: UrlTarget, location: str | None) -> UrlTarget:
        if location is None:
            raise FetchFailed("it is a redirect to nowhere")
        try:
            followed = self._guard.followed(target.url.join(location))
        except (httpx.InvalidURL, UnicodeError):
            raise FetchFailed("it is a redirect to a malformed URL") from None
        except UrlNotAllowed as error:
            raise FetchFailed(f"it is a redirect to what {error}") from None
        if target.scheme == "https" and followed.scheme == "http":
            raise FetchFailed("it is a redirect from https to http")
        return followed

    async def _body(self, response: httpcore.Response, hold: Hold) -> bytes:
        if response.status != 200:
            raise FetchFailed(f"the answer has the status {response.status}")
        if (_header(response, b"content-encoding") or "identity").lower() != "identity":
            raise FetchFailed("the answer is encoded")
        kind = (_header(response, b"content-type") or "").partition(";")[0].strip().lower()
        if not (kind.startswith("image/") or kind in UNTYPED):
            raise FetchFailed("the answer is not an image by its Content-Type")
        self._check_size(int(_header(response, b"content-length") or 0))  # h11 has checked it
        return await self._read(response, hold)

    async def _read(self, response: httpcore.Response, hold: Hold) -> bytes:
        content = bytearray()
        held = 0
        try:
            async for chunk in response.aiter_stream():
                self._check_size(len(content) + len(chunk))
                hold(len(chunk))
                held += len(chunk)
                content += chunk
        except BaseException:
            hold(-held)
            raise
        return bytes(content)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise FetchFailed(f"it is larger than {self._max_bytes} bytes")


def _header(response: httpcore.Response, name: bytes) -> str | None:
    headers: Iterable[tuple[bytes, bytes]] = response.headers
    found = (value for key, value in headers if key.lower() == name)
    value = next(found, None)
    return None if value is None else value.decode("latin-1").strip()
