"""Calls of conversations that cannot be answered: each names what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve_app.house import generated
from tests.serve_app.ingress.routes.conversing import ADA, Opened, clients
from tests.serve_app.local_handle import Family


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """Makes clients of the application over a family, all with the same database."""
    async with clients(tmp_path) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_messages_are_posted_and_nothing_else(opened: Opened, method: str) -> None:
    response = await opened(Family()).request(method, f"{ADA}/messages")
    assert response.status_code == 405
    assert response.json()["error_type"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/conversations", {}, "user_id"),
        ("/conversations", {"user_id": ""}, "user_id"),
        ("/conversations", {"user_id": "a\tb"}, "user_id"),
        ("/conversations", {"user_id": 7}, "user_id"),
        ("/conversations", {"user_id": "ada", "initial_message": ""}, "initial_message"),
        (
            "/conversations",
            {"user_id": "ada", "initial_message": "x" * 102_401},
            "initial_message",
        ),
        ("/conversations", {"user_id": "ada", "message": "Hi"}, "message"),
        (f"{ADA}/messages", {}, "message"),
        (f"{ADA}/messages", {"message": ""}, "message"),
        (f"{ADA}/messages", {"message": "x" * 102_401}, "message"),
        (f"{ADA}/messages", {"message": "Hi", "stream": "yes"}, "stream"),
        (f"{ADA}/messages", {"message": "Hi", "max_tokens": 7}, "max_tokens"),
    ],
)
async def test_what_is_wrong_is_named(
    opened: Opened, path: str, body: dict[str, Any], field: str
) -> None:
    client = opened(Family())
    response = await client.post(path, json=body)
    assert response.status_code == 400, response.text
    assert list(response.json()["details"]["field_errors"]) == [field]


@pytest.mark.parametrize("path", ["/conversations", f"{ADA}/messages"])
async def test_an_unknown_model_is_a_404(opened: Opened, path: str) -> None:
    body = {"user_id": "ada"} if path == "/conversations" else {"message": "Hi"}
    response = await opened(Family()).post(path, json=body | {"model_name": "no/such"})
    assert response.status_code == 404


async def test_without_a_database_the_routes_are_503_and_the_others_are_not(
    opened: Opened,
) -> None:
    family = Family(generated("Yo"))
    client = opened(family, conversations_url="sqlite:////proc/nothing/x.sqlite3")
    response = await client.post(f"{ADA}/messages", json={"message": "Hi"})
    assert response.status_code == 503
    assert "/proc" not in response.text
    assert int(response.headers["retry-after"]) > 0
    assert (await client.post("/generate", json={"prompt": "Hi"})).status_code == 200
