"""Real clients read past the comments of a stream that waits for its model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import huggingface_hub
import openai
import pytest
from huggingface_hub.utils._http import default_async_client_factory
from starlette.types import Message, Receive, Scope, Send

from deployments.seam.replicas import ModelStatus
from tests.serve_app import house
from tests.serve_app.house import FULL
from tests.serve_app.test_stream_surfaces import Gated, spoken

MESSAGES: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def http() -> Any:
    """A client of httpx, in the place of the fork of it that the real clients are typed for."""
    family = Gated([spoken("Hello")])
    family.holdings = [ModelStatus(FULL, "loading", progress=0.4)]
    application = house.app({"generation": family}, heartbeat_s=0.01)

    async def loaded_after_a_comment(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            await send(message)
            if message.get("body"):
                family.gate.set()

        await application(scope, receive, sent)

    return httpx.AsyncClient(transport=httpx.ASGITransport(loaded_after_a_comment))


@pytest.fixture
async def of_openai(http: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    base = "http://house/v1"
    async with openai.AsyncOpenAI(api_key="none", base_url=base, http_client=http) as client:
        yield client


@pytest.fixture
def of_hub(http: Any) -> Iterator[huggingface_hub.AsyncInferenceClient]:
    huggingface_hub.set_async_client_factory(lambda: http)
    yield huggingface_hub.AsyncInferenceClient(model=f"http://house/models/{FULL}")
    huggingface_hub.set_async_client_factory(default_async_client_factory)


async def test_openais_chats(of_openai: openai.AsyncOpenAI) -> None:
    stream = await of_openai.chat.completions.create(
        model=FULL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    texts = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(texts) == "Hello"
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 1


async def test_openais_completions(of_openai: openai.AsyncOpenAI) -> None:
    stream = await of_openai.completions.create(model=FULL, prompt="Hi", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello"


async def test_openais_responses(of_openai: openai.AsyncOpenAI) -> None:
    async with of_openai.responses.stream(model=FULL, input="Hi") as stream:
        answer = await stream.get_final_response()
    assert (answer.output_text, answer.status) == ("Hello", "completed")


async def test_the_hubs_text_generation(of_hub: huggingface_hub.AsyncInferenceClient) -> None:
    stream = await of_hub.text_generation("Hi", stream=True, details=True)
    outputs = [output async for output in stream]
    assert "".join(output.token.text for output in outputs) == "Hello"
    assert outputs[-1].details is not None


async def test_the_hubs_chats(of_hub: huggingface_hub.AsyncInferenceClient) -> None:
    stream = await of_hub.chat_completion(MESSAGES, stream=True)
    texts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(texts) == "Hello"
