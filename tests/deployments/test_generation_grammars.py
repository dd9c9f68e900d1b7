"""Grammars are tried before the engine decodes with them, and refused by name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.trial_queue import GrammarTrials
from deployments.engine.tuning import MAX_RUNNING_TRIALS, MAX_WAITING_TRIALS
from deployments.generation import Generation
from deployments.seam.generation import (
    GenerationRequest,
    GenerationResult,
    Grammar,
    TokenAlternative,
)
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.generation_answers import following, request
from tests.deployments.held_trials import HeldTrials
from tests.deployments.puppet_engine import PATIENCE_S, PuppetEngine


@pytest.fixture
async def engine(byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> PuppetEngine:
    made = PuppetEngine(byte_codec)
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", lambda *_: made)
    return made


@pytest.fixture
def family(engine: PuppetEngine, configured: Configured, classifier_folder: Path) -> Generation:
    return Generation(configured(classifier_folder))


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> HeldTrials:
    """Where the grammars of :func:`family` are tried; to be asked for before it."""
    held = HeldTrials()
    trials = "deployments.engine.prompt_preprocessor.GrammarTrials"
    monkeypatch.setattr(trials, lambda: GrammarTrials(held.trial))
    return held


def held_to(expression: str) -> GenerationRequest:
    return request(grammar=Grammar("regex", expression))


async def test_a_text_that_is_held_to_a_grammar_begins_after_its_trial(
    held: HeldTrials, family: Generation, engine: PuppetEngine
) -> None:
    asking = asyncio.create_task(family.generate(held_to("ab")))
    trial = await held.next()
    assert engine.held == []
    trial.tell()
    engine.emit(await engine.submitted(), "ab")
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    assert [(each.text, each.finish_reason) for each in answer.choices] == [("ab", "stop")]


async def test_a_grammar_that_cannot_be_kept_to_is_refused_by_its_field(
    held: HeldTrials, family: Generation, engine: PuppetEngine
) -> None:
    asking = asyncio.create_task(family.generate(held_to("ab")))
    (await held.next()).tell("error: it is too complex")
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    message = "the text cannot be held to it: it is too complex"
    assert answer == Problem("validation", message, "grammar")
    assert engine.held == []


async def test_of_several_schemas_the_one_at_fault_is_named(
    held: HeldTrials, family: Generation, engine: PuppetEngine
) -> None:
    good, bad = (
        TokenAlternative("a", '{"type": "integer"}'),
        TokenAlternative("b", '{"pattern": "(?=a)"}'),
    )
    grammar = Grammar("alternatives", alternatives=(good, bad))
    asking = asyncio.create_task(family.generate(request(grammar=grammar)))
    (await held.next()).tell("1\0error: look-around")
    message = "the text cannot be held to it: look-around"
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert answer == Problem("validation", message, "grammar.1")
    numbers = Grammar(
        "alternatives", alternatives=(TokenAlternative("a", '{"const": 1e400}'), good)
    )
    answer = await family.generate(request(grammar=numbers))
    assert isinstance(answer, Problem)
    assert answer.field == "grammar.0"
    assert engine.held == []


async def test_a_known_grammar_is_answered_whatever_waits(
    held: HeldTrials, family: Generation, engine: PuppetEngine
) -> None:
    first = asyncio.create_task(family.generate(held_to("ab")))
    (await held.next()).tell()
    engine.emit(await engine.submitted(), "ab")
    await asyncio.wait_for(first, PATIENCE_S)
    bad = [held_to(f"{number}") for number in range(MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS)]
    others = [asyncio.create_task(family.generate(each)) for each in bad]
    running = [await held.next() for _ in range(MAX_RUNNING_TRIALS)]
    again = asyncio.create_task(family.generate(held_to("ab")))
    engine.emit(await engine.submitted(), "ab")
    assert isinstance(await asyncio.wait_for(again, PATIENCE_S), GenerationResult)
    assert not any(trial.ended.is_set() for trial in running)
    for other in others:
        other.cancel()
    await asyncio.wait(others)


async def test_a_grammar_that_too_many_wait_before_is_told_so(
    held: HeldTrials, family: Generation
) -> None:
    many = [held_to(f"{number}") for number in range(MAX_RUNNING_TRIALS + MAX_WAITING_TRIALS + 1)]
    asking = [asyncio.create_task(family.generate(each)) for each in many]
    done, others = await asyncio.wait(
        asking, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
    )
    (refused,) = done
    problem = refused.result()
    assert isinstance(problem, Problem)
    assert problem.kind == "overloaded"
    for other in others:
        other.cancel()
    await asyncio.wait(others)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_trial_ends_when_the_client_that_asked_for_it_leaves(
    held: HeldTrials, family: Generation, streamed: bool
) -> None:
    stream = family.stream(held_to("ab"))
    asking = asyncio.create_task(following(stream) if streamed else family.generate(held_to("ab")))
    trial = await held.next()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(trial.ended.wait(), PATIENCE_S)
    await stream.aclose()
