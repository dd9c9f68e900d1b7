"""Answers on their way out: readers that do not read, and plain words that Serve says itself."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.front.exchange import has_room
from tests.serve_app.ingress.front.fronting import NATIVE, Wire, asked, fronted, keys_in

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
SECRET = "postgres://user:password@inside"
GENERATE = f"{NATIVE}/generate"


def chunk(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def serving(scope: Scope, receive: Receive, send: Send) -> None:
    """As Serve's entry: the application runs in a task that ends when the client has left."""

    async def streams() -> None:
        await send(START)
        for _ in range(10):
            await send(chunk(b"x"))

    async def leaves() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    running, left = asyncio.ensure_future(streams()), asyncio.ensure_future(leaves())
    await asyncio.wait([running, left], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        left.cancel()
        return
    running.cancel()
    scope["state"]["ended"] = (await asyncio.gather(running, return_exceptions=True))[0]
    raise asyncio.CancelledError


@pytest.mark.parametrize("takes", [0, 1, 5])
async def test_a_client_that_takes_no_more_is_one_that_left(
    caplog: pytest.LogCaptureFixture, takes: int
) -> None:
    state: dict[str, object] = {}
    wire = Wire(fronted(serving, send_timeout_s=0.02), method="GET", state=state, takes=takes)
    with caplog.at_level(logging.WARNING):
        await wire.done
    assert isinstance(state["ended"], asyncio.CancelledError)
    assert len(wire.sent) == takes
    assert "took nothing of its answer" in caplog.text


async def test_heartbeats_that_nobody_takes_either_put_nothing_off() -> None:
    async def beats(send: Send) -> None:
        while True:
            await asyncio.sleep(0.01)
            beating.append(asyncio.ensure_future(send(chunk(b": heartbeat"))))

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        heart = asyncio.ensure_future(beats(send))
        try:
            await send(START)
        finally:
            heart.cancel()

    beating: list[asyncio.Future[None]] = []
    wire = Wire(fronted(streams, send_timeout_s=0.1), method="GET", takes=0)
    try:
        async with asyncio.timeout(20):
            await wire.done
    finally:
        for each in beating:
            each.cancel()
    assert wire.sent == []
    assert beating


async def test_without_anybody_who_listens_the_request_itself_is_ended() -> None:
    app = PlainTextResponse("fine")
    wire = Wire(fronted(app, send_timeout_s=0.02), method="GET", takes=1)
    await wire.done
    assert len(wire.sent) == 1


async def test_an_answer_that_has_nothing_to_send_is_not_cut() -> None:
    async def thinks(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(chunk(b"x"))
        await asyncio.sleep(0.1)  # many times what a client has to read
        await send(chunk(b"y", more=False))

    wire = Wire(fronted(thinks, send_timeout_s=0.01), method="GET")
    await wire.done
    assert [message.get("body") for message in wire.sent] == [None, b"x", b"y"]


async def test_a_reader_that_is_slow_but_reads_is_not_cut() -> None:
    """Twice the time for the whole answer, and for no piece of it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0.1)
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await fronted(serving, send_timeout_s=0.5)(scope, receive, send)
    assert len(sent) == 11


async def test_a_client_that_leaves_cancels_as_before() -> None:
    left = asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    wire = Wire(fronted(waits), method="GET")
    wire.arriving.put_nowait({"type": "http.disconnect"})
    await wire.done
    assert left.is_set()


@pytest.mark.parametrize("left", [True, False])
async def test_serves_stumble_over_calls_that_end_is_the_cancellation_that_it_was(
    caplog: pytest.LogCaptureFixture, left: bool
) -> None:
    async def stumbles(scope: Scope, receive: Receive, send: Send) -> None:
        calls = {"one": 1, "two": 2}
        fate = asyncio.get_running_loop().create_future()
        fate.cancel() if left else fate.set_exception(KeyError())
        try:
            await fate
        except (asyncio.CancelledError, KeyError):
            for call in calls:
                del calls[call]

    wire = Wire(fronted(stumbles), method="GET")
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([wire.done])
    assert wire.done.cancelled() is left
    assert ("failed" in caplog.text) is not left
    assert len(wire.sent) == (0 if left else 2)


async def test_a_request_that_is_cancelled_from_outside_is_cancelled() -> None:
    wire = Wire(fronted(serving), method="GET", takes=1)
    await wire.begun.wait()
    wire.done.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wire.done


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        (PlainTextResponse("Request dropped due to backpressure", 503), 429, "rate_limit_error"),
        (PlainTextResponse("Request dropped due to backpressure", 429), 429, "rate_limit_error"),
        (PlainTextResponse(f"Deployment {SECRET} is gone", 503), 503, "service_unavailable"),
        (PlainTextResponse(f"Request {SECRET} timed out", 408), 504, "timeout"),
        (PlainTextResponse(f"Path '{SECRET}' not found", 404), 404, "not_found_error"),
        (PlainTextResponse(f"{SECRET}", 500), 500, "internal_error"),
        (Response(SECRET.encode(), 500), 500, "internal_error"),
    ],
)
async def test_what_serve_says_itself_becomes_an_error_of_the_surface(
    said: Response, status: int, kind: str
) -> None:
    refused: list[str] = []
    front = fronted(said, refused=lambda scope, reason: refused.append(reason))
    response = await asked(front, GENERATE)
    assert response.status_code == status
    assert response.json()["error_type"] == kind
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert SECRET not in response.text
    assert refused == [kind]
    assert ("retry-after" in response.headers) is (status in {429, 503})
    under_v1 = await asked(fronted(said), "/v1/embeddings")
    assert set(under_v1.json()["error"]) == {"message", "type", "param", "code"}


async def test_serves_own_hint_when_to_come_back_is_kept() -> None:
    said = PlainTextResponse("Request dropped due to backpressure", 429, {"Retry-After": "7"})
    assert (await asked(fronted(said), GENERATE)).headers["retry-after"] == "7"


async def test_such_an_answer_in_pieces_is_one_error() -> None:
    async def says(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send(chunk(b"a"))
        await send(chunk(b"b", more=False))

    assert (await asked(fronted(says), GENERATE)).json()["error_type"] == "service_unavailable"


async def test_errors_of_the_application_stay_as_they_are() -> None:
    said = JSONResponse({"error": "mine"}, 503, {"Retry-After": "9"})
    response = await asked(fronted(said), GENERATE)
    assert (response.status_code, response.json()) == (503, {"error": "mine"})


async def test_a_failure_of_the_entry_is_answered_without_its_internals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError(SECRET)

    response = await asked(fronted(breaks), GENERATE, headers=[("x-request-id", "abc")])
    assert response.status_code == 500
    assert response.json()["error_type"] == "internal_error"
    assert response.json()["request_id"] == response.headers["x-request-id"] == "abc"
    assert SECRET not in response.text
    assert "request abc failed" in caplog.text


BIG = b"x" * 100_000


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(BIG if scope["path"] == "/big" else b"small")(scope, receive, send)


async def test_answers_that_clients_do_not_read_leave_no_room_for_other_large_ones() -> None:
    front = fronted(big, max_inflight_answer_bytes=150_000)
    idle = Wire(front, path="/big", method="GET", takes=1)  # takes the head and not the body
    await idle.begun.wait()
    refused = await asked(front, "/big", method="GET")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["error_type"] == "rate_limit_error"
    assert (await asked(front, "/small", method="GET")).content == b"small"
    idle.done.cancel()
    await asyncio.wait([idle.done])
    assert (await asked(front, "/big", method="GET")).content == BIG


async def test_an_answer_of_which_a_part_waits_keeps_its_room() -> None:
    """A server takes what it is given, and lets the next message wait."""
    front = fronted(big, max_inflight_answer_bytes=150_000)
    slow = Wire(front, path="/big", method="GET", takes=2)
    while len(slow.sent) < 2:
        await asyncio.wait([slow.done], timeout=0.01)
    assert (await asked(front, "/big", method="GET")).status_code == 429
    slow.done.cancel()
    await asyncio.wait([slow.done])
    whole = Wire(front, path="/big", method="GET")
    await whole.done
    assert b"".join(each.get("body", b"") for each in whole.sent) == BIG
    assert [each["more_body"] for each in whole.sent[1:]] == [True, False]


async def test_an_application_that_goes_on_behind_its_client_takes_no_room() -> None:
    """Serve's entry may return while the application still makes the answer."""
    left: list[Scope] = []

    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        left.append(scope)
        if len(left) > 1:
            await Response(BIG)(scope, receive, send)

    front = fronted(leaves, max_inflight_answer_bytes=150_000)
    await Wire(front, method="GET").done
    length = (b"content-length", str(len(BIG)).encode())
    assert has_room(left[0], {**START, "headers": [length]})
    assert (await asked(front, method="GET")).status_code == 200


async def test_one_answer_may_be_larger_than_all_may_be() -> None:
    assert (await asked(fronted(big, max_inflight_answer_bytes=1), "/big")).content == BIG


async def test_clients_without_a_key_leave_room_for_the_answers_of_others(tmp_path: Path) -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(BIG)(scope, receive, send)

    keys = keys_in(tmp_path, "ada=sk-ada")
    front = fronted(large, max_inflight_answer_bytes=150_000, api_keys_file=keys)
    idle = Wire(front, path="/docs", method="GET", takes=1)
    await idle.begun.wait()
    refused = await asked(front, "/docs", method="GET")
    assert refused.status_code == 429
    key = [("x-api-key", "sk-ada")]
    assert (await asked(front, "/v1/models", method="GET", headers=key)).content == BIG
    idle.done.cancel()
    await asyncio.wait([idle.done])
    assert (await asked(front, "/docs", method="GET")).content == BIG
