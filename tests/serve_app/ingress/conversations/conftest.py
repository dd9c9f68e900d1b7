"""Conversations on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest

from configs.settings import Settings
from serve_app.ingress.conversations import Conversations

Opened: TypeAlias = Callable[..., Conversations]


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Makes conversations on the same database, each as another replica of the ingress has them."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> Conversations:
            conversations = Conversations(Settings(conversations_url=url, **settings))
            stack.push_async_callback(conversations.close)
            return conversations

        yield make


@pytest.fixture
async def conversations(opened: Opened) -> Conversations:
    return opened()
