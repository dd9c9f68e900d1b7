"""Tools: what reaches the model, and what of its text is a call."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from deployments.seam import ChatMessage, Generated, GenerationRequest, Problem, ToolCall
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, burst, generated
from tests.serve_app.local_handle import Family

PATH = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "Is it raining in Oslo?"}]


async def posted(family: Family, **body: Any) -> httpx.Response:
    application = house.app({"generation": family})
    asked = {"model": FULL, "messages": MESSAGES, "tools": [WEATHER, NOW], **body}
    return await house.post(application, PATH, asked)


async def reaching(**body: Any) -> GenerationRequest:
    family = Family(generated("a"))
    response = await posted(family, **body)
    assert response.status_code == 200, response.text
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request


async def answer(text: Generated, **body: Any) -> dict[str, Any]:
    response = await posted(Family(text), **body)
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


async def refused(**body: Any) -> str:
    response = await posted(Family(), **body)
    assert response.status_code == 400
    return str(response.json()["error"]["param"])


async def test_the_model_is_shown_the_tools() -> None:
    request = await reaching()
    assert [json.loads(tool)["function"]["name"] for tool in request.tools] == ["weather", "now"]
    assert json.loads(request.tools[0]) == WEATHER
    assert json.loads(request.tools[1])["function"]["parameters"]["properties"] == {}
    assert request.grammar is None
    assert (await reaching(tool_choice="none")).tools == ()


async def test_a_call_is_parsed_and_ends_the_turn() -> None:
    choice = await answer(generated(f"Let me see.\n{CALL}"))
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert (await answer(generated(CALL)))["message"]["content"] is None


async def test_text_is_text_where_nothing_is_called() -> None:
    choice = await answer(generated("It is dry."))
    assert choice["finish_reason"] == "stop"
    assert choice["message"] == {"role": "assistant", "content": "It is dry.", "refusal": None}
    unasked = await answer(generated(CALL), tool_choice="none")
    assert unasked["message"]["content"] == CALL


async def test_a_call_that_was_cut_off_says_so() -> None:
    choice = await answer(generated(CALL[:30], finish="length"))
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == CALL[:30]


async def test_a_stream_brings_a_call_as_one_piece() -> None:
    texts = ["Well. ", "<tool", *CALL.removeprefix("<tool").partition("Os"), "\n"]
    bursts = [burst(*texts[:3]), burst(*texts[3:], at=3, finish="stop")]
    response = await posted(Family(bursts), stream=True)
    chunks = [data for _, data in house.events(response.text)][:-1]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": None}
    assert "".join(delta.get("content") or "" for delta in deltas) == "Well."
    (call,) = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert call["index"] == 0
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_calls_of_a_stream_are_counted_choice_by_choice() -> None:
    two = CALL + "\n" + CALL
    bursts = [burst(two, finish="stop"), burst(CALL, finish="stop", choice=1)]
    response = await posted(Family(bursts), stream=True, n=2)
    calls = [
        (choice["index"], call["index"])
        for _, data in house.events(response.text)[:-1]
        for choice in data["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert calls == [(0, 0), (0, 1), (1, 0)]


async def test_a_call_that_is_required_is_all_of_the_text() -> None:
    grammar = (await reaching(tool_choice="required")).grammar
    assert grammar is not None
    assert (grammar.before, grammar.after) == ("<tool_call>\n", "\n</tool_call>")
    assert not grammar.triggered
    names = [each["properties"]["name"] for each in json.loads(grammar.source)["anyOf"]]
    assert names == [{"const": "weather"}, {"const": "now"}]


async def test_a_named_function_is_the_only_one() -> None:
    choice = {"type": "function", "function": {"name": "now"}}
    grammar = (await reaching(tool_choice=choice)).grammar
    assert grammar is not None
    assert json.loads(grammar.source)["properties"]["name"] == {"const": "now"}


async def test_strict_tools_hold_the_calls_of_free_text() -> None:
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
    grammar = (await reaching(tools=[strict])).grammar
    assert grammar is not None
    assert grammar.triggered
    assert "strict" not in (await reaching(tools=[strict])).tools[0]


async def test_references_inside_parameters_keep_their_meaning() -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#"}},
        "$defs": {"A": {"type": "string"}},
    }
    function = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    for tools, at in (([function], "#"), ([NOW, function], "#/anyOf/1")):
        grammar = (await reaching(tools=tools, tool_choice="required")).grammar
        assert grammar is not None
        assert f'{{"$ref": "{at}/properties/arguments/$defs/A"}}' in grammar.source
        assert f'{{"$ref": "{at}/properties/arguments"}}' in grammar.source


async def test_calls_that_may_not_be_parallel_end_with_the_first() -> None:
    assert (await reaching(parallel_tool_calls=False, stop="x")).stop == ("x", "</tool_call>")
    assert (await reaching(parallel_tool_calls=True)).stop == ()


async def test_what_was_called_and_answered_reaches_the_model() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
    }
    assistant = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "dry"}
    request = await reaching(messages=[*MESSAGES, assistant, answered])
    assert request.messages is not None
    assert request.messages[1:] == (
        ChatMessage("assistant", "", (ToolCall("call_1", "weather", '{"city": "Oslo"}'),)),
        ChatMessage("tool", "dry", (), "call_1"),
    )
    assert await refused(messages=[*MESSAGES, answered]) == "messages.1.tool_call_id"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("messages.0", {"role": "tool", "content": "x"}),
        ("messages.0", {"role": "user", "content": None}),
        ("messages.0", {"role": "user", "content": "x", "tool_call_id": "1"}),
        (
            "messages.0.tool_calls.0.function.arguments",
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "[1]"}}
                ],
            },
        ),
        ("messages.0.name", {"role": "user", "content": "x", "name": "A" * 257}),
        ("messages.0.nam", {"role": "user", "content": "x", "nam": "Ada"}),
        (
            "messages.0.content",
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        ),
    ],
)
async def test_a_message_that_is_none_is_named(field: str, message: dict[str, Any]) -> None:
    assert (await refused(messages=[message])).startswith(field)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("tools.0.type", {"tools": [{"type": "custom", "custom": {"name": "x"}}]}),
        ("tools.0.function.name", {"tools": [{"type": "function", "function": {"name": "a b"}}]}),
        ("tool_choice", {"tool_choice": "always"}),
        ("tool_choice", {"tool_choice": {"type": "function", "function": {"name": "rm"}}}),
        ("tool_choice", {"tool_choice": "required", "tools": []}),
        ("response_format", {"response_format": {"type": "json_object"}}),
        ("functions", {"functions": [{"name": "x"}]}),
        ("function_call", {"function_call": "auto"}),
    ],
)
async def test_what_cannot_be_called_is_named(field: str, given: dict[str, Any]) -> None:
    assert (await refused(**given)).startswith(field)


async def test_a_model_whose_template_has_no_tools_refuses_them_with_one_that_can() -> None:
    response = await posted(Family(), model=FAST)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "tools")
    assert FULL in error["message"]
    history = [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    assert (await posted(Family(generated("a")), model=FAST, tools=[], messages=history)).is_success


async def test_a_schema_that_cannot_be_kept_to_is_the_tools_fault() -> None:
    problem = Problem("validation", "no such keyword", "grammar")
    response = await posted(Family(problem), tool_choice="required")
    assert response.json()["error"]["param"] == "tools"
