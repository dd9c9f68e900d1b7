"""Who gets the engine's slots, and what sequences wait for: a slot or the KV cache."""

from __future__ import annotations

import pytest

from deployments.engine.codec import TextCodec
from deployments.metrics.binding_limit import of_slots
from tests.deployments.engine.puppet_core import Puppet, reader, run
from tests.deployments.engine.reading import PATIENCE_S, Reader


def test_sequences_are_served_in_the_order_they_came(puppet: Puppet) -> None:
    ended: list[int] = []
    readers = [
        Reader(puppet, [1], new=1, choice=n, on_token=lambda token: ended.append(token.choice))
        for n in range(5)
    ]
    run(puppet, readers)
    assert ended == [0, 1, 2, 3, 4]


def test_slots_are_never_exceeded(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=3)
    most: list[int] = []
    readers = [
        Reader(engine, [1], new=2, on_token=lambda token: most.append(len(engine.runner.admitted)))
        for _ in range(10)
    ]
    run(engine, readers)
    assert max(most) <= 3
    engine.close()


def test_a_new_request_does_not_wait_for_heavy_ones(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=4)
    heavy = [
        Reader(engine, [1], new=90, choice=n, request=request).start()
        for request in ("one", "two")
        for n in range(16)
    ]
    engine.runner.allowed.release(30)
    assert heavy[0].began.wait(PATIENCE_S)
    short = Reader(engine, [1], new=1, request="short")
    ended: list[int] = []
    short.on_token = lambda _: ended.append(sum(len(each.tokens) for each in heavy))
    short.start()
    engine.runner.allowed.release(1000)
    short.wait()
    for each in heavy:
        each.wait()
        assert each.problem is None
        assert len(each.tokens) == 90
    assert ended[0] < 32 * 90
    engine.close()


def test_slots_are_shared_by_requests_and_not_by_sequences(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=4)
    shares: list[set[str]] = []
    heavy = [Reader(engine, [1], new=40, choice=n, request="many").start() for n in range(16)]
    few = Reader(
        engine,
        [1],
        new=40,
        request="few",
        on_token=lambda _: shares.append({each.request_id for each in engine.runner.admitted}),
    ).start()
    engine.runner.allowed.release(1000)
    few.wait()
    assert shares == [{"many", "few"}] * 40
    for each in heavy:
        each.wait()
    engine.close()


def bound(engine: Puppet) -> str | None:
    load = engine.load()
    found = of_slots(load.running, load.waiting, load.slots, load.starved_by)
    return None if found is None else found.limit


def test_sequences_that_wait_for_a_slot_or_for_the_kv_cache_say_which(puppet: Puppet) -> None:
    assert bound(puppet) is None
    first = reader(puppet, new=3).start()
    assert puppet.runner.stepping.wait(PATIENCE_S)
    assert bound(puppet) == "forward_time"
    others = [reader(puppet, new=3).start() for _ in range(8)]
    puppet.runner.stepping.clear()
    puppet.runner.allowed.release()  # the next step begins with what it cannot admit
    assert puppet.runner.stepping.wait(PATIENCE_S)
    assert bound(puppet) == "slots"
    puppet.runner.allowed.release(1000)
    for each in (first, *others):
        each.wait()
    assert bound(puppet) is None


def test_sequences_that_do_not_fit_the_kv_cache_wait_although_there_are_slots(
    puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puppet._scheduler, "_slots", 4)
    monkeypatch.setattr(puppet._scheduler, "_fits", lambda sequences: len(sequences) < 2)
    readers = [reader(puppet, new=3).start() for _ in range(2)]
    assert puppet.runner.stepping.wait(PATIENCE_S)
    puppet.runner.stepping.clear()
    puppet.runner.allowed.release()
    assert puppet.runner.stepping.wait(PATIENCE_S)
    assert bound(puppet) == "kv_cache"
    puppet.runner.allowed.release(1000)
    for each in readers:
        each.wait()
