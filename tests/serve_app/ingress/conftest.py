"""A PostgreSQL database for tests, on the server that the environment names."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator

import pytest
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
