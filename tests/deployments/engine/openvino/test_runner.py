from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.engine.interface import Engine, EngineNotLoaded, EngineStopped
from deployments.engine.openvino.runner import open_openvino_engine
from deployments.engine.settings import EngineSettings
from deployments.engine.tuning import SEED_SEGMENT_TOKENS
from tests.deployments.engine.openvino.shallow import LAYERS, write_shallow_model
from tests.deployments.engine.reading import PATIENCE_S, Reader

STORY = "Tell me a story about a dog."


@pytest.fixture(scope="module")
def shallow_folder(gguf_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers, for tests of schedules and not of texts."""
    folder = tmp_path_factory.mktemp("shallow")
    write_shallow_model(gguf_folder, folder)
    return folder


def opened(folder: Path, **settings: Any) -> Engine:
    return open_openvino_engine(folder, EngineSettings(**settings))


@pytest.fixture(scope="module")
def small(shallow_folder: Path) -> Iterator[Engine]:
    """A KV cache of 20 blocks, 640 tokens."""
    gigabytes = 0.0275 * LAYERS / 30
    engine = opened(shallow_folder, slots=4, threads=1, kv_cache_gb=gigabytes)
    yield engine
    engine.close()


def story(engine: Engine, *, repeat: int = 1, new: int, seed: int = 0, **options: Any) -> Reader:
    prompt = engine.codec.encode(f"{seed} {STORY} " * repeat)
    return Reader(
        engine, prompt, new=new, temperature=1.0, seed=seed, eos_ids=frozenset(), **options
    )


@pytest.fixture(scope="module")
def steady(shallow_folder: Path) -> Iterator[Engine]:
    """Reads at most 128 tokens of prompts a step."""
    engine = opened(shallow_folder, slots=4, threads=1, max_batched_tokens=128)
    yield engine
    engine.close()


def test_a_short_prompt_does_not_wait_for_a_long_one_before_it(steady: Engine) -> None:
    finished: list[str] = []
    long, short = story(steady, repeat=150, new=1), story(steady, new=1, seed=1)
    long.on_token = lambda _: finished.append("long")
    short.on_token = lambda _: finished.append("short")
    long.start()
    short.start()
    long.wait()
    short.wait()
    assert finished == ["short", "long"]


def test_a_new_request_waits_for_no_heavy_one_and_those_go_on(steady: Engine) -> None:
    heavy = [
        story(steady, new=60, seed=number, choice=number, request=f"heavy {number // 5}").start()
        for number in range(10)
    ]
    assert heavy[0].began.wait(PATIENCE_S)
    left: list[int] = []
    for number in range(3):
        short = story(steady, new=1, seed=90 + number, request=f"short {number}")
        short.start().wait()
        left.append(sum(not each.over.is_set() for each in heavy))
    for each in heavy:
        each.wait()
        assert each.problem is None
        assert len(each.tokens) == 60
        assert each.text == steady.codec.decode(each.ids)
    assert min(left) >= 5


@pytest.fixture(scope="module")
def sampled(steady: Engine) -> Reader:
    """A text of more than one segment."""
    whole = story(steady, new=SEED_SEGMENT_TOKENS + 5)
    whole.read()
    return whole


@pytest.mark.parametrize(
    "already", [3, SEED_SEGMENT_TOKENS - 1, SEED_SEGMENT_TOKENS, SEED_SEGMENT_TOKENS + 2]
)
def test_a_sampled_text_is_replayed_from_its_segment(
    steady: Engine, sampled: Reader, already: int
) -> None:
    rest = story(steady, new=SEED_SEGMENT_TOKENS + 5, resume_ids=tuple(sampled.ids[:already]))
    rest.read()
    assert rest.tokens == sampled.tokens[already:]


def test_a_replay_that_differs_continues_from_another_seed(
    steady: Engine,
) -> None:
    other = story(steady, new=20, seed=5)
    other.read()
    rest = story(steady, new=20, seed=6, resume_ids=tuple(other.ids[:12]))
    rest.read()
    assert [token.position for token in rest.tokens] == list(range(12, 20))


def test_a_prompt_read_in_pieces_is_read_whole(steady: Engine, small: Engine) -> None:
    def log_probability(engine: Engine, beginning: str) -> float:
        prompt = engine.codec.encode(beginning * 40 + "The weather is fine. " * 60)
        reader = Reader(engine, prompt, new=1, temperature=0.0, logprobs=True)
        reader.read()
        [token] = reader.tokens
        assert token.logprob is not None
        return token.logprob.logprob

    at_once = log_probability(small, "Bob likes red. ")
    assert log_probability(steady, "Bob likes red. ") == pytest.approx(at_once, abs=1e-4)
    assert abs(log_probability(steady, "Twelve wolves sang. ") - at_once) > 1e-3


def test_a_cancelled_prompt_is_not_read_on(steady: Engine) -> None:
    long = story(steady, repeat=150, new=1).start()
    steady.cancel(long.sequence)
    assert story(steady, new=2, seed=2).read()
    assert steady.load().running == 0
    assert long.tokens == []


def test_the_kv_cache_bounds_the_window(small: Engine) -> None:
    assert small.window == 19 * 32
    with pytest.raises(ValueError, match="608"):
        story(small, new=608).start()


def test_a_sequence_may_fill_the_window(small: Engine) -> None:
    reader = story(small, repeat=60, new=1)
    room = small.window - len(reader.sequence.prompt_ids)
    reader = story(small, repeat=60, new=room)
    reader.read()
    assert len(reader.tokens) == room


def test_sequences_that_outgrow_the_cache_together_all_finish(small: Engine) -> None:
    readers = [story(small, repeat=25, new=80, seed=seed).start() for seed in range(4)]
    for reader in readers:
        reader.wait()
        assert reader.problem is None
        assert len(reader.tokens) == 80
        assert reader.text == small.codec.decode(reader.ids)


def test_cancelling_a_large_sequence_does_not_fail_the_others(small: Engine) -> None:
    crowded = threading.Event()
    giant = story(small, repeat=52, new=80)
    giant.on_token = lambda token: crowded.set() if token.position == 20 else None
    giant.start()
    assert giant.began.wait(PATIENCE_S)
    other = story(small, repeat=52, new=5, seed=1).start()
    assert crowded.wait(PATIENCE_S)
    small.cancel(giant.sequence)
    other.wait()
    assert other.problem is None
    assert len(other.tokens) == 5
    usage = small.load().kv_usage
    assert usage is not None
    assert 0.0 <= usage <= 1.0


@pytest.fixture(scope="module")
def eight_bits(gguf_folder: Path) -> Iterator[Engine]:
    """Multiplies in eight bits."""
    engine = opened(gguf_folder, slots=2, threads=1, kv_cache_gb=0.1, dtype="dynamic-int8")
    yield engine
    engine.close()


def test_dynamic_int8_knows_the_capital_of_france_too(eight_bits: Engine) -> None:
    assert "Paris" in Reader(eight_bits, "What is the capital of France?", temperature=0.0).read()


# An engine takes seconds to open: the next two tests end those that the tests above have used.


def test_a_killed_process_fails_its_sequences_and_the_health_check(eight_bits: Engine) -> None:
    reader = story(eight_bits, new=1000).start()
    assert reader.began.wait(PATIENCE_S)
    assert eight_bits.process_id is not None
    os.kill(eight_bits.process_id, signal.SIGKILL)
    reader.wait()
    assert reader.problem is not None
    assert reader.problem.kind == "unavailable"
    with pytest.raises(EngineStopped):
        eight_bits.check()


def test_closing_ends_the_process(small: Engine) -> None:
    process = small.process_id
    assert process is not None
    small.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(EngineStopped):
        small.check()


def test_a_file_that_is_no_model_is_a_clear_error(gguf_folder: Path, tmp_path: Path) -> None:
    for file in gguf_folder.glob("*.json"):
        shutil.copy(file, tmp_path)
    with pytest.raises(EngineNotLoaded, match="neither one GGUF file nor"):
        opened(tmp_path)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF and nothing else")
    with pytest.raises(EngineNotLoaded, match=r"cannot load .*broken\.gguf"):
        opened(tmp_path, threads=1)


def test_a_cache_too_small_for_anything_is_a_clear_error(gguf_folder: Path) -> None:
    with pytest.raises(EngineNotLoaded, match="KV cache"):
        opened(gguf_folder, kv_cache_gb=0.0001)
