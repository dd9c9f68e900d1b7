"""Stores of keys on a SQLite file always, and on the PostgreSQL that the environment names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from serve_app.ingress.keys.store import KeyStore
from serve_app.ingress.keys.tables import LAYOUT, metadata
from serve_app.ingress.sql.database import Database

Opened: TypeAlias = Callable[[], KeyStore]


@pytest.fixture
async def url(server: str | None, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database."""
    if server is None:
        yield f"sqlite+aiosqlite:///{tmp_path}/keys.sqlite3"
        return
    yield server
    engine = create_async_engine(server)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
    await engine.dispose()


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Opens the same database, each time as another process does."""
    async with AsyncExitStack() as stack:

        def make() -> KeyStore:
            store = KeyStore(Database(make_url(url), LAYOUT))
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
async def rows(url: str) -> AsyncIterator[Callable[[str], Any]]:
    """Runs SQL beside the service, as time does."""
    engine = create_async_engine(url)

    async def run(statement: str) -> Any:
        async with engine.begin() as connection:
            done = await connection.exec_driver_sql(statement)
            return done.all() if done.returns_rows else None

    yield run
    await engine.dispose()
