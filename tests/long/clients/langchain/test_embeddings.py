"""LangChain's standard suite of embeddings, with OpenAI's and Hugging Face's classes."""

from __future__ import annotations

import os
from typing import Any

import pytest
import tiktoken
from huggingface_hub import AsyncInferenceClient, InferenceClient
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from openai import BadRequestError

URL = os.environ["PRSM_CLIENTS_URL"]
MODEL = "all-MiniLM-L6-v2"
TEXTS = ["a kitten sleeps on the sofa", "the share price fell by two per cent"]
OPENAI: dict[str, Any] = {
    "model": MODEL,
    "base_url": f"{URL}/v1",
    "api_key": "unused",
    "check_embedding_ctx_length": False,
}


def hugging_face(**params: Any) -> HuggingFaceEndpointEmbeddings:
    """With clients of an address: its constructor takes none, and the clients it makes do."""
    made = HuggingFaceEndpointEmbeddings(model=MODEL, huggingfacehub_api_token="unused", **params)
    made.client = InferenceClient(model=f"{URL}/models/{MODEL}")
    made.async_client = AsyncInferenceClient(model=f"{URL}/models/{MODEL}")
    return made


class TestOpenAI(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return OPENAI


class TestHuggingFace(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return HuggingFaceEndpointEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def model(self) -> Embeddings:
        return hugging_face()


@pytest.mark.parametrize(
    "vectors", [OpenAIEmbeddings(**OPENAI), hugging_face()], ids=lambda made: type(made).__name__
)
def test_a_store_finds_what_is_meant(vectors: Embeddings) -> None:
    store = InMemoryVectorStore.from_texts(TEXTS, vectors)
    found = [store.similarity_search(query, k=1)[0].page_content for query in ("cats", "market")]
    assert found == TEXTS


def test_token_ids_of_openais_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes stand in for OpenAI's vocabulary, which tiktoken fetches."""
    bytes_alone = {bytes([number]): number for number in range(256)}
    encoding = tiktoken.Encoding(
        "bytes", pat_str=r".", mergeable_ranks=bytes_alone, special_tokens={}
    )
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: encoding)
    client = OpenAIEmbeddings(**OPENAI | {"check_embedding_ctx_length": True})
    with pytest.raises(BadRequestError, match="check_embedding_ctx_length=False"):
        client.embed_query(TEXTS[0])
