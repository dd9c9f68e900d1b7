"""Who asks: by the key, of which only a hash is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.caller import ANONYMOUS, Caller, caller_of
from serve_app.ingress.front.exchange import STATE_KEY
from tests.serve_app import house

HASH = hashlib.sha256(b"sk-secret").hexdigest()
ECHO = FastAPI()
ECHO.state.for_everybody = False


@ECHO.get("/")
async def echo(caller: Caller) -> str:
    return caller


async def caller(**headers: str) -> str:
    return str((await house.get(ECHO, "/", **headers)).json())


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-secret"},
        {"authorization": "bearer  sk-secret "},
        {"x-api-key": "sk-secret"},
        {"authorization": "Bearer sk-secret", "x-api-key": "another"},
        {"authorization": "Basic dTpw", "x-api-key": "sk-secret"},
    ],
)
async def test_a_key_is_the_same_caller_wherever_it_is_sent(headers: dict[str, str]) -> None:
    assert await caller(**headers) == HASH


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer "}, {"authorization": "Basic dTpw"}, {"x-api-key": " "}],
)
async def test_whoever_sends_no_key_is_anonymous(headers: dict[str, str]) -> None:
    assert await caller(**headers) == ANONYMOUS


async def test_another_key_is_another_caller() -> None:
    assert await caller(**{"x-api-key": "sk-other"}) not in {HASH, ANONYMOUS}


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        (None, {}, 200),
        ("0.0.0.0", {}, 401),
        ("0.0.0.0", {"authorization": "Bearer EMPTY"}, 401),
    ],
)
async def test_where_everybody_may_call_conversations_need_a_key_that_is_known(
    tmp_path: Path, host: str | None, headers: dict[str, str], status: int
) -> None:
    url = f"sqlite:///{tmp_path}/conversations.sqlite3"
    services = house.services({}, allow_anonymous=True, conversations_url=url)
    app = create_app(services, routers_of(house.profile()), host=host)
    response = await house.get(
        app, f"{house.NATIVE}/conversations", **{"host": "localhost", **headers}
    )
    assert response.status_code == status
    await app.state.conversations.close()


async def test_a_rotated_key_is_the_same_caller() -> None:
    scope = {"type": "http", "headers": [], "state": {STATE_KEY: Admitted(ROTATED)}}
    assert await caller_of(Request(scope)) == HASH


ROTATED = ApiKey("ada", "f" * 64, frozenset({"inference"}), caller=HASH)


@dataclass
class Admitted:
    """As much of a front's exchange as counts here."""

    key: ApiKey
