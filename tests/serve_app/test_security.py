"""Bodies that no route gets: too large ones and encoded ones, in the service's envelope."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from serve_app import errors
from serve_app.request_id import RequestIds
from serve_app.security import DRAIN, BodyLimit, PlainBodies

LIMIT = 100


@pytest.fixture
def application() -> FastAPI:
    made = FastAPI()

    @made.post("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(slowly())

    @made.get("/")
    async def nothing() -> int:
        return 0

    @made.post("/{path:path}")
    async def size(request: Request) -> int:
        return len(await request.body())

    errors.install(made)
    made.add_middleware(BodyLimit, limit=LIMIT)
    made.add_middleware(PlainBodies, limit=LIMIT)
    made.add_middleware(RequestIds, echo=True)
    return made


async def sent(
    application: FastAPI, content: bytes | AsyncIterator[bytes], path: str = "/", **headers: str
) -> httpx.Response:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.post(path, content=content, headers=headers)


async def slowly() -> AsyncIterator[str]:
    """So that meanwhile the client is listened for, as long as a test's loop has anything to do."""
    for letter in "abc":
        yield letter
        for _ in range(20):
            await asyncio.sleep(0)


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_body_of_exactly_the_limit_is_read(application: FastAPI) -> None:
    assert (await sent(application, b"x" * LIMIT)).json() == LIMIT


async def test_a_body_in_pieces_up_to_the_limit_is_read(application: FastAPI) -> None:
    assert (await sent(application, pieces(10, 10))).json() == LIMIT


@pytest.mark.parametrize("size", [LIMIT + 1, DRAIN * LIMIT, DRAIN * LIMIT + 1, 50 * LIMIT])
async def test_a_declared_body_over_the_limit_is_413(application: FastAPI, size: int) -> None:
    response = await sent(application, b"x" * size)
    assert response.status_code == 413
    body = response.json()
    assert body["error_type"] == "payload_too_large"
    assert body["details"] == {"limit_bytes": LIMIT}
    assert body["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(("count", "size"), [(11, 10), (1, 101), (1000, 10)])
async def test_a_body_that_grows_over_the_limit_is_413(
    application: FastAPI, count: int, size: int
) -> None:
    response = await sent(application, pieces(count, size))
    assert response.status_code == 413
    assert str(LIMIT) in response.json()["message"]


async def test_under_v1_the_refusal_is_openais(application: FastAPI) -> None:
    response = await sent(application, b"x" * (LIMIT + 1), "/v1/embeddings")
    assert response.json()["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize("declared", [False, True])
async def test_an_honest_client_may_finish_sending_and_a_flood_is_cut(
    application: FastAPI, declared: bool
) -> None:
    taken = 0

    async def counted(count: int) -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(count):
            taken += 10
            yield b"x" * 10

    async def sending(count: int) -> int:
        nonlocal taken
        taken = 0
        headers = {"content-length": str(10 * count)} if declared else {}
        assert (await sent(application, counted(count), **headers)).status_code == 413
        return taken

    assert await sending(30) == 300
    assert await sending(10_000) <= (DRAIN + 1) * LIMIT


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "deflate, gzip"])
async def test_an_encoded_body_is_415_and_names_the_header(
    application: FastAPI, encoding: str
) -> None:
    headers = {"content-encoding": encoding}
    response = await sent(application, gzip.compress(b"{}"), "/", **headers)
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "identity"
    body = response.json()
    assert body["error_type"] == "unsupported_media_type"
    assert body["message"].startswith("Content-Encoding")
    assert repr(encoding) in body["message"]
    under_v1 = (await sent(application, gzip.compress(b"{}"), "/v1/embeddings", **headers)).json()
    assert under_v1["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("count", [1, 11, 100])
async def test_a_body_that_nobody_wants_does_not_cut_the_stream_that_answers(
    application: FastAPI, count: int
) -> None:
    """Starlette reads it to learn when the client leaves."""
    response = await sent(application, pieces(count, 10), "/stream")
    assert (response.status_code, response.text) == (200, "abc")


@pytest.mark.parametrize("encoding", ["identity", "Identity, identity", ""])
async def test_a_body_that_is_said_to_be_plain_is_read(application: FastAPI, encoding: str) -> None:
    assert (await sent(application, b"{}", "/", **{"content-encoding": encoding})).json() == 2


async def test_where_there_is_no_body_its_encoding_does_not_matter(application: FastAPI) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        response = await client.get("/", headers={"content-encoding": "gzip"})
    assert response.json() == 0


@pytest.mark.parametrize("path", ["/", "/stream"])
@pytest.mark.parametrize("count", [10, 11])
async def test_an_encoded_body_in_pieces_is_415(
    application: FastAPI, count: int, path: str
) -> None:
    encoded = {"content-encoding": "gzip"}
    assert (await sent(application, pieces(count, 10), path, **encoded)).status_code == 415
