"""Bodies: JSON and nothing else, and no way to make the parser fall over."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from serve_app.ingress.error_handlers import add_error_handlers
from serve_app.ingress.front.front import Front
from serve_app.ingress.routes.dialects import error_answers
from serve_app.ingress.validation import bounded_json
from serve_app.ingress.validation.fields import Body, Temperature
from serve_app.ingress.validation.json_body import JsonRoute
from tests.serve_app import house
from tests.serve_app.ingress.front.fronting import NATIVE, fronted


class Weather(Body):
    place: str
    temperature: Temperature = 1.0


@pytest.fixture
def application() -> Front:
    router = APIRouter(route_class=JsonRoute)

    @router.post("/weather")
    async def weather(body: Weather) -> dict[str, Any]:
        return body.model_dump()

    @router.get("/weather")
    async def none() -> dict[str, Any]:
        return {}

    made = FastAPI()
    made.include_router(router)
    add_error_handlers(made, error_answers())
    return fronted(made)


async def sent(application: Front, content: bytes, media_type: str | None) -> httpx.Response:
    headers = {} if media_type is None else {"content-type": media_type}
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        return await client.post("/weather", content=content, headers=headers)


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.api+json",
    ],
)
async def test_json_is_taken_however_it_is_called(
    application: Front, media_type: str | None
) -> None:
    response = await sent(application, b'{"place": "Oslo"}', media_type)
    assert response.json() == {"place": "Oslo", "temperature": 1.0}


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "json"],
)
async def test_any_other_media_type_is_415(application: Front, media_type: str) -> None:
    response = await sent(application, b'{"place": "Oslo"}', media_type)
    assert response.status_code == 415
    assert response.json()["error_type"] == "unsupported_media_type"


async def test_a_route_without_a_body_asks_for_no_media_type(application: Front) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        assert (await client.get("/weather", headers={"content-type": "x/y"})).status_code == 200


@pytest.mark.parametrize("content", [b'{"place"', b"{'place': 1}", b"\xff\xfe", b"{} {}"])
async def test_what_is_no_json_is_the_bodys_fault(application: Front, content: bytes) -> None:
    response = await sent(application, content, "application/json")
    assert response.status_code == 400
    (name,) = response.json()["details"]["field_errors"]
    assert name == "body"
    assert "JSON" in response.json()["message"]


async def test_deep_nesting_is_refused_before_it_is_built(application: Front) -> None:
    nested = b"[" * 100_000 + b"]" * 100_000
    response = await sent(application, b'{"place": ' + nested + b"}", "application/json")
    assert response.status_code == 400
    assert "JSON" in response.json()["message"]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
async def test_a_number_that_is_none_is_named_by_its_field(
    application: Front, number: bytes
) -> None:
    content = b'{"place": "Oslo", "temperature": ' + number + b"}"
    response = await sent(application, content, "application/json")
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == ["temperature"]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"place": "Oslo", "temperature": "1"}', "temperature"),
        (b'{"place": "Oslo", "temperature": true}', "temperature"),
        (b'{"place": 7}', "place"),
        (b'{"place": "Oslo", "wind": 3}', "wind"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"", "body"),
    ],
)
async def test_types_are_strict_and_unknown_fields_are_refused(
    application: Front, content: bytes, field: str
) -> None:
    response = await sent(application, content, "application/json")
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == [field]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("query", '{"prompt": "Why?", "user_id": "u", "context": {"a": [0, %s]}}', "context.a.1"),
        ("graph", '{"input": {"x": {"y": %s}}, "steps": [{"id": "a", "task": "b"}]}', "input.x.y"),
        ("generate", '{"prompt": "Hi", "unknown": %s}', "unknown"),
    ],
)
async def test_a_number_that_is_none_is_refused_where_a_field_takes_any_value(
    route: str, body: str, field: str, number: str
) -> None:
    response = await house.post_text(house.app(), f"{NATIVE}/{route}", body % number)
    assert response.status_code == 400
    assert response.json()["details"]["field_errors"] == {field: "expected a finite number"}


@pytest.mark.parametrize(
    ("content", "times"), [(b'{"place": "Rome"}', 1), (b" " * 1000, 2), (b'["\xc3\xc3"]', 2)]
)
async def test_a_body_is_not_parsed_again_for_whoever_asks_next(
    application: Front, monkeypatch: pytest.MonkeyPatch, content: bytes, times: int
) -> None:
    """What is no JSON is parsed twice: the second time to find a number that is NaN."""
    parsed: list[bytes] = []

    def counted(text: bytes, *args: Any, **options: Any) -> Any:
        parsed.append(text)
        return bounded_json.parse(text, *args, **options)

    monkeypatch.setattr("serve_app.ingress.validation.json_body.parse", counted)
    response = await sent(application, content, "application/json")
    assert response.status_code == (200 if times == 1 else 400)
    assert parsed == [content] * times
