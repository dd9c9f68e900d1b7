"""Bodies on their way: pieces, clients that leave or are slow, and refusals that wait for them."""

from __future__ import annotations

import json

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.front import bodies
from tests.serve_app.ingress.front.fronting import Wire, fronted


async def test_a_body_arrives_as_one_piece_and_then_the_client_is_listened_for() -> None:
    received: list[Message] = []

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend([await receive(), await receive()])

    wire = Wire(fronted(listening))
    for piece in (b"a", b"", b"b"):
        wire.arrives(piece)
    wire.arrives(b"c", more=False)
    wire.arriving.put_nowait({"type": "http.disconnect"})
    await wire.done
    assert received == [
        {"type": "http.request", "body": b"abc", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_a_client_that_leaves_before_its_body_is_there_asks_nothing() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    wire = Wire(fronted(never))
    wire.arrives(b"a")
    wire.arriving.put_nowait({"type": "http.disconnect"})
    await wire.done
    assert wire.sent == []


@pytest.mark.parametrize("begun", [False, True])
async def test_a_body_that_does_not_arrive_in_time_is_a_408_and_the_end(begun: bool) -> None:
    refused: list[str] = []
    front = fronted(body_timeout_s=0.01, refused=lambda scope, reason: refused.append(reason))
    wire = Wire(front, headers=[(b"content-length", b"10")])
    if begun:
        wire.arrives(b"a")
    await wire.done
    assert wire.status == 408
    assert wire.headers[b"connection"] == b"close"
    assert json.loads(wire.sent[1]["body"])["error_type"] == "timeout"
    assert refused == ["timeout"]


async def test_a_request_without_a_body_waits_for_none() -> None:
    wire = Wire(fronted(PlainTextResponse("fine"), body_timeout_s=0.01), method="GET")
    await wire.done
    assert wire.status == 200


async def test_a_refusal_by_the_headers_waits_for_a_body_that_comes() -> None:
    wire = Wire(fronted(), headers=[(b"content-length", b"2"), (b"x-request-id", b"a b")])
    wire.arrives(b"x")
    await wire.waited_for.wait()
    assert wire.sent == []
    wire.arrives(b"x", more=False)
    await wire.done
    assert wire.status == 400
    assert b"connection" not in wire.headers


async def test_one_that_does_not_come_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "DRAIN_TIMEOUT_S", 0.01)
    wire = Wire(fronted(), headers=[(b"content-length", b"2"), (b"x-request-id", b"a b")])
    await wire.done
    assert wire.status == 400
    assert wire.headers[b"connection"] == b"close"
