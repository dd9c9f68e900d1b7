"""Who may answer in a conversation: one at a time, on every replica, and nobody for ever."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from serve_app.ingress.conversations import Conversation, Conversations, Turn
from serve_app.ingress.conversations.store import LeaseLost
from serve_app.ingress.errors import TooManyRequests
from tests.serve_app.ingress.conversations.conftest import Opened
from tests.serve_app.ingress.conversations.turns import ADA, NUMBERS, Rows, said, say
from tests.serve_app.local_handle import PATIENCE_S

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


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true; only a failing test asks for long."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)


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
