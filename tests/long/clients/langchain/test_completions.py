"""LangChain's completions: OpenAI's, of many prompts and streamed, and Hugging Face's endpoint."""

from __future__ import annotations

import os
from typing import Any

import pytest
from langchain_huggingface import HuggingFaceEndpoint
from langchain_openai import OpenAI

URL = os.environ["PRSM_CLIENTS_URL"]
MODEL = "SmolLM2-135M-Instruct"
PROMPT = "The capital of France is"


@pytest.fixture
def openai() -> OpenAI:
    settings: dict[str, Any] = {"temperature": 0, "max_tokens": 6, "max_retries": 0}
    return OpenAI(model=MODEL, base_url=f"{URL}/v1", api_key="unused", **settings)


@pytest.fixture
def endpoint() -> HuggingFaceEndpoint:
    """With LangChain's own defaults, of which ``typical_p`` is one."""
    return HuggingFaceEndpoint(
        endpoint_url=f"{URL}/models/{MODEL}", huggingfacehub_api_token="unused", max_new_tokens=6
    )


def test_twenty_prompts_in_one_request(openai: OpenAI) -> None:
    prompts = [f"{number} + 1 =" for number in range(19)] + [PROMPT]
    answers = openai.generate(prompts).generations
    assert len(answers) == 20
    assert "Paris" in answers[-1][0].text


def test_a_stream(openai: OpenAI) -> None:
    pieces = list(openai.stream(PROMPT))
    assert len(pieces) > 2
    assert "".join(pieces) == openai.invoke(PROMPT)


def test_an_endpoint(endpoint: HuggingFaceEndpoint) -> None:
    assert "Paris" in endpoint.invoke(PROMPT)


def test_an_endpoints_stream(endpoint: HuggingFaceEndpoint) -> None:
    assert "Paris" in "".join(endpoint.stream(PROMPT))


async def test_an_asynchronous_endpoint(endpoint: HuggingFaceEndpoint) -> None:
    assert "Paris" in await endpoint.ainvoke(PROMPT)
