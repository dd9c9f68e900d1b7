"""All downloads of a replica: what failures look like, how many run, and whose memory they take."""

from __future__ import annotations

import asyncio
import logging
import threading
from ipaddress import ip_address

import pytest

from configs.settings import Settings
from serve_app.ingress.errors import (
    PayloadTooLarge,
    ServiceError,
    TooManyRequests,
    ValidationFailed,
)
from serve_app.ingress.image_urls import downloads as module
from serve_app.ingress.image_urls import resolver
from serve_app.ingress.image_urls.addresses import Address
from serve_app.ingress.image_urls.downloads import (
    WAITING_PER_SLOT,
    ImageDownloads,
    RequestDownloads,
    image_downloads,
)
from serve_app.ingress.image_urls.guard import UrlGuard
from tests.serve_app.ingress.image_urls.web import PNG, PUBLIC, answer, redirect, web
from tests.serve_app.local_handle import happens

PAGES = {
    "/a.png": answer(),
    "/none": answer(b"", "404 Not Found"),
    "/html": answer(Content_Type="text/html"),
    "/large": answer(b"a" * 3000),
    "/inside": redirect("http://10.0.0.1/"),
    "/metadata": redirect("http://169.254.169.254/latest/meta-data"),
    "/port": redirect("http://b.example:22/"),
}
FAILING = (
    *(f"http://a.example{path}" for path in PAGES if path != "/a.png"),
    "http://inside.example/a.png",
    "http://mixed.example/a.png",
    "http://none.example/a.png",
    "http://b.example/a.png",
)


def of_request(downloads: ImageDownloads, held: list[int] | None = None) -> RequestDownloads:
    return RequestDownloads(downloads, (held if held is not None else []).append)


async def failure(request: RequestDownloads, url: str) -> ServiceError:
    with pytest.raises(ServiceError) as failed:
        await request.fetched(url, "photo")
    return failed.value


async def test_a_client_learns_the_same_of_every_failure(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing answers, where something does, and where nothing was tried."""
    pauses: list[float] = []
    async with web(PAGES) as net:
        net.unreachable = {"1.1.1.1"}
        request = of_request(net.downloads(pauses, max_image_url_bytes=2000))
        with caplog.at_level(logging.INFO, logger="ray.serve"):
            errors = [await failure(request, url) for url in FAILING]
    assert {type(each) for each in errors} == {ValidationFailed}
    assert {each.field for each in errors} == {"photo"}
    assert {each.message for each in errors} == {
        "photo could not be fetched from its URL. The host must have public addresses and answer "
        "within 10 s with status 200, an image's Content-Type and at most 2000 bytes, after at "
        "most 3 redirects."
    }
    assert len(pauses) == len(FAILING)
    assert len(caplog.messages) == len(FAILING)  # the operator learns more
    assert "status 404" in caplog.text
    assert not [each for each in caplog.messages if "/" in each.partition(":")[0]]


async def test_a_failure_is_told_at_a_whole_second_after_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([10.0, 10.25, 20.0, 22.5, 30.0, 31.0])
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with web(PAGES) as net:
        settings = Settings()
        downloads = ImageDownloads(
            UrlGuard(settings), net.fetcher(), settings, clock=lambda: next(times), pause=pause
        )
        for url in ("http://inside.example/", "http://none.example/", "http://a.example/none"):
            await failure(of_request(downloads), url)
    assert pauses == [0.75, 0.5, 0.0]


async def test_a_url_that_is_wrong_by_itself_says_why_and_at_once() -> None:
    pauses: list[float] = []
    async with web(PAGES) as net:
        request = of_request(net.downloads(pauses))
        error = await failure(request, "http://127.0.0.1/a.png")
        assert (error.status, error.field) == (400, "photo")
        assert error.message == "photo is a URL of an address that is not public."
        assert net.connected == net.resolved == []
    assert pauses == []


async def test_a_url_is_fetched_once_for_all_fields_of_a_request() -> None:
    held: list[int] = []
    async with web(PAGES) as net:
        request = of_request(net.downloads(), held)
        found = await asyncio.gather(
            *(request.fetched("http://a.example/a.png", f"photo{i}") for i in range(5))
        )
        assert found == [PNG] * 5
        assert net.connected == [PUBLIC]
        assert sum(held) == len(PNG)
        assert (await failure(request, "http://a.example/none")).field == "photo"
        await failure(request, "http://a.example/none")
        assert len(net.connected) == 2


async def test_the_images_of_one_request_have_bounded_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 3 * len(PNG) // 2)
    held: list[int] = []
    async with web({"/a.png": answer(), "/b.png": answer()}) as net:
        request = of_request(net.downloads(), held)
        assert await request.fetched("http://a.example/a.png", "photo") == PNG
        error = await failure(request, "http://a.example/b.png")
        assert isinstance(error, PayloadTooLarge)
        assert sum(held) == len(PNG)


async def test_what_waits_is_bounded_and_a_slot_is_free_when_its_client_leaves() -> None:
    async with web(PAGES) as net:
        downloads = net.downloads(max_image_downloads=1)
        running = asyncio.create_task(of_request(downloads).fetched("http://a.example/-", "photo"))
        await net.asked.wait()
        waiting = [
            asyncio.create_task(of_request(downloads).fetched("http://a.example/a.png", "photo"))
            for _ in range(WAITING_PER_SLOT)
        ]
        await asyncio.sleep(0)
        error = await failure(of_request(downloads), "http://a.example/a.png")
        assert isinstance(error, TooManyRequests)
        running.cancel()
        assert await asyncio.gather(*waiting) == [PNG] * WAITING_PER_SLOT


async def test_who_waits_too_long_for_a_slot_is_told_to_come_back() -> None:
    async with web(PAGES) as net:
        settings = Settings(max_image_downloads=1, image_url_timeout_s=0.1)
        slow = net.fetcher()
        downloads = ImageDownloads(UrlGuard(settings), slow, settings)
        running = asyncio.create_task(of_request(downloads).fetched("http://a.example/-", "photo"))
        await net.asked.wait()
        error = await failure(of_request(downloads), "http://a.example/a.png")
        assert isinstance(error, TooManyRequests)
        running.cancel()


def test_nothing_is_fetched_unless_it_is_enabled() -> None:
    assert image_downloads(Settings()) is None
    assert image_downloads(Settings(image_urls=True)) is not None


async def test_names_whose_servers_hang_do_not_keep_others_from_being_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor after their downloads were given up: no thread of a resolver can be stopped."""
    answers, loop, looked_up = threading.Event(), asyncio.get_running_loop(), asyncio.Event()

    def resolved(host: str, port: int) -> list[Address]:
        if host == "b.example":
            loop.call_soon_threadsafe(looked_up.set)
        else:
            answers.wait()
        return [ip_address("127.0.0.1")]

    monkeypatch.setattr(resolver, "resolved", resolved)
    slots = 4
    downloads = image_downloads(Settings(image_urls=True, max_image_downloads=slots))
    assert downloads is not None
    try:
        for _ in range(2):
            slow = [
                asyncio.create_task(of_request(downloads).fetched(f"http://{i}.example/", "photo"))
                for i in range(slots)
            ]
            await settled()
            for each in slow:
                each.cancel()
            await asyncio.wait(slow)
        good = asyncio.create_task(of_request(downloads).fetched("http://b.example/", "photo"))
        await happens(looked_up)
        good.cancel()
    finally:
        answers.set()


async def settled() -> None:
    """Let what was begun go on until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)
