"""Users of conversations: their names in paths, their pages, and the keys they belong to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.serve_app.house import generated
from tests.serve_app.ingress.routes.conversing import ADA, Opened, clients, history, say, turn
from tests.serve_app.local_handle import Family

KEY = {"authorization": "Bearer sk-one"}


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    """Makes clients of the application over a family, all with the same database."""
    async with clients(tmp_path) as client:
        yield client


async def test_an_unknown_user_has_an_empty_history(opened: Opened) -> None:
    body = (await opened(Family()).get(ADA)).json()
    assert (body["user_id"], body["history"]) == ("ada", [])


async def test_each_key_has_conversations_of_its_own(opened: Opened) -> None:
    client = opened(Family(generated("Yo")))
    path = f"{ADA}/messages"
    assert (await client.post(path, json={"message": "Hi"}, headers=KEY)).status_code == 200
    assert await history(client) == []
    assert await history(client, **{"x-api-key": "sk-two"}) == []
    assert await history(client, **{"x-api-key": "sk-one"}) == [turn("Hi", "Yo")]
    assert (await client.get("/conversations")).json()["user_ids"] == []
    assert (await client.get("/conversations", headers=KEY)).json()["user_ids"] == ["ada"]
    await client.delete(ADA)
    assert await history(client, **KEY) == [turn("Hi", "Yo")]


async def test_no_key_is_written_to_the_database(opened: Opened, tmp_path: Path) -> None:
    client = opened(Family(generated("Yo")))
    await client.post(f"{ADA}/messages", json={"message": "Hi"}, headers=KEY)
    written = await asyncio.to_thread(contents, tmp_path)
    assert b"ada" in written
    assert b"sk-one" not in written


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_users_come_in_pages_until_there_are_no_more(opened: Opened) -> None:
    client = opened(Family(*[generated("Yo")] * 5))
    for name in ("e", "c", "a%2Fb", "d", "%F0%9F%99%82"):
        await say(client, user=name)
    pages, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = (await client.get("/conversations", params=params)).json()
        pages.append(body["user_ids"])
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert pages == [["a/b", "c"], ["d", "e"], ["🙂"]]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "ada"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": base64.b64encode(b"ada").decode()}, "cursor"),
        ({"cursor": base64.b64encode(b"after:\xff").decode()}, "cursor"),
        ({"cursor": base64.b64encode(b"after:\x00").decode()}, "cursor"),
        ({"curser": "x"}, "curser"),
    ],
)
async def test_a_page_that_cannot_be_is_a_400(
    opened: Opened, params: dict[str, str], field: str
) -> None:
    response = await opened(Family()).get("/conversations", params=params)
    assert response.status_code == 400, response.text
    assert list(response.json()["details"]["field_errors"]) == [field]


NAMES = [
    "o'neill",
    "a/b",
    "/a//b/",
    "messages",
    "messages/",
    "a/messages",
    "messages/messages",
    "a/messages/b",
    "...",
    ".a/b..",
    "ä 🙂",
    "a\u2028b",
    "100%",
    "%2F",
    "x" * 256,
    "🙂" * 256,
    "?#&",
]


@pytest.mark.parametrize("safe", ["", "/"])
@pytest.mark.parametrize("name", NAMES)
async def test_any_printable_user_has_a_conversation(opened: Opened, name: str, safe: str) -> None:
    """However its slashes are written in the path."""
    client = opened(Family(generated("Yo")))
    quoted = quote(name, safe=safe)
    assert (await client.post("/conversations", json={"user_id": name})).status_code == 200
    assert await history(client, quoted) == []
    assert (await say(client, user=quoted))["user_id"] == name
    assert await history(client, quoted) == [turn("Hi", "Yo")]
    assert (await client.get("/conversations")).json()["user_ids"] == [name]
    assert (await client.delete(f"/conversations/{quoted}")).status_code == 204
    assert (await client.get("/conversations")).json()["user_ids"] == []
    assert await history(client, quote(name, safe="")) == []


@pytest.mark.parametrize("name", [".", "..", "a/..", "../a", "a/./b"])
async def test_a_user_that_urls_cannot_name_is_refused_at_the_start(
    opened: Opened, name: str
) -> None:
    client = opened(Family())
    response = await client.post("/conversations", json={"user_id": name})
    assert response.status_code == 400
    assert "lost in URLs" in response.json()["details"]["field_errors"]["user_id"]
    quoted = quote(name, safe="").replace(".", "%2E")
    said = await client.post(f"/conversations/{quoted}/messages", json={"message": "Hi"})
    assert said.status_code == 400


@pytest.mark.parametrize("name", ["a%09b", "%00", "x" * 257, "a%C2%85b"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_a_user_that_is_none_is_a_400(opened: Opened, name: str, method: str) -> None:
    path = f"/conversations/{name}" + ("/messages" if method == "POST" else "")
    body = {"message": "Hi"} if method == "POST" else None
    response = await opened(Family()).request(method, path, json=body)
    assert response.status_code == 400, response.text
    assert list(response.json()["details"]["field_errors"]) == ["user_id"]
