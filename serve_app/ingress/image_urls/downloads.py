"""The downloads of a replica: how many run at a time, and what a request learns of them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

from configs.settings import MAX_IMAGE_BYTES, Settings
from serve_app.ingress.errors import PayloadTooLarge, TooManyRequests, ValidationFailed
from serve_app.ingress.image_urls.connection import TcpConnector, tls_context
from serve_app.ingress.image_urls.fetcher import MAX_REDIRECTS, FetchFailed, Hold, ImageFetcher
from serve_app.ingress.image_urls.guard import UrlGuard, UrlNotAllowed, UrlTarget
from serve_app.ingress.image_urls.resolver import SystemResolver

logger = logging.getLogger("ray.serve")  # in the replica's log

WAITING_PER_SLOT = 4
"""How many downloads may wait for each that runs. More get a 429."""

PER_REQUEST = 8
"""Downloads of one request that run at a time."""


class ImageDownloads:
    """Fetches images for all requests of one replica.

    A download that fails is answered at a whole second since it began: when a host was refused
    because of its address cannot be told from when it had none, or nothing answered there.
    """

    def __init__(
        self,
        guard: UrlGuard,
        fetcher: ImageFetcher,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.guard = guard
        self._fetcher = fetcher
        self._slots = asyncio.Semaphore(settings.max_image_downloads)
        self._waiting = 0
        self._max_waiting = WAITING_PER_SLOT * settings.max_image_downloads
        self._timeout_s = settings.image_url_timeout_s
        self._clock = clock
        self._pause = pause
        self._failure = (
            "could not be fetched from its URL. The host must have public addresses and answer "
            f"within {settings.image_url_timeout_s:g} s with status 200, an image's Content-Type "
            f"and at most {settings.max_image_url_bytes} bytes, after at most {MAX_REDIRECTS} "
            "redirects."
        )

    async def download(self, target: UrlTarget, hold: Hold) -> bytes:
        """The file at ``target``.

        Raises :class:`UrlNotAllowed` with one and the same message whatever went wrong, and
        :class:`TooManyRequests` where too many wait already.
        """
        began = self._clock()
        try:
            await self._admit()
            try:
                return await self._fetcher.fetched(target, hold)
            finally:
                self._slots.release()
        except FetchFailed as error:
            # The host alone: a signed URL is a secret.
            logger.info("an image of %s was not fetched: %s", target.host, error)
        elapsed = self._clock() - began
        await self._pause(math.ceil(elapsed) - elapsed)
        raise UrlNotAllowed(self._failure)

    async def _admit(self) -> None:
        """Wait for a slot, which the caller releases."""
        if self._waiting >= self._max_waiting:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1


class RequestDownloads:
    """Fetches the images of one request, each URL once, however many fields name it.

    ``hold`` counts their bytes as memory of the request.
    """

    def __init__(self, downloads: ImageDownloads, hold: Hold) -> None:
        self._downloads = downloads
        self._hold_request = hold
        self._held = 0
        self._at_a_time = asyncio.Semaphore(PER_REQUEST)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._files: dict[str, bytes | UrlNotAllowed] = {}

    async def fetched(self, url: str, field: str) -> bytes:
        """The file at ``url``. Raises :class:`ServiceError` about ``field``."""
        async with self._turns[url]:
            if url not in self._files:
                self._files[url] = await self._outcome(url, field)
        found = self._files[url]
        if isinstance(found, bytes):
            return found
        raise ValidationFailed(f"{field} {found}", field=field)

    async def _outcome(self, url: str, field: str) -> bytes | UrlNotAllowed:
        def hold(size: int) -> None:
            if self._held + size > MAX_IMAGE_BYTES:
                message = f"The images of one request have more than {MAX_IMAGE_BYTES} bytes."
                raise PayloadTooLarge(
                    message, field=field, details={"field_errors": {field: message}}
                )
            self._hold_request(size)
            self._held += size

        try:
            target = self._downloads.guard.checked(url)
            async with self._at_a_time:
                return await self._downloads.download(target, hold)
        except UrlNotAllowed as refused:
            return refused


def image_downloads(settings: Settings) -> ImageDownloads | None:
    """The downloads that the settings allow: none unless ``image_urls`` is on."""
    if not settings.image_urls:
        return None
    guard = UrlGuard(settings)
    fetcher = ImageFetcher(
        guard,
        SystemResolver(settings.max_image_downloads),
        TcpConnector(),
        tls_context(),
        max_bytes=settings.max_image_url_bytes,
        timeout_s=settings.image_url_timeout_s,
    )
    return ImageDownloads(guard, fetcher, settings)


def _busy() -> TooManyRequests:
    return TooManyRequests("The server fetches as many images as it can at a time.", 2)
