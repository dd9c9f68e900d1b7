"""The file of API keys: their hashes and scopes, read again when the file changes.

A line is ``name:sha256[:scopes]``, with the key's hash in hexadecimal and commas between scopes.
Empty lines and lines that begin with ``#`` are ignored. A key has the scope ``inference`` unless
its line names others.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError
from serve_app.ingress.api_key import INFERENCE, SCOPES, ApiKey

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 1024 * 1024
MAX_AGE_S = 1.0
LINE = re.compile(r"(?P<name>[A-Za-z0-9][\w.\-]{0,63}):(?P<hash>[0-9A-Fa-f]{64})(:(?P<scopes>.*))?")
EXPECTED = "expected name:sha256[:scopes], the hash in 64 hexadecimal digits"
MAX_PROBLEMS = 10
MAX_READS = 3
SETTLED_S = 2.0
"""The coarsest clock of a file system that is in use: FAT's."""


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What was read: ``stamp`` is the file's before and after, ``digest`` that of its content.

    ``settled`` is false for a file that was changed just before. A change in the same tick of the
    file system's clock has the same stamp then, so that only the content tells.
    """

    stamp: tuple[int, ...] | None
    digest: bytes
    settled: bool


class KeyFile:
    """The keys of a file, which is checked for changes at most once a second.

    The request that is due to check waits for it, in a thread; others use the keys that are known.
    If the file has become unreadable or wrong, that is logged and the known keys stay.
    """

    def __init__(self, path: Path) -> None:
        """Raises :class:`ConfigError`, with every line at fault."""
        self._path = path
        content, self._version = _read(path)
        self._keys = _parsed(path, content)
        self._checked_at = time.monotonic()
        self._checking = False

    async def find(self, digest: str) -> ApiKey | None:
        """The key with this hash, if there is one."""
        if time.monotonic() - self._checked_at >= MAX_AGE_S and not self._checking:
            await self._check()
        return self._keys.get(digest)

    async def _check(self) -> None:
        self._checking = True
        try:
            await asyncio.to_thread(self._refresh)
        finally:
            self._checking = False
            self._checked_at = time.monotonic()

    def _refresh(self) -> None:
        known = self._version
        if known.settled and _stamp(self._path) == known.stamp:
            return
        try:
            content, self._version = _read(self._path)
            if self._version.digest == known.digest:
                return
            self._keys = _parsed(self._path, content)
        except ConfigError as error:
            if self._version is known:  # it cannot be read at all
                self._version = FileVersion(None, b"", settled=True)
                if known.stamp is None:
                    return
            # A wrong file is logged once and not every second.
            logger.error("the API keys stay as they were: %s", error)  # noqa: TRY400
        else:
            logger.info("read %d API keys from %s", len(self._keys), self._path)


def read_keys(path: Path) -> dict[str, ApiKey]:
    """The keys of a file by their hashes. Raises :class:`ConfigError`, with every line at fault."""
    content, _ = _read(path)
    return _parsed(path, content)


def _parsed(path: Path, content: bytes) -> dict[str, ApiKey]:
    keys: dict[str, ApiKey] = {}
    names: set[str] = set()
    problems: list[str] = []
    for number, line in enumerate(_text(path, content).splitlines(), 1):
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


def _read(path: Path) -> tuple[bytes, FileVersion]:
    """A whole version of the file: read again if it was changed meanwhile."""
    for _ in range(MAX_READS):
        before = _stamp(path)
        content = _content(path)
        if _stamp(path) == before:
            break
    else:
        before = None  # it changes all the time: what was read counts until the next check
    changed_s = max(before[:2]) / 1e9 if before else time.time()
    settled = before is not None and time.time() - changed_s > SETTLED_S
    return content, FileVersion(before, hashlib.sha256(content).digest(), settled)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read ({error.strerror})"]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(str(path), [f"is larger than {MAX_FILE_BYTES} bytes"])
    return content


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(str(path), ["is not text in UTF-8"]) from None


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes when the file does, or when a link leads to another file. Times are in ns."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
