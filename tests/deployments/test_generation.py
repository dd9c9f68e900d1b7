"""What the generation family does with an engine, and what it asks of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.weights import DtypeChoice, DtypeFigures
from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.settings import EngineSettings
from deployments.generation import Generation
from deployments.seam.generation import GenerationResult
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.families import started
from tests.deployments.generation_answers import problem_of, request
from tests.deployments.puppet_engine import PATIENCE_S, PuppetEngine


@pytest.fixture
async def engine(byte_codec: TextCodec, monkeypatch: pytest.MonkeyPatch) -> PuppetEngine:
    made = PuppetEngine(byte_codec)
    monkeypatch.setattr("deployments.engine.engine_loader.open_engine", lambda *_: made)
    return made


@pytest.fixture
def family(engine: PuppetEngine, configured: Configured, classifier_folder: Path) -> Generation:
    return Generation(configured(classifier_folder))


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


async def test_a_request_that_only_half_fits_in_holds_nothing(
    family: Generation, engine: PuppetEngine
) -> None:
    engine.refuses_after = 1
    answer = await asyncio.wait_for(family.generate(request(choices=2)), PATIENCE_S)
    assert isinstance(answer, Problem)
    assert engine.held == []


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
