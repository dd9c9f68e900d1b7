"""Stores on a SQLite file always, and on the PostgreSQL that the environment names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from configs.settings import Settings
from serve_app.ingress.conversations import Conversations
from serve_app.ingress.conversations.tables import metadata

Opened: TypeAlias = Callable[..., Conversations]


@pytest.fixture
async def url(server: str | None, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database."""
    if server is None:
        yield f"sqlite+aiosqlite:///{tmp_path}/conversations.sqlite3"
        return
    yield server
    engine = create_async_engine(server)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await engine.dispose()


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Makes conversations on the same database, each as another replica of the ingress has them."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> Conversations:
            conversations = Conversations(Settings(conversations_url=url, **settings))
            stack.push_async_callback(conversations.close)
            return conversations

        yield make


@pytest.fixture
async def conversations(opened: Opened) -> Conversations:
    return opened()


@pytest.fixture
async def rows(url: str) -> AsyncIterator[Callable[[str], Any]]:
    """Runs SQL beside the service, as an operator would, or as time does."""
    engine = create_async_engine(url)

    async def run(statement: str) -> Any:
        async with engine.begin() as connection:
            done = await connection.exec_driver_sql(statement)
            return done.all() if done.returns_rows else None

    yield run
    await engine.dispose()
