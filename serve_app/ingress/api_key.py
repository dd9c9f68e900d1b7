"""An API key as the service knows it: by its hash, with what its holder may do and how much."""

from __future__ import annotations

from dataclasses import dataclass

INFERENCE, ADMIN = "inference", "admin"
SCOPES = frozenset({INFERENCE, ADMIN})
MIN_WEIGHT, MAX_WEIGHT = 0.01, 1000.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``digest`` is the SHA-256 of the key, in hexadecimal; the key itself is not known.

    Keys are random and long, so that nobody finds one by trying: a slow hash, as passwords need,
    would protect nothing and cost every request. ``families`` are those whose models the key may
    use, all if it is empty. Limits are per minute; ``None`` is no limit. ``expires`` is in seconds
    since 1970. ``weight`` is the key's part of the capacity beside other keys. ``caller`` has the
    conversations: it stays the same when the key is rotated.
    """

    name: str
    digest: str
    scopes: frozenset[str]
    weight: float = 1.0
    families: frozenset[str] = frozenset()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires: float | None = None
    caller: str = ""

    @property
    def owner(self) -> str:
        """The caller to whom this key's conversations belong, in 64 hexadecimal digits."""
        return self.caller or self.digest
