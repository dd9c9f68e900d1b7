"""Tools: what of them reaches the model, and those that it cannot be given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.seam.generation import ChatMessage, ToolCall
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, burst, generated
from tests.serve_app.ingress.routes.openai.tool_calls import (
    MESSAGES,
    NOW,
    PATH,
    WEATHER,
    posted,
    reaching,
)
from tests.serve_app.local_handle import Family


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


async def test_a_call_that_is_required_is_all_of_the_text() -> None:
    grammar = (await reaching(tool_choice="required")).grammar
    assert grammar is not None
    assert (grammar.kind, grammar.before) == ("alternatives", "<tool_call>\n")
    assert grammar.after == "}\n</tool_call>"
    assert not grammar.triggered
    assert [each.before for each in grammar.alternatives] == [
        '{"name": "weather", "arguments": ',
        '{"name": "now", "arguments": ',
    ]
    weather, now = (json.loads(each.source) for each in grammar.alternatives)
    assert weather == WEATHER["function"]["parameters"]  # type: ignore[index]
    assert now == {"type": "object", "properties": {}, "additionalProperties": False}


async def test_a_named_function_is_the_only_one() -> None:
    choice = {"type": "function", "function": {"name": "now"}}
    grammar = (await reaching(tool_choice=choice)).grammar
    assert grammar is not None
    assert [each.before for each in grammar.alternatives] == ['{"name": "now", "arguments": ']


async def test_strict_tools_hold_the_calls_of_free_text() -> None:
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
    grammar = (await reaching(tools=[strict])).grammar
    assert grammar is not None
    assert grammar.triggered
    assert "strict" not in (await reaching(tools=[strict])).tools[0]


async def test_each_schema_stays_a_document_of_its_own() -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"const": {"$ref": "#/$defs/A"}}},
        "$defs": {"A": {"$anchor": "here", "type": "string"}},
    }
    function = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    for tools in ([function], [NOW, function]):
        grammar = (await reaching(tools=tools, tool_choice="required")).grammar
        assert grammar is not None
        assert json.loads(grammar.alternatives[-1].source) == parameters


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"properties": {"a": {"type": "string"}}}, "object"),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, "object"),
        ({"type": ["null", "object"]}, "object"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}, None),
    ],
)
async def test_arguments_are_an_object_whatever_their_schema_leaves_open(
    parameters: dict[str, Any], kind: str | None
) -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    grammar = (await reaching(tools=[function], tool_choice="required")).grammar
    assert grammar is not None
    assert json.loads(grammar.alternatives[0].source).get("type") == kind


async def test_arguments_that_could_be_no_object_are_refused() -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}
    field = await refused(tools=[NOW, function], tool_choice="required")
    assert field == "tools.1.function.parameters"


async def test_numbers_of_a_schema_reach_the_model_as_they_are_written() -> None:
    parameters = '{"type":"object","properties":{"a":{"enum":[0.1234567890123456789,1e400,7]}}}'
    body = json.dumps({"model": FULL, "messages": MESSAGES, "tool_choice": "required"})
    tool = f'{{"type": "function", "function": {{"name": "f", "parameters": {parameters}}}}}'
    family = Family(generated("a"))
    application = house.app({"generation": family})
    await house.post_text(application, PATH, f'{body[:-1]}, "tools": [{tool}]}}')
    assert family.asked[0].grammar.alternatives[0].source == parameters


@pytest.mark.parametrize("free", [{}, {"tools": [NOW], "tool_choice": "auto"}])
async def test_calls_that_may_not_be_parallel_end_with_the_first(free: dict[str, Any]) -> None:
    request = await reaching(parallel_tool_calls=False, stop="x", **free)
    assert request.stop == ("x",)
    assert request.stop_after_tool_call == ("<tool_call>\n", "\n</tool_call>")
    assert (await reaching(parallel_tool_calls=True)).stop_after_tool_call is None
    assert (
        await reaching(parallel_tool_calls=False, tool_choice="none")
    ).stop_after_tool_call is None


async def test_a_history_with_broken_arguments_is_read_as_one_without() -> None:
    broken = ["", "{", '{"city": "Os', "[1]", "null", "3", '"x"', "no JSON", '{"a": NaN}', None]
    for given in [*broken, {"city": "Oslo"}, '{"city":"Oslo"}']:
        function = {"name": "weather", "arguments": given}
        calls = [{"id": "1", "type": "function", "function": function}]
        answered = {"role": "tool", "tool_call_id": "1", "content": "dry"}
        history = [*MESSAGES, {"role": "assistant", "tool_calls": calls}, answered]
        request = await reaching(messages=history)
        assert request.messages is not None
        (call,) = request.messages[1].tool_calls
        assert json.loads(call.arguments) == ({} if given in broken else {"city": "Oslo"})


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": None, "function_call": None},
        {"functions": [], "function_call": "none"},
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True},
        {"tools": None, "tool_choice": "auto", "parallel_tool_calls": False},
        {"tools": None, "tool_choice": None, "parallel_tool_calls": None},
        {"tools": [WEATHER], "tool_choice": "none"},
    ],
)
@pytest.mark.parametrize("model", [FAST, FULL])
async def test_fields_that_ask_for_no_call_are_taken(model: str, fields: dict[str, Any]) -> None:
    request = await reaching(**{"tools": None, **fields, "model": model})
    assert (request.tools, request.grammar, request.stop_after_tool_call) == ((), None, None)


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
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": 7}}
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


@pytest.mark.parametrize(
    ("field", "body", "name"),
    [
        ("grammar", {"tool_choice": "required"}, "tools"),
        ("grammar.0", {"tool_choice": "required"}, "tools.0.function.parameters"),
        ("grammar.1", {"tool_choice": "required"}, "tools.1.function.parameters"),
        (
            "grammar.0",
            {"tool_choice": {"type": "function", "function": {"name": "now"}}},
            "tools.1.function.parameters",
        ),
        ("grammar", {"tools": [NOW], "tool_choice": "required"}, "tools.0.function.parameters"),
        (
            "grammar",
            {"tools": None, "response_format": {"type": "json_object"}},
            "response_format",
        ),
    ],
)
async def test_a_schema_that_cannot_be_kept_to_is_named(
    field: str, body: dict[str, Any], name: str
) -> None:
    problem = Problem("validation", "no such keyword", field)
    response = await posted(Family(problem), **body)
    assert response.json()["error"]["param"] == name
    broken = [burst("<tool_call>"), problem]
    response = await posted(Family(broken), stream=True, **body)
    (error,) = [data["error"] for _, data in house.events(response.text)[:-1] if "error" in data]
    assert error["param"] == name
