"""Structured answers and tool calls, tested with OpenAI's own client.

Texts are short, because the torch engine of the embedded profile is slow.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"
TORCH = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
ADA: list[ChatCompletionMessageParam] = [
    {
        "role": "user",
        "content": "Ada Lovelace was born in 1815. Extract her name and year of birth.",
    }
]
PARIS: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the weather in Paris right now?"}
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/City"}},
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {"City": {"type": "string", "maxLength": 20}},
        },
        "strict": True,
    },
}


class Person(BaseModel):
    name: str
    born: int


def test_an_answer_follows_its_schema_and_is_parsed(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.parse(
        model=TORCH, messages=ADA, temperature=0, max_tokens=40, response_format=Person
    )
    person = answer.choices[0].message.parsed
    assert person is not None
    assert "Ada" in person.name
    assert answer.choices[0].finish_reason == "stop"


def test_a_schema_holds_for_every_choice_and_a_seed_gives_it_again(openai_client: OpenAI) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "mood": {"enum": ["good", "bad"]},
            "marks": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
        },
        "required": ["mood", "marks"],
        "additionalProperties": False,
    }

    def ask() -> list[str]:
        answer = openai_client.chat.completions.create(
            model=TORCH,
            messages=[{"role": "user", "content": "How are you?"}],
            temperature=1.5,
            seed=5,
            n=2,
            max_tokens=40,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "mood", "strict": True, "schema": schema},
            },
        )
        return [choice.message.content or "" for choice in answer.choices]

    texts = ask()
    assert texts == ask()
    for text in texts:
        jsonschema.validate(json.loads(text), schema)


def test_any_json_object(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=TORCH,
        messages=[{"role": "user", "content": "Write a JSON object with the key a."}],
        temperature=0,
        max_tokens=24,
        response_format={"type": "json_object"},
    )
    text = answer.choices[0].message.content or ""
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)
    assert text.startswith('{"')
    assert "  " not in text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": "array", "uniqueItems": True},
        {"$ref": "http://169.254.169.254/"},
        {"enum": ["x" * 40_000]},
        {"type": "integer", "multipleOf": 999_983},  # minutes to compile, and gigabytes
    ],
)
def test_a_schema_that_is_not_supported_is_named(
    openai_client: OpenAI, schema: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(
            model=TORCH,
            messages=ADA,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": schema},
            },
        )
    assert caught.value.param == "response_format"


def test_a_required_tool_call_is_made_and_its_result_is_used(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=TORCH,
        messages=PARIS,
        tools=[WEATHER],
        tool_choice="required",
        temperature=0,
        max_tokens=50,
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert "Paris" in json.loads(call.function.arguments)["city"]
    history: list[Any] = [
        *PARIS,
        choice.message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny, 25 degrees"},
    ]
    told = openai_client.chat.completions.create(
        model=TORCH, messages=history, tools=[WEATHER], temperature=0, max_tokens=16
    )
    assert "sunny" in (told.choices[0].message.content or "")


def test_a_streamed_tool_call_is_assembled_by_the_client(openai_client: OpenAI) -> None:
    with openai_client.chat.completions.stream(
        model=TORCH,
        messages=PARIS,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        temperature=0,
        max_tokens=50,
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls
    (call,) = final.choices[0].message.tool_calls
    arguments = call.function.parsed_arguments
    assert isinstance(arguments, dict)
    assert "Paris" in arguments["city"]


def test_text_may_be_written_where_no_tool_call_is_required(openai_client: OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model=TORCH, messages=PARIS, tools=[WEATHER], temperature=0, max_tokens=8
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].message.tool_calls is None


def test_a_model_without_tools_names_one_that_has_them(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=TORCH) as caught:
        openai_client.chat.completions.create(model=CHAT, messages=PARIS, tools=[WEATHER])
    assert caught.value.param == "tools"


def test_prompts_of_token_ids(openai_client: OpenAI) -> None:
    def ask(prompt: Any) -> list[str]:
        answer = openai_client.completions.create(
            model=CHAT, prompt=prompt, temperature=0, max_tokens=3
        )
        return [choice.text for choice in answer.choices]

    (text,) = ask("The capital of France is")
    # The ids of "The capital of France is" in this model's vocabulary.
    ids = [504, 3575, 282, 4649, 314]
    assert ask(ids) == [text]
    assert ask([ids, [504]])[0] == text
    with pytest.raises(openai.BadRequestError) as caught:
        ask([504, 49152])
    assert caught.value.param == "prompt"


def test_objects_that_the_client_returned_are_accepted_as_input(openai_client: OpenAI) -> None:
    first = openai_client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Hi"}], max_tokens=4
    )
    history: list[Any] = [
        {"role": "user", "content": "Hi"},
        first.choices[0].message,
        {"role": "user", "content": "Go on."},
    ]
    again = openai_client.chat.completions.create(model=CHAT, messages=history, max_tokens=2)
    assert again.choices[0].finish_reason in ("stop", "length")
