"""Clients of conversations over HTTP, and what is said in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
from fastapi import FastAPI

from serve_app.ingress.conversations import Conversations
from tests.serve_app import house
from tests.serve_app.house import NATIVE, events
from tests.serve_app.local_handle import Family


class Client(httpx.AsyncClient):
    """A client of an application in this process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        super().__init__(transport=httpx.ASGITransport(app), base_url=f"http://house{NATIVE}")


Opened: TypeAlias = Callable[..., Client]
ADA = "/conversations/ada"


@asynccontextmanager
async def clients(folder: Path) -> AsyncIterator[Opened]:
    """Makes clients of the application over a family, all with the same database."""
    async with AsyncExitStack() as stack:

        def client(family: Family, **settings: Any) -> Client:
            app = house.app({"generation": family}, hf_cache_dir=str(folder), **settings)
            kept: Conversations = app.state.conversations
            stack.push_async_callback(kept.close)
            return Client(app)

        yield client


async def say(
    client: httpx.AsyncClient, message: str = "Hi", user: str = "ada", **body: Any
) -> Any:
    path = f"/conversations/{user}/messages"
    response = await client.post(path, json={"message": message, **body})
    assert response.status_code == 200, response.text
    return response.json() if "stream" not in body else events(response.text)


async def history(client: httpx.AsyncClient, user: str = "ada", **headers: str) -> Any:
    response = await client.get(f"/conversations/{user}", headers=headers)
    assert response.status_code == 200, response.text
    return response.json()["history"]


def turn(user: str, assistant: str) -> dict[str, str]:
    return {"user": user, "assistant": assistant}
