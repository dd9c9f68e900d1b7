"""The engine's thread, over a model whose every step the test allows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from collections.abc import Sequence as Listed
from functools import partial

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.engine_core import EngineCore
from deployments.engine.interface import EngineStopped
from deployments.engine.model_runner import RunnerInfo
from deployments.engine.running import RunningBatch
from deployments.engine.sequence import Sequence
from deployments.metrics.binding_limit import of_slots
from deployments.seam.problems import Problem
from tests.deployments.engine.reading import PATIENCE_S, Reader


class PuppetRunner:
    """Decodes "a" for every admitted sequence at each step that is allowed."""

    info = RunnerInfo("cpu")

    def __init__(self, codec: TextCodec) -> None:
        self.allowed = threading.Semaphore(0)
        self.stepping = threading.Event()
        self.closed = threading.Event()
        self.broken = False
        self.not_admitted = -1
        self.admitted: list[Sequence] = []
        self._token = codec.encode("a")[0]

    def fits(self, sequences: Listed[Sequence]) -> bool:
        return True

    def admit(self, sequence: Sequence) -> None:
        if sequence.choice == self.not_admitted:
            raise LookupError("there is no slot for it")
        self.admitted.append(sequence)

    def free(self, sequence: Sequence) -> None:
        if sequence in self.admitted:
            self.admitted.remove(sequence)

    def step(self, batch: RunningBatch) -> None:
        self.stepping.set()
        assert self.allowed.acquire(timeout=PATIENCE_S)
        if self.broken:
            raise ZeroDivisionError("the model fell over")
        for sequence in list(self.admitted):
            batch.append(sequence, self._token)

    def kv_usage(self, running: Listed[Sequence]) -> None:
        return None

    def prefix_counts(self) -> None:
        return None

    def memory_bytes(self) -> None:
        return None

    def failure(self) -> None:
        return None

    def abort(self) -> None: ...

    def close(self) -> None:
        self.closed.set()


class Puppet(EngineCore):
    """An engine, started, whose runner the test holds."""

    def __init__(self, codec: TextCodec, slots: int = 1, hang_after_s: float = 60.0) -> None:
        self.runner = PuppetRunner(codec)
        super().__init__(codec, self.runner, slots=slots, window=100, hang_after_s=hang_after_s)
        self.start()


@pytest.fixture
def puppet(byte_codec: TextCodec) -> Iterator[Puppet]:
    engine = Puppet(byte_codec)
    yield engine
    engine.runner.allowed.release(1000)
    engine.close()


def reader(engine: Puppet, new: int = 2) -> Reader:
    return Reader(engine, [1, 2, 3], new=new)


def run(engine: Puppet, readers: list[Reader]) -> None:
    """Submit all sequences in this order, and let the engine step until they are finished."""
    for each in readers:
        each.start()
    engine.runner.allowed.release(1000)
    for each in readers:
        each.wait()


def test_sequences_are_served_in_the_order_they_came(puppet: Puppet) -> None:
    ended: list[int] = []
    readers = [
        Reader(puppet, [1], new=1, choice=n, on_token=lambda token: ended.append(token.choice))
        for n in range(5)
    ]
    run(puppet, readers)
    assert ended == [0, 1, 2, 3, 4]


def test_an_idle_engine_takes_no_steps(puppet: Puppet) -> None:
    puppet.runner.allowed.release(2)
    reader(puppet).read()
    puppet.runner.stepping.clear()
    assert not puppet.runner.allowed.acquire(blocking=False)
    assert not puppet.runner.stepping.is_set()
    puppet.check()


def test_a_failing_step_fails_every_sequence_and_the_health_check(puppet: Puppet) -> None:
    running, waiting = reader(puppet).start(), reader(puppet).start()
    puppet.runner.broken = True
    puppet.runner.allowed.release()
    for each in (running, waiting):
        each.wait()
        assert isinstance(each.problem, Problem)
        assert each.problem.kind == "unavailable"
        assert "fell over" not in each.problem.message
    assert puppet.runner.closed.wait(PATIENCE_S)
    with pytest.raises(EngineStopped, match="the model fell over"):
        puppet.check()
    with pytest.raises(EngineStopped, match="the model fell over"):
        reader(puppet).start()


def test_closing_ends_the_thread_and_fails_what_is_left(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec)
    running, waiting = reader(engine, new=50).start(), reader(engine).start()
    assert engine.runner.stepping.wait(PATIENCE_S)
    engine.runner.allowed.release(1)
    closing = threading.Thread(target=engine.close)
    closing.start()
    engine.runner.allowed.release(1000)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert engine.runner.closed.is_set()
    for each in (running, waiting):
        each.wait()
    assert waiting.problem is not None or waiting.finish == "length"
    assert (engine.load().running, engine.load().waiting) == (0, 0)
    with pytest.raises(EngineStopped, match="closed"):
        reader(engine).start()


def test_closing_twice_and_from_its_own_thread_is_harmless(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec)
    engine.runner.allowed.release(1)
    Reader(engine, [1], new=1, on_token=lambda token: engine.close()).start().wait()
    assert engine.runner.closed.wait(PATIENCE_S)
    engine.close()


def test_a_step_that_takes_too_long_fails_the_health_check(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, hang_after_s=0.0)
    engine.check()
    stuck = reader(engine, new=1).start()
    assert engine.runner.stepping.wait(PATIENCE_S)
    with pytest.raises(EngineStopped, match="longer than"):
        engine.check()
    engine.runner.allowed.release(10)
    stuck.wait()
    engine.close()


def test_a_cancelled_sequence_is_freed_at_the_next_step(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=2)
    gone, stays = reader(engine, new=50).start(), reader(engine, new=3).start()
    engine.runner.allowed.release(1)
    assert gone.began.wait(PATIENCE_S)
    engine.cancel(gone.sequence)
    engine.runner.allowed.release(10)
    stays.wait()
    assert len(gone.tokens) <= 2
    assert gone.problem is None
    engine.runner.allowed.release(1000)
    engine.close()
    assert engine.runner.admitted == []


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


def test_on_admitted_is_called_once(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=1)
    readers = [Reader(engine, [1], new=90, request=name) for name in ("one", "two")]
    admitted: list[str] = []
    for each in readers:
        each.sequence._on_admitted = partial(admitted.append, each.sequence.request_id)
        each.start()
    engine.runner.allowed.release(1000)
    for each in readers:
        each.wait()
    assert admitted == ["one", "two"]
    engine.close()


def test_a_sequence_that_cannot_be_admitted_fails_alone(byte_codec: TextCodec) -> None:
    engine = Puppet(byte_codec, slots=2)
    engine.runner.not_admitted = 7
    good = reader(engine, new=3).start()
    bad = Reader(engine, [1], choice=7).start()
    waiting = [reader(engine, new=3).start() for _ in range(3)]
    engine.runner.allowed.release(1000)
    for each in (good, *waiting):
        each.wait()
        assert (each.finish, each.problem) == ("length", None)
    assert bad.wait().problem == Problem("internal", "The text could not be continued.")
    engine.check()
    engine.close()
    assert engine.runner.admitted == []


class Panic(BaseException):
    """What a library in Rust raises is no Exception."""


@pytest.mark.parametrize("error", [LookupError, Panic, SystemExit])
@pytest.mark.parametrize(
    "step", ["_on_admitted", "_text.push", "_text.flush", "_stops.push", "_on_token"]
)
def test_an_exception_in_one_sequence_fails_only_that_sequence(
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
    engine.runner.allowed.release(1000)
    assert good.wait().finish == "length"
    assert bad.wait().problem == Problem("internal", "The text could not be continued.")
    assert reader(engine).read() == "aa"
    engine.check()
    engine.close()
    assert engine.runner.admitted == []


def test_the_tokens_of_all_sequences_are_counted_and_a_shared_prompt_once(puppet: Puppet) -> None:
    prompt = [1, 2, 3]
    choices = [Reader(puppet, [4] * 5, new=9, request="one", choice=n) for n in range(2)]
    shared = choices[0].sequence.prompt_ids
    choices[1].sequence.prompt_ids = shared
    readers = [*choices, Reader(puppet, prompt, new=9, request="two")]
    for each in readers:
        each.start()
    assert puppet.load().held_tokens == 5 + 3
    puppet.runner.allowed.release(1000)
    for each in readers:
        each.wait()
    assert puppet.load().held_tokens == 0


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
