"""Anthropic's Messages API over HTTP, against the running graph."""

from __future__ import annotations

import json
from typing import Any

import httpx

TORCH = "SmolLM2-135M-Instruct-torch"
HI = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def post(client: httpx.Client, path: str = "/v1/messages", **body: Any) -> Any:
    response = client.post(path, json={"messages": HI, **body})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_message_is_the_chats_answer_and_its_tokens_are_those_counted(
    client: httpx.Client,
) -> None:
    answer = post(client, max_tokens=32, temperature=0)
    chat = client.post("/v1/chat/completions", json={"messages": HI, "temperature": 0}).json()
    assert answer["content"] == [{"type": "text", "text": chat["choices"][0]["message"]["content"]}]
    assert answer["stop_reason"] == "end_turn"
    counted = post(client, "/v1/messages/count_tokens")
    assert counted["input_tokens"] == answer["usage"]["input_tokens"]


def test_a_stream_makes_the_same_text(client: httpx.Client) -> None:
    whole = post(client, max_tokens=32, temperature=0)
    body = {"messages": HI, "max_tokens": 32, "temperature": 0, "stream": True}
    with client.stream("POST", "/v1/messages", json=body) as response:
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    told = [json.loads(line) for line in lines]
    text = "".join(each["delta"]["text"] for each in told if each["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"]
    assert told[-1] == {"type": "message_stop"}


def test_a_tool_that_has_to_be_called_is(client: httpx.Client) -> None:
    messages = [{"role": "user", "content": "Weather in Oslo?"}]
    answer = post(
        client,
        model=TORCH,
        messages=messages,
        max_tokens=64,
        temperature=0,
        tools=[TOOL],
        tool_choice={"type": "any"},
    )
    (call,) = answer["content"]
    assert (call["type"], answer["stop_reason"]) == ("tool_use", "tool_use")
    assert set(call["input"]) == {"city"}
