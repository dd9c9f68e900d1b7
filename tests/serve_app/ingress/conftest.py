"""Databases for tests: a SQLite file, and one on the PostgreSQL that the environment names."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

POSTGRES = "PRSM_TEST_POSTGRES_URL"
"""A PostgreSQL server whose user may create databases."""

SERVER = os.environ.get(POSTGRES)
NO_SERVER = pytest.mark.skip(f"no PostgreSQL to test against: {POSTGRES} is not set")


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(None, id="sqlite"),
        pytest.param(SERVER, id="postgresql", marks=[] if SERVER else NO_SERVER),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of a new PostgreSQL database; ``None`` says SQLite."""
    given: str | None = request.param
    if given is None:
        yield None
        return
    name = f"test_{secrets.token_hex(8)}"
    asyncio.run(administer(given, f"CREATE DATABASE {name}"))
    yield given.rpartition("/")[0] + f"/{name}"
    asyncio.run(administer(given, f"DROP DATABASE {name} WITH (FORCE)"))


async def administer(server: str, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()


@pytest.fixture
async def url(server: str | None, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database."""
    if server is None:
        yield f"sqlite+aiosqlite:///{tmp_path}/database.sqlite3"
        return
    yield server
    engine = create_async_engine(server)
    async with engine.begin() as connection:
        await connection.run_sync(drop_tables)
    await engine.dispose()


def drop_tables(connection: Connection) -> None:
    tables = MetaData()
    tables.reflect(connection)
    tables.drop_all(connection)


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
