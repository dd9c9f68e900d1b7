"""What is kept of conversations, and for how long: on every database that is served."""

from __future__ import annotations

from serve_app.ingress.conversations import Conversation, Conversations, Turn
from tests.serve_app.ingress.conversations.conftest import Opened
from tests.serve_app.ingress.conversations.turns import ADA, NUMBERS, Rows, said, say


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
