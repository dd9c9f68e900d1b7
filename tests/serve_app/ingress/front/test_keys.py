"""API keys: who is let in, and for what."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve_app.ingress.front.access import scope_of
from serve_app.ingress.front.front import Front
from tests.serve_app.ingress.front.fronting import NATIVE, asked, by, fronted, keys_in

LOAD = f"{NATIVE}/models/org/name"


@pytest.fixture
def front(tmp_path: Path) -> Front:
    lines = ("ada=sk-ada", "root=sk-root:admin", "both=sk-both:inference,admin")
    return fronted(api_keys_file=keys_in(tmp_path, "# who", "", *lines))


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer sk-ada")],
        [("authorization", "bearer  sk-ada ")],
        [("x-api-key", "sk-ada")],
        [("authorization", "Basic dTpw"), ("x-api-key", "sk-ada")],
    ],
)
async def test_a_known_key_is_let_in_wherever_it_is(
    front: Front, headers: list[tuple[str, str]]
) -> None:
    assert (await asked(front, f"{NATIVE}/generate", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer ")],
        [("authorization", "Basic dTpw")],
        [("authorization", "Bearer sk-ad")],
        [("authorization", f"Bearer {hashlib.sha256(b'sk-ada').hexdigest()}")],
        [("x-api-key", "sk-root2")],
        [("authorization", b"Bearer \xff")],
        [("authorization", "Bearer nobody"), ("x-api-key", "sk-ada")],
    ],
)
async def test_any_other_is_a_401(front: Front, headers: list[tuple[str, str | bytes]]) -> None:
    response = await asked(front, f"{NATIVE}/generate", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error_type"] == "authentication_error"
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_each_surface_refuses_in_its_own_envelope(front: Front) -> None:
    assert (await by(front, None, "/v1/models")).json()["error"]["code"] == "invalid_api_key"
    hub = (await by(front, None, "/models/x/y")).json()
    assert isinstance(hub["error"], str)
    assert (await by(front, "sk-root", "/v1/models")).json()["error"]["code"] == (
        "insufficient_permissions"
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", f"{NATIVE}/generate", {"ada", "both"}),
        ("POST", "/v1/chat/completions", {"ada", "both"}),
        ("POST", "/models/org/name", {"ada", "both"}),
        ("GET", "/v1/models", {"ada", "both"}),
        ("GET", f"{NATIVE}/models", {"ada", "both"}),
        ("GET", f"{NATIVE}/models/loaded", {"ada", "both"}),
        ("GET", "/nothing/of/that/name", {"ada", "both"}),
        ("POST", LOAD, {"root", "both"}),
        ("DELETE", LOAD, {"root", "both"}),
        ("DELETE", f"/under/a/prefix{LOAD}", {"root", "both"}),
        ("GET", "/metrics", {"root", "both"}),
        ("HEAD", "/metrics", {"root", "both"}),
    ],
)
async def test_a_key_may_do_what_its_scopes_name(
    front: Front, method: str, path: str, allowed: set[str]
) -> None:
    names = ("ada", "root", "both")
    found = {name: (await by(front, f"sk-{name}", path, method)).status_code for name in names}
    assert found == {name: 200 if name in allowed else 403 for name in names}
    assert (await by(front, None, path, method)).status_code == 401


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/health", "/health/liveness", "/health/readiness"]
)
async def test_health_and_documentation_need_no_key(front: Front, path: str) -> None:
    assert (await by(front, None, path, "GET")).status_code == 200


async def test_a_browsers_question_needs_no_key(front: Front) -> None:
    assert (await by(front, None, f"{NATIVE}/generate", "OPTIONS")).status_code == 200


CALLS_BY_SCOPE = {
    "admin": ["GET /metrics", "GET /prefix/metrics", f"POST {LOAD}", f"DELETE /prefix{LOAD}"],
    "inference": [
        f"GET {LOAD}",
        f"GET {NATIVE}/conversations/team/metrics",
        f"POST {NATIVE}/conversations/team/metrics",
        f"POST {NATIVE}/conversations{LOAD}/messages",
        "GET /v1/models/org/metrics",
        "POST /models/org/metrics",
        "POST /health/v1/chat/completions",
        "POST /docs/v1/chat/completions",
        "POST /health",
        "GET /health/v1/models",
    ],
    None: [
        "GET /docs/assets/swagger-ui.js",
        "GET /playground/app.js",
        "HEAD /health/liveness",
        "OPTIONS /v1/chat/completions",
    ],
}


@pytest.mark.parametrize(
    ("call", "needed"),
    [(call, needed) for needed, calls in CALLS_BY_SCOPE.items() for call in calls],
)
def test_what_a_request_needs_goes_by_its_method_and_path(call: str, needed: str | None) -> None:
    method, path = call.split()
    assert scope_of(method, path) == needed


async def test_who_has_no_key_takes_no_memory_from_those_who_have(tmp_path: Path) -> None:
    keyed = keys_in(tmp_path, "ada=sk-ada")
    front = fronted(api_keys_file=keyed, max_body_bytes=8, max_inflight_body_bytes=8)
    stay, begun = asyncio.Event(), asyncio.Event()

    async def unfinished() -> AsyncIterator[bytes]:
        yield b"1234567"
        begun.set()
        await stay.wait()

    beside = asyncio.create_task(asked(front, "/v1/x", method="OPTIONS", content=unfinished()))
    await begun.wait()
    key = [("authorization", "Bearer sk-ada")]
    response = await asked(front, f"{NATIVE}/generate", content=b"12345678", headers=key)
    assert response.json()["length"] == 8
    stay.set()
    assert (await beside).json()["length"] == 0


async def test_a_session_belongs_to_its_key(front: Front) -> None:
    headers = [("authorization", "Bearer sk-ada"), ("x-session-id", "s-1")]
    found = (await asked(front, f"{NATIVE}/generate", headers=headers)).json()["headers"]
    assert found["x-session-id"] == "ada:s-1"


async def test_without_a_file_every_key_passes() -> None:
    assert (await by(fronted(), "whatever", f"{NATIVE}/generate")).status_code == 200
