"""The database of conversations: its tables, its file, and what is said where it is not there."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from sqlalchemy import make_url

from configs.settings import Settings
from serve_app.ingress.conversations import Conversations, Turn
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.sql import database
from tests.serve_app.ingress.conversations.conftest import Opened
from tests.serve_app.ingress.conversations.turns import ADA, NUMBERS, Rows, said, say


async def test_replicas_that_start_together_make_the_tables_once(
    opened: Opened, rows: Rows
) -> None:
    replicas = [opened() for _ in range(8)]
    await asyncio.gather(*(each.read(*ADA) for each in replicas))
    assert await rows("SELECT version FROM conversation_schema") == [(1,)]


async def test_a_file_is_set_up_by_one_process_at_a_time_and_no_wait_is_endless(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TIMEOUT_S", 0.1)
    conversations = Conversations(Settings(hf_cache_dir=tmp_path))
    with FileLock(tmp_path / "conversations.sqlite3.lock"):
        with pytest.raises(Unavailable):
            await conversations.read(*ADA)
        assert not (tmp_path / "conversations.sqlite3").stat().st_size
    assert not await said(conversations)
    await conversations.close()


async def test_tables_of_another_version_are_left_alone(opened: Opened, rows: Rows) -> None:
    await opened().read(*ADA)
    await rows("UPDATE conversation_schema SET version = 99")
    with pytest.raises(Unavailable):
        await opened().read(*ADA)


@pytest.mark.parametrize(
    "url",
    ["sqlite:////proc/nothing/x.sqlite3", "postgresql://nobody:secret@127.0.0.1:1/nothing"],
)
async def test_a_database_that_is_not_there_is_a_503_without_its_url(url: str) -> None:
    conversations = Conversations(Settings(conversations_url=url))
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await conversations.read(*ADA)
        assert "secret" not in caught.value.message
    await conversations.close()


async def test_nothing_is_opened_before_it_is_used(tmp_path: Any) -> None:
    Conversations(Settings(hf_cache_dir=tmp_path / "cache"))
    assert not list(tmp_path.iterdir())


async def test_the_file_is_its_owners_alone(tmp_path: Any) -> None:
    conversations = Conversations(Settings(hf_cache_dir=tmp_path))
    await say(conversations, NUMBERS[0])
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes.pop("conversations.sqlite3") == 0o600
    assert set(modes.values()) <= {0o600}
    await conversations.close()


async def test_a_full_disk_is_a_503_that_says_so_until_there_is_room_again(
    url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sqlite" not in url:
        pytest.skip("the disk of a server cannot be filled from here")
    monkeypatch.setattr(database, "TRY_AGAIN_S", 0.0)
    conversations = opened()
    await say(conversations, Turn("Hi", "Hello"))
    assert await conversations.failure() is None
    file = Path(make_url(url).database or "")
    largest = max(each.stat().st_size for each in file.parent.glob(f"{file.name}*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(Unavailable, match="the disk of their database is full"):
            await say(conversations, Turn("x" * 100_000, "y"))
        told = await conversations.failure()
        assert told is not None
        assert "is full" in told
        assert await said(conversations), "reading goes on"
        assert await conversations.failure() == told
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await conversations.failure() is None
