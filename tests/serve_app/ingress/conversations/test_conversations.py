"""What is kept of conversations, and who may answer in one: on every database that is served."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from sqlalchemy import make_url

from configs.settings import Settings
from serve_app.ingress.conversations import Conversation, Conversations, Turn
from serve_app.ingress.conversations.store import LeaseLost
from serve_app.ingress.errors import TooManyRequests, Unavailable
from serve_app.ingress.sql import database
from tests.serve_app.ingress.conversations.conftest import Opened
from tests.serve_app.local_handle import PATIENCE_S

Rows = Callable[[str], Awaitable[Any]]

ADA = ("key", "ada")
OWNER = """
import asyncio, sys
from configs.settings import Settings
from serve_app.ingress.conversations import Conversations

async def main():
    settings = Settings(conversations_url=sys.argv[1], conversation_lease_s=0.5)
    lease = await Conversations(settings).lease("key", "ada")
    print("held", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""
EXPIRE = "UPDATE conversation_leases SET expires = 0"
NUMBERS = [Turn(f"message {number}", f"answer {number}") for number in range(5)]


async def say(conversations: Conversations, turn: Turn, of: tuple[str, str] = ADA) -> None:
    await (await conversations.lease(*of)).add(turn)


async def said(conversations: Conversations, of: tuple[str, str] = ADA) -> list[Turn]:
    return list((await conversations.read(*of)).turns)


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true; only a failing test asks for long."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)


async def test_what_was_said_is_there_in_order(conversations: Conversations) -> None:
    for turn in NUMBERS:
        await say(conversations, turn)
    assert await said(conversations) == NUMBERS


async def test_an_unknown_conversation_is_empty(conversations: Conversations) -> None:
    assert await conversations.read(*ADA) == Conversation()
    assert await conversations.users("key", 10) == []


async def test_it_outlives_the_process_that_wrote_it(opened: Opened) -> None:
    before = opened()
    await say(before, NUMBERS[0])
    await before.close()
    assert await said(opened()) == NUMBERS[:1]


async def test_any_text_comes_back_as_it_was(conversations: Conversations) -> None:
    odd = Turn("'; DROP TABLE conversations; -- \\ \" 你好 🙂\n\t\r\u2028 ", "é́ ﷽")
    await say(conversations, odd, ("key", "o'neill/🙂 %2F"))
    assert await said(conversations, ("key", "o'neill/🙂 %2F")) == [odd]


async def test_a_nul_which_postgresql_cannot_keep_is_replaced_everywhere(
    conversations: Conversations,
) -> None:
    await say(conversations, Turn("a\x00b", "\x00"))
    assert await said(conversations) == [Turn("a�b", "�")]


async def test_callers_do_not_see_each_other(conversations: Conversations) -> None:
    await say(conversations, NUMBERS[0], ("one", "ada"))
    await say(conversations, NUMBERS[1], ("two", "ada"))
    assert await said(conversations, ("one", "ada")) == NUMBERS[:1]
    await conversations.delete("two", "ada")
    assert await conversations.users("one", 10) == ["ada"]
    assert await conversations.users("two", 10) == []


async def test_what_is_deleted_is_gone_with_its_turns(
    conversations: Conversations, rows: Rows
) -> None:
    await say(conversations, NUMBERS[0])
    await conversations.delete(*ADA)
    await conversations.delete(*ADA)
    assert await said(conversations) == []
    assert await rows("SELECT count(*) FROM conversation_turns") == [(0,)]


async def test_a_conversation_that_begins_anew_forgets_the_earlier_one(
    conversations: Conversations,
) -> None:
    await say(conversations, NUMBERS[0])
    await (await conversations.lease(*ADA)).begin("house/full")
    assert await conversations.read(*ADA) == Conversation((), "house/full")
    assert await conversations.users("key", 10) == ["ada"]
    await (await conversations.lease(*ADA)).add(NUMBERS[1], Conversation())
    assert await conversations.read(*ADA) == Conversation((NUMBERS[1],), None)


async def test_users_come_in_pages_by_code_point(conversations: Conversations) -> None:
    names = ["B", "a", "a/b", "b", "Ä", "é", "🙂"]
    for name in reversed(names):
        await say(conversations, NUMBERS[0], ("key", name))
    assert await conversations.users("key", 3) == names[:3]
    assert await conversations.users("key", 10, "a/b") == names[3:]


async def test_only_so_many_turns_are_kept(opened: Opened) -> None:
    conversations = opened(conversation_max_turns=2)
    for turn in NUMBERS:
        await say(conversations, turn)
    assert await said(conversations) == NUMBERS[-2:]


async def test_only_so_many_bytes_are_kept_but_always_the_newest_turn(opened: Opened) -> None:
    conversations = opened(conversation_max_bytes=2 * NUMBERS[0].size)
    for turn in NUMBERS:
        await say(conversations, turn)
    assert await said(conversations) == NUMBERS[-2:]
    large = Turn("ü" * 1000, "")
    assert large.size == 2000
    await say(conversations, large)
    assert await said(conversations) == [large]


async def test_old_turns_are_neither_shown_nor_kept(
    conversations: Conversations, rows: Rows
) -> None:
    for turn in NUMBERS[:2]:
        await say(conversations, turn)
    await rows("UPDATE conversation_turns SET created = 0 WHERE user_text = 'message 0'")
    assert await said(conversations) == NUMBERS[1:2]
    await say(conversations, NUMBERS[2])
    assert await said(conversations) == NUMBERS[1:3]
    assert await rows("SELECT count(*) FROM conversation_turns") == [(2,)]


async def test_an_expired_conversation_is_unknown_and_swept_by_the_next_that_is_written(
    opened: Opened, rows: Rows
) -> None:
    before = opened()
    await (await before.lease(*ADA)).begin("house/full")
    await rows("UPDATE conversations SET updated = 0")
    assert await before.read(*ADA) == Conversation()
    assert await before.users("key", 10) == []
    after = opened()
    await say(after, NUMBERS[0], ("key", "bob"))
    await after.close()
    assert await rows("SELECT user_id FROM conversations") == [("bob",)]


async def test_what_begins_where_another_expired_has_nothing_of_it(
    conversations: Conversations, rows: Rows
) -> None:
    await (await conversations.lease(*ADA)).begin("house/full")
    await rows("UPDATE conversations SET updated = 0")
    await say(conversations, NUMBERS[0])
    assert await conversations.read(*ADA) == Conversation((NUMBERS[0],), None)


async def test_messages_of_one_conversation_follow_each_other_across_replicas(
    opened: Opened,
) -> None:
    """Each answer is made of how many turns its writer saw: none is written over."""
    replicas = [opened(), opened(), opened()]

    async def one(number: int) -> None:
        lease = await replicas[number % 3].lease(*ADA)
        seen = len((await lease.read()).turns)
        await asyncio.sleep(0)
        await lease.add(Turn(f"message {number}", str(seen)))

    await asyncio.wait_for(asyncio.gather(*map(one, range(12))), PATIENCE_S)
    turns = await said(replicas[0])
    assert [turn.assistant for turn in turns] == [str(number) for number in range(12)]
    assert {turn.user for turn in turns} == {f"message {number}" for number in range(12)}


async def test_messages_of_one_replica_are_answered_in_the_order_they_came(
    conversations: Conversations,
) -> None:
    async def one(turn: Turn) -> None:
        await say(conversations, turn)

    await asyncio.gather(*map(one, NUMBERS))
    assert await said(conversations) == NUMBERS


async def test_conversations_do_not_wait_for_each_other(conversations: Conversations) -> None:
    held = await conversations.lease(*ADA)
    await asyncio.wait_for(say(conversations, NUMBERS[0], ("key", "bob")), PATIENCE_S)
    held.release()


@pytest.mark.parametrize("replicas", [1, 2])
async def test_whoever_waits_too_long_is_told_when_to_come_back(
    opened: Opened, replicas: int
) -> None:
    """In the same replica, and in another one."""
    patient = [opened(conversation_wait_s=0.05) for _ in range(replicas)]
    held = await patient[0].lease(*ADA)
    with pytest.raises(TooManyRequests) as caught:
        await patient[-1].lease(*ADA)
    assert int(caught.value.headers["Retry-After"]) > 0
    await held.add(NUMBERS[0])
    await say(patient[-1], NUMBERS[1])
    assert await said(patient[0]) == NUMBERS[:2]


async def test_not_too_many_wait(conversations: Conversations) -> None:
    held = await conversations.lease(*ADA)
    waiting = [asyncio.ensure_future(say(conversations, NUMBERS[0])) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await conversations.lease(*ADA)
    held.release()
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
    assert len(await said(conversations)) == 16


async def test_whoever_stops_waiting_is_in_nobodys_way(opened: Opened) -> None:
    one, two = opened(), opened()
    held = await one.lease(*ADA)
    waiting = [asyncio.ensure_future(each.lease(*ADA)) for each in (one, two, two)]
    for _ in range(20):
        await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await held.add(NUMBERS[0])
    await asyncio.wait_for(say(two, NUMBERS[1]), PATIENCE_S)
    assert await said(one) == NUMBERS[:2]


async def test_what_is_dropped_stores_nothing_and_frees_the_conversation(
    conversations: Conversations, rows: Rows
) -> None:
    lease = await conversations.lease(*ADA)
    lease.release()
    lease.release()
    with pytest.raises(LeaseLost):
        await lease.add(NUMBERS[0])
    await (await conversations.lease(*ADA)).add(NUMBERS[1])
    assert await said(conversations) == NUMBERS[1:2]
    assert await rows("SELECT count(*) FROM conversation_leases") == [(0,)]


async def test_the_lease_of_a_dead_owner_expires_and_what_it_would_write_is_lost(
    opened: Opened, rows: Rows
) -> None:
    """A dead owner is one that renews no more; should it come back, it finds its lease taken."""
    dead, alive = opened(), opened()
    old = await dead.lease(*ADA)
    await rows(EXPIRE)
    new = await asyncio.wait_for(alive.lease(*ADA), PATIENCE_S)
    with pytest.raises(LeaseLost):
        await old.add(NUMBERS[0])
    await new.add(NUMBERS[1])
    assert await said(alive) == NUMBERS[1:2]


async def test_a_process_that_is_killed_holds_its_conversation_for_the_time_of_its_lease(
    opened: Opened, url: str
) -> None:
    command = (sys.executable, "-c", OWNER, url)
    owner = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    assert await asyncio.wait_for(owner.stdout.readline(), PATIENCE_S) == b"held\n"
    with pytest.raises(TooManyRequests):
        await opened(conversation_wait_s=1.0).lease(*ADA)  # it lives, and renews meanwhile
    owner.kill()
    await owner.wait()
    await asyncio.wait_for(say(opened(), NUMBERS[0]), PATIENCE_S)


async def test_the_leases_of_the_dead_are_swept(opened: Opened, rows: Rows) -> None:
    dead, alive = opened(), opened()
    old = await dead.lease(*ADA)
    await rows(EXPIRE)
    await say(alive, NUMBERS[0], ("key", "bob"))
    await alive.close()
    assert await rows("SELECT user_id FROM conversation_leases") == []
    old.release()


async def test_a_lease_is_renewed_while_its_owner_lives(opened: Opened, rows: Rows) -> None:
    conversations = opened(conversation_lease_s=0.3)
    lease = await conversations.lease(*ADA)
    (first,) = await rows("SELECT expires FROM conversation_leases")

    async def renewed() -> bool:
        return bool(await rows("SELECT expires FROM conversation_leases") != [first])

    await until(renewed)
    lease.check()
    lease.release()


async def test_an_owner_that_lost_its_lease_hears_of_it(opened: Opened) -> None:
    conversations = opened(conversation_lease_s=0.1)
    lease = await conversations.lease(*ADA)
    await conversations.delete(*ADA)

    async def heard() -> bool:
        try:
            lease.check()
        except LeaseLost:
            return True
        return False

    await until(heard)


async def test_an_answer_to_a_deleted_conversation_is_not_stored(
    conversations: Conversations,
) -> None:
    await say(conversations, NUMBERS[0])
    lease = await conversations.lease(*ADA)
    await conversations.delete(*ADA)
    with pytest.raises(LeaseLost):
        await lease.add(NUMBERS[1])
    assert await conversations.read(*ADA) == Conversation()
    await say(conversations, NUMBERS[2])
    assert await said(conversations) == NUMBERS[2:3]


async def test_a_writer_that_is_cancelled_has_written_all_or_nothing(
    conversations: Conversations, rows: Rows
) -> None:
    lease = await conversations.lease(*ADA)
    writing = asyncio.ensure_future(lease.add(NUMBERS[0]))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await conversations.close()
    assert await said(conversations) == NUMBERS[:1]
    assert await rows("SELECT count(*) FROM conversation_leases") == [(0,)]


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
