"""Stores of keys on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import pytest
from sqlalchemy.engine import make_url

from serve_app.ingress.keys.store import KeyStore
from serve_app.ingress.keys.tables import LAYOUT
from serve_app.ingress.sql.database import Database

Opened: TypeAlias = Callable[[], KeyStore]


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Opens the same database, each time as another process does."""
    async with AsyncExitStack() as stack:

        def make() -> KeyStore:
            store = KeyStore(Database(make_url(url), LAYOUT))
            stack.push_async_callback(store.close)
            return store

        yield make
