"""Headers: one usable id for every request, and nothing in them that Serve would obey."""

from __future__ import annotations

import httpx
import pytest

from serve_app.ingress.front.headers import read
from tests.serve_app.ingress.front.fronting import NATIVE, asked, fronted

SESSION = "x-session-id"


async def answered(
    *given: str | bytes, name: str = "x-request-id", path: str = "/"
) -> httpx.Response:
    return await asked(fronted(), path, headers=[(name, value) for value in given])


async def test_a_clients_id_is_used_and_echoed() -> None:
    response = await answered("abc-123")
    assert response.json()["id"] == response.json()["headers"]["x-request-id"] == "abc-123"
    assert response.headers.get_list("x-request-id") == ["abc-123"]


async def test_a_request_without_one_gets_its_own() -> None:
    first, second = await answered(), await answered()
    assert first.json()["id"] == first.headers["x-request-id"]
    assert first.json()["id"] != second.json()["id"]


async def test_an_empty_id_is_none() -> None:
    response = await answered("")
    assert response.status_code == 200
    assert response.headers.get_list("x-request-id") == [response.json()["id"]]
    assert response.json()["id"]


async def test_of_several_ids_the_first_counts() -> None:
    response = await answered("first", "second")
    assert response.json()["headers"]["x-request-id"] == "first"
    assert response.headers.get_list("x-request-id") == ["first"]


BAD = [b"two words", b"x" * 129, b"a\tb", b"caf\xe9", b"\xff\xfe", "né".encode()]


@pytest.mark.parametrize("given", BAD)
@pytest.mark.parametrize("name", ["x-request-id", SESSION])
async def test_one_that_cannot_be_used_is_refused_under_a_new_id(given: bytes, name: str) -> None:
    response = await answered(given, name=name)
    assert response.status_code == 400
    body = response.json()
    assert body["error_type"] == "validation_error"
    assert list(body["details"]["field_errors"]) == [name]
    assert response.headers.get_list("x-request-id") == [body["request_id"]]
    assert body["request_id"].isalnum()


async def test_each_surface_refuses_in_its_own_envelope() -> None:
    assert (await answered("a b", path="/v1/models")).json()["error"]["param"] == "x-request-id"
    hub = (await answered("a b", path="/models/x/y")).json()
    assert hub["request_id"] != "a b"
    assert hub["error_type"] == "validation"


@pytest.mark.parametrize(
    "name",
    [
        "x-request-timeout-seconds",
        "X-Request-Disconnect-Disabled",
        "serve-multiplexed-model-id",
        "serve_multiplexed_model_id",
        "Serve-Multiplexed_Model-Id",
    ],
)
@pytest.mark.parametrize("value", ["?1", "1", b"\xff"])
async def test_what_serve_would_obey_is_dropped(name: str, value: str | bytes) -> None:
    response = await answered(value, name=name, path=f"{NATIVE}/generate")
    assert response.status_code == 200
    assert name.lower() not in response.json()["headers"]


@pytest.mark.parametrize("name", [SESSION, "x_session_id", "X-Session_ID"])
async def test_a_session_is_kept_for_routing_under_one_name(name: str) -> None:
    assert (await answered("s-1", name=name)).json()["headers"][SESSION] == "s-1"


async def test_an_empty_session_is_none() -> None:
    assert SESSION not in (await answered("", name=SESSION)).json()["headers"]


async def test_other_headers_go_on_as_they_came() -> None:
    sent: list[tuple[str, str | bytes]] = [
        ("accept", "text/x"),
        ("x_other", "1"),
        ("traceparent", "00-1"),
        ("cookie", b"\xe9"),
    ]
    found = (await asked(fronted(), headers=sent)).json()["headers"]
    assert {name: found[name] for name, _ in sent} == {
        "accept": "text/x",
        "x_other": "1",
        "traceparent": "00-1",
        "cookie": "é",
    }


def test_a_tracing_header_that_cannot_be_decoded_is_dropped() -> None:
    names = [name for name, _ in read([(b"tracestate", b"\xff"), (b"traceparent", b"00")]).headers]
    assert names == [b"traceparent", b"x-request-id"]


@pytest.mark.parametrize("value", ["true", "2", "1,1"])
async def test_a_timeline_is_asked_for_by_1_alone(value: str) -> None:
    response = await asked(fronted(), headers=[("x-timeline", value)])
    assert response.status_code == 400
    assert response.json()["message"] == "x-timeline: expected 1, or 0 for none"


@pytest.mark.parametrize("value", ["0", "1", ""])
async def test_a_timeline_may_be_asked_for(value: str) -> None:
    assert (await asked(fronted(), headers=[("x-timeline", value)])).status_code == 200
