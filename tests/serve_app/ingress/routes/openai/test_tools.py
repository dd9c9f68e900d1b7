"""Tools: what reaches the model, and what of its text is a call."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from deployments.seam.generation import ChatMessage, GenerationRequest, GenerationResult, ToolCall
from deployments.seam.problems import Problem
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


async def answer(text: GenerationResult, **body: Any) -> dict[str, Any]:
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


AWKWARD = [
    "</tool_call>",
    "a <tool_call> b </tool_call> c",
    "\n</tool_call>\n<tool_call>\n{",
    '"}}]\\',
    "{[\u00e9\U0001f600",
]


@pytest.mark.parametrize("city", AWKWARD)
@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_the_end_of_the_json_ends_a_call_and_no_mark_inside(
    city: str, ensure_ascii: bool, choice: str
) -> None:
    arguments = json.dumps({"city": city, "n": [{}, "}"]}, ensure_ascii=ensure_ascii)
    call = f'<tool_call>\n{{"name": "weather", "arguments": {arguments}}}\n</tool_call>'
    text = call if choice == "required" else f"Well.\n{call}\n{CALL}"
    whole = await answer(generated(text), tool_choice=choice)
    made = [each["function"] for each in whole["message"]["tool_calls"]]
    assert json.loads(made[0]["arguments"]) == {"city": city, "n": [{}, "}"]}
    assert len(made) == (1 if choice == "required" else 2)
    assert whole["message"]["content"] == (None if choice == "required" else "Well.")
    assert whole["finish_reason"] == "tool_calls"
    for size in (1, 3, 11):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        bursts = [burst(*pieces, finish="stop")]
        response = await posted(Family(bursts), stream=True, tool_choice=choice)
        deltas = _deltas(response)
        streamed = [call["function"] for each in deltas for call in each.get("tool_calls", [])]
        assert streamed == made
        texts = "".join(each.get("content") or "" for each in deltas)
        assert texts == ("" if choice == "required" else "Well.")


async def test_a_text_that_mentions_a_mark_goes_on_as_text() -> None:
    text = "Calls stand between <tool_call> and </tool_call>, as {} does. <tool_call> {x} Done."
    assert (await answer(generated(text)))["message"]["content"] == text
    bursts = [burst(*(text[i : i + 4] for i in range(0, len(text), 4)), finish="stop")]
    response = await posted(Family(bursts), stream=True)
    assert "".join(each.get("content") or "" for each in _deltas(response)) == text


async def test_arguments_are_handed_on_as_they_are_written() -> None:
    arguments = '{"city":"Oslo",  "n": 0.1234567890123456789, "m": 1376946241435750401}'
    text = f'<tool_call>{{"arguments": {arguments}, "name": "weather"}}</tool_call>'
    (call,) = (await answer(generated(text)))["message"]["tool_calls"]
    assert call["function"]["arguments"] == arguments


NAMED_WEATHER = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize("choice", ["required", NAMED_WEATHER])
@pytest.mark.parametrize("end", [1, 12, 30, len(CALL) - 14])
async def test_a_forced_call_that_was_cut_off_is_no_text(choice: Any, end: int) -> None:
    whole = await answer(generated(CALL[:end], finish="length"), tool_choice=choice)
    assert whole["message"] == {"role": "assistant", "content": "", "refusal": None}
    assert whole["finish_reason"] == "length"
    bursts = [burst(*CALL[:end], finish="length")]
    response = await posted(Family(bursts), stream=True, tool_choice=choice)
    deltas = _deltas(response)
    assert not any(each.get("content") or each.get("tool_calls") for each in deltas)
    last = [data for _, data in house.events(response.text)][-2]
    assert last["choices"][0]["finish_reason"] == "length"


async def test_a_forced_call_that_was_cut_off_in_its_closing_mark_is_a_call() -> None:
    for end in (len(CALL) - 13, len(CALL) - 5):
        choice = await answer(generated(CALL[:end], finish="length"), tool_choice="required")
        assert choice["message"]["content"] is None
        assert len(choice["message"]["tool_calls"]) == 1
        assert choice["finish_reason"] == "length"


def _deltas(response: httpx.Response) -> list[dict[str, Any]]:
    chunks = [data for _, data in house.events(response.text)][:-1]
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


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
