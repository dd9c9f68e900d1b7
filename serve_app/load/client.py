"""Sends a load: many connections, each of which sends its next request once it has an answer.

The clients often share the machine with the server that they measure, so they are cheap: one event
loop, bodies made beforehand, each answer parsed once. The figures include their processor time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle

import aiohttp
import orjson

from serve_app.load.event_reader import EventReader
from serve_app.load.figures import LoadFigures, RequestSample, figures
from serve_app.load.load import Load
from serve_app.load.request_kinds import KINDS, BadAnswerError, request_body, whole_answer
from serve_app.load.texts import texts_of

MAX_ANSWER_BYTES = 256 * 2**20
DISTINCT_BODIES = 1024
DISTINCT_BYTES = 16 * 2**20
PAUSE_AFTER_FAILURE_S = 0.05
DETAIL_LENGTH = 200


class LoadClient:
    """The clients of one server. ``url`` is its root, or the URL before ``/chat/completions``."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._base = base_url(url)
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, api_key: str | None = None, *, reuse_connections: bool = True
    ) -> "AsyncIterator[LoadClient]":
        """Connect to ``url``; its connections are reused, also between loads, unless a server
        closes them too early for that."""
        headers = {"Content-Type": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        if not reuse_connections:
            headers["Connection"] = "close"
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield cls(url, session)

    async def models(self) -> list[str]:
        """The names of the models that the server lists; empty when it has no list."""
        try:
            async with self._session.get(f"{self._base}/models", timeout=_limit(10)) as response:
                listed = orjson.loads(await response.content.read(MAX_ANSWER_BYTES))
            return [str(model["id"]) for model in listed["data"]]
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError, KeyError, TypeError):
            return []

    async def run(self, load: Load, samples: list[RequestSample] | None = None) -> LoadFigures:
        """Send the requests of ``load``.

        ``samples`` gets one sample for each request as it ends, also before a cancellation.

        Raises ``BadTextsError`` when its file of texts cannot be used.
        """
        samples = [] if samples is None else samples
        bodies = cycle(_bodies(load))
        numbers = iter(range(load.requests))
        cpu_s, began_s = time.process_time(), time.perf_counter()
        ends_s = began_s + load.seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(min(load.clients, load.requests)):
                group.create_task(self._client(load, bodies, numbers, ends_s, samples))
        spent_s = time.process_time() - cpu_s
        return figures(samples, clients=load.clients, unit=KINDS[load.what].unit, cpu_s=spent_s)

    async def _client(
        self,
        load: Load,
        bodies: Iterator[bytes],
        numbers: Iterator[int],
        ends_s: float,
        samples: list[RequestSample],
    ) -> None:
        while time.perf_counter() < ends_s and next(numbers, None) is not None:
            sample = await self._send(load, next(bodies))
            samples.append(sample)
            # A server that refuses at once must not get a million requests.
            if pause_s := load.pause_s if sample.error is None else PAUSE_AFTER_FAILURE_S:
                await asyncio.sleep(pause_s)

    async def _send(self, load: Load, body: bytes) -> RequestSample:
        url = self._base + KINDS[load.what].path
        began_s = time.perf_counter()
        try:
            async with self._session.post(url, data=body, timeout=_limit(load.timeout_s)) as answer:
                if answer.status != 200:
                    detail = (await answer.content.read(DETAIL_LENGTH)).decode(errors="replace")
                    return _failed(began_s, f"HTTP {answer.status}", detail)
                if answer.content_type == "text/event-stream":
                    return await _streamed(answer, began_s)
                return await _whole(load, answer, began_s)
        except BadAnswerError as error:
            return _failed(began_s, "bad answer", str(error))
        except TimeoutError:
            return _failed(began_s, "timeout", f"no whole answer within {load.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return _failed(began_s, type(error).__name__, str(error))


def base_url(url: str) -> str:
    """The URL of the protocol's routes: ``/v1`` below the server unless the URL has a path."""
    url = url.rstrip("/")
    has_path = "/" in url.partition("://")[2]
    return url if has_path else f"{url}/v1"


async def _streamed(answer: aiohttp.ClientResponse, began_s: float) -> RequestSample:
    reader = EventReader()
    async for chunk in answer.content.iter_any():
        reader.feed(chunk, time.perf_counter())
    size = reader.size()
    return RequestSample(
        began_s,
        time.perf_counter(),
        size.units,
        size.prompt_tokens,
        reader.first_s,
        reader.last_s if reader.first_s is not None else None,
    )


async def _whole(load: Load, answer: aiohttp.ClientResponse, began_s: float) -> RequestSample:
    pieces, received = [], 0
    async for chunk in answer.content.iter_any():
        pieces.append(chunk)
        received += len(chunk)
        if received > MAX_ANSWER_BYTES:
            raise BadAnswerError(f"more than {MAX_ANSWER_BYTES >> 20} MiB")
    ended_s = time.perf_counter()
    size = whole_answer(load, b"".join(pieces))
    return RequestSample(began_s, ended_s, size.units, size.prompt_tokens)


def _bodies(load: Load) -> list[bytes]:
    """Bodies of requests; enough that most runs send none twice, within bounds of memory."""
    texts = texts_of(load.texts, load.seed)
    bodies: list[bytes] = []
    size = 0
    for _ in range(min(load.requests, DISTINCT_BODIES)):
        bodies.append(request_body(load, texts))
        size += len(bodies[-1])
        if size > DISTINCT_BYTES:
            break
    return bodies


def _failed(began_s: float, error: str, detail: str) -> RequestSample:
    return RequestSample(began_s, time.perf_counter(), error=error, detail=detail[:DETAIL_LENGTH])


def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)
