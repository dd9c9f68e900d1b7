"""Streams of text: when tokens are sent, what is timed, and what ends with the client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.sequence import Sequence
from deployments.generation import Generation
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.generation import GenerationResult, TokenChunk
from deployments.seam.timings import CallTiming
from tests.deployments.conftest import Configured
from tests.deployments.generation_answers import Stream, burst, following, request
from tests.deployments.puppet_engine import PATIENCE_S, PuppetEngine


@pytest.fixture
async def engine(byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> PuppetEngine:
    made = PuppetEngine(byte_codec)
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", lambda *_: made)
    return made


@pytest.fixture
def family(engine: PuppetEngine, configured: Configured, classifier_folder: Path) -> Generation:
    return Generation(configured(classifier_folder))


def timed() -> Any:
    return ContextualCall(request(), CallContext(), timed=True)


async def begun(family: Generation, engine: PuppetEngine) -> tuple[Stream, Sequence, TokenChunk]:
    """A stream, its sequence in the engine, and its first chunk: the token ``a``."""
    stream = family.stream(request())
    first = asyncio.create_task(following(stream))
    sequence = await engine.submitted()
    engine.emit(sequence, "a")
    chunk = await first
    assert isinstance(chunk, TokenChunk)
    return stream, sequence, chunk


async def test_a_token_is_sent_as_soon_as_it_is_decoded(
    family: Generation, engine: PuppetEngine
) -> None:
    stream, sequence, item = await begun(family, engine)
    assert [token.text for token in item.tokens] == ["a"]
    assert item.prompt_tokens == 4
    for letter in "bc":
        engine.emit(sequence, letter)
        assert await burst(stream) == letter
    await stream.aclose()


async def test_tokens_that_wait_for_a_slow_reader_travel_together(
    family: Generation, engine: PuppetEngine
) -> None:
    stream, sequence, _ = await begun(family, engine)
    engine.emit(sequence, "bcdef")
    assert await burst(stream) == "bcdef"
    engine.emit(sequence, "gh")
    engine.finish(sequence)
    assert await burst(stream) == "gh"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_timed_stream_tells_its_stages_before_its_last_chunk(
    family: Generation, engine: PuppetEngine
) -> None:
    stream = family.stream(timed())
    first = asyncio.create_task(asyncio.wait_for(anext(stream), PATIENCE_S))
    sequence, beside = await engine.submitted(), asyncio.create_task(family.generate(request()))
    other = await engine.submitted()
    sequence.admitted()
    engine.emit(sequence, "a")
    assert isinstance(await first, TokenChunk)
    engine.finish(sequence)
    timing, last = [await asyncio.wait_for(anext(stream), PATIENCE_S) for _ in range(2)]
    assert isinstance(last, TokenChunk)
    assert last.tokens[-1].finish_reason == "stop"
    assert isinstance(timing, CallTiming)
    shared = {stage.name: stage.items for stage in timing.stages}
    assert shared == {"tokenize": 0, "queue": 0, "prefill": 2, "decode": 2}
    engine.finish(other)
    await beside


async def test_a_timed_whole_answer_tells_its_stages(
    family: Generation, engine: PuppetEngine
) -> None:
    asking = asyncio.create_task(family.generate(timed()))
    sequence = await engine.submitted()
    sequence.admitted()
    engine.emit(sequence, "a")
    engine.finish(sequence)
    answer: Any = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer.result, GenerationResult)
    names = [stage.name for stage in answer.timing.stages]
    assert names == ["tokenize", "queue", "prefill", "decode"]


async def test_closing_a_stream_stops_every_choice_of_it(
    family: Generation, engine: PuppetEngine
) -> None:
    stream = family.stream(request(choices=2))
    first = asyncio.create_task(following(stream))
    sequences = [await engine.submitted() for _ in range(2)]
    engine.emit(sequences[1], "a")
    await first
    assert engine.held == sequences
    await stream.aclose()
    assert engine.held == []


async def test_cancelling_whoever_waits_stops_the_decoding(
    family: Generation, engine: PuppetEngine
) -> None:
    whole = asyncio.create_task(family.generate(request(choices=2)))
    streamed = asyncio.create_task(following(family.stream(request())))
    sequences = [await engine.submitted() for _ in range(3)]
    assert engine.held == sequences
    for asking in (whole, streamed):
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert engine.held == []
