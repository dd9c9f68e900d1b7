"""Fields that real clients send besides OpenAI's own, through OpenAI's client."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from huggingface_hub import InferenceClient
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"
TORCH = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
WINDOW = 8192
FRANCE: list[ChatCompletionMessageParam] = [
    {"role": "user", "name": "Ada", "content": "What is the capital of France?"}
]
LOAD_TEST: dict[str, Any] = {"ignore_eos": True, "min_tokens": 3, "top_k": -1, "min_p": 0.1}


@pytest.mark.parametrize("model", [CHAT, TORCH])
def test_a_load_test_gets_as_many_tokens_as_it_asks_for(openai_client: OpenAI, model: str) -> None:
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(
        openai_client.chat.completions.create(
            model=model,
            messages=FRANCE,
            max_tokens=24,
            max_completion_tokens=24,
            stop="",
            stream=True,
            stream_options=options,
            extra_body=LOAD_TEST,
        )
    )
    used = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert used == sorted(used)
    assert used[-1] == 24, "the answer alone has 8 tokens and an end"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"


def test_many_prompts_are_answered_in_order_whole_and_streamed(openai_client: OpenAI) -> None:
    prompts = [f"{number}, {number + 1}, {number + 2}," for number in range(40)]
    asked: dict[str, Any] = {"model": CHAT, "prompt": prompts, "max_tokens": 2, "temperature": 0}
    whole = openai_client.completions.create(**asked, logprobs=0)
    assert [choice.index for choice in whole.choices] == list(range(40))
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.top_logprobs is not None
    assert [list(top) for top in logprobs.top_logprobs] == [
        [each] for each in logprobs.tokens or []
    ]
    texts = [""] * 40
    for chunk in openai_client.completions.create(**asked, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    agreed = [a == choice.text for a, choice in zip(texts, whole.choices, strict=True)]
    assert sum(agreed) >= 36, "neighbours may turn ties of floating point"


@pytest.mark.parametrize("model", [CHAT, TORCH])
def test_a_chat_over_the_window_has_the_code_that_clients_look_for(
    openai_client: OpenAI, model: str
) -> None:
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "a b c d e f " * 2000}]
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model=model, messages=long, max_tokens=8)
    assert caught.value.code == "context_length_exceeded"
    assert f"This model's maximum context length is {WINDOW} tokens;" in str(caught.value)


def test_constraints_by_vllms_names_hold_the_text(openai_client: OpenAI) -> None:
    body: Any = {"guided_choice": ["Lyon", "Paris."]}
    answer = openai_client.chat.completions.create(
        model=TORCH, messages=FRANCE, temperature=0, max_tokens=8, extra_body=body
    )
    assert answer.choices[0].message.content in body["guided_choice"]
    digits = {"structured_outputs": {"regex": "[0-9]{4}"}}
    text = openai_client.completions.create(
        model=TORCH, prompt="He was born in", temperature=0, max_tokens=8, extra_body=digits
    )
    assert text.choices[0].text.isdigit()


def test_a_schema_that_leaves_objects_open_gets_no_invented_keys(openai_client: OpenAI) -> None:
    properties = {"city": {"type": "string", "maxLength": 12}}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": ["city"],
    }
    answer = openai_client.chat.completions.create(
        model=TORCH,
        messages=FRANCE,
        temperature=0,
        max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.choices[0].message.content or "").count('":') == 1


def test_variables_of_the_template_have_no_effect_where_it_shows_none(
    openai_client: OpenAI,
) -> None:
    plain, given = (
        openai_client.chat.completions.create(
            model=CHAT, messages=FRANCE, temperature=0, max_tokens=8, extra_body=body
        )
        for body in ({}, {"chat_template_kwargs": {"enable_thinking": False}})
    )
    assert given.usage == plain.usage


def test_langchains_defaults_for_text_generation_are_taken(base_url: str) -> None:
    short = CHAT.rpartition("/")[2]
    client = InferenceClient(model=f"{base_url}/models/{short}")
    greedy = client.text_generation("The capital of France is", max_new_tokens=4, typical_p=0.95)
    assert "Paris" in greedy
    sampled = {"inputs": "Once", "parameters": {"typical_p": 0.5, "do_sample": True, "seed": 1}}
    refused = httpx.post(f"{base_url}/models/{short}", json=sampled)
    assert refused.status_code == 400
    assert "parameters.typical_p" in refused.json()["details"]["field_errors"]
    honoured = httpx.post(f"{base_url}/models/{short}-torch", json=sampled, timeout=60)
    assert honoured.status_code == 200


def test_a_load_test_of_embeddings_and_reranking_is_answered(client: httpx.Client) -> None:
    cut = {"truncate_prompt_tokens": -1}
    embedded = client.post("/v1/embeddings", json={"input": "word " * 2000, **cut})
    assert embedded.status_code == 200, embedded.text
    ranked = client.post("/v1/rerank", json={"query": "q", "documents": ["word " * 2000], **cut})
    assert ranked.status_code == 200, ranked.text


@pytest.mark.parametrize("model", ["chat", None])
def test_a_constrained_request_to_the_default_is_answered_by_a_model_that_can(
    client: httpx.Client, model: str | None
) -> None:
    body = {"messages": FRANCE, "temperature": 0, "max_tokens": 16, "guided_regex": "[A-Z][a-z]+"}
    answer = client.post("/v1/chat/completions", json={**body, "model": model}).json()
    assert answer["model"] == TORCH
    assert answer["choices"][0]["message"]["content"].isalpha()
    plain = client.post("/v1/chat/completions", json={"messages": FRANCE, "max_tokens": 1}).json()
    assert plain["model"] == CHAT
    refused = client.post("/v1/chat/completions", json={**body, "model": CHAT})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "guided_regex")


def test_multiple_choice_is_scored_by_the_log_probabilities_of_prompts(
    openai_client: OpenAI,
) -> None:
    """As lm-evaluation-harness does: the likelier continuation of a question is the answer."""
    asked: dict[str, Any] = {"model": TORCH, "temperature": 0}
    written = openai_client.completions.create(
        prompt="The capital of France is", max_tokens=3, logprobs=1, **asked
    ).choices[0]
    assert written.logprobs is not None
    prompts = [f"The capital of France is{end}" for end in (written.text, " Oslo, a", " 1815 and")]
    scored = openai_client.completions.create(
        prompt=prompts, max_tokens=1, echo=True, logprobs=1, **asked
    )
    totals = []
    for choice, prompt in zip(scored.choices, prompts, strict=True):
        assert choice.text.startswith(prompt)
        assert choice.logprobs is not None
        values = choice.logprobs.token_logprobs or []
        assert values[0] is None
        totals.append(sum(values[1:-1]))
    assert totals[0] == max(totals)
    found = scored.choices[0].logprobs
    assert found is not None
    # A prompt is read in one forward, and a text written in many. Where the processor computes in
    # bfloat16, logits from 16 to 32 are rounded to eighths, so the two may differ by one step.
    assert (found.token_logprobs or [])[-4:-1] == pytest.approx(
        written.logprobs.token_logprobs, abs=0.15
    )
    alone = openai_client.completions.create(
        prompt=prompts, max_tokens=0, echo=True, logprobs=1, **asked
    )
    assert [choice.text for choice in alone.choices] == prompts
    assert alone.usage is not None
    assert alone.usage.completion_tokens == 0
