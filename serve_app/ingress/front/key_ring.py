"""All API keys that the service knows: those of the file, and those in the database."""

from __future__ import annotations

import hashlib
import time

from configs.settings import Settings
from serve_app.ingress.api_key import ApiKey
from serve_app.ingress.errors import AuthenticationError, AuthorizationError, TooManyRequests
from serve_app.ingress.front.keys import KeyFile
from serve_app.ingress.keys.limits import KeyLimits, RawHeader
from serve_app.ingress.keys.records import Amounts
from serve_app.ingress.keys.store import KeyStore
from serve_app.ingress.keys.stored_keys import StoredKeys
from serve_app.ingress.keys.tables import LAYOUT
from serve_app.ingress.sql.database import Database


class KeyRing:
    """Finds the key of a request, and counts what keys use.

    The file comes first, so that its keys are valid while the database is away.
    """

    def __init__(self, file: KeyFile | None, store: KeyStore | None) -> None:
        self._file = file
        self._limits = KeyLimits(self._now)
        self._stored = None if store is None else StoredKeys(store, self._limits.used)

    async def named(self, presented: str | None, scope: str) -> ApiKey:
        """The key that was presented, which has ``scope``.

        Raises :class:`AuthenticationError`, the same one for a key that is unknown, revoked or
        expired, :class:`AuthorizationError`, or :class:`~serve_app.ingress.errors.Unavailable`.
        """
        if presented is None:
            raise AuthenticationError(
                "An API key is needed, as Authorization: Bearer KEY or as X-API-Key: KEY."
            )
        # The time of this lookup tells a client nothing: it cannot choose the digits of a hash.
        digest = hashlib.sha256(presented.encode("latin-1")).hexdigest()
        key = None if self._file is None else await self._file.find(digest)
        if key is None and self._stored is not None:
            key = await self._stored.find(digest)
        if key is None:
            raise AuthenticationError("The API key is not known here.")
        if scope not in key.scopes:
            raise AuthorizationError(f"The API key {key.name} has not the scope {scope}.")
        return key

    async def admit(self, key: ApiKey) -> tuple[tuple[RawHeader, ...], TooManyRequests | None]:
        """Count a request against the limits of its key.

        Returns headers for the answer, and the error to answer with if the limits are exceeded.
        """
        standing = await self._limits.admit(key)
        if standing.retry_after_s:
            said = f"The API key {key.name} has used its {standing.exceeded} of this minute."
            return standing.headers, TooManyRequests(said, standing.retry_after_s)
        self._record(key, Amounts(requests=1))
        return standing.headers, None

    def used(self, key: ApiKey, tokens: int) -> None:
        """A request has ended that read and wrote so many tokens."""
        if tokens > 0:
            self._limits.used(key.name, Amounts(tokens=tokens))
            self._record(key, Amounts(tokens=tokens))

    async def close(self) -> None:
        if self._stored is not None:
            await self._stored.close()

    def _now(self) -> float:
        """The database's time, since replicas that share limits have to share minutes."""
        return time.time() if self._stored is None else self._stored.now()

    def _record(self, key: ApiKey, amounts: Amounts) -> None:
        if self._stored is not None:
            self._stored.used(key.name, amounts)


def key_ring(settings: Settings) -> KeyRing | None:
    """The keys of the settings, if there are any.

    Raises :class:`configs.errors.ConfigError` when the file of keys is wrong. The database is
    opened at the first request with a key.
    """
    if not settings.needs_keys:
        return None
    file = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
    url = settings.keys_database
    return KeyRing(file, None if url is None else KeyStore(Database(url, LAYOUT)))
