"""What the generation family does with an engine, and what it asks of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from configs.weights import DtypeChoice, DtypeFigures
from deployments.engine.codec import TextCodec
from deployments.engine.grammar.trial_queue import GrammarTrials
from deployments.engine.interface import EngineHangs, EngineNotLoaded
from deployments.engine.sequence import Sequence
from deployments.engine.settings import EngineSettings
from deployments.engine.tuning import MAX_RUNNING_TRIALS, MAX_WAITING_TRIALS
from deployments.generation import Generation
from deployments.models.crashes import MAX_ATTEMPTS, ModelLost
from deployments.models.errors import ModelUnavailable
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.generation import (
    ChatMessage,
    GenerationRequest,
    GenerationResult,
    Grammar,
    Sampling,
    TokenAlternative,
    TokenChunk,
)
from deployments.seam.problems import Problem
from deployments.seam.timings import CallTiming
from deployments.seam.tokenization import (
    DetokenizeRequest,
    DetokenizeResult,
    TokenizeRequest,
    TokenizeResult,
)
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.held_trials import HeldTrials
from tests.deployments.puppet_engine import PATIENCE_S, PuppetEngine

Stream = AsyncGenerator[TokenChunk | Problem, None]


@pytest.fixture
async def engine(byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> PuppetEngine:
    made = PuppetEngine(byte_codec)
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", lambda *_: made)
    return made


@pytest.fixture
def family(engine: PuppetEngine, configured: Configured, classifier_folder: Path) -> Generation:
    return Generation(configured(classifier_folder))


def request(**fields: Any) -> GenerationRequest:
    given = {"prompt": "Once"} | fields
    return GenerationRequest("request", "tiny", **given)


def timed() -> Any:
    return ContextualCall(request(), CallContext(), timed=True)


async def following(stream: Stream) -> TokenChunk | Problem:
    return await asyncio.wait_for(anext(stream), PATIENCE_S)


async def burst(stream: Stream) -> str:
    item = await following(stream)
    assert isinstance(item, TokenChunk)
    return "".join(token.text for token in item.tokens)


async def begun(family: Generation, engine: PuppetEngine) -> tuple[Stream, Sequence, TokenChunk]:
    """A stream, its sequence in the engine, and its first chunk: the token ``a``."""
    stream = family.stream(request())
    first = asyncio.create_task(following(stream))
    sequence = await engine.submitted()
    engine.emit(sequence, "a")
    chunk = await first
    assert isinstance(chunk, TokenChunk)
    return stream, sequence, chunk


async def problem_of(family: Generation, **fields: Any) -> Problem:
    """The same problem, whole and streamed."""
    whole = await asyncio.wait_for(family.generate(request(**fields)), PATIENCE_S)
    stream = family.stream(request(**fields))
    assert await following(stream) == whole
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert isinstance(whole, Problem)
    return whole


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


async def test_a_whole_answer_has_every_token_and_its_reason(
    family: Generation, engine: PuppetEngine
) -> None:
    asking = asyncio.create_task(family.generate(request(max_new_tokens=9)))
    sequence = await engine.submitted()
    engine.emit(sequence, "upon")
    engine.finish(sequence)
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason, choice.tokens) == ("upon", "stop", 5)
    assert (answer.prompt_tokens, answer.device) == (4, engine.device)


async def test_choices_come_in_order_however_they_end(
    family: Generation, engine: PuppetEngine
) -> None:
    asking = asyncio.create_task(family.generate(request(choices=3, max_new_tokens=4)))
    sequences = [await engine.submitted() for _ in range(3)]
    for sequence, text in zip(reversed(sequences), ("cccc", "b", "a"), strict=True):
        engine.emit(sequence, text)
    engine.finish(sequences[0])
    engine.finish(sequences[1])
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    assert [choice.text for choice in answer.choices] == ["a", "b", "cccc"]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "stop", "length"]


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"prompt": ""}, "prompt", "no tokens"),
        ({"prompt": None, "messages": ()}, "prompt", "at least one message"),
        ({"max_length": 4}, "max_length", "leaves none of 4"),
        ({"sampling": Sampling(logit_bias={257: 1.0})}, "logit_bias", "no token 257"),
        (
            {"sampling": Sampling(logprobs=True, logprob_token_ids=(1, 257))},
            "logprob_token_ids",
            "no token 257",
        ),
    ],
)
async def test_what_cannot_be_decoded_is_refused_by_its_field(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], field: str, said: str
) -> None:
    problem = await problem_of(family, **fields)
    assert (problem.kind, problem.field) == ("validation", field)
    assert said in problem.message
    assert engine.held == []


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"prompt": "x" * 64}, "prompt", "the prompt has 64,"),
        ({"prompt": "x" * 500}, "prompt", "the prompt has 500,"),
        ({"max_new_tokens": 61}, "max_new_tokens", "the prompt has 4, and 61 new ones"),
    ],
)
async def test_what_passes_the_window_is_told_with_its_length(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], field: str, said: str
) -> None:
    problem = await problem_of(family, **fields)
    assert (problem.kind, problem.field) == ("context_length", field)
    assert problem.message.startswith(f"This model's maximum context length is 64 tokens; {said}")
    assert engine.held == []


@pytest.mark.parametrize(
    ("fields", "room"),
    [
        ({}, 60),
        ({"max_new_tokens": 60}, 60),
        ({"max_length": 10}, 6),
        ({"max_length": 1000}, 60),
        ({"max_length": 10, "max_new_tokens": 3}, 3),
        ({"max_length": 6, "max_new_tokens": 3}, 2),
    ],
)
async def test_the_smallest_bound_ends_the_text(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], room: int
) -> None:
    asking = asyncio.create_task(family.generate(request(**fields)))
    engine.emit(await engine.submitted(), "x" * room)
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    assert (answer.choices[0].tokens, answer.choices[0].finish_reason) == (room, "length")


async def test_a_long_chat_loses_its_oldest_turns_only_where_it_is_asked_to(
    family: Generation, engine: PuppetEngine
) -> None:
    """The window of 64 tokens has room for the answer and the newest of two turns."""
    turns = [ChatMessage(role, 10 * role[0]) for role in ("user", "assistant")] * 2
    chat = (*turns, ChatMessage("user", "?"))
    asked = {"prompt": None, "messages": chat, "max_new_tokens": 20}
    assert (await problem_of(family, **asked)).field == "max_new_tokens"
    asking = asyncio.create_task(family.generate(request(**asked, trim_oldest=True)))
    sequence = await engine.submitted()
    kept = engine.codec.encode_chat(chat[-3:])
    assert list(sequence.prompt_ids) == kept
    engine.emit(sequence, "x" * 20)
    answer = await asyncio.wait_for(asking, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    assert answer.prompt_tokens == len(kept) == 24


async def test_a_message_that_fits_no_window_is_refused_however_much_is_trimmed(
    family: Generation,
) -> None:
    chat = (ChatMessage("user", "a"), ChatMessage("user", "b" * 80))
    problem = await problem_of(family, prompt=None, messages=chat, trim_oldest=True)
    assert problem.field == "prompt"


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


async def test_a_request_that_only_half_fits_in_holds_nothing(
    family: Generation, engine: PuppetEngine
) -> None:
    engine.refuses_after = 1
    answer = await asyncio.wait_for(family.generate(request(choices=2)), PATIENCE_S)
    assert isinstance(answer, Problem)
    assert engine.held == []


async def test_a_chat_is_read_as_its_turns(family: Generation, engine: PuppetEngine) -> None:
    turns = (ChatMessage("user", "Hi"), ChatMessage("assistant", "Yo"), ChatMessage("user", "So"))
    asking = asyncio.create_task(family.generate(request(prompt=None, messages=turns)))
    sequence = await engine.submitted()
    assert list(sequence.prompt_ids) == engine.codec.encode("Hi<end>Yo<end>So<end>")
    engine.finish(sequence)
    await asyncio.wait_for(asking, PATIENCE_S)


async def test_a_model_that_cannot_be_loaded_is_unavailable(
    configured: Configured, classifier_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise EngineNotLoaded("transformers cannot load /secret/place")

    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", broken)
    problem = await problem_of(Generation(configured(classifier_folder, pinned=False)))
    assert problem.kind == "unavailable"
    assert "secret" not in problem.message


@pytest.mark.parametrize("kind", ["torch", "openvino"])
async def test_the_engine_gets_what_the_profile_says(
    configured: Configured,
    classifier_folder: Path,
    byte_codec: TextCodec,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    opened: list[tuple[str, EngineSettings]] = []

    loop = asyncio.get_running_loop()

    def opening(engine: str, folder: Path, settings: EngineSettings) -> PuppetEngine:
        opened.append((engine, settings))
        return PuppetEngine(byte_codec, loop=loop)

    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", opening)
    given: dict[str, Any] = {"window": 40, "kv_cache_gb": 2, "dtype": "bfloat16"}
    config: Callable[..., Any] = configured
    await started(Generation(config(classifier_folder, engine=kind, slots=3, **given)))
    many = {"max_concurrent_requests": 7, "load_timeout_s": 60.0}
    await started(Generation(config(classifier_folder, many, engine=kind)))
    (name, settings), (_, default) = opened
    assert (name, settings.slots, default.slots) == (kind, 3, 7)
    assert (settings.load_timeout_s, default.load_timeout_s) == (1800.0, 60.0)
    assert (settings.window, settings.kv_cache_gb, settings.threads) == (40, 2, 1)
    assert bool(settings.options) is (kind == "torch")
    assert settings.dtype == ("auto" if kind == "torch" else "bfloat16")


async def test_the_openvino_engine_computes_in_the_dtype_that_was_measured_to_be_best(
    configured: Configured,
    classifier_folder: Path,
    byte_codec: TextCodec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[EngineSettings] = []
    loop = asyncio.get_running_loop()

    def opening(engine: str, folder: Path, settings: EngineSettings) -> PuppetEngine:
        opened.append(settings)
        return PuppetEngine(byte_codec, loop=loop)

    best = DtypeChoice("bfloat16", {"bfloat16": DtypeFigures(9.0, 8.0, 48, 16, 15)})
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", opening)
    monkeypatch.setattr("deployments.models.config.fastest_dtype", lambda *_, token: best)
    fields: dict[str, Any] = {"engine": "openvino", "dtype": "auto", "tasks": ("generate",)}
    family = Generation(configured(classifier_folder, **fields))
    await started(family)
    (settings,) = opened
    assert settings.dtype == "bfloat16"
    (status,) = (await family.loaded_models(None)).models
    assert status.dtype_choice == best
    assert status.slots == PuppetEngine(byte_codec, loop=loop).load().slots


async def test_only_the_end_of_a_prompt_is_read_when_asked(
    family: Generation, engine: PuppetEngine
) -> None:
    for prompt, kept in (("Once upon", "upon"), ("in", "in")):
        task = asyncio.create_task(family.generate(request(prompt=prompt, keep_last=4)))
        sequence = await engine.submitted()
        assert engine.codec.decode(sequence.prompt_ids) == kept
        task.cancel()


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"prompt": "x" * 99 + "end", "max_new_tokens": 60}, "xend"),
        ({"prompt": "x" * 99 + "end", "max_new_tokens": 60, "keep_last": 2}, "nd"),
        ({"prompt": "end", "max_new_tokens": 60}, "end"),
        ({"prompt": None, "messages": (ChatMessage("user", "Hello"),), "keep_last": 4}, "llo"),
    ],
)
async def test_the_beginning_of_a_prompt_is_cut_where_it_is_asked_for(
    family: Generation, engine: PuppetEngine, fields: dict[str, Any], kept: str
) -> None:
    task = asyncio.create_task(family.generate(request(truncate=True, **fields)))
    sequence = await engine.submitted()
    assert engine.codec.decode(sequence.prompt_ids) == kept
    task.cancel()


async def test_the_beginning_of_given_tokens_is_cut_as_well(
    family: Generation, engine: PuppetEngine
) -> None:
    fields: dict[str, Any] = {"prompt_ids": tuple(range(99)), "max_new_tokens": 60}
    task = asyncio.create_task(family.generate(request(prompt=None, truncate=True, **fields)))
    assert (await engine.submitted()).prompt_ids == (95, 96, 97, 98)
    task.cancel()


async def test_an_end_of_sequence_that_is_ignored_does_not_end_the_text(
    family: Generation, engine: PuppetEngine
) -> None:
    fields: dict[str, Any] = {"ignore_eos": True, "max_new_tokens": 3}
    task = asyncio.create_task(family.generate(request(**fields)))
    sequence = await engine.submitted()
    engine.emit(sequence, "a")
    engine.finish(sequence)
    engine.emit(sequence, "b")
    answer = await asyncio.wait_for(task, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason, choice.tokens) == ("ab", "length", 3)


async def test_a_whole_answer_tells_which_stop_string_ended_it(
    family: Generation, engine: PuppetEngine
) -> None:
    task = asyncio.create_task(family.generate(request(stop=("b",))))
    engine.emit(await engine.submitted(), "ab")
    answer = await asyncio.wait_for(task, PATIENCE_S)
    assert isinstance(answer, GenerationResult)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason, choice.stop_string) == ("a", "stop", "b")


def test_live_limits_that_it_does_not_have_are_told_and_change_nothing(
    family: Generation, caplog: pytest.LogCaptureFixture
) -> None:
    limits = family._limits
    assert limits.live_limits().refused == ()
    family.reconfigure({"max_batch_size": 4})
    assert "no live limits: user_config is ignored" in caplog.text
    assert limits.live_limits().in_force == {}
    assert limits.live_limits().refused == ("user_config: text generation has no live limits",)


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


async def test_a_prompt_and_a_chat_are_tokenized_without_the_engine_decoding(
    family: Generation, byte_codec: TextCodec
) -> None:
    plain = await family.tokenize(TokenizeRequest("tiny", prompt="Once"))
    assert isinstance(plain, TokenizeResult)
    assert list(plain.ids) == byte_codec.encode("Once")
    assert "".join(plain.texts).endswith("Once")
    chat = (ChatMessage("user", "Hi"),)
    told = await family.tokenize(TokenizeRequest("tiny", messages=chat))
    assert isinstance(told, TokenizeResult)
    assert list(told.ids) == byte_codec.encode_chat(chat)
    text = await family.detokenize(DetokenizeRequest("tiny", plain.ids))
    assert text == DetokenizeResult(byte_codec.decode(plain.ids, special_tokens=True))


async def test_a_token_that_the_model_does_not_know_has_no_text(
    family: Generation, byte_codec: TextCodec
) -> None:
    answer = await family.detokenize(DetokenizeRequest("tiny", (byte_codec.vocab_size,)))
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "tokens")
