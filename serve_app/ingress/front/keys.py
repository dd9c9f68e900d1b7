"""API keys: a file of their hashes and scopes, which is read again when it changes.

A line is ``name:sha256[:scopes]``, with the key's hash in hexadecimal and commas between scopes.
Empty lines and lines that begin with ``#`` are ignored. A key has the scope ``inference`` unless
its line names others.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError
from serve_app.ingress.errors import AuthenticationError, AuthorizationError

logger = logging.getLogger(__name__)

INFERENCE, ADMIN = "inference", "admin"
SCOPES = frozenset({INFERENCE, ADMIN})
MAX_FILE_BYTES = 1024 * 1024
MAX_AGE_S = 1.0
LINE = re.compile(r"(?P<name>[A-Za-z0-9][\w.\-]{0,63}):(?P<hash>[0-9A-Fa-f]{64})(:(?P<scopes>.*))?")
EXPECTED = "expected name:sha256[:scopes], the hash in 64 hexadecimal digits"
MAX_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. ``digest`` is its hash; the key itself is not known.

    ``weight`` is its part of the work where several keys want more than there is.
    """

    name: str
    digest: str
    scopes: frozenset[str]
    weight: float = 1.0


UNKNOWN = ApiKey("", "0" * 64, frozenset())


class KeyFile:
    """The keys of a file, which is checked for changes at most once a second.

    The request that is due to check waits for it, in a thread; others use the keys that are known.
    If the file has become unreadable or wrong, that is logged and the known keys stay.
    """

    def __init__(self, path: Path) -> None:
        """Raises :class:`ConfigError`, with every line at fault."""
        self._path = path
        self._stamp = _stamp(path)  # before reading, so that a change meanwhile is read again
        self._keys = read_keys(path)
        self._checked_at = time.monotonic()
        self._checking = False

    async def named(self, presented: str | None, scope: str) -> ApiKey:
        """The key that was presented, which has ``scope``.

        Raises :class:`AuthenticationError` or :class:`AuthorizationError`.
        """
        if time.monotonic() - self._checked_at >= MAX_AGE_S and not self._checking:
            await self._check()
        if presented is None:
            raise AuthenticationError(
                "An API key is needed, as Authorization: Bearer KEY or as X-API-Key: KEY."
            )
        # The time of this lookup tells a client nothing: it cannot choose the digits of a hash.
        digest = hashlib.sha256(presented.encode("latin-1")).hexdigest()
        key = self._keys.get(digest, UNKNOWN)
        if not hmac.compare_digest(key.digest, digest):
            raise AuthenticationError("The API key is not known here.")
        if scope not in key.scopes:
            raise AuthorizationError(f"The API key {key.name} has not the scope {scope}.")
        return key

    async def _check(self) -> None:
        self._checking = True
        try:
            await asyncio.to_thread(self._refresh)
        finally:
            self._checking = False
            self._checked_at = time.monotonic()

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp  # also of a wrong file, which is logged once and not every second
        try:
            self._keys = read_keys(self._path)
        except ConfigError as error:
            logger.error("the API keys stay as they were: %s", error)  # noqa: TRY400
        else:
            logger.info("read %d API keys from %s", len(self._keys), self._path)


def read_keys(path: Path) -> dict[str, ApiKey]:
    """The keys of a file by their hashes. Raises :class:`ConfigError`, with every line at fault."""
    keys: dict[str, ApiKey] = {}
    names: set[str] = set()
    problems: list[str] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            key = _key(stripped)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if key.name in names:
            problems.append(f"line {number}: the name {key.name} is there twice")
        if key.digest in keys:
            other = keys[key.digest].name
            problems.append(f"line {number}: {key.name} has the same hash as {other}")
        names.add(key.name)
        keys[key.digest] = key
    if not keys and not problems:
        problems = ["there is no key in it"]
    if problems:
        raise ConfigError(str(path), problems[:MAX_PROBLEMS])
    return keys


def _key(line: str) -> ApiKey:
    found = LINE.fullmatch(line)
    if found is None:
        raise ValueError(EXPECTED)
    scopes = {scope.strip() for scope in (found["scopes"] or INFERENCE).split(",")}
    if unknown := sorted(scopes - SCOPES):
        raise ValueError(f"{unknown[0]!r} is no scope; there are: {', '.join(sorted(SCOPES))}")
    return ApiKey(found["name"], found["hash"].lower(), frozenset(scopes))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read ({error.strerror})"]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(str(path), [f"is larger than {MAX_FILE_BYTES} bytes"])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(str(path), ["is not text in UTF-8"]) from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does, or when a link leads to another file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
