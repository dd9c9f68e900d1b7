"""Request ids: the client's when it can be used, a new one otherwise, on the way in and out."""

from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from serve_app.request_id import RequestIds, request_id_of, unusable_request_id


async def shows_its_id(scope: Scope, receive: Receive, send: Send) -> None:
    assert Request(scope).method == "GET"
    await PlainTextResponse(request_id_of(scope))(scope, receive, send)


async def answered(given: str | None = None, *, echo: bool = True) -> httpx.Response:
    transport = httpx.ASGITransport(RequestIds(shows_its_id, echo=echo))
    headers = {} if given is None else {"x-request-id": given}
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.get("/", headers=headers)


async def test_a_clients_id_is_used_and_echoed() -> None:
    response = await answered("abc-123")
    assert response.text == "abc-123"
    assert response.headers.get_list("x-request-id") == ["abc-123"]


async def test_a_request_without_one_gets_its_own() -> None:
    first, second = await answered(), await answered()
    assert first.text == first.headers["x-request-id"]
    assert first.text != second.text


@pytest.mark.parametrize("given", ["", "two words", "x" * 129])
async def test_an_id_that_cannot_be_used_is_replaced(given: str) -> None:
    response = await answered(given)
    assert response.text
    assert response.text != given


async def test_where_serve_puts_the_id_on_the_answer_it_is_not_put_twice() -> None:
    response = await answered("abc-123", echo=False)
    assert response.text == "abc-123"
    assert "x-request-id" not in response.headers


@pytest.mark.parametrize(
    ("given", "unusable"),
    [
        (b"abc", False),
        (b"x" * 128, False),
        (b"x" * 129, True),
        (b"", True),
        (b"a b", True),
        (b"a\tb", True),
        (b"caf\xe9", True),
    ],
)
def test_ids_are_printable_bounded_and_without_spaces(given: bytes, unusable: bool) -> None:
    scope = {"type": "http", "headers": [(b"x-request-id", given)]}
    assert unusable_request_id(scope) is unusable


def test_no_id_is_not_an_unusable_one() -> None:
    assert unusable_request_id({"type": "http", "headers": []}) is False
