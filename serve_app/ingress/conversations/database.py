"""The database of conversations: an engine made at its first use, and its tables."""

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
WAIT_S = 10
"""How long to wait for a connection, for a lock of SQLite's, and for PostgreSQL's answer."""
SCHEMA_LOCK = 0x70_72_73_6D
"""PostgreSQL's advisory lock under which replicas that start together make the tables."""


class Database:
    """Connections of one process, all on the event loop of their first use."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises :class:`Unavailable` when the database cannot be used.

        On SQLite it takes the lock of writers with its first change, so a transaction that changes
        something has to begin with that.
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
    """Its errors, which are logged, hide what people said."""
    pool: dict[str, Any] = {"pool_size": CONNECTIONS, "pool_timeout": WAIT_S}
    connecting: dict[str, Any] = {"timeout": WAIT_S}
    if is_sqlite(url):
        _private(Path(url.database or ""))
    else:
        pool["pool_pre_ping"] = True
        connecting["command_timeout"] = WAIT_S
    engine = create_async_engine(url, hide_parameters=True, connect_args=connecting, **pool)
    if is_sqlite(url):
        event.listen(engine.sync_engine, "connect", _as_several_processes_need)
    return engine


def _private(file: Path) -> None:
    """What people say is nobody else's to read; SQLite's other files get the rights of this one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)


def _one_process_at_a_time(url: URL) -> AbstractAsyncContextManager[object]:
    """For replicas that start together on a new file of SQLite.

    Of several that turn its journal to WAL at once, SQLite fails all but one without waiting:
    https://www.sqlite.org/c3ref/busy_handler.html (the handler is not always invoked).
    """
    if not is_sqlite(url):
        return nullcontext()
    return AsyncFileLock(f"{url.database}.lock", timeout=WAIT_S, mode=0o600)


def _as_several_processes_need(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


async def _prepare(engine: AsyncEngine) -> None:
    """Make what is missing of the tables, one process at a time, and check their version."""
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
    """Another version of this service made the tables, and this one does not know theirs."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the tables of conversations have version {found}, this is {tables.VERSION}"
        )
