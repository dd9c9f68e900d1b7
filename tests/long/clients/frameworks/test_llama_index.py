"""LlamaIndex: its OpenAI-like and its Hugging Face classes."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.llms.openai_like import OpenAILike
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from pydantic import BaseModel

QUESTION = [ChatMessage(role="user", content="What is the capital of France?")]
TEXTS = ["a kitten sleeps on the sofa", "the share price fell by two per cent"]


class City(BaseModel):
    name: str
    country: str


def llm(service: Any, model: str, **more: Any) -> OpenAILike:
    settings = {"is_chat_model": True, "temperature": 0, "max_tokens": 48, "context_window": 8192}
    return OpenAILike(
        model=model, api_base=service.openai, api_key="unused", max_retries=0, **settings | more
    )


@pytest.fixture
def openai_vectors(service: Any) -> OpenAILikeEmbedding:
    return OpenAILikeEmbedding(
        model_name=service.vectors, api_base=service.openai, api_key="unused", max_retries=0
    )


@pytest.fixture
def tei_vectors(service: Any) -> TextEmbeddingsInference:
    return TextEmbeddingsInference(
        model_name=service.vectors, base_url=service.at(service.vectors), timeout=60
    )


def test_chat(service: Any) -> None:
    assert "Paris" in llm(service, service.chat).chat(QUESTION).message.content


def test_a_streamed_chat_is_the_same_text(service: Any) -> None:
    model = llm(service, service.chat)
    *_, last = model.stream_chat(QUESTION)
    assert last.message.content == model.chat(QUESTION).message.content


async def test_an_asynchronous_stream_comes_in_pieces(service: Any) -> None:
    model = llm(service, service.chat)
    pieces = [piece.delta async for piece in await model.astream_chat(QUESTION)]
    assert len(pieces) > 2
    assert "Paris" in "".join(pieces)


def test_completion(service: Any) -> None:
    model = llm(service, service.chat, is_chat_model=False, max_tokens=8)
    assert "Paris" in model.complete("The capital of France is").text


def test_a_streamed_completion(service: Any) -> None:
    model = llm(service, service.chat, is_chat_model=False, max_tokens=8)
    *_, last = model.stream_complete("The capital of France is")
    assert "Paris" in last.text


def test_a_tool_that_is_required_is_called_with_its_argument(service: Any) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"It rains in {city}."

    model = llm(service, service.torch, is_function_calling_model=True)
    answer = model.chat_with_tools(
        [FunctionTool.from_defaults(weather)],
        user_msg="What is the weather in Oslo?",
        tool_required=True,
    )
    (call,) = model.get_tool_calls_from_response(answer)
    assert call.tool_name == "weather"
    assert "Oslo" in call.tool_kwargs["city"]


def test_a_structured_answer(service: Any) -> None:
    model = llm(
        service,
        service.torch,
        is_function_calling_model=True,
        should_use_structured_outputs=True,
    ).as_structured_llm(City)
    found = model.complete("Paris is the capital of France. Extract the city.").raw
    assert isinstance(found, City)
    assert found.name == "Paris"


@pytest.mark.parametrize("kind", ["openai_vectors", "tei_vectors"])
def test_an_index_finds_what_is_meant(kind: str, request: pytest.FixtureRequest) -> None:
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in TEXTS], embed_model=request.getfixturevalue(kind)
    )
    cat, market = (index.as_retriever(similarity_top_k=1).retrieve(q) for q in ("cats", "market"))
    assert [cat[0].text, market[0].text] == TEXTS


async def test_both_kinds_of_vectors_are_the_same(
    openai_vectors: OpenAILikeEmbedding, tei_vectors: TextEmbeddingsInference
) -> None:
    one = openai_vectors.get_text_embedding(TEXTS[0])
    assert one == pytest.approx(tei_vectors.get_text_embedding(TEXTS[0]), abs=2e-3)
    (many, *_) = await openai_vectors.aget_text_embedding_batch(TEXTS)
    assert many == pytest.approx(one, abs=2e-3)


@pytest.mark.parametrize("below", [True, False])
def test_rerank(service: Any, below: bool) -> None:
    url = service.at(service.reranker) if below else service.url
    reranker = TextEmbeddingInference(base_url=url, top_n=1, model_name=service.reranker)
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in TEXTS]
    (best,) = reranker.postprocess_nodes(nodes, query_str="What does the cat do?")
    assert best.text == TEXTS[0]
