"""LiteLLM: this service as five of its providers."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TEXTS = ["a cat", "stocks fell"]
DOCUMENTS = ["Berlin is known for its museums.", "Berlin has 3.7 million inhabitants."]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
    "required": ["name", "born"],
}


def chat(service: Any, model: str, messages: Any = QUESTION, **more: Any) -> Any:
    settings = {"temperature": 0, "max_tokens": 48, "num_retries": 0} | more
    return litellm.completion(
        f"openai/{model}", messages, api_base=service.openai, api_key="unused", **settings
    )


def test_chat(service: Any) -> None:
    answer = chat(service, service.chat)
    assert "Paris" in answer.choices[0].message.content
    assert answer.usage.completion_tokens > 3


def test_a_streamed_chat(service: Any) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    pieces = list(chat(service, service.chat, **asked))
    assert "Paris" in "".join(
        each.choices[0].delta.content or "" for each in pieces if each.choices
    )
    assert len(pieces) > 2
    assert pieces[-1].usage.completion_tokens > 3


async def test_an_asynchronous_chat(service: Any) -> None:
    answer = await litellm.acompletion(
        f"openai/{service.chat}",
        QUESTION,
        api_base=service.openai,
        api_key="unused",
        temperature=0,
        max_tokens=48,
    )
    assert "Paris" in answer.choices[0].message.content


def test_a_chat_as_anthropics(service: Any) -> None:
    answer = litellm.completion(
        f"anthropic/{service.chat}",
        QUESTION,
        api_base=service.url,
        api_key="unused",
        temperature=0,
        max_tokens=48,
    )
    assert "Paris" in answer.choices[0].message.content


def test_a_completion(service: Any) -> None:
    answer = litellm.text_completion(
        "The capital of France is",
        f"text-completion-openai/{service.chat}",
        api_base=service.openai,
        api_key="unused",
        temperature=0,
        max_tokens=6,
    )
    assert "Paris" in answer.choices[0].text


def test_a_response(service: Any) -> None:
    answer = litellm.responses(
        QUESTION[0]["content"],
        f"openai/{service.chat}",
        api_base=service.openai,
        api_key="unused",
        temperature=0,
        max_output_tokens=48,
    )
    assert "Paris" in answer.output[0].content[0].text


def test_a_tool_that_is_required_is_called(service: Any) -> None:
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    answer = chat(service, service.torch, messages, tools=[TOOL], tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert "Oslo" in call.function.arguments


def test_a_structured_answer(service: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    text = "Ada Lovelace was born in 1815. Extract her name and year of birth."
    messages = [{"role": "user", "content": text}]
    answer = chat(service, service.torch, messages, response_format=form)
    assert "1815" in answer.choices[0].message.content


def test_embeddings_as_openais(service: Any) -> None:
    answer = litellm.embedding(
        f"openai/{service.vectors}", TEXTS, api_base=service.openai, api_key="unused"
    )
    assert [len(each["embedding"]) for each in answer.data] == [384, 384]


def test_embeddings_as_hugging_faces(service: Any) -> None:
    """The kind of task is given, since the client asks the hub for it otherwise."""
    answer = litellm.embedding(
        f"huggingface/{service.vectors}",
        TEXTS,
        api_base=service.at(service.vectors),
        api_key="unused",
        input_type="feature-extraction",
    )
    assert [len(each["embedding"]) for each in answer.data] == [384, 384]


@pytest.mark.parametrize("top_n", [1, 2])
@pytest.mark.parametrize("provider", ["jina_ai", "cohere", "huggingface"])
def test_rerank(service: Any, provider: str, top_n: int) -> None:
    bases = {
        "jina_ai": f"{service.url}/v1/rerank",
        "cohere": f"{service.url}/v2/rerank",
        "huggingface": service.at(service.reranker),
    }
    answer = litellm.rerank(
        f"{provider}/{service.reranker}",
        "How many people live in Berlin?",
        DOCUMENTS,
        top_n=top_n,
        api_base=bases[provider],
        api_key="unused",
    )
    assert [each["index"] for each in answer.results] == [1, 0][:top_n]


def test_a_chat_over_the_window_is_the_error_that_clients_catch(service: Any) -> None:
    messages = [{"role": "user", "content": "word " * 9000}]
    with pytest.raises(litellm.ContextWindowExceededError):
        chat(service, service.chat, messages)
