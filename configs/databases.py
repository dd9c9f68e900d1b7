"""Parses and checks database URLs for SQLAlchemy's async drivers, without connecting.

SQLAlchemy is imported inside the functions, since every replica reads the settings and few use a
database.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
DRIVERS = {
    "sqlite": SQLITE,
    SQLITE: SQLITE,
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    POSTGRESQL: POSTGRESQL,
}
"""The accepted URL schemes, and the driver of each."""


def database_url(given: str) -> URL:
    """The URL of a SQLite file or a PostgreSQL database.

    Raises ``ValueError`` for any other URL. The message does not repeat the URL, which may have a
    password in it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise ValueError("expected a URL such as postgresql://user@host/database") from None
    if url.drivername not in DRIVERS:
        raise ValueError(f"expected one of the schemes {', '.join(DRIVERS)}")
    url = url.set(drivername=DRIVERS[url.drivername])
    if is_sqlite(url) and (url.database in {None, "", ":memory:"} or url.host or url.query):
        raise ValueError("expected the path of a file: sqlite:////absolute/path (no options)")
    if not is_sqlite(url) and not url.database:
        raise ValueError("expected the name of a database: postgresql://user@host/database")
    return url


def sqlite_url(path: Path) -> URL:
    """The URL of the SQLite file at ``path``."""
    from sqlalchemy.engine import URL

    return URL.create(SQLITE, database=str(path))


def is_sqlite(url: URL) -> bool:
    return url.drivername == SQLITE


def located(url: URL) -> URL:
    """The same database with an absolute path, for processes in other directories."""
    return sqlite_url(Path(url.database or "").resolve()) if is_sqlite(url) else url
