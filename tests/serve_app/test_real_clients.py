"""What clients were seen to send is answered: each request to the letter, with its own field."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deployments.seam.generation import GenerationRequest
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.every_task import MODEL, EveryTask, application
from tests.serve_app.json_post import json_post
from tests.serve_app.local_handle import Family

BELOW = f"/models/{MODEL}"
HI = [{"role": "user", "content": "Hi"}]
CALLED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
LANGCHAIN: dict[str, Any] = {
    "max_new_tokens": 512,
    "top_k": 10,
    "top_p": 0.95,
    "typical_p": 0.95,
    "temperature": 0.8,
    "repetition_penalty": 1.03,
    "return_full_text": False,
    "do_sample": False,
    "seed": None,
    "stop": [],
    "truncate": None,
    "watermark": False,
}
NOTHING = {
    "top_k": -1,
    "min_p": 0,
    "ignore_eos": False,
    "min_tokens": 0,
    "best_of": 1,
    "use_beam_search": False,
    "skip_special_tokens": True,
    "return_token_ids": False,
    "stop": "",
}
NOTHING_IN_CHATS = {
    "functions": None,
    "audio": None,
    "prediction": None,
    "add_generation_prompt": True,
    "max_tokens": 9,
    "max_completion_tokens": 9,
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CACHED = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]
TAKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "LangChain, a name": ("/v1/chat/completions", {"messages": [{**HI[0], "name": "ada"}]}),
    "TGI, no name": ("/v1/chat/completions", {"messages": [{**HI[0], "name": None}]}),
    "LangChain, typical_p": (
        f"{BELOW}/pipeline/text-generation",
        {"inputs": "Hi", "parameters": LANGCHAIN, "stream": False},
    ),
    "npm textGeneration": (f"{BELOW}/v1/completions", {"prompt": "Hi", "model": "any"}),
    "openai, embeddings of a model": (f"{BELOW}/v1/embeddings", {"input": "a", "model": "any"}),
    "GuideLLM": (
        "/v1/completions",
        {
            "prompt": "Hi",
            "ignore_eos": True,
            "min_tokens": 4,
            "max_tokens": 4,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            "truncate_prompt_tokens": -1,
        },
    ),
    "lm_eval": (
        "/v1/completions",
        {"prompt": [[1, 2], [3]], "echo": True, "logprobs": 1, "max_tokens": 1, "seed": 1234},
    ),
    "lm_eval, no tokens": (
        "/v1/completions",
        {"prompt": [[1, 2]], "echo": True, "logprobs": 1, "max_tokens": 0},
    ),
    "AI SDK, responses": ("/v1/responses", {"input": HI, "store": False}),
    "LangChain, many prompts": ("/v1/completions", {"prompt": ["Hi"] * 20, "n": 1}),
    "LangChain, a stream of many": ("/v1/completions", {"prompt": ["Hi"] * 2, "stream": True}),
    "cohere, rerank": (
        "/v2/rerank",
        {"query": "a", "documents": ["b"], "model": MODEL, "max_tokens_per_doc": 4096},
    ),
    "cohere, embed": (
        "/v2/embed",
        {
            "texts": ["a"],
            "input_type": "search_document",
            "embedding_types": ["float"],
            "truncate": "END",
        },
    ),
    "cohere, first embed": ("/v1/embed", {"texts": ["a"], "input_type": "search_query"}),
    "LlamaIndex, TEI": (f"{BELOW}/embed", {"inputs": ["a"], "truncate": True}),
    "LiteLLM, TEI": (f"{BELOW}/rerank", {"query": "a", "texts": ["b"]}),
    "Haystack, TEI": ("/rerank", {"query": "a", "texts": ["b"], "raw_scores": False}),
    "TEI": ("/embed", {"inputs": "a"}),
    "instructor": (
        "/v1/chat/completions",
        {
            "messages": HI,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "A", "schema": SCHEMA},
            },
        },
    ),
    "nothing, in a chat": ("/v1/chat/completions", {"messages": HI, **NOTHING, **NOTHING_IN_CHATS}),
    "nothing, in a completion": ("/v1/completions", {"prompt": "Hi", "suffix": "", **NOTHING}),
    "another server's history": (
        "/v1/chat/completions",
        {
            "messages": [
                {"role": "user", "content": CACHED},
                {**CALLED, "reasoning_content": "hm", "reasoning": "hm"},
                *HI,
            ]
        },
    ),
    "vLLM's tests, logprobs": ("/v1/completions", {"prompt": "Hi", "logprobs": 0}),
    "npm, zero-shot": (
        BELOW + "/pipeline/zero-shot-classification",
        {
            "inputs": ["a"],
            "parameters": {"candidate_labels": ["x", "y"]},
        },
    ),
    "Qwen": (
        "/v1/chat/completions",
        {"messages": HI, "chat_template_kwargs": {"enable_thinking": False}},
    ),
    "vLLM, structured_outputs": (
        "/v1/chat/completions",
        {"messages": HI, "structured_outputs": {"json": SCHEMA}},
    ),
    "vLLM, guided_json": ("/v1/completions", {"prompt": "Hi", "guided_json": SCHEMA}),
    "vLLM, guided_choice": ("/v1/completions", {"prompt": "Hi", "guided_choice": ["a", "b"]}),
    "vLLM, guided_regex": ("/v1/completions", {"prompt": "Hi", "guided_regex": "a+"}),
}


@pytest.fixture
async def family() -> EveryTask:
    return EveryTask()


@pytest.fixture
async def app(family: EveryTask, tmp_path: Path) -> AsyncIterator[Any]:
    made = application(family, hf_cache_dir=tmp_path)
    yield made
    await made.state.conversations.close()


async def test_every_request_that_was_seen_is_answered(app: Any, family: EveryTask) -> None:
    for client, (route, body) in TAKEN.items():
        family.requests.clear()
        status, answer = await json_post(app, route, json.dumps(body).encode())
        assert status == 200, (client, answer)
        assert family.requests, client


async def test_what_they_ask_for_reaches_the_model(app: Any, family: EveryTask) -> None:
    async def asked(client: str) -> GenerationRequest:
        family.requests.clear()
        route, body = TAKEN[client]
        await json_post(app, route, json.dumps(body).encode())
        found: GenerationRequest = family.requests[0]
        return found

    load = await asked("GuideLLM")
    assert (load.ignore_eos, load.min_new_tokens, load.truncate) == (True, 4, True)
    scored = await asked("lm_eval")
    assert (scored.prompt_ids, scored.sampling.prompt_logprobs) == ((1, 2), True)
    assert (await asked("LangChain, typical_p")).sampling.greedy
    named = (await asked("LangChain, a name")).messages
    assert named is not None
    assert named[0].name == "ada"
    assert "enable_thinking" in (await asked("Qwen")).template_variables
    for client in ("vLLM, guided_json", "vLLM, guided_choice", "vLLM, guided_regex"):
        assert (await asked(client)).grammar, client


async def test_usage_is_in_every_chunk_of_a_load_test(app: Any) -> None:
    route, body = TAKEN["GuideLLM"]
    _, answer = await json_post(app, route, json.dumps(body).encode())
    chunks = [data for _, data in house.events(answer.decode()) if data != "[DONE]"]
    assert len(chunks) == 2
    assert all(chunk["usage"]["prompt_tokens"] == 3 for chunk in chunks)


async def test_log_probabilities_of_the_chosen_token_alone_are_its_own(app: Any) -> None:
    route, body = TAKEN["vLLM's tests, logprobs"]
    _, answer = await json_post(app, route, json.dumps(body).encode())
    assert json.loads(answer)["choices"][0]["logprobs"]["top_logprobs"] == [{"Hi": -0.5}]


async def test_token_ids_of_another_tokenizer_are_refused_with_what_to_do(app: Any) -> None:
    body = json.dumps({"input": [[87, 12]], "model": MODEL}).encode()
    status, answer = await json_post(app, "/v1/embeddings", body)
    assert status == 400
    assert b"check_embedding_ctx_length=False" in answer


async def test_a_chat_over_the_window_has_the_words_that_clients_look_for() -> None:
    over = Problem("context_length", "This model's maximum context length is 9 tokens; more", "p")
    app = house.app({"generation": Family(over)})
    response = await house.post(app, "/v1/chat/completions", {"messages": HI})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert error["message"].startswith("This model's maximum context length is")


@pytest.mark.parametrize(
    ("agent", "columns"),
    [("hf_hub/1.1.0; python/3.11", True), ("hf_hub/1.2.0; python/3.11", False)],
)
async def test_zero_shot_has_the_shape_that_the_clients_version_reads(
    app: Any, agent: str, columns: bool
) -> None:
    body = {"inputs": "a", "parameters": {"candidate_labels": ["x", "y"]}}
    route = f"{BELOW}/pipeline/zero-shot-classification"
    _, answer = await json_post(app, route, json.dumps(body).encode(), **{"user-agent": agent})
    assert isinstance(json.loads(answer), dict) == columns


@pytest.mark.parametrize("path", ["/metrics", "/v1/models", f"{BELOW}/v1/models"])
async def test_what_can_be_got_can_be_asked_for_without_its_body(app: Any, path: str) -> None:
    async with house._client(app) as client:
        response = await client.head(path)
    assert (response.status_code, response.content) == (200, b"")
