"""Reads and writes API keys in the database, each operation in one transaction."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve_app.ingress.api_key import MAX_WEIGHT, MIN_WEIGHT, ApiKey
from serve_app.ingress.keys.records import Amounts, KeyChanges, KeyTerms, StoredKey, Use
from serve_app.ingress.keys.tables import api_keys, schema, use
from serve_app.ingress.sql.clock import now
from serve_app.ingress.sql.database import Database

logger = logging.getLogger(__name__)

PREFIX = "prsm_"
"""Of every key, so that programs which look for secrets in files recognise it."""
KEY_BYTES = 32
MAX_KEYS = 10_000
PAGE = 500
FORGOTTEN_S = 90 * 86400.0
"""Keys that ended so long ago are deleted when another one is made."""


class KeyRefused(Exception):
    """What was asked for does not fit the stored keys."""


class KeyStore:
    """Keys by their hashes. All methods raise :class:`~serve_app.ingress.errors.Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, terms: KeyTerms) -> str:
        """A new key, which nobody can read again. Raises :class:`KeyRefused`."""
        async with self._database.transaction() as connection:
            revision = await _next_revision(connection)
            if await connection.scalar(select(api_keys.c.id).where(_live(name)).limit(1)):
                raise KeyRefused(f"there is a key {name} already: rotate or revoke it")
            await _forget(connection)
            count = await connection.scalar(select(func.count()).select_from(api_keys))
            if (count or 0) >= MAX_KEYS:
                raise KeyRefused(f"there are {MAX_KEYS} keys already")
            key, digest = _new_key()
            values = _values(terms, name, revision)
            await connection.execute(insert(api_keys).values(hash=digest, caller=digest, **values))
        return key

    async def rotate(self, name: str, grace_s: float, lifetime_s: float | None = None) -> str:
        """Another key with the terms of the last one, which is valid for ``grace_s`` more.

        Without ``lifetime_s`` it lives for as long as the last one was to. Raises
        :class:`KeyRefused`.
        """
        async with self._database.transaction() as connection:
            revision = await _next_revision(connection)
            await _forget(connection)
            newest = select(api_keys).where(_live(name)).order_by(api_keys.c.id.desc()).limit(1)
            last = (await connection.execute(newest)).first()
            if last is None:
                raise KeyRefused(f"there is no key {name} that is valid")
            until = now() + grace_s
            sooner = or_(api_keys.c.expires.is_(None), api_keys.c.expires > until)
            ending = update(api_keys).where(_live(name), sooner)
            await connection.execute(ending.values(expires=until, revision=revision))
            key, digest = _new_key()
            if lifetime_s is None and last.expires is not None:
                lifetime_s = last.expires - last.created
            values = _values(_terms(last, lifetime_s), name, revision)
            await connection.execute(
                insert(api_keys).values(hash=digest, caller=last.caller, **values)
            )
        return key

    async def revoke(self, name: str) -> int:
        """End all keys of a name; how many that were."""
        async with self._database.transaction() as connection:
            revision = await _next_revision(connection)
            ended = update(api_keys).where(_live(name))
            done = await connection.execute(ended.values(revoked=now(), revision=revision))
            return done.rowcount

    async def keys(self) -> list[StoredKey]:
        """Every key, also those that ended, by name and age."""
        ended = func.coalesce(api_keys.c.revoked, api_keys.c.expires) <= now()
        query = (
            select(api_keys, use.c.used, use.c.requests, use.c.tokens, ended.label("ended"))
            .outerjoin(use, use.c.name == api_keys.c.name)
            .order_by(api_keys.c.name, api_keys.c.id)
        )
        async with self._database.transaction() as connection:
            rows = (await connection.execute(query)).all()
        return [
            StoredKey(
                key_of_row(row),
                row.created,
                row.revoked,
                bool(row.ended),
                row.used,
                Amounts(row.requests or 0, row.tokens or 0),
            )
            for row in rows
        ]

    async def exchange(
        self, since: int, used: Mapping[Use, Amounts], names: Iterable[str]
    ) -> KeyChanges:
        """Add what names used in which minutes, and read changes ``since`` a revision, and the last
        minute of ``names``.

        All keys are read at the revision 0, and where the database has an earlier revision: it was
        restored from a copy, and nobody knows which keys have changed by that.
        Some use is of keys that are no longer there; a name's use outlives them.
        """
        async with self._database.transaction() as connection:
            if used:
                # In one order, so that no two replicas wait for each other.
                rows = [{**each._asdict(), **used[each]._asdict()} for each in sorted(used)]
                await connection.execute(_adding(connection.dialect.name), rows)
            # What changes while pages are read is read again after this revision.
            clock = select(now(), schema.c.revision)
            at, revision = (await connection.execute(clock)).one()
            if revision < since:
                logger.warning("the database of API keys was restored: all keys are read again")
                since = 0
            keys, revoked = list[ApiKey](), list[str]()
            async for row in _changed(connection, since):
                if row.revoked is None:
                    keys.append(key_of_row(row))
                else:
                    revoked.append(row.hash)
            minutes = dict[str, tuple[int, Amounts]]()
            if wanted := sorted(names):
                read = select(use).where(use.c.name.in_(wanted))
                uses = await connection.execute(read)
                for row in uses:
                    minutes[row.name] = row.minute, Amounts(row.minute_requests, row.minute_tokens)
        return KeyChanges(
            revision, float(at), tuple(keys), tuple(revoked), minutes, whole=since == 0
        )

    async def close(self) -> None:
        await self._database.close()


async def _changed(connection: AsyncConnection, since: int) -> AsyncIterator[Row[Any]]:
    """Rows changed after a revision, in the order of their changes.

    They are read in pages, because the event loop waits while SQLAlchemy makes rows of a result.
    """
    order = api_keys.c.revision, api_keys.c.id
    ahead: ColumnElement[bool] = api_keys.c.revision > since
    if since == 0:
        ahead = and_(ahead, api_keys.c.revoked.is_(None))
    query = select(api_keys).where(ahead).order_by(*order).limit(PAGE)
    while rows := (await connection.execute(query)).all():
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        last = rows[-1]
        query = query.where(tuple_(*order) > (last.revision, last.id))


def key_of_row(row: Row[Any]) -> ApiKey:
    """The key of a row, which somebody may have changed with SQL of their own."""
    return ApiKey(
        name=row.name,
        digest=row.hash,
        scopes=_words(row.scopes),
        weight=_weight(row),
        families=_words(row.families),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        expires=row.expires,
        caller=row.caller,
    )


def _weight(row: Row[Any]) -> float:
    """The row's weight, or the nearest that is allowed: shares are divided by it."""
    weight = float(row.weight)
    if MIN_WEIGHT <= weight <= MAX_WEIGHT:
        return weight
    nearest = min(MAX_WEIGHT, max(MIN_WEIGHT, weight))  # of NaN the least
    logger.warning(
        "the API key %s has the weight %g in the database; %g counts", row.name, weight, nearest
    )
    return nearest


def hashed(presented: str) -> str:
    """The hash of a key as it comes in a header."""
    return hashlib.sha256(presented.encode("latin-1")).hexdigest()


def _new_key() -> tuple[str, str]:
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, hashed(key)


def _live(name: str) -> ColumnElement[bool]:
    still = or_(api_keys.c.expires.is_(None), api_keys.c.expires > now())
    return and_(api_keys.c.name == name, api_keys.c.revoked.is_(None), still)


async def _forget(connection: AsyncConnection) -> None:
    """Delete keys that ended long ago."""
    ended = func.coalesce(api_keys.c.revoked, api_keys.c.expires)
    await connection.execute(delete(api_keys).where(ended < now() - FORGOTTEN_S))


async def _next_revision(connection: AsyncConnection) -> int:
    """Locks out other changes until the transaction ends, so that revisions are seen in order."""
    counted = update(schema).values(revision=schema.c.revision + 1)
    revision = await connection.scalar(counted.returning(schema.c.revision))
    assert revision is not None
    return int(revision)


def _values(terms: KeyTerms, name: str, revision: int) -> dict[str, Any]:
    return {
        "name": name,
        "scopes": ",".join(sorted(terms.scopes)),
        "families": ",".join(sorted(terms.families)),
        "requests_per_minute": terms.requests_per_minute,
        "tokens_per_minute": terms.tokens_per_minute,
        "weight": terms.weight,
        "created": now(),
        "expires": None if terms.lifetime_s is None else now() + terms.lifetime_s,
        "revision": revision,
    }


def _terms(row: Row[Any], lifetime_s: float | None) -> KeyTerms:
    limits = row.requests_per_minute, row.tokens_per_minute
    return KeyTerms(_words(row.scopes), _words(row.families), *limits, _weight(row), lifetime_s)


def _words(stored: str) -> frozenset[str]:
    return frozenset(stored.split(",")) if stored else frozenset()


def _adding(dialect: str) -> Any:
    """Adds to the use of names, whose parameters are executed with it.

    Use of an earlier minute than the stored one is only added to the sums.
    """
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    given: dict[str, Any] = {
        word: bindparam(word) for word in ("name", "minute", "requests", "tokens")
    }
    first = {f"minute_{word}": given[word] for word in ("requests", "tokens")}
    inserted = make(use).values(used=now(), **given, **first)
    new = inserted.excluded
    changed: dict[str, Any] = {"used": new.used}
    for word in ("requests", "tokens"):
        before = use.c[f"minute_{word}"]
        changed[word] = use.c[word] + new[word]
        changed[before.name] = case(
            (use.c.minute == new.minute, before + new[word]),
            (use.c.minute < new.minute, new[word]),
            else_=before,
        )
    changed["minute"] = case((use.c.minute < new.minute, new.minute), else_=use.c.minute)
    return inserted.on_conflict_do_update(index_elements=[use.c.name], set_=changed)
