"""The OpenAI-compatible API, tested with OpenAI's own client."""

from __future__ import annotations

import base64
import math
import struct

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.conftest import VECTOR_ROUNDING

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"
TORCH = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
FRANCE: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France?"}
]


def test_models_are_listed_and_found(openai_client: OpenAI) -> None:
    names = [model.id for model in openai_client.models.list()]
    assert {CHAT, TORCH, EMBEDDER} <= set(names)
    assert openai_client.models.retrieve(CHAT).id == CHAT
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.models.retrieve("no/such")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("model", [CHAT, TORCH])
def test_a_chat_is_answered(openai_client: OpenAI, model: str) -> None:
    answer = openai_client.chat.completions.create(
        model=model, messages=FRANCE, temperature=0, max_tokens=32
    )
    choice = answer.choices[0]
    assert "Paris" in (choice.message.content or "")
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("model", [CHAT, TORCH])
def test_a_stream_has_the_same_text_in_pieces(openai_client: OpenAI, model: str) -> None:
    whole = openai_client.chat.completions.create(
        model=model, messages=FRANCE, temperature=0, max_tokens=32
    )
    chunks = list(
        openai_client.chat.completions.create(
            model=model,
            messages=FRANCE,
            temperature=0,
            max_tokens=32,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    pieces = [
        c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content
    ]
    assert len(pieces) > 3
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_done(client: httpx.Client) -> None:
    asked = {"messages": FRANCE, "max_tokens": 2, "stream": True}
    text = client.post("/v1/chat/completions", json=asked).text
    assert text.endswith("data: [DONE]\n\n")
    assert "usage" not in text


def test_the_system_message_and_content_parts_are_read(openai_client: OpenAI) -> None:
    def ask(system: str) -> str:
        answer = openai_client.chat.completions.create(
            model=CHAT,
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": [{"type": "text", "text": "Who are you?"}]},
            ],
            temperature=0,
            max_tokens=24,
        )
        return answer.choices[0].message.content or ""

    assert ask("You are a pirate called Bart.") != ask("You are a doctor called Anna.")


def test_several_choices_stop_strings_and_seeds(openai_client: OpenAI) -> None:
    def ask(seed: int) -> list[str]:
        answer = openai_client.chat.completions.create(
            model=CHAT,
            messages=[{"role": "user", "content": "Name a colour, then an animal."}],
            n=3,
            seed=seed,
            stop=["."],
            max_completion_tokens=24,
        )
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        return [choice.message.content or "" for choice in answer.choices]

    first = ask(12)
    assert first == ask(12)
    assert len(set(first)) > 1
    assert not any("." in text for text in first)


def test_streamed_choices_are_not_mixed(openai_client: OpenAI) -> None:
    texts = {0: "", 1: ""}
    ended = []
    for chunk in openai_client.chat.completions.create(
        model=CHAT, messages=FRANCE, n=2, max_tokens=16, temperature=0, stream=True
    ):
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            ended.append(choice.index)
    assert sorted(ended) == [0, 1]
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize("model", [CHAT, TORCH])
def test_the_chosen_tokens_have_logprobs_on_every_engine(openai_client: OpenAI, model: str) -> None:
    answer = openai_client.chat.completions.create(
        model=model, messages=FRANCE, temperature=0, max_tokens=6, logprobs=True
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert len(logprobs.content) == 6
    assert all(-5 < item.logprob <= 0 for item in logprobs.content), "greedy picks what is likely"
    assert "".join(item.token for item in logprobs.content) == answer.choices[0].message.content


def test_logprobs_come_from_the_engine_that_has_them(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=TORCH, messages=FRANCE, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert answer.usage
    assert len(logprobs.content) == answer.usage.completion_tokens
    for item in logprobs.content:
        assert len(item.top_logprobs) == 3
        assert item.logprob == item.top_logprobs[0].logprob <= 0
        assert sum(math.exp(top.logprob) for top in item.top_logprobs) <= 1.0001


def test_a_field_that_an_engine_cannot_honour_is_refused_with_a_model_that_can(
    openai_client: OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(
            model=CHAT, messages=FRANCE, logprobs=True, top_logprobs=3
        )
    assert caught.value.param == "top_logprobs"
    assert TORCH in caught.value.message


def test_a_logit_bias_bans_a_token(openai_client: OpenAI) -> None:
    def ask(bias: dict[str, int]) -> str:
        answer = openai_client.chat.completions.create(
            model=TORCH, messages=FRANCE, temperature=0, max_tokens=8, logit_bias=bias
        )
        return answer.choices[0].message.content or ""

    with_paris = ask({})
    assert "Paris" in with_paris
    top = openai_client.chat.completions.create(
        model=TORCH, messages=FRANCE, temperature=0, max_tokens=8, logprobs=True
    )
    assert top.choices[0].logprobs
    response = [item.token for item in top.choices[0].logprobs.content or []]
    assert " Paris" in response
    # 7042 is " Paris" in this model's vocabulary.
    assert "Paris" not in ask({"7042": -100})


def test_penalties_change_what_is_repeated(openai_client: OpenAI) -> None:
    def ask(penalty: float, model: str) -> str:
        return (
            openai_client.completions.create(
                model=model,
                prompt="I like tea, tea, tea, tea, tea,",
                temperature=0,
                max_tokens=16,
                frequency_penalty=penalty,
            )
            .choices[0]
            .text
        )

    assert ask(2.0, TORCH).count("tea") < ask(0.0, TORCH).count("tea")
    with pytest.raises(openai.BadRequestError, match=TORCH) as caught:
        ask(2.0, CHAT)
    assert caught.value.param == "frequency_penalty"


@pytest.mark.parametrize("model", [CHAT, TORCH])
def test_completions(openai_client: OpenAI, model: str) -> None:
    answer = openai_client.completions.create(
        model=model, prompt="The capital of France is", temperature=0, max_tokens=6
    )
    assert "Paris" in answer.choices[0].text
    assert answer.object == "text_completion"
    pieces = [
        chunk.choices[0].text
        for chunk in openai_client.completions.create(
            model=model,
            prompt="The capital of France is",
            temperature=0,
            max_tokens=6,
            stream=True,
        )
    ]
    assert "".join(pieces) == answer.choices[0].text


def test_completions_have_sixteen_tokens_by_default_and_take_several_prompts(
    openai_client: OpenAI,
) -> None:
    answer = openai_client.completions.create(
        model=CHAT, prompt=["Write about the sea.", "Write about the sky."], n=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage
    assert answer.usage.completion_tokens <= 64


def test_completion_logprobs(openai_client: OpenAI) -> None:
    answer = openai_client.completions.create(
        model=TORCH, prompt="The capital of France is", temperature=0, max_tokens=4, logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.tokens
    assert "".join(logprobs.tokens) == answer.choices[0].text
    assert logprobs.top_logprobs
    assert all(len(top) == 2 for top in logprobs.top_logprobs)


def test_embeddings_as_numbers_and_as_base64(openai_client: OpenAI, client: httpx.Client) -> None:
    # The client itself asks for base64 and decodes it.
    decoded = openai_client.embeddings.create(model=EMBEDDER, input=["a cat", "a dog"])
    plain = client.post(
        "/v1/embeddings", json={"model": EMBEDDER, "input": ["a cat", "a dog"]}
    ).json()
    assert decoded.usage.prompt_tokens == plain["usage"]["prompt_tokens"] > 0
    for one, other in zip(decoded.data, plain["data"], strict=True):
        assert len(one.embedding) == 384
        assert one.embedding == pytest.approx(other["embedding"], abs=1e-6 + VECTOR_ROUNDING)
        assert math.hypot(*one.embedding) == pytest.approx(1.0, abs=1e-5)
    raw = client.post(
        "/v1/embeddings", json={"input": "a cat", "encoding_format": "base64"}
    ).json()["data"][0]["embedding"]
    assert len(struct.unpack("<384f", base64.b64decode(raw))) == 384


def test_dimensions_shorten_vectors_and_keep_their_length_one(openai_client: OpenAI) -> None:
    short = openai_client.embeddings.create(model=EMBEDDER, input="a cat", dimensions=64)
    assert len(short.data[0].embedding) == 64
    assert math.hypot(*short.data[0].embedding) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.embeddings.create(model=EMBEDDER, input="a cat", dimensions=385)
    assert caught.value.param == "dimensions"


def test_fields_without_effect_here_are_accepted(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=CHAT,
        messages=FRANCE,
        max_tokens=1,
        user="someone",
        metadata={"job": "7"},
        store=False,
        frequency_penalty=0,
        presence_penalty=0,
        response_format={"type": "text"},
    )
    assert answer.choices[0].finish_reason == "length"


def test_errors_are_the_clients_own_exceptions(openai_client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Available"):
        openai_client.chat.completions.create(model="gpt-4", messages=FRANCE)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model=CHAT, messages=FRANCE, temperature=3)
    assert caught.value.param == "temperature"
