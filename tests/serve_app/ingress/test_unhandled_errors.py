"""The outermost edge: what nobody foresaw is answered once, and without its internals."""

from __future__ import annotations

import logging

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.ingress.routes.dialects import error_answers
from serve_app.ingress.unhandled_errors import UnhandledErrors
from tests.serve_app.ingress.front.fronting import fronted

SECRET = "postgres://user:password@inside"


async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError(SECRET)


async def breaks_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError(SECRET)


async def answered(app: ASGIApp, path: str = "/", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(fronted(UnhandledErrors(app, error_answers())))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.get(path, headers=named)


async def test_a_failure_is_a_native_500_without_internals() -> None:
    response = await answered(breaks, "/api/v1/huggingface/generate", x_request_id="abc")
    assert response.status_code == 500
    body = response.json()
    assert (body["error_type"], body["request_id"]) == ("internal_error", "abc")
    assert SECRET not in response.text
    assert "RuntimeError" not in response.text


async def test_a_failure_under_v1_is_an_openai_500_without_internals() -> None:
    response = await answered(breaks, "/v1/models")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert SECRET not in response.text


async def test_a_failure_is_logged_with_its_request_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        await answered(breaks, x_request_id="abc")
    assert "request abc failed" in caplog.text
    assert SECRET in caplog.text


async def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": "/", "headers": [], "state": {"request_id": "abc"}}
    await UnhandledErrors(breaks_late, error_answers())(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_what_works_passes_through() -> None:
    response = await answered(PlainTextResponse("fine"), x_request_id="abc")
    assert (response.status_code, response.text) == (200, "fine")
