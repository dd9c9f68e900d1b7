"""The thread of an engine, with a model whose every step the test lets happen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineStopped
from deployments.engine.sequence import Sequence
from deployments.engine.step_loop import SteppingEngine
from deployments.seam.problems import Problem
from tests.deployments.engine.reading import PATIENCE_S, Reader


class Puppet(SteppingEngine):
    """Says "a" to every active sequence at each step that is allowed."""

    def __init__(self, codec: TextCodec, slots: int = 1, hang_after_s: float = 60.0) -> None:
        super().__init__(codec, slots=slots, window=100, hang_after_s=hang_after_s)
        self.allowed = threading.Semaphore(0)
        self.stepping = threading.Event()
        self.released = threading.Event()
        self.broken = False
        self.unseatable = -1
        self.seats: list[Sequence] = []
        self._start()

    def _enter(self, sequence: Sequence) -> None:
        if sequence.choice == self.unseatable:
            raise LookupError("there is no seat for it")
        self.seats.append(sequence)

    def _leave(self, sequence: Sequence) -> None:
        if sequence in self.seats:
            self.seats.remove(sequence)

    def _step(self) -> None:
        self.stepping.set()
        assert self.allowed.acquire(timeout=PATIENCE_S)
        if self.broken:
            raise ZeroDivisionError("the model fell over")
        for sequence in list(self.seats):
            self._hand_over(sequence, self.codec.encode("a")[0])

    def _release(self) -> None:
        self.released.set()


@pytest.fixture
def puppet(byte_codec: TextCodec) -> Iterator[Puppet]:
    engine = Puppet(byte_codec)
    yield engine
    engine.allowed.release(1000)
    engine.close()


def reader(engine: Puppet, new: int = 2) -> Reader:
    return Reader(engine, [1, 2, 3], new=new)


def test_sequences_are_served_in_the_order_they_came(puppet: Puppet) -> None:
    ended: list[int] = []
    readers = [
        Reader(puppet, [1], new=1, choice=n, on_token=lambda token: ended.append(token.choice))
        for n in range(5)
    ]
    for each in readers:
        each.start()
    puppet.allowed.release(5)
    for each in readers:
        each.wait()
    assert ended == [0, 1, 2, 3, 4]


def test_an_idle_engine_takes_no_steps(puppet: Puppet) -> None:
    puppet.allowed.release(2)
    reader(puppet).read()
    puppet.stepping.clear()
    assert not puppet.allowed.acquire(blocking=False)
    assert not puppet.stepping.is_set()
    puppet.check()


def test_a_failing_step_fails_everyone_and_the_health_check(puppet: Puppet) -> None:
    running, waiting = reader(puppet).start(), reader(puppet).start()
    puppet.broken = True
    puppet.allowed.release()
    for each in (running, waiting):
        each.wait()
        assert isinstance(each.problem, Problem)
        assert each.problem.kind == "unavailable"
        assert "fell over" not in each.problem.message
    assert puppet.released.wait(PATIENCE_S)
    with pytest.raises(EngineStopped, match="the model fell over"):
        puppet.check()
    with pytest.raises(EngineStopped, match="the model fell over"):
        reader(puppet).start()


def test_closing_ends_the_thread_and_fails_what_is_left(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec)
    running, waiting = reader(engine, new=50).start(), reader(engine).start()
    assert engine.stepping.wait(PATIENCE_S)
    engine.allowed.release(1)
    closing = threading.Thread(target=engine.close)
    closing.start()
    engine.allowed.release(1000)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert engine.released.is_set()
    for each in (running, waiting):
        each.wait()
    assert waiting.problem is not None or waiting.finish == "length"
    assert (engine.load().running, engine.load().waiting) == (0, 0)
    with pytest.raises(EngineStopped, match="closed"):
        reader(engine).start()


def test_closing_twice_and_from_its_own_thread_is_harmless(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec)
    engine.allowed.release(1)
    Reader(engine, [1], new=1, on_token=lambda token: engine.close()).start().wait()
    assert engine.released.wait(PATIENCE_S)
    engine.close()


def test_a_step_that_takes_too_long_fails_the_health_check(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, hang_after_s=0.0)
    engine.check()
    stuck = reader(engine, new=1).start()
    assert engine.stepping.wait(PATIENCE_S)
    with pytest.raises(EngineStopped, match="longer than"):
        engine.check()
    engine.allowed.release(10)
    stuck.wait()
    engine.close()


def test_a_cancelled_sequence_leaves_at_the_next_step(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=2)
    gone, stays = reader(engine, new=50).start(), reader(engine, new=3).start()
    engine.allowed.release(1)
    assert gone.began.wait(PATIENCE_S)
    engine.cancel(gone.sequence)
    engine.allowed.release(10)
    stays.wait()
    assert len(gone.tokens) <= 2
    assert gone.problem is None
    engine.allowed.release(1000)
    engine.close()
    assert engine.seats == []


def test_slots_are_never_exceeded(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=3)
    most: list[int] = []
    readers = [
        Reader(engine, [1], new=2, on_token=lambda token: most.append(len(engine.seats)))
        for _ in range(10)
    ]
    for each in readers:
        each.start()
    engine.allowed.release(1000)
    for each in readers:
        each.wait()
    assert max(most) <= 3
    engine.close()


def test_a_request_that_is_new_waits_for_no_heavy_one(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=4)
    heavy = [
        Reader(engine, [1], new=90, choice=n, request=request).start()
        for request in ("one", "two")
        for n in range(16)
    ]
    engine.allowed.release(30)
    assert heavy[0].began.wait(PATIENCE_S)
    short = Reader(engine, [1], new=1, request="short")
    ended: list[int] = []
    short.on_token = lambda _: ended.append(sum(len(each.tokens) for each in heavy))
    short.start()
    engine.allowed.release(1000)
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
        on_token=lambda _: shares.append({each.request_id for each in engine.seats}),
    ).start()
    engine.allowed.release(1000)
    few.wait()
    assert shares == [{"many", "few"}] * 40
    for each in heavy:
        each.wait()
    engine.close()


def test_a_sequence_is_told_once_that_it_has_a_slot(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=1)
    readers = [Reader(engine, [1], new=90, request=name) for name in ("one", "two")]
    admitted: list[str] = []
    for each in readers:
        each.sequence.on_admitted = partial(admitted.append, each.sequence.request_id)
        each.start()
    engine.allowed.release(1000)
    for each in readers:
        each.wait()
    assert admitted == ["one", "two"]
    engine.close()


def test_a_sequence_that_cannot_be_seated_fails_alone(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=2)
    engine.unseatable = 7
    good = reader(engine, new=3).start()
    bad = Reader(engine, [1], choice=7).start()
    waiting = [reader(engine, new=3).start() for _ in range(3)]
    engine.allowed.release(1000)
    for each in (good, *waiting):
        each.wait()
        assert (each.finish, each.problem) == ("length", None)
    assert bad.wait().problem == Problem("internal", "The text could not be continued.")
    engine.check()
    engine.close()
    assert engine.seats == []


class Panic(BaseException):
    """What a library in Rust raises is no Exception."""


@pytest.mark.parametrize("error", [LookupError, Panic, SystemExit])
@pytest.mark.parametrize(
    "step", ["on_admitted", "_text.push", "_text.flush", "_stops.push", "_on_token"]
)
def test_whatever_raises_on_the_way_of_one_token_is_that_sequences_own(
    byte_codec: TextCodec, step: str, error: type[BaseException]
) -> None:
    engine = Puppet(byte_codec, slots=2)
    good, bad = reader(engine, new=5), reader(engine, new=2)

    def raises(*_: object) -> object:
        raise error

    part, _, name = step.rpartition(".")
    setattr(getattr(bad.sequence, part) if part else bad.sequence, name, raises)
    good.start()
    bad.start()
    engine.allowed.release(1000)
    assert good.wait().finish == "length"
    assert bad.wait().problem == Problem("internal", "The text could not be continued.")
    assert reader(engine).read() == "aa"
    engine.check()
    engine.close()
    assert engine.seats == []
