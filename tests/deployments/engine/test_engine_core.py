"""The engine's thread, over a model whose every step the test allows."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineStopped
from deployments.seam.problems import Problem
from tests.deployments.engine.puppet_core import Puppet, reader
from tests.deployments.engine.reading import PATIENCE_S, Reader


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
