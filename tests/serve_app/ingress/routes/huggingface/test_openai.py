"""OpenAI's routes below a model, judged by OpenAI's own client: the path decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import openai
import pytest

from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.reranking import RerankResult
from tests.deployments.metrics.reading import figures
from tests.serve_app.house import burst, generated
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.ingress.routes.huggingface.hub import ALIAS, MODEL
from tests.serve_app.local_handle import Family

VECTORS = np.asarray([[0.6, 0.8]], np.float32)


@asynccontextmanager
async def below(family: Family, *tasks: str, name: str = MODEL) -> AsyncIterator[Any]:
    async with hub.client(family, *tasks) as opened:
        http: Any = opened
        base = f"http://house/models/{name}/v1"
        async with openai.AsyncOpenAI(api_key="none", base_url=base, http_client=http) as client:
            yield client


@pytest.mark.parametrize("name", [MODEL, ALIAS])
@pytest.mark.parametrize("model", ["dummy", MODEL, "http://house/models/x"])
async def test_everything_of_a_text_model_works_with_its_own_base_url(
    name: str, model: str
) -> None:
    family = Family(generated("Hi"), generated("there"), [burst("a", "b", finish="stop")])
    async with below(family, "generate", "chat", name=name) as client:
        messages = [{"role": "user", "content": "Hi"}]
        chat = await client.chat.completions.create(model=model, messages=messages)
        whole = await client.completions.create(model=model, prompt="Hi")
        pieces = await client.completions.create(model=model, prompt="Hi", stream=True)
        text = "".join([chunk.choices[0].text async for chunk in pieces])
    assert (chat.model, chat.choices[0].message.content) == (MODEL, "Hi")
    assert (whole.model, whole.choices[0].text, text) == (MODEL, "there", "ab")
    assert {request.model for request in family.asked} == {MODEL}


async def test_vectors_come_from_the_model_of_the_path() -> None:
    family = Family(EmbeddingResult(VECTORS, (2,)))
    async with below(family, "embed") as client:
        answer = await client.embeddings.create(model="text-embedding-3-small", input="a")
    assert np.allclose(answer.data[0].embedding, VECTORS[0])
    assert answer.model == MODEL


async def test_relevance_comes_from_the_model_of_the_path() -> None:
    family = Family(RerankResult((1.0, 2.0), (3, 3)))
    body = {"model": "any", "query": "q", "documents": ["a", "b"]}
    answer = await hub.post(family, "rerank", body, f"{MODEL}/v1/rerank")
    assert [each["index"] for each in answer["results"]] == [1, 0]
    assert answer["model"] == MODEL


async def test_the_only_model_there_is_the_one_of_the_path() -> None:
    async with below(Family(), "embed", name=ALIAS) as client:
        assert [each.id async for each in client.models.list()] == [MODEL]
        assert (await client.models.retrieve(MODEL)).id == MODEL
        assert (await client.models.retrieve(ALIAS)).id == MODEL
        with pytest.raises(openai.NotFoundError, match="house/other") as caught:
            await client.models.retrieve("house/other")
    assert caught.value.code == "model_not_found"


async def test_a_model_that_does_not_do_it_is_a_404_of_openais() -> None:
    async with below(Family(), "embed") as client:
        with pytest.raises(openai.NotFoundError, match=MODEL) as caught:
            await client.completions.create(model="x", prompt="Hi")
    assert caught.value.code == "model_not_found"
    async with below(Family(), "embed", name="no/such") as client:
        with pytest.raises(openai.NotFoundError, match="'no/such'"):
            await client.embeddings.create(model="x", input="Hi")


async def test_a_route_of_openais_that_is_not_there_is_no_model() -> None:
    response = await hub.refused(Family(), "embed", {"input": "a"}, f"{MODEL}/v1/moderations")
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "There is no such route."


@pytest.mark.parametrize(
    ("path", "task"), [("completions", "generate"), ("embeddings", "embed"), ("rerank", "rerank")]
)
async def test_what_fails_before_a_model_is_found_counts_for_the_task_of_its_route(
    path: str, task: str
) -> None:
    async with hub.client(Family(), "embed") as client:
        await client.post(f"{MODEL}/v1/{path}", json={"unknown": 1})
        found = figures((await client.get("http://house/metrics")).text)
    assert [key[2] for key in found if key[0] == "requests_total"] == [task]
