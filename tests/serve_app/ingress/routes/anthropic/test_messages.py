"""``POST /v1/messages``: Anthropic's chat, whole and streamed."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from deployments.seam.generation import (
    ChatImage,
    ChatMessage,
    GeneratedSequence,
    GenerationResult,
    Token,
    TokenChunk,
    ToolCall,
)
from deployments.seam.problems import Problem
from deployments.seam.tokenization import TokenizeRequest, TokenizeResult
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import FULL, burst, generated
from tests.serve_app.local_handle import Family

NUMBER = "12345678901234567890123"
CALL = f'<tool_call>\n{{"name": "weather", "arguments": {{"id": {NUMBER}}}}}\n</tool_call>'
TOOL = {"name": "weather", "description": "the weather", "input_schema": {"type": "object"}}
HI = [{"role": "user", "content": "Hi"}]
LINK = {"type": "url", "url": "https://a.example/b.png"}
DOT = RED_DOT.partition(",")[2]


async def sent(family: Family, path: str = "/v1/messages", **body: Any) -> httpx.Response:
    given = {"messages": HI, "model": FULL, **({} if "count" in path else {"max_tokens": 9})}
    return await house.post(house.app({"generation": family}), path, {**given, **body})


async def answered(family: Family, **body: Any) -> Any:
    response = await sent(family, **body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_chat_is_continued() -> None:
    family = Family(generated("Hello"))
    answer = await answered(
        family,
        system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        top_k=5,
        stop_sequences=["x"],
        metadata={"user_id": "ada"},
    )
    assert answer["content"] == [{"type": "text", "text": "Hello"}]
    assert (answer["role"], answer["model"], answer["type"]) == ("assistant", FULL, "message")
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == (3, 2)
    (request,) = family.asked
    assert request.messages == (ChatMessage("system", "Be kind."), ChatMessage("user", "Hi"))
    assert (request.max_new_tokens, request.stop, request.sampling.top_k) == (9, ("x",), 5)


async def test_images_are_between_the_texts() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": DOT}
    content = [{"type": "text", "text": "a"}, {"type": "image", "source": source}]
    family = Family(generated("red"))
    await answered(family, messages=[{"role": "user", "content": content}])
    (request,) = family.asked
    images = (ChatImage(base64.b64decode(DOT), 1),)
    assert request.messages == (ChatMessage("user", "a", images=images),)


@pytest.mark.parametrize(
    ("finish", "stop_string", "reason", "sequence"),
    [
        ("stop", None, "end_turn", None),
        ("stop", "END", "stop_sequence", "END"),
        ("length", None, "max_tokens", None),
    ],
)
async def test_the_reason_of_the_end_is_told(
    finish: Any, stop_string: str | None, reason: str, sequence: str | None
) -> None:
    made = GeneratedSequence("a", finish, 1, stop_string=stop_string)
    answer = await answered(Family(GenerationResult(3, (made,))))
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, sequence)
    last = Token(0, 0, 1, "a", finish, stop_string=stop_string)
    response = await sent(Family([TokenChunk(3, (last,))]), stream=True)
    (delta,) = [data for name, data in house.events(response.text) if name == "message_delta"]
    assert delta["delta"] == {"stop_reason": reason, "stop_sequence": sequence}


async def test_a_call_has_its_input_to_the_letter_and_goes_round() -> None:
    family = Family(generated(f"See: {CALL}"), generated("Cold."))
    response = await sent(family, tools=[TOOL])
    assert NUMBER in response.text
    text, call = response.json()["content"]
    assert (text["text"], call["type"], call["name"]) == ("See:", "tool_use", "weather")
    assert response.json()["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "3 C"}
    history = [
        *HI,
        {"role": "assistant", "content": [text, {**call, "input": {"city": "Oslo"}}]},
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
    ]
    assert (await answered(family, messages=history, tools=[TOOL]))["stop_reason"] == "end_turn"
    assert family.asked[1].messages[1:] == (
        ChatMessage("assistant", "See:", (ToolCall(call["id"], "weather", '{"city": "Oslo"}'),)),
        ChatMessage("tool", "3 C", tool_call_id=call["id"]),
        ChatMessage("user", "And?"),
    )
    assert json.loads(family.asked[1].tools[0])["function"]["description"] == "the weather"


@pytest.mark.parametrize(
    ("choice", "has_grammar", "offered"),
    [
        ({"type": "auto"}, False, 1),
        ({"type": "any"}, True, 1),
        ({"type": "tool", "name": "weather"}, True, 1),
        ({"type": "none"}, False, 0),
    ],
)
async def test_the_choice_of_tools_is_that_of_the_chat(
    choice: dict[str, Any], has_grammar: bool, offered: int
) -> None:
    family = Family(generated("a"))
    await answered(family, tools=[TOOL], tool_choice=choice)
    assert (family.asked[0].grammar is not None, len(family.asked[0].tools)) == (
        has_grammar,
        offered,
    )


async def test_an_output_can_be_held_to_a_schema() -> None:
    family = Family(generated("{}"))
    wanted = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    await answered(family, output_config=wanted)
    assert family.asked[0].grammar.kind == "json_schema"


async def test_a_stream_has_blocks_that_open_and_close() -> None:
    family = Family([burst("See", ": ", CALL, " Bye", finish="stop")])
    response = await sent(family, tools=[TOOL], stream=True)
    told = house.events(response.text)
    assert [name for name, _ in told] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(data["type"] == name for name, data in told)
    assert [data["index"] for _, data in told if "index" in data] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert told[0][1]["message"]["usage"]["input_tokens"] == 3
    assert json.loads(told[6][1]["delta"]["partial_json"]) == {"id": int(NUMBER)}
    assert told[-2][1]["delta"]["stop_reason"] == "tool_use"
    assert told[-2][1]["usage"] == {"output_tokens": 4}


async def test_a_stream_that_breaks_ends_with_an_error() -> None:
    response = await sent(Family([burst("a"), Problem("unavailable", "lost")]), stream=True)
    name, data = house.events(response.text)[-1]
    assert (name, data["type"], data["error"]["type"]) == ("error", "error", "overloaded_error")
    assert data["error"]["message"] == "lost"


async def test_an_empty_text_is_an_empty_block() -> None:
    response = await sent(Family([burst("", finish="stop")]), stream=True)
    starts = [data for name, data in house.events(response.text) if name == "content_block_start"]
    assert [each["content_block"] for each in starts] == [{"type": "text", "text": ""}]


async def test_tokens_are_counted() -> None:
    family = Family(TokenizeResult((1, 2, 3), ("a", "b", "c"), 99))
    response = await sent(family, "/v1/messages/count_tokens", max_tokens=None)
    assert response.status_code == 400  # it is not a field there, null or not
    response = await sent(family, "/v1/messages/count_tokens", system="Be kind.")
    assert response.json() == {"input_tokens": 3}
    chat = (ChatMessage("system", "Be kind."), ChatMessage("user", "Hi"))
    assert family.asked == [TokenizeRequest(FULL, messages=chat)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_tokens": 5000}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [*HI, {"role": "assistant", "content": "He"}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": LINK}]}]},
            "messages is a URL, and this server does not fetch images",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "documents"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_use_id": "t", "content": "a"}],
                    }
                ]
            },
            "messages",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice"),
        (
            {"tools": [{**TOOL, "strict": True, "input_schema": {"type": "array"}}]},
            "input_schema",
        ),
        ({"no_such": 1}, "no_such"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_anthropics_words(
    change: dict[str, Any], named: str
) -> None:
    response = await sent(Family(), **change)
    assert response.status_code == 400, response.text
    told = response.json()
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    assert told["request_id"] == response.headers["x-request-id"]
    assert named in told["error"]["message"]


@pytest.mark.parametrize(
    ("problem", "status", "word"),
    [
        (Problem("overloaded", "busy"), 429, "rate_limit_error"),
        (Problem("unavailable", "gone"), 503, "overloaded_error"),
        (Problem("internal", "secret"), 500, "api_error"),
    ],
)
async def test_failures_have_anthropics_words(problem: Problem, status: int, word: str) -> None:
    response = await sent(Family(problem))
    assert (response.status_code, response.json()["error"]["type"]) == (status, word)


async def test_an_unknown_model_is_not_found() -> None:
    response = await sent(Family(), model="claude-opus-4-5")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert FULL in response.json()["error"]["message"]


async def test_below_a_model_the_path_decides() -> None:
    family = Family(generated("Hi"))
    path = f"/models/{FULL}/v1/messages"
    response = await sent(family, path, model="claude-opus-4-5")
    assert response.json()["model"] == family.asked[0].model == FULL
    refused = await sent(family, path, max_tokens=0)
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_the_parameter_of_the_clients_beta_calls_changes_nothing(path: str) -> None:
    family = Family(TokenizeResult((1, 2), (), 9) if "count" in path else generated("Hello"))
    assert (await sent(family, f"{path}?beta=true")).status_code == 200
    for other in ("alpha=true", "beta=perhaps", "beta=true&alpha=1"):
        refused = await sent(Family(), f"{path}?{other}")
        assert refused.status_code == 400, other
