"""Thousands of random requests on the torch engine: greedy texts as alone, and nothing leaks."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.deployments.engine.reading import PATIENCE_S, Reader
from tests.deployments.engine.tiny_models import assert_greedy, kv_gb, opened, saved, tiny

REQUESTS = 3000
CHECKED = 300
"""Requests whose text is compared with ``generate``, which decodes one at a time."""

AT_ONCE = 40
KV_TOKENS = 640


@pytest.mark.parametrize("kind", ["llama", "sliding"])
def test_thousands_of_random_requests_leave_the_engine_as_it_was(
    tmp_path: Path, byte_tokenizer: Tokenizer, kind: str
) -> None:
    source = random.Random(11)
    model = tiny(kind).eval()
    configured = kv_gb(KV_TOKENS)
    engine = opened(
        saved(tmp_path, model, byte_tokenizer),
        slots=8,
        kv_cache_gb=configured,
        max_batched_tokens=48,
    )
    room = threading.Semaphore(AT_ONCE)
    system = [source.randrange(256) for _ in range(20)]
    checked = []
    for number in range(REQUESTS):
        prompt = [source.randrange(256) for _ in range(source.randrange(1, 50))]
        sampled = number % 10 != 0
        reader = Reader(
            engine,
            [*system, *prompt] if number % 3 == 0 else prompt,
            new=source.randrange(1, 40),
            temperature=0.8 if sampled else 0.0,
            seed=number,
            request=str(number // source.randrange(1, 4)),
        )
        if number % 7 == 3:
            reader.on_token = lambda token, reader=reader: engine.cancel(reader.sequence)
        elif not sampled:
            checked.append(reader)
        assert room.acquire(timeout=PATIENCE_S)
        _released_at_the_end(reader, room)
        reader.start()
    for _ in range(AT_ONCE):
        assert room.acquire(timeout=PATIENCE_S), "a sequence never ended"
    for reader in checked[:CHECKED]:
        assert reader.problem is None
        assert_greedy(model, reader)
    load = engine.load()
    engine.check()
    engine.close()
    assert (load.running, load.waiting, load.kv_usage) == (0, 0, 0.0)
    assert load.kv_cache_bytes == pytest.approx(configured * 2**30, rel=0.05)


def _released_at_the_end(reader: Reader, room: threading.Semaphore) -> None:
    """Let the next request begin when ``reader`` has its last token, or was cancelled at one."""
    deliver, fail = reader.sequence._on_token, reader.sequence._on_failure
    done = threading.Lock()

    def end() -> None:
        if done.acquire(blocking=False):
            room.release()

    def on_token(token: object) -> None:
        deliver(token)  # type: ignore[arg-type]
        if reader.sequence.finished or reader.sequence.cancelled:
            end()

    def on_failure(problem: object) -> None:
        fail(problem)  # type: ignore[arg-type]
        end()

    reader.sequence._on_token, reader.sequence._on_failure = on_token, on_failure
