"""The Responses API against the running graph, by OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

TORCH = "SmolLM2-135M-Instruct-torch"
QUESTION = "What is the capital of France?"
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Person(BaseModel):
    name: str
    born: int


def test_an_answer_is_that_of_the_chat(openai_client: OpenAI) -> None:
    answer = openai_client.responses.create(input=QUESTION, temperature=0)
    messages: Any = [{"role": "user", "content": QUESTION}]
    chat = openai_client.chat.completions.create(model="chat", messages=messages, temperature=0)
    assert answer.output_text == chat.choices[0].message.content
    assert answer.usage is not None
    assert chat.usage is not None
    assert answer.usage.input_tokens == chat.usage.prompt_tokens


def test_a_stream_makes_the_same_text(openai_client: OpenAI) -> None:
    whole = openai_client.responses.create(input=QUESTION, temperature=0)
    with openai_client.responses.stream(model="chat", input=QUESTION, temperature=0) as stream:
        text = "".join(
            event.delta for event in stream if event.type == "response.output_text.delta"
        )
        final = stream.get_final_response()
    assert text == final.output_text == whole.output_text


def test_an_answer_is_parsed(openai_client: OpenAI) -> None:
    answer = openai_client.responses.parse(
        model=TORCH,
        input="Ada Lovelace was born in 1815. Extract her name and year of birth.",
        text_format=Person,
        temperature=0,
    )
    assert answer.output_parsed is not None
    assert answer.output_parsed.born == 1815


def test_a_call_and_its_output_go_round(openai_client: OpenAI) -> None:
    history: Any = [{"role": "user", "content": "Weather in Oslo?"}]
    first = openai_client.responses.create(
        model=TORCH, input=history, tools=[TOOL], tool_choice="required", temperature=0
    )
    (call,) = first.output
    assert call.type == "function_call"
    assert set(json.loads(call.arguments)) == {"city"}
    history += [call.model_dump(exclude_none=True)]
    history += [{"type": "function_call_output", "call_id": call.call_id, "output": "3 C, snow"}]
    second = openai_client.responses.create(
        model=TORCH, input=history, tools=[TOOL], temperature=0, max_output_tokens=16
    )
    assert second.output_text


def test_what_needs_a_state_is_refused(openai_client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.responses.create(input=QUESTION, previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
