"""Database URLs: which are accepted, and that an error does not repeat the URL."""

from __future__ import annotations

import pytest

from configs.databases import database_url, is_sqlite
from configs.errors import ConfigError
from configs.settings import resolve


@pytest.mark.parametrize(
    ("given", "driver", "database"),
    [
        ("sqlite:////srv/talk.sqlite3", "sqlite+aiosqlite", "/srv/talk.sqlite3"),
        ("sqlite+aiosqlite:///talk.sqlite3", "sqlite+aiosqlite", "talk.sqlite3"),
        ("postgres://ada:pw@db:5433/talk", "postgresql+asyncpg", "talk"),
        ("postgresql://ada@db/talk?ssl=require", "postgresql+asyncpg", "talk"),
        ("postgresql+asyncpg://ada@db/talk", "postgresql+asyncpg", "talk"),
    ],
)
def test_a_url_gets_its_async_driver(given: str, driver: str, database: str) -> None:
    url = database_url(given)
    assert (url.drivername, url.database) == (driver, database)
    assert is_sqlite(url) == given.startswith("sqlite")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "a secret",
        "mysql://ada:secret@db/talk",
        "postgresql+psycopg://ada:secret@db/talk",
        "postgresql://ada:secret@db",
        "postgresql://ada:secret@db:port/talk",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///secret?mode=memory",
        "sqlite://secret/talk.sqlite3",
    ],
)
def test_another_url_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"conversations_url": given}, "a.yaml")
    assert "conversations_url" in str(caught.value)
    assert "secret" not in str(caught.value)
