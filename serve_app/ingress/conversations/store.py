"""Reads and writes conversations in the database, each operation in one short transaction."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve_app.ingress.conversations.history import Conversation, HistoryBounds, Turn
from serve_app.ingress.conversations.tables import conversations, leases, turns
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.sql.clock import now
from serve_app.ingress.sql.database import Database

MAX_SWEPT = 50
"""Rows of each table that one sweep deletes."""


class LeaseLost(Unavailable):
    """Another request has the conversation now, or it was deleted. Nothing was written."""

    def __init__(self) -> None:
        super().__init__(
            "The conversation was deleted or taken over meanwhile, so this answer was not stored.",
            retry_after_s=1,
        )


class ConversationStore:
    """Conversations by caller and user. ``holder`` names the request that has the lease."""

    def __init__(self, database: Database, bounds: HistoryBounds, lease_s: float) -> None:
        self._database = database
        self._bounds = bounds
        self._lease_s = lease_s

    async def read(self, caller: str, user_id: str) -> Conversation:
        """A conversation, oldest turn first; an empty one if it is unknown."""
        of_this = _is(conversations, caller, user_id)
        recent = conversations.c.updated > self._expiry
        model = select(conversations.c.model).where(of_this, recent)
        stored = (
            select(turns.c.user_text, turns.c.assistant_text)
            .join(conversations, turns.c.conversation == conversations.c.id)
            .where(of_this, turns.c.created > self._expiry)
            .order_by(turns.c.id)
        )
        async with self._database.transaction() as connection:
            named = await connection.scalar(model)
            rows = await connection.execute(stored)
            return Conversation(tuple(Turn(*row) for row in rows), named)

    async def exists(self, caller: str, user_id: str) -> bool:
        """Whether a conversation was begun and has not expired."""
        recent = conversations.c.updated > self._expiry
        found = select(conversations.c.id).where(_is(conversations, caller, user_id), recent)
        async with self._database.transaction() as connection:
            return await connection.scalar(found) is not None

    async def users(self, caller: str, limit: int, after: str) -> list[str]:
        """Up to ``limit`` users of a caller that follow ``after``, ordered by code points."""
        of_caller = and_(conversations.c.caller == caller, conversations.c.user_id > after)
        query = (
            select(conversations.c.user_id)
            .where(of_caller, conversations.c.updated > self._expiry)
            .order_by(conversations.c.user_id)
            .limit(limit)
        )
        async with self._database.transaction() as connection:
            return list(await connection.scalars(query))

    async def delete(self, caller: str, user_id: str) -> None:
        """Delete a conversation and its lease, so that no answer to it is stored."""
        async with self._database.transaction() as connection:
            await connection.execute(delete(leases).where(_is(leases, caller, user_id)))
            await _forget(connection, caller, user_id)

    async def acquire(self, caller: str, user_id: str, holder: str) -> bool:
        """Take the lease when nobody has it, or when its holder stopped renewing it."""
        async with self._database.transaction() as connection:
            new = _insert(connection, leases).values(
                caller=caller, user_id=user_id, holder=holder, expires=now() + self._lease_s
            )
            taken = new.on_conflict_do_update(
                index_elements=[leases.c.caller, leases.c.user_id],
                set_={"holder": new.excluded.holder, "expires": new.excluded.expires},
                where=leases.c.expires < now(),
            ).returning(leases.c.holder)
            return bool(await connection.scalar(taken) == holder)

    async def renew(self, caller: str, user_id: str, holder: str) -> bool:
        """Extend the lease; whether the holder still has it."""
        held = _held(caller, user_id, holder)
        later = update(leases).where(held).values(expires=now() + self._lease_s)
        async with self._database.transaction() as connection:
            return (await connection.execute(later)).rowcount == 1

    async def release(self, caller: str, user_id: str, holder: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(delete(leases).where(_held(caller, user_id, holder)))

    async def begin(self, caller: str, user_id: str, holder: str, model: str | None) -> None:
        """Start a conversation anew, without a turn, and release the lease.

        Raises :class:`LeaseLost`.
        """
        async with self._database.transaction() as connection:
            await _release_lease(connection, caller, user_id, holder)
            await _forget(connection, caller, user_id)
            await _conversation(connection, caller, user_id, model)

    async def add(
        self, caller: str, user_id: str, holder: str, turn: Turn, begun: Conversation | None = None
    ) -> None:
        """Store a turn, drop the oldest that are too many, and release the lease.

        With ``begun`` the turn is the first of a conversation that replaces the earlier one.
        Raises :class:`LeaseLost`.
        """
        async with self._database.transaction() as connection:
            await _release_lease(connection, caller, user_id, holder)
            old = None if begun else conversations.c.updated <= self._expiry
            await _forget(connection, caller, user_id, old)
            model = begun.model if begun else None
            conversation = await _conversation(connection, caller, user_id, model)
            await connection.execute(
                insert(turns).values(
                    conversation=conversation,
                    user_text=turn.user,
                    assistant_text=turn.assistant,
                    bytes=turn.size,
                    created=now(),
                )
            )
            await self._trim(connection, conversation)

    async def sweep(self) -> None:
        """Delete some of what expired: conversations, and leases of holders that are gone."""
        old = (
            select(conversations.c.id)
            .where(conversations.c.updated <= self._expiry)
            .limit(MAX_SWEPT)
            .with_for_update(skip_locked=True)
        )
        key = tuple_(leases.c.caller, leases.c.user_id)
        left = (
            select(leases.c.caller, leases.c.user_id)
            .where(leases.c.expires < now() - self._lease_s)
            .limit(MAX_SWEPT)
            .with_for_update(skip_locked=True)
        )
        async with self._database.transaction() as connection:
            await connection.execute(delete(conversations).where(conversations.c.id.in_(old)))
        async with self._database.transaction() as connection:
            await connection.execute(delete(leases).where(key.in_(left)))

    async def _trim(self, connection: AsyncConnection, conversation: int) -> None:
        of_this = turns.c.conversation == conversation
        await connection.execute(delete(turns).where(of_this, turns.c.created <= self._expiry))
        newest = select(turns.c.id, turns.c.bytes).where(of_this).order_by(turns.c.id.desc())
        rows = [(row.id, row.bytes) for row in await connection.execute(newest)]
        if surplus := self._bounds.surplus(rows):
            await connection.execute(delete(turns).where(turns.c.id.in_(surplus)))

    @property
    def _expiry(self) -> ColumnElement[float]:
        return now() - self._bounds.age_s


def _is(table: Any, caller: str, user_id: str) -> ColumnElement[bool]:
    return and_(table.c.caller == caller, table.c.user_id == user_id)


def _held(caller: str, user_id: str, holder: str) -> ColumnElement[bool]:
    return and_(_is(leases, caller, user_id), leases.c.holder == holder)


async def _release_lease(
    connection: AsyncConnection, caller: str, user_id: str, holder: str
) -> None:
    """Release the lease, as the transaction's first change. Raises :class:`LeaseLost`."""
    given = await connection.execute(delete(leases).where(_held(caller, user_id, holder)))
    if given.rowcount != 1:
        raise LeaseLost


async def _forget(
    connection: AsyncConnection,
    caller: str,
    user_id: str,
    only_if: ColumnElement[bool] | None = None,
) -> None:
    """Delete a conversation; its turns go with it."""
    of_this = delete(conversations).where(_is(conversations, caller, user_id))
    await connection.execute(of_this if only_if is None else of_this.where(only_if))


async def _conversation(
    connection: AsyncConnection, caller: str, user_id: str, model: str | None
) -> int:
    """The id of a conversation, which is inserted if it is new."""
    new = _insert(connection, conversations).values(
        caller=caller, user_id=user_id, model=model, updated=now()
    )
    known = new.on_conflict_do_update(
        index_elements=[conversations.c.caller, conversations.c.user_id],
        set_={"updated": new.excluded.updated},
    ).returning(conversations.c.id)
    return int(await connection.scalar(known) or 0)


def _insert(connection: AsyncConnection, table: Any) -> Any:
    """Both dialects spell an upsert alike, but each has its own ``insert``."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


async def write_and_delete(connection: AsyncConnection) -> None:
    """Write to the disk: an update to the same value would write nothing on SQLite."""
    holder = secrets.token_hex(16)
    row = {"caller": "", "user_id": holder, "holder": holder, "expires": 0.0}
    await connection.execute(insert(leases).values(row))
    await connection.execute(delete(leases).where(leases.c.holder == holder))
