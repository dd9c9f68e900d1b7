"""Delivery of one step's tokens while the next step is computed changes no text."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.interface import Engine
from deployments.engine.kv_budget import weight_bytes
from deployments.engine.packed_model import PackedModel
from deployments.engine.running import RunningBatch
from deployments.engine.scheduler import Scheduler
from deployments.engine.settings import EngineSettings
from deployments.engine.torch_engine import engine_of
from deployments.engine.torch_runner import TorchRunner
from deployments.seam.generation import Grammar
from tests.deployments.engine.reading import Reader
from tests.deployments.engine.tiny_models import kv_gb, tiny

PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]
LIMITS: dict[str, dict[str, Any]] = {
    "room for all": {"slots": 8},
    "few slots": {"slots": 2},
    "little memory": {"slots": 8, "kv_cache_gb": kv_gb(112)},
}
SCHEMA = Grammar("json_schema", '{"type": "object", "properties": {"a": {"enum": [1, 23]}}, '
                 '"required": ["a"], "additionalProperties": false}')  # fmt: skip


@pytest.fixture(params=LIMITS)
def engines(request: pytest.FixtureRequest, byte_codec: TextCodec) -> Iterator[list[Engine]]:
    """The same model without and with overlap."""
    opened = list[Engine]()
    for overlap in (False, True):
        settings = EngineSettings(max_batched_tokens=24, **LIMITS[request.param])
        engine = engine_of(tiny("llama").eval(), byte_codec, 128, settings, overlap=overlap)
        engine.start()
        opened.append(engine)
    yield opened
    for each in opened:
        each.close()


def requests(engine: Engine) -> list[Reader]:
    """Sampled texts of all kinds: bounded, ended by a token or a stop string, held to a grammar."""
    source = random.Random(8)
    readers = []
    for number in range(14):
        prompt = [source.randrange(256) for _ in range(source.randrange(1, 50))]
        kinds: list[dict[str, Any]] = [
            {},
            {"stop": tuple("abcdefghijklmnopqrstuvwxyz")},
            {"eos_ids": frozenset(range(0, 256, 16))},
            {"eos_ids": frozenset(range(0, 256, 4)), "min_new": 6},
            {"grammar": SCHEMA},
            {"logprobs": True, "top_logprobs": 2, "repetition_penalty": 1.3},
            {"presence_penalty": 1.0, "frequency_penalty": 1.0},
        ]
        request = f"request {number % 5}"
        readers.append(
            Reader(engine, prompt, new=24, seed=number, request=request, **kinds[number % 7])
        )
    return readers


def test_all_texts_are_the_same_and_end_in_the_same_way(engines: list[Engine]) -> None:
    plain, overlapped = ([each.start() for each in requests(engine)] for engine in engines)
    for ours, theirs in zip(overlapped, plain, strict=True):
        assert ours.wait().problem is None
        assert theirs.wait().problem is None
        assert ours.ids == theirs.ids
        assert ours.text == theirs.text
        assert ours.finish == theirs.finish
    assert {each.finish for each in plain} == {"stop", "length"}
    assert any(each.tokens[-1].stop_string for each in plain)


def test_every_token_is_delivered_once_and_none_is_left(engines: list[Engine]) -> None:
    for engine in engines:
        readers = [each.start() for each in requests(engine)]
        for each in readers:
            each.wait()
            assert [token.position for token in each.tokens] == list(range(len(each.tokens)))
        engine.close()
        load = engine.load()
        assert load.tokens == sum(len(each.tokens) for each in readers)
        assert (load.running, load.waiting, load.kv_usage) == (0, 0, 0.0)


def test_a_cancelled_text_gets_at_most_one_more_token(engines: list[Engine]) -> None:
    _, engine = engines
    readers = [
        Reader(engine, PROMPT, new=60, seed=n, request=str(n), eos_ids=frozenset())
        for n in range(6)
    ]
    for each in readers[::2]:
        each.on_token = lambda token, reader=each: engine.cancel(reader.sequence)
    for each in readers:
        each.start()
    for each in readers[1::2]:
        assert len(each.wait().tokens) == 60
    assert all(len(each.tokens) <= 2 for each in readers[::2])


def test_one_token_texts_are_delivered(engines: list[Engine]) -> None:
    _, engine = engines
    for number in range(3):
        reader = Reader(engine, PROMPT, new=1, seed=number)
        reader.read()
        assert len(reader.tokens) == 1


def test_a_text_that_is_preempted_and_admitted_between_two_steps_is_the_same(
    byte_codec: TextCodec,
) -> None:
    model = tiny("llama").eval()
    packed = PackedModel.of(model, 128, 1, None)
    runner = TorchRunner(
        packed,
        byte_codec,
        weight_bytes=weight_bytes(model),
        max_batched_tokens=64,
        max_mixed_prefill=64,
        overlap=True,
    )
    engine = engine_of(model, byte_codec, 128, EngineSettings(slots=1), packed=packed)
    texts = []
    for preempted in (False, True):
        scheduler = Scheduler(1, runner.fits)
        batch = RunningBatch(scheduler, threading.Condition(), runner.free)
        reader = Reader(engine, PROMPT, new=12, seed=4, eos_ids=frozenset())
        scheduler.add(reader.sequence)
        assert scheduler.admit() is reader.sequence
        runner.admit(reader.sequence)
        for _ in range(40):
            runner.step(batch)
            if reader.over.is_set():
                break
            if preempted:
                runner.free(reader.sequence)
                runner.admit(reader.sequence)
                runner.step(batch)
        texts.append(reader.ids)
    assert len(texts[0]) == 12
    assert texts[1] == texts[0]
