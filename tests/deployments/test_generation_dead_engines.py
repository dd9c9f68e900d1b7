"""Text generation when engines die or hang: requests go on, and engines are loaded again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineHangs, EngineNotLoaded
from deployments.generation import Generation
from deployments.models.crashes import MAX_ATTEMPTS, ModelLost
from deployments.models.errors import ModelUnavailable
from deployments.seam.generation import GenerationResult, TokenChunk
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.generation_answers import burst, following, problem_of, request
from tests.deployments.puppet_engine import PATIENCE_S, PuppetEngine


@pytest.fixture
async def engines(byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> list[PuppetEngine]:
    """The engines that were opened, one a load."""
    opened: list[PuppetEngine] = []
    loop = asyncio.get_running_loop()

    def opening(*_: Any) -> PuppetEngine:
        opened.append(PuppetEngine(byte_codec, loop=loop))
        return opened[-1]

    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", opening)
    return opened


@pytest.fixture
async def mortal(
    engines: list[PuppetEngine], configured: Configured, classifier_folder: Path
) -> Generation:
    """A family whose engines end when the test says."""
    return await started(Generation(configured(classifier_folder)))


async def loaded(engines: list[PuppetEngine], count: int) -> PuppetEngine:
    """The engine of the ``count``th load."""
    async with asyncio.timeout(PATIENCE_S):
        while len(engines) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return engines[count - 1]


async def test_a_stream_goes_on_when_its_engine_ends(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    stream = mortal.stream(request(stop=("!",), max_new_tokens=9))
    first = asyncio.create_task(burst(stream))
    sequence = await engines[0].submitted()
    engines[0].emit(sequence, "a")
    assert await first == "a"
    engines[0].emit(sequence, "bc")
    engines[0].die()
    assert await burst(stream) == "bc"
    rest = asyncio.create_task(following(stream))
    again = await (await loaded(engines, 2)).submitted()
    assert (again.generated, again.max_new_tokens) == (engines[0].codec.encode("abc"), 9)
    engines[1].emit(again, "d")
    item = await rest
    assert isinstance(item, TokenChunk)
    assert [(token.position, token.text) for token in item.tokens] == [(3, "d")]
    await stream.aclose()
    assert engines[1].held == []


async def test_of_several_choices_those_that_were_finished_do_not_begin_again(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    asking = asyncio.create_task(mortal.generate(request(choices=3)))
    first, second, third = [await engines[0].submitted() for _ in range(3)]
    engines[0].emit(first, "one")
    engines[0].finish(first)
    engines[0].emit(second, "tw")
    engines[0].die()
    again = [await (await loaded(engines, 2)).submitted() for _ in range(2)]
    assert [each.choice for each in again] == [second.choice, third.choice]
    engines[1].emit(again[0], "o")
    for each in again:
        engines[1].finish(each)
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    assert [choice.text for choice in answer.choices] == ["one", "two", ""]


async def test_a_stream_that_gets_on_outlives_three_engines_and_no_more(
    mortal: Generation, engines: list[PuppetEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.models.backoff.FIRST_S", 0.0)
    stream = mortal.stream(request())
    for number, text in enumerate("abcd"):
        reading = asyncio.create_task(burst(stream))
        engine = await loaded(engines, number + 1)
        sequence = await engine.submitted()
        assert engine.codec.encode("abcd"[:number]) == sequence.generated
        sequence.admitted()
        engine.emit(sequence, text)
        assert await reading == text
        engine.die()
    last = await following(stream)
    assert isinstance(last, Problem)
    assert last.kind == "unavailable"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_request_that_ends_two_engines_before_a_token_ends_no_third(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    stream = mortal.stream(request())
    reading = asyncio.create_task(following(stream))
    for number in (1, 2):
        engine = await loaded(engines, number)
        (await engine.submitted()).admitted()
        engine.die()
    assert isinstance(await asyncio.wait_for(reading, PATIENCE_S), Problem)
    assert len(engines) == 2


async def test_a_request_that_waited_while_two_engines_ended_did_not_end_them(
    mortal: Generation, engines: list[PuppetEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.models.backoff.FIRST_S", 0.0)
    asking = asyncio.create_task(mortal.generate(request()))
    for number in (1, 2):
        engine = await loaded(engines, number)
        await engine.submitted()
        engine.die()
    engine = await loaded(engines, 3)
    engine.finish(await engine.submitted())
    assert isinstance(await asyncio.wait_for(asking, PATIENCE_S), GenerationResult)


async def test_a_problem_of_one_text_ends_its_request_only(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    asking = asyncio.create_task(mortal.generate(request(choices=2)))
    first, second = [await engines[0].submitted() for _ in range(2)]
    engines[0].emit(first, "abc")
    problem = Problem("internal", "The text could not be continued.")
    engines[0].fail(second, problem)
    assert await asyncio.wait_for(asking, PATIENCE_S) == problem
    assert engines[0].held == []
    assert len(engines) == 1


async def test_a_request_to_a_dead_engine_waits_for_it_to_be_loaded_again(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    engines[0].die()
    asking = [asyncio.create_task(mortal.generate(request())) for _ in range(3)]
    again = await loaded(engines, 2)
    for _ in asking:
        again.finish(await again.submitted())
    assert all(isinstance(each, GenerationResult) for each in await asyncio.gather(*asking))
    assert engines[0].closed
    assert len(engines) == 2
    await mortal.check_health()


async def test_a_check_of_the_health_loads_a_dead_engine_again_without_any_request(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    await mortal.check_health()
    engines[0].die()
    await mortal.check_health()
    again = await loaded(engines, 2)
    asking = asyncio.create_task(mortal.generate(request()))
    again.finish(await again.submitted())
    assert isinstance(await asyncio.wait_for(asking, PATIENCE_S), GenerationResult)


async def test_an_engine_that_dies_again_and_again_is_unavailable_for_a_while(
    mortal: Generation, engines: list[PuppetEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.models.backoff.LONGEST_REST_S", 0.0)
    engines[0].die()
    await mortal.check_health()
    (await loaded(engines, 2)).die()
    problem = await problem_of(mortal)
    assert problem.kind == "unavailable"
    assert "its engine stopped" in problem.message
    assert len(engines) == 2
    await mortal.check_health()


async def test_only_when_loading_again_did_not_help_is_the_replica_unhealthy(
    mortal: Generation, engines: list[PuppetEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise EngineNotLoaded("no memory")

    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", broken)
    engines[0].die()
    for _ in range(MAX_ATTEMPTS - 1):
        await mortal.check_health()
        with suppress(ModelUnavailable):
            await mortal._models.load("tiny")
    with pytest.raises(ModelLost):
        await mortal.check_health()


async def test_an_engine_that_hangs_needs_another_replica(
    mortal: Generation, engines: list[PuppetEngine]
) -> None:
    engines[0].hangs = True
    with pytest.raises(EngineHangs):
        await mortal.check_health()
    assert len(engines) == 1
