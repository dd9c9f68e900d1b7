"""Bodies that no route gets: too large ones and encoded ones, in the service's envelope."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from configs.settings import Settings
from serve_app.ingress.error_handlers import add_error_handlers
from serve_app.ingress.front.bodies import DRAIN_FACTOR
from serve_app.ingress.front.front import Front
from serve_app.ingress.routes.dialects import error_answers
from tests.serve_app.ingress.front.fronting import Wire, asked, fronted

LIMIT = 100


@pytest.fixture
def application() -> Front:
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

    add_error_handlers(made, error_answers())
    return fronted(made, max_body_bytes=LIMIT)


async def sent(
    application: Front, content: bytes | AsyncIterator[bytes], path: str = "/", **headers: str
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


async def test_a_body_of_exactly_the_limit_is_read(application: Front) -> None:
    assert (await sent(application, b"x" * LIMIT)).json() == LIMIT


async def test_a_body_in_pieces_up_to_the_limit_is_read(application: Front) -> None:
    assert (await sent(application, pieces(10, 10))).json() == LIMIT


@pytest.mark.parametrize(
    "size", [LIMIT + 1, DRAIN_FACTOR * LIMIT, DRAIN_FACTOR * LIMIT + 1, 50 * LIMIT]
)
async def test_a_declared_body_over_the_limit_is_413(application: Front, size: int) -> None:
    response = await sent(application, b"x" * size)
    assert response.status_code == 413
    body = response.json()
    assert body["error_type"] == "payload_too_large"
    assert body["details"] == {"limit_bytes": LIMIT}
    assert body["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(("count", "size"), [(11, 10), (1, 101), (1000, 10)])
async def test_a_body_that_grows_over_the_limit_is_413(
    application: Front, count: int, size: int
) -> None:
    response = await sent(application, pieces(count, size))
    assert response.status_code == 413
    assert str(LIMIT) in response.json()["message"]


async def test_under_v1_the_refusal_is_openais(application: Front) -> None:
    response = await sent(application, b"x" * (LIMIT + 1), "/v1/embeddings")
    assert response.json()["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize("declared", [False, True])
async def test_an_honest_client_may_finish_sending_and_a_flood_is_cut(
    application: Front, declared: bool
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
    assert await sending(10_000) <= (DRAIN_FACTOR + 1) * LIMIT


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "deflate, gzip"])
async def test_an_encoded_body_is_415_and_names_the_header(
    application: Front, encoding: str
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


@pytest.mark.parametrize(("count", "status"), [(1, 200), (10, 200), (11, 413), (100, 413)])
@pytest.mark.parametrize("declared", [False, True])
async def test_a_body_that_no_route_wants_is_bounded_all_the_same(
    application: Front, count: int, status: int, declared: bool
) -> None:
    headers = {"content-length": str(10 * count)} if declared else {}
    response = await sent(application, pieces(count, 10), "/stream", **headers)
    assert response.status_code == status
    assert status == 413 or response.text == "abc"
    whole = await asked(application, method="GET", content=b"x" * 10 * count)
    assert whole.status_code == status


@pytest.mark.parametrize("encoding", ["identity", "Identity, identity", ""])
async def test_a_body_that_is_said_to_be_plain_is_read(application: Front, encoding: str) -> None:
    assert (await sent(application, b"{}", "/", **{"content-encoding": encoding})).json() == 2


async def test_where_there_is_no_body_its_encoding_does_not_matter(application: Front) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        response = await client.get("/", headers={"content-encoding": "gzip"})
    assert response.json() == 0


@pytest.mark.parametrize("path", ["/", "/stream"])
@pytest.mark.parametrize("count", [10, 11])
async def test_an_encoded_body_in_pieces_is_415(application: Front, count: int, path: str) -> None:
    encoded = {"content-encoding": "gzip"}
    assert (await sent(application, pieces(count, 10), path, **encoded)).status_code == 415


async def test_the_bodies_of_all_requests_together_are_bounded() -> None:
    front = fronted(max_body_bytes=LIMIT, max_inflight_body_bytes=2 * LIMIT)
    held = []
    for _ in range(2):
        wire = Wire(front)
        held.append(wire)
        wire.arrives(b"x" * LIMIT)
        await wire.waited_for.wait()
    refused = await asked(front, content=b"x")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error_type"] == "rate_limit_error"
    assert (await asked(front, content=b"")).status_code == 200
    held[0].arriving.put_nowait({"type": "http.disconnect"})
    held[1].arrives(b"", more=False)
    await asyncio.gather(*(wire.done for wire in held))
    assert held[1].status == 200
    # Whatever became of the earlier ones, nothing of them is held any more.
    for _ in range(3):
        assert (await asked(front, content=b"x" * LIMIT)).status_code == 200
        assert (await asked(front, content=pieces(11, 10))).status_code == 413


async def test_a_body_is_held_for_as_long_as_its_request_is_answered() -> None:
    asked_for, answer = asyncio.Event(), asyncio.Event()

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        asked_for.set()
        await answer.wait()
        await PlainTextResponse("fine")(scope, receive, send)

    front = fronted(answers, max_body_bytes=LIMIT, max_inflight_body_bytes=LIMIT)
    wire = Wire(front)
    wire.arrives(b"x" * LIMIT, more=False)
    await asked_for.wait()
    assert (await asked(front, content=b"x")).status_code == 429
    answer.set()
    await wire.done
    assert (await asked(front, content=b"x")).status_code == 200


def test_one_body_must_fit_into_the_bound_for_all() -> None:
    with pytest.raises(ValueError, match="max_inflight_body_bytes"):
        Settings(max_body_bytes=2, max_inflight_body_bytes=1)


@pytest.mark.parametrize("size", [DRAIN_FACTOR * LIMIT + 1, 600 * LIMIT])
async def test_what_is_too_large_to_be_read_on_is_refused_at_once_and_the_end(size: int) -> None:
    wire = Wire(fronted(max_body_bytes=LIMIT), headers=[(b"content-length", b"%d" % size)])
    await wire.done
    assert wire.status == 413
    assert wire.headers[b"connection"] == b"close"


async def test_whoever_asks_before_sending_is_answered_before() -> None:
    """Reading would make the server say 100 Continue, and the client send for nothing."""
    headers = [(b"content-length", b"101"), (b"expect", b"100-continue")]
    wire = Wire(fronted(max_body_bytes=LIMIT), headers=headers)
    await wire.done
    assert wire.status == 413
