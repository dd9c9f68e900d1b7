"""Who asks: by the key, of which only a hash is known."""

from __future__ import annotations

import hashlib

import pytest
from fastapi import FastAPI

from serve_app.ingress.caller import ANONYMOUS, Caller
from tests.serve_app import house

HASH = hashlib.sha256(b"sk-secret").hexdigest()
ECHO = FastAPI()


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
