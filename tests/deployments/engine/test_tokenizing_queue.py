"""Prompts are tokenized in the order of their lengths, and none waits for ever."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from deployments.engine.tokenizing_queue import TokenizingQueue


class Tokenizer:
    """Notes what began, and ends when it is told to."""

    def __init__(self, at_once: int = 1) -> None:
        self.queue = TokenizingQueue(at_once)
        self.began: list[str] = []
        self.running = 0
        self.most_at_once = 0
        self._ends = asyncio.Semaphore(0)

    def ask(self, request_id: str, characters: int, name: str = "") -> asyncio.Task[None]:
        return asyncio.ensure_future(self._tokenize(request_id, characters, name or request_id))

    async def end(self, count: int = 1) -> None:
        for _ in range(count):
            self._ends.release()
            await settle()

    async def _tokenize(self, request_id: str, characters: int, name: str) -> None:
        async with self.queue.slot(request_id, characters):
            self.began.append(name)
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
            await self._ends.acquire()
            self.running -= 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_short_prompt_goes_before_one_long_text_of_each_client() -> None:
    tokenizer = Tokenizer()
    for number in range(20):
        tokenizer.ask(f"bulk {number}", 80_000)
    await settle()
    tokenizer.ask("chat", 30)
    await settle()
    await tokenizer.end(1)
    assert tokenizer.began == ["bulk 0", "chat"]
    await tokenizer.end(20)
    assert len(tokenizer.began) == 21


async def test_a_long_prompt_waits_for_as_many_characters_as_it_has_itself() -> None:
    """Although a short one has come whenever one ends."""
    tokenizer = Tokenizer()
    tokenizer.ask("first", 10)
    await settle()
    tokenizer.ask("long", 1000)
    for number in range(30):
        tokenizer.ask(f"short {number}", 100)
        await tokenizer.end()
    assert tokenizer.began.index("long") == 10  # 900 characters of others, then a tie


@pytest.mark.parametrize("at_once", [1, 2, 5])
async def test_one_prompt_of_a_request_and_so_many_in_all_are_tokenized_at_a_time(
    at_once: int,
) -> None:
    tokenizer = Tokenizer(at_once)
    for number in range(4):
        tokenizer.ask("bulk", 100, f"bulk {number}")
    await settle()
    assert tokenizer.began == ["bulk 0"]
    others = [tokenizer.ask(f"other {number}", 1) for number in range(6)]
    await settle()
    assert len(tokenizer.began) == at_once
    await tokenizer.end(10)
    assert all(each.done() for each in others)
    assert tokenizer.most_at_once == at_once
    assert len(tokenizer.began) == 10


async def test_who_leaves_gives_its_slot_to_the_next() -> None:
    tokenizer = Tokenizer()
    tokenizer.ask("first", 10)
    await settle()
    waits, next_one = tokenizer.ask("waits", 10), tokenizer.ask("next", 20)
    await settle()
    waits.cancel()
    await tokenizer.end()
    assert tokenizer.began == ["first", "next"]
    late, last = tokenizer.ask("late", 10), tokenizer.ask("last", 20)
    await settle()
    tokenizer._ends.release()
    while not next_one.done():  # noqa: ASYNC110  its end admits "late"
        await asyncio.sleep(0)
    late.cancel()
    await settle()
    assert tokenizer.began[-1] == "last"
    await tokenizer.end()
    assert last.done()


async def test_after_any_order_of_requests_and_cancellations_all_slots_are_free() -> None:
    draw = random.Random(7)
    tokenizer, asked = Tokenizer(3), list[asyncio.Task[None]]()
    for _ in range(2000):
        match draw.randrange(4):
            case 0 | 1:
                asked.append(tokenizer.ask(f"{draw.randrange(20)}", draw.randrange(5000)))
            case 2:
                tokenizer._ends.release()
            case _ if asked:
                draw.choice(asked).cancel()
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
    while asked:
        asked.pop().cancel()
        await asyncio.sleep(0)
    await settle()
    gc.collect()  # the frames of cancelled tasks
    assert tokenizer.queue._free == 3
    assert not tokenizer.queue._waiting
    assert not tokenizer.queue._requests
