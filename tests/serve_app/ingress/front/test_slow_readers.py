"""All answers are looked at by one timer, which runs only while there are any."""

from __future__ import annotations

import asyncio

from serve_app.ingress.front.slow_readers import SlowReaders

TIMEOUT_S = 0.04


class Answer:
    """An answer that its client takes nothing of, unless it ``has_nothing`` to send."""

    def __init__(self, *, has_nothing: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        self.sending_since: float | None = None if has_nothing else now
        self.cut = asyncio.Event()

    def cut_off(self) -> None:
        assert not self.cut.is_set()
        self.cut.set()


async def cut(answer: Answer) -> None:
    async with asyncio.timeout(20):
        await answer.cut.wait()


async def test_each_answer_is_cut_off_once_whenever_it_began() -> None:
    readers = SlowReaders(TIMEOUT_S)
    first, waits, later = Answer(), Answer(has_nothing=True), Answer()
    for each in (first, waits):
        readers.watch(each)
    await asyncio.sleep(TIMEOUT_S / 2)
    readers.watch(later)
    await cut(first)
    await cut(later)
    assert not waits.cut.is_set()
    waits.sending_since = asyncio.get_running_loop().time()
    await cut(waits)
    assert asyncio.get_running_loop().time() - waits.sending_since >= TIMEOUT_S


async def test_an_answer_after_a_time_without_any_is_looked_at_too() -> None:
    readers = SlowReaders(TIMEOUT_S)
    gone = Answer()
    readers.watch(gone)
    readers.forget(gone)
    await asyncio.sleep(2 * TIMEOUT_S)  # the timer finds nothing, and ends
    assert not gone.cut.is_set()
    last = Answer()
    readers.watch(last)
    await cut(last)
