"""The code that ``vllm bench serve`` sends its requests with, out of vLLM's source archive."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

TOKENS = 8


@pytest.fixture(scope="module")
def bench() -> Any:
    """That one module, which needs nothing else of vLLM's."""
    spec = importlib.util.spec_from_file_location("bench_requests", os.environ["PRSM_VLLM_BENCH"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.mark.parametrize(
    ("backend", "path"),
    [
        ("openai", "/v1/completions"),
        ("openai-chat", "/v1/chat/completions"),
        ("openai-responses", "/v1/responses"),
    ],
)
async def test_text(
    bench: Any, session: aiohttp.ClientSession, service: Any, backend: str, path: str
) -> None:
    asked = bench.RequestFuncInput(
        prompt="Tell me about France.",
        api_url=service.url + path,
        prompt_len=5,
        output_len=TOKENS,
        model=service.chat,
        ignore_eos=True,
        extra_body={"temperature": 0},
        request_id="bench-1",
    )
    answer = await bench.ASYNC_REQUEST_FUNCS[backend](asked, session)
    assert answer.success, answer.error
    assert (answer.output_tokens, bool(answer.generated_text)) == (TOKENS, True)
    assert answer.prompt_len >= 5
    assert 0 < len(answer.itl) < TOKENS  # a token without text, such as a special one, is no chunk


@pytest.mark.parametrize(
    ("backend", "path", "prompt"),
    [
        ("openai-embeddings", "/v1/embeddings", "a cat " * 900),
        ("vllm-pooling", "/pooling", "a cat"),
        ("infinity-embeddings", "/v1/embeddings", "a cat"),
    ],
)
async def test_vectors(
    bench: Any,
    session: aiohttp.ClientSession,
    service: Any,
    backend: str,
    path: str,
    prompt: str,
) -> None:
    asked = bench.RequestFuncInput(
        prompt=prompt,
        api_url=service.url + path,
        prompt_len=3,
        output_len=0,
        model=service.vectors,
    )
    answer = await bench.ASYNC_REQUEST_FUNCS[backend](asked, session)
    assert answer.success, answer.error
    assert answer.prompt_len > 2


async def test_rerank(bench: Any, session: aiohttp.ClientSession, service: Any) -> None:
    asked = bench.RequestFuncInput(
        prompt=["What does the cat do?", "a kitten sleeps", "the share price fell"],
        api_url=f"{service.url}/v1/rerank",
        prompt_len=9,
        output_len=0,
        model=service.reranker,
    )
    answer = await bench.ASYNC_REQUEST_FUNCS["vllm-rerank"](asked, session)
    assert answer.success, answer.error
    assert answer.prompt_len > 9
