"""The servers beside the graph that the chaos bench breaks: PostgreSQL, and Redis for Ray's GCS."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import psutil
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bench.chaos import postgresql, redis_server
from bench.chaos.__main__ import main
from bench.chaos.processes import Part, kill, of_part

needs_postgresql = pytest.mark.skipif(
    postgresql.programs() is None, reason="PostgreSQL is not installed"
)
needs_redis = pytest.mark.skipif(not redis_server.is_installed(), reason="Redis is not installed")


async def said(url: str, statement: str) -> list[int]:
    """What a database of PostgreSQL answers."""
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
    try:
        async with engine.begin() as connection:
            done = await connection.exec_driver_sql(statement)
            return [int(each[0]) for each in done] if done.returns_rows else []
    finally:
        await engine.dispose()


@needs_postgresql
async def test_a_killed_postgresql_keeps_what_was_stored() -> None:
    with postgresql.postgresql() as url:
        await said(url, "CREATE TABLE kept AS SELECT 7 AS number")
        (start,) = kill(Part.POSTGRESQL)
        with pytest.raises((OSError, SQLAlchemyError)):
            await said(url, "SELECT number FROM kept")
        with start.again():
            found: list[int] = []
            for _ in range(100):
                try:
                    found = await said(url, "SELECT number FROM kept")
                    break
                except (OSError, SQLAlchemyError):
                    await asyncio.sleep(0.1)
            assert found == [7]
            for each in of_part(Part.POSTGRESQL):
                each.terminate()
    assert of_part(Part.POSTGRESQL) == []


@needs_postgresql
async def test_postgresql_wants_its_password() -> None:
    with postgresql.postgresql() as url:
        password = urlsplit(url).password or ""
        with pytest.raises((OSError, SQLAlchemyError)):
            await said(url.replace(password, "another"), "SELECT 1")


def spoken(port: int, *lines: str) -> str:
    """What Redis answers."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        return connection.recv(1000).decode()


@needs_redis
def test_redis_wants_its_password_and_ends_with_the_block() -> None:
    with redis_server.redis_server() as server:
        assert spoken(server.port, "PING").startswith("-NOAUTH")
        assert spoken(server.port, f"AUTH {server.password}").startswith("+OK")
        (process,) = [
            each for each in psutil.Process().children() if each.name() == redis_server.PROGRAM
        ]
    assert not process.is_running()


def test_a_scenario_whose_server_is_not_installed_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.chaos.graph.programs", lambda: None)
    refused = CliRunner().invoke(main, ["--only", "PostgreSQL killed"])
    assert refused.exit_code == 2
    assert "apt-get install postgresql" in refused.output
