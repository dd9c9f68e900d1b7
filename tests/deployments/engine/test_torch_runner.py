from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from deployments.engine.interface import STOPPED, Engine, EngineNotLoaded, EngineStopped
from deployments.engine.packed_model import PackedModel
from deployments.engine.tuning import SLOT_QUANTUM
from deployments.seam.problems import Problem
from tests.deployments.engine.reading import PATIENCE_S, Reader
from tests.deployments.engine.tiny_models import (
    PACKED,
    assert_greedy,
    generated,
    kv_gb,
    opened,
    saved,
    tiny,
)

PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]


@pytest.mark.parametrize("kind", [*PACKED, "bloom"])
@pytest.mark.parametrize("chunk", [1, 5, 512])
def test_it_says_what_generate_says_however_the_prompt_is_cut(
    tmp_path: Path, byte_tokenizer: Tokenizer, kind: str, chunk: int
) -> None:
    model = tiny(kind).eval()
    engine = opened(saved(tmp_path, model, byte_tokenizer), max_batched_tokens=chunk)
    reader = Reader(engine, PROMPT, new=20, temperature=0.0, repetition_penalty=1.2)
    reader.read()
    engine.close()
    assert reader.ids == generated(model, PROMPT, 20, repetition_penalty=1.2)


@pytest.mark.parametrize("kind", PACKED)
def test_random_neighbours_cancels_and_preemptions_do_not_change_greedy_texts(
    tmp_path: Path, byte_tokenizer: Tokenizer, kind: str
) -> None:
    source = random.Random(5)
    model = tiny(kind).eval()
    folder = saved(tmp_path, model, byte_tokenizer)
    engine = opened(folder, slots=5, kv_cache_gb=kv_gb(tokens=288), max_batched_tokens=24)
    readers = [
        Reader(
            engine,
            [source.randrange(256) for _ in range(source.randrange(1, 60))],
            new=source.randrange(1, 60),
            temperature=0.0,
            request=str(source.randrange(8)),
        )
        for _ in range(40)
    ]
    cancelled = source.sample(readers, 10)
    for each in cancelled:
        each.on_token = lambda token, reader=each: engine.cancel(reader.sequence)
    for each in readers:
        each.start()
    for each in readers:
        if each not in cancelled:
            assert each.wait().problem is None
            assert_greedy(model, each)
    assert all(len(each.tokens) <= 2 for each in cancelled)
    load = engine.load()
    engine.close()
    assert (load.running, load.waiting, load.kv_usage) == (0, 0, 0.0)


def test_the_models_positions_bound_the_window(tmp_path: Path, byte_tokenizer: Tokenizer) -> None:
    folder = saved(tmp_path, tiny("gpt2"), byte_tokenizer)
    wide, narrow = (opened(folder, window=size) for size in (None, 50))
    assert (wide.window, narrow.window) == (128, 50)
    reader = Reader(wide, PROMPT, new=128 - len(PROMPT), temperature=0.0, eos_ids=frozenset())
    reader.read()
    assert len(reader.tokens) == 128 - len(PROMPT)
    wide.close()
    narrow.close()


def test_a_half_precision_model_is_loaded_as_asked(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    folder = saved(tmp_path, tiny("llama"), byte_tokenizer)
    whole = opened(folder)
    half = opened(folder, dtype="bfloat16")
    assert whole.load().memory_bytes == pytest.approx(2 * (half.load().memory_bytes or 0), rel=0.01)
    for engine in (whole, half):
        Reader(engine, PROMPT, new=3, temperature=0.0).read()
        engine.close()


def test_bias_bans_and_forces_tokens(torch_engine: Engine) -> None:
    question = "What is the capital of France?"
    plain = Reader(torch_engine, question, new=3, temperature=0.0)
    plain.read()
    banned = Reader(torch_engine, question, new=3, temperature=0.0, logit_bias={plain.ids[0]: -100})
    forced = Reader(torch_engine, question, new=3, temperature=1.0, logit_bias={4321: 100})
    banned.read()
    forced.read()
    assert plain.ids[0] not in banned.ids
    assert forced.ids == [4321] * 3


def test_the_most_likely_tokens_are_reported_in_order(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, "Say yes.", new=4, temperature=0.0, logprobs=True, top_logprobs=5)
    reader.read()
    for token in reader.tokens:
        assert token.logprob is not None
        values = [value for _, value, _ in token.logprob.top]
        assert len(values) == 5
        assert values == sorted(values, reverse=True)
        assert token.logprob.logprob == values[0]
        assert token.logprob.top[0][0] == token.logprob.text


def test_a_folder_without_weights_is_a_clear_error(gguf_folder: Path) -> None:
    with pytest.raises(EngineNotLoaded, match="cannot load"):
        opened(gguf_folder)


def test_an_unknown_dtype_is_a_clear_error(torch_folder: Path) -> None:
    with pytest.raises(EngineNotLoaded, match="float31"):
        opened(torch_folder, dtype="float31")


@pytest.fixture
def llama_folder(tmp_path: Path, byte_tokenizer: Tokenizer) -> Path:
    return saved(tmp_path, tiny("llama"), byte_tokenizer)


def test_the_kv_cache_bounds_the_window(llama_folder: Path) -> None:
    engine = opened(llama_folder, kv_cache_gb=kv_gb(50))
    assert engine.window == 48
    with pytest.raises(ValueError, match="48"):
        Reader(engine, PROMPT, new=40).start()
    engine.close()
    with pytest.raises(EngineNotLoaded, match="less than 16 tokens"):
        opened(llama_folder, kv_cache_gb=kv_gb(15))


def test_without_a_bound_the_kv_cache_holds_the_models_whole_window(llama_folder: Path) -> None:
    engine = opened(llama_folder)
    assert engine.window == 128
    assert (engine.load().slots, engine.load().kv_usage) == (1, 0.0)
    engine.close()


def texts(engine: Engine, requests: tuple[str, ...], new: int) -> list[Reader]:
    return [
        Reader(engine, PROMPT, new=new, seed=3, request=name, choice=n, eos_ids=frozenset())
        for n, name in enumerate(requests)
    ]


def test_as_many_texts_decode_in_turns_as_there_are_slots(llama_folder: Path) -> None:
    engine = opened(llama_folder, slots=3)
    active: list[int] = []
    readers = texts(engine, ("a", "a", "b", "c", "c"), 30)
    for each in readers:
        each.on_token = lambda token: active.append(engine.load().running)
        each.start()
    for each in readers:
        assert each.wait().problem is None
    assert max(active) == 3
    engine.close()


@pytest.mark.parametrize("limits", [{"slots": 2}, {"slots": 8, "kv_cache_gb": kv_gb(100)}])
def test_a_preempted_text_resumes_without_a_difference(
    llama_folder: Path, limits: dict[str, Any]
) -> None:
    alone = opened(llama_folder)
    expected = [each.start().wait().ids for each in texts(alone, ("a",) * 6, 70)]
    alone.close()
    engine = opened(llama_folder, **limits)
    usage: list[float] = []
    readers = texts(engine, ("a", "a", "b", "b", "c", "d"), 70)
    readers[0].on_token = lambda token: usage.append(engine.load().kv_usage or 0.0)
    for each in readers:
        each.start()
    assert [each.wait().ids for each in readers] == expected
    assert 0.0 < max(usage) <= 1.0
    engine.close()


def test_a_new_request_does_not_wait_for_a_long_text(llama_folder: Path) -> None:
    engine = opened(llama_folder, slots=1)
    begun, asked = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        assert asked.wait(PATIENCE_S)

    (long,) = texts(engine, ("long",), 100)
    long.on_token = hold
    long.start()
    assert begun.wait(PATIENCE_S)
    (short,) = texts(engine, ("short",), 1)
    there: list[int] = []
    short.on_token = lambda _: there.append(len(long.tokens))
    short.start()
    asked.set()
    short.wait()
    long.wait()
    assert there[0] < SLOT_QUANTUM + 8
    assert len(long.tokens) == 100
    engine.close()


def test_a_token_that_the_model_does_not_know_fails_one_text(llama_folder: Path) -> None:
    engine = opened(llama_folder, slots=2)
    good, bad = Reader(engine, PROMPT, new=20), Reader(engine, [3, 5000], new=20, request="bad")
    for each in (good, bad):
        each.start()
    assert bad.wait().problem == Problem("internal", "The text could not be continued.")
    assert good.wait().problem is None
    engine.check()
    engine.close()


def test_a_packed_forward_that_fails_is_the_engines_fault(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(llama_folder, slots=2)

    def broken(*_: object) -> None:
        raise RuntimeError("this device is broken")

    monkeypatch.setattr(PackedModel, "forward", broken)
    assert Reader(engine, PROMPT).start().wait().problem == STOPPED
    with pytest.raises(EngineStopped, match="this device is broken"):
        engine.check()


def test_forwards_of_single_sequences_that_all_fail_are_the_engines_fault(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    engine = opened(saved(tmp_path, tiny("bloom"), byte_tokenizer), slots=8)
    readers = [Reader(engine, [3, 5000], new=20, choice=n).start() for n in range(6)]
    for each in readers:
        assert each.wait().problem is not None
    with pytest.raises(EngineStopped, match="forwards in a row"):
        Reader(engine, PROMPT).start()
    with pytest.raises(EngineStopped, match="forwards in a row"):
        engine.check()
    assert engine.device == "cpu"


def test_a_closed_engine_still_tells_where_it_was(llama_folder: Path) -> None:
    engine = opened(llama_folder)
    engine.close()
    assert engine.device == "cpu"
    assert engine.load().running == 0


def test_a_model_that_cannot_be_packed_says_that_it_has_one_slot(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    engine = opened(saved(tmp_path, tiny("bloom"), byte_tokenizer), slots=8)
    assert engine.load().slots == 1
    engine.close()
