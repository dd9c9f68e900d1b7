"""A database: opens the engine at first use, and makes the tables."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import AsyncFileLock
from sqlalchemy import MetaData, Table, event, insert, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from configs.databases import is_sqlite
from serve_app.ingress.errors import Unavailable

logger = logging.getLogger(__name__)

CONNECTIONS = 4
TIMEOUT_S = 10
"""How long to wait for a connection, for a lock of SQLite, and for an answer of PostgreSQL."""
SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
POSTGRESQL_FULL = "53100"
TRY_AGAIN_S = 5.0
AWAY = "{} cannot be read or stored right now."
FULL = "{} cannot be stored: the disk of their database is full."
SCHEMA_LOCK = 0x70_72_73_6D
"""PostgreSQL's advisory lock, so that replicas that start together make the tables once."""


@dataclass(frozen=True, slots=True)
class SchemaLayout:
    """The tables of one kind of state. ``schema`` is the table with the ``version`` of them all.

    ``name`` is a word for what is stored, in the plural, for errors.
    """

    name: str
    metadata: MetaData
    schema: Table
    version: int


class Database:
    """Connections of one process, all on the event loop of their first use.

    Several layouts may share one database.
    """

    def __init__(self, url: URL, layout: SchemaLayout) -> None:
        self._url = url
        self._layout = layout
        self._engine: AsyncEngine | None = None
        self._opening = asyncio.Lock()
        self._failure: str | None = None
        self._failed_at = float("-inf")

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
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            name = self._layout.name
            logger.exception("the database of %s failed", name)
            said = FULL if _is_full(error) else AWAY
            self._failure = said.format(name[0].upper() + name[1:])
            self._failed_at = time.monotonic()
            raise Unavailable(self._failure) from None

    async def failure(self, probe: Callable[[AsyncConnection], Awaitable[None]]) -> str | None:
        """Why the database cannot be used; ``None`` if it can, or was not tried.

        After a failure ``probe`` is tried, at most every ``TRY_AGAIN_S``. It has to write to the
        disk, since reading works while that is full.
        """
        if self._failure is not None and time.monotonic() - self._failed_at >= TRY_AGAIN_S:
            self._failed_at = time.monotonic()
            with suppress(Unavailable):
                async with self.transaction() as connection:
                    await probe(connection)
                self._failure = None
        return self._failure

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
                        await _prepare(engine, self._layout)
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


def _is_full(error: BaseException) -> bool:
    """Whether there is no room, as SQLite, PostgreSQL or the file system says it."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else None
    while cause is not None:
        if getattr(cause, "sqlite_errorcode", None) in SQLITE_FULL:
            return True
        if getattr(cause, "sqlstate", None) == POSTGRESQL_FULL:
            return True
        cause = cause.__cause__
    return False


async def _prepare(engine: AsyncEngine, layout: SchemaLayout) -> None:
    """Make missing tables, one process at a time, and check their version."""
    postgresql = engine.dialect.name == "postgresql"
    lock = f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})" if postgresql else "BEGIN IMMEDIATE"
    async with engine.begin() as connection:
        await connection.exec_driver_sql(lock)
        for table in layout.metadata.sorted_tables:
            await connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda each: str(each.name)):
                await connection.execute(CreateIndex(index, if_not_exists=True))
        found = await connection.scalar(select(layout.schema.c.version))
        if found is None:
            first = insert(layout.schema).values(one=1, version=layout.version)
            await connection.execute(first)
        elif found != layout.version:
            raise IncompatibleSchema(layout, found)


class IncompatibleSchema(SQLAlchemyError):
    """The tables are of another version, which this version of the service does not know."""

    def __init__(self, layout: SchemaLayout, found: int) -> None:
        super().__init__(
            f"the tables of {layout.name} have version {found}, this is {layout.version}"
        )
