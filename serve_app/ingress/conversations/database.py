"""The conversations' database: opens the engine at first use, and makes the tables."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import AsyncFileLock
from sqlalchemy import event, insert, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from configs.databases import is_sqlite
from serve_app.ingress.conversations import tables
from serve_app.ingress.errors import Unavailable

logger = logging.getLogger(__name__)

CONNECTIONS = 4
TIMEOUT_S = 10
"""How long to wait for a connection, for a lock of SQLite, and for an answer of PostgreSQL."""
SCHEMA_LOCK = 0x70_72_73_6D
"""PostgreSQL's advisory lock, so that replicas that start together make the tables once."""


class Database:
    """Connections of one process, all on the event loop of their first use."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises :class:`Unavailable` when the database cannot be used.

        On SQLite the first change takes the writers' lock, so a transaction with changes must start
        with one.
        """
        try:
            engine = self._engine or await self._opened()
            async with engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError, TimeoutError):
            logger.exception("the database of conversations failed")
            raise Unavailable("Conversations cannot be read or stored right now.") from None

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def _opened(self) -> AsyncEngine:
        async with self._opening:
            if self._engine is None:
                engine = _engine(self._url)
                try:
                    async with _one_process_at_a_time(self._url):
                        await _prepare(engine)
                except BaseException:
                    await engine.dispose()
                    raise
                self._engine = engine
            return self._engine


def _engine(url: URL) -> AsyncEngine:
    """An engine whose errors, which are logged, do not contain what people wrote."""
    pool: dict[str, Any] = {"pool_size": CONNECTIONS, "pool_timeout": TIMEOUT_S}
    connecting: dict[str, Any] = {"timeout": TIMEOUT_S}
    if is_sqlite(url):
        _private(Path(url.database or ""))
    else:
        pool["pool_pre_ping"] = True
        connecting["command_timeout"] = TIMEOUT_S
    engine = create_async_engine(url, hide_parameters=True, connect_args=connecting, **pool)
    if is_sqlite(url):
        event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def _private(file: Path) -> None:
    """Make the file readable for its owner only. SQLite gives its other files the same rights."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)


def _one_process_at_a_time(url: URL) -> AbstractAsyncContextManager[object]:
    """A lock for replicas that start together on a new SQLite file.

    When several switch its journal to WAL at once, SQLite fails all but one without waiting:
    https://www.sqlite.org/c3ref/busy_handler.html (the handler is not always invoked).
    """
    if not is_sqlite(url):
        return nullcontext()
    return AsyncFileLock(f"{url.database}.lock", timeout=TIMEOUT_S, mode=0o600)


def _set_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


async def _prepare(engine: AsyncEngine) -> None:
    """Make missing tables, one process at a time, and check their version."""
    postgresql = engine.dialect.name == "postgresql"
    lock = f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})" if postgresql else "BEGIN IMMEDIATE"
    async with engine.begin() as connection:
        await connection.exec_driver_sql(lock)
        for table in tables.metadata.sorted_tables:
            await connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda each: str(each.name)):
                await connection.execute(CreateIndex(index, if_not_exists=True))
        found = await connection.scalar(select(tables.schema.c.version))
        if found is None:
            await connection.execute(insert(tables.schema).values(one=1, version=tables.VERSION))
        elif found != tables.VERSION:
            raise IncompatibleSchema(found)


class IncompatibleSchema(SQLAlchemyError):
    """The tables are of another version, which this version of the service does not know."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the tables of conversations have version {found}, this is {tables.VERSION}"
        )
