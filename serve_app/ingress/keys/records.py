"""What the store of API keys takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from serve_app.ingress.api_key import ApiKey


class Amounts(NamedTuple):
    """How many requests, and how many tokens read and written."""

    requests: int = 0
    tokens: int = 0

    def plus(self, other: Amounts) -> Amounts:
        return Amounts(self.requests + other.requests, self.tokens + other.tokens)

    def minus(self, other: Amounts) -> Amounts:
        return Amounts(self.requests - other.requests, self.tokens - other.tokens)


class Use(NamedTuple):
    """The keys of a name in one minute, counted since 1970."""

    name: str
    minute: int


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a new key may do. See :class:`~serve_app.ingress.api_key.ApiKey`."""

    scopes: frozenset[str]
    families: frozenset[str] = frozenset()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    weight: float = 1.0
    lifetime_s: float | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row, with the use of its name. Times are in seconds since 1970."""

    key: ApiKey
    created: float
    revoked: float | None
    ended: bool
    used: float | None
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """What changed since a revision: keys that may be used, and hashes of those that no longer may.

    ``whole`` if these are all keys that may be used, and those that were known before count no
    more. ``at`` is the database's time. ``minutes`` has for some names the last minute in which
    they were used, and their use in it.
    """

    revision: int
    at: float
    keys: tuple[ApiKey, ...]
    revoked: tuple[str, ...]
    minutes: Mapping[str, tuple[int, Amounts]]
    whole: bool = False
