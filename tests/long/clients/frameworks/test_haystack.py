"""Haystack: OpenAI's and Hugging Face's components."""

from __future__ import annotations

from typing import Any

import pytest
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import Tool
from haystack.utils import Secret
from haystack_integrations.components.embedders.huggingface_api import (
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
)
from haystack_integrations.components.generators.huggingface_api import HuggingFaceAPIChatGenerator
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

KEY = Secret.from_token("unused")
QUESTION = [ChatMessage.from_user("What is the capital of France?", name="ada")]
TEXTS = ["a kitten sleeps on the sofa", "the share price fell by two per cent"]


def weather(city: str) -> str:
    return f"It rains in {city}."


WEATHER = Tool(
    name="weather",
    description="The weather in a city",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    function=weather,
)


def openai(service: Any, model: str, **more: Any) -> OpenAIChatGenerator:
    settings = {"temperature": 0, "max_tokens": 48} | more
    return OpenAIChatGenerator(
        api_key=KEY, model=model, api_base_url=service.openai, generation_kwargs=settings
    )


def hugging_face(service: Any, **more: Any) -> HuggingFaceAPIChatGenerator:
    return HuggingFaceAPIChatGenerator(
        api_type="text_generation_inference",
        api_params={"url": service.at(service.chat)},
        token=KEY,
        generation_kwargs={"temperature": 0, "max_tokens": 48},
        **more,
    )


def test_chat_by_openais_generator(service: Any) -> None:
    (reply,) = openai(service, service.chat).run(QUESTION)["replies"]
    assert "Paris" in reply.text
    assert reply.meta["finish_reason"] == "stop"


def test_chat_by_hugging_faces_generator(service: Any) -> None:
    (reply,) = hugging_face(service).run(QUESTION)["replies"]
    assert "Paris" in reply.text


@pytest.mark.parametrize("kind", ["openai", "hugging_face"])
def test_a_streamed_chat(service: Any, kind: str) -> None:
    pieces: list[StreamingChunk] = []
    made = openai(service, service.chat) if kind == "openai" else hugging_face(service)
    (reply,) = made.run(QUESTION, streaming_callback=pieces.append)["replies"]
    assert "".join(piece.content for piece in pieces) == reply.text
    assert "Paris" in reply.text
    assert len(pieces) > 2


async def test_an_asynchronous_chat(service: Any) -> None:
    answer = await openai(service, service.chat).run_async(QUESTION)
    assert "Paris" in answer["replies"][0].text


def test_a_tool_that_is_required_is_called(service: Any) -> None:
    generator = openai(service, service.torch, tool_choice="required")
    asked = [ChatMessage.from_user("What is the weather in Oslo?")]
    (reply,) = generator.run(asked, tools=[WEATHER])["replies"]
    (call,) = reply.tool_calls
    assert (call.tool_name, "Oslo" in call.arguments["city"]) == ("weather", True)
    told = ChatMessage.from_tool(tool_result=weather("Oslo"), origin=call)
    (answer,) = openai(service, service.torch).run([*asked, reply, told])["replies"]
    assert answer.text


def embedders(service: Any, kind: str) -> tuple[Any, Any]:
    if kind == "openai":
        known = {"api_key": KEY, "model": service.vectors, "api_base_url": service.openai}
        return OpenAIDocumentEmbedder(**known, progress_bar=False), OpenAITextEmbedder(**known)
    endpoint: Any = {
        "api_type": "text_embeddings_inference",
        "api_params": {"url": service.at(service.vectors)},
        "token": KEY,
    }
    return HuggingFaceAPIDocumentEmbedder(**endpoint), HuggingFaceAPITextEmbedder(**endpoint)


@pytest.mark.parametrize("kind", ["openai", "hugging_face"])
def test_a_store_finds_what_is_meant(service: Any, kind: str) -> None:
    of_documents, of_texts = embedders(service, kind)
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(of_documents.run([Document(content=t) for t in TEXTS])["documents"])
    retriever = InMemoryEmbeddingRetriever(store, top_k=1)
    found = [
        retriever.run(of_texts.run(query)["embedding"])["documents"][0].content
        for query in ("cats", "market")
    ]
    assert found == TEXTS


@pytest.mark.parametrize("below", [True, False])
def test_rank(service: Any, below: bool) -> None:
    ranker = HuggingFaceTEIRanker(
        url=service.at(service.reranker) if below else service.url, token=KEY
    )
    documents = [Document(content=text) for text in reversed(TEXTS)]
    best, _ = ranker.run("What does the cat do?", documents)["documents"]
    assert best.content == TEXTS[0]
