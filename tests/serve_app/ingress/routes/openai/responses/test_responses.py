"""``POST /v1/responses``, judged by OpenAI's own client."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from deployments.seam.generation import (
    ChatImage,
    ChatMessage,
    GeneratedSequence,
    GenerationResult,
    TokenLogprob,
    ToolCall,
)
from deployments.seam.problems import Problem
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import FULL, burst, generated
from tests.serve_app.local_handle import Family

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


LINK = {"type": "input_image", "image_url": "https://a.example/b.png"}
LINKED = [{"role": "user", "content": [LINK]}]


class Person(BaseModel):
    name: str


@asynccontextmanager
async def client_of(family: Family) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.ASGITransport(house.app({"generation": family}))
    opened: Any = httpx.AsyncClient(transport=transport)
    async with (
        opened as http,
        openai.AsyncOpenAI(
            api_key="none", base_url="http://house/v1", http_client=http, max_retries=0
        ) as client,
    ):
        yield client


async def test_a_text_is_answered() -> None:
    family = Family(generated("Paris"))
    async with client_of(family) as client:
        answer = await client.responses.create(
            model=FULL, input="Capital?", instructions="Be short.", max_output_tokens=9, store=False
        )
    assert (answer.output_text, answer.status, answer.model) == ("Paris", "completed", FULL)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 2)
    assert (answer.store if hasattr(answer, "store") else False) is False
    (request,) = family.asked
    assert request.messages == (ChatMessage("system", "Be short."), ChatMessage("user", "Capital?"))
    assert (request.max_new_tokens, request.sampling.temperature) == (9, 1.0)


async def test_a_text_that_was_cut_is_incomplete() -> None:
    async with client_of(Family(generated("Par", finish="length"))) as client:
        answer = await client.responses.create(input="Capital?")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    (message,) = answer.output
    assert message.type == "message"
    assert message.status == "incomplete"


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_load_test_may_go_on_behind_the_end_of_a_text(wanted: bool) -> None:
    family = Family(generated("Paris"))
    async with client_of(family) as client:
        more = {"ignore_eos": wanted}
        await client.responses.create(input="Capital?", max_output_tokens=9, extra_body=more)
    (request,) = family.asked
    assert request.ignore_eos is wanted


async def test_a_history_with_calls_becomes_a_chat() -> None:
    family = Family(generated("Cold."))
    history: Any = [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be short."}]},
        {"type": "message", "role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "3 C"},
        {"type": "function_call_output", "call_id": "call_2", "output": "4 C"},
    ]
    async with client_of(family) as client:
        await client.responses.create(model=FULL, input=history, tools=[TOOL])
    calls = (ToolCall("call_1", "weather", "{}"), ToolCall("call_2", "weather", "{}"))
    assert family.asked[0].messages == (
        ChatMessage("system", "Be short."),
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", "Let me see.", calls),
        ChatMessage("tool", "3 C", tool_call_id="call_1"),
        ChatMessage("tool", "4 C", tool_call_id="call_2"),
    )


async def test_a_call_is_an_item_that_can_be_sent_back() -> None:
    family = Family(generated(f"Let me see. {CALL}"), generated("Cold."))
    async with client_of(family) as client:
        first = await client.responses.create(model=FULL, input="Weather?", tools=[TOOL])
        message, call = first.output
        assert message.type == "message"
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"city": "Oslo"}
        back: Any = [
            {"role": "user", "content": "Weather?"},
            *(each.model_dump(exclude_none=True) for each in first.output),
            {"type": "function_call_output", "call_id": call.call_id, "output": "3 C"},
        ]
        second = await client.responses.create(model=FULL, input=back, tools=[TOOL])
    assert second.output_text == "Cold."
    sent = family.asked[1].messages
    assert [each.role for each in sent] == ["user", "assistant", "tool"]
    assert sent[1].tool_calls == (ToolCall(call.call_id, "weather", '{"city": "Oslo"}'),)


async def test_a_schema_is_enforced_and_parsed() -> None:
    family = Family(generated('{"name": "Ada"}'))
    async with client_of(family) as client:
        answer = await client.responses.parse(model=FULL, input="Who?", text_format=Person)
    assert answer.output_parsed == Person(name="Ada")
    grammar = family.asked[0].grammar
    assert grammar.kind == "json_schema"
    assert json.loads(grammar.source)["properties"]["name"]["type"] == "string"


async def test_a_named_tool_has_to_be_called() -> None:
    family = Family(generated(CALL))
    choice: Any = {"type": "function", "name": "weather"}
    async with client_of(family) as client:
        answer = await client.responses.create(
            model=FULL, input="Weather?", tools=[TOOL], tool_choice=choice
        )
    assert [item.type for item in answer.output] == ["function_call"]
    assert family.asked[0].grammar is not None


async def test_images_are_between_the_texts() -> None:
    family = Family(generated("red"))
    content: Any = [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": RED_DOT, "detail": "auto"},
    ]
    async with client_of(family) as client:
        answer = await client.responses.create(input=[{"role": "user", "content": content}])
    assert (answer.output_text, answer.model) == ("red", FULL)
    images = (ChatImage(base64.b64decode(RED_DOT.partition(",")[2]), 1),)
    assert family.asked[0].messages == (ChatMessage("user", "a", images=images),)


async def test_the_oldest_turns_are_left_out_where_truncation_is_auto() -> None:
    family = Family(generated("a"), generated("a"))
    async with client_of(family) as client:
        await client.responses.create(input="Hi", truncation="auto")
        await client.responses.create(input="Hi", truncation="disabled")
    assert [request.trim_oldest for request in family.asked] == [True, False]


async def test_logprobs_come_where_they_are_included() -> None:
    logprobs = (TokenLogprob("Hi", -0.5, b"Hi", (("Hi", -0.5, b"Hi"),)),)
    result = GenerationResult(3, (GeneratedSequence("Hi", "stop", 1, logprobs),))
    family = Family(result)
    async with client_of(family) as client:
        answer = await client.responses.create(
            model=FULL, input="Hi", include=["message.output_text.logprobs"], top_logprobs=1
        )
    (message,) = answer.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert (part.logprobs[0].token, part.logprobs[0].logprob) == ("Hi", -0.5)


async def test_a_stream_has_the_events_that_the_client_reads() -> None:
    family = Family([burst("Par", "is", finish="stop")])
    async with (
        client_of(family) as client,
        client.responses.stream(model=FULL, input="Capital?") as stream,
    ):
        kinds = [event.type async for event in stream]
        answer = await stream.get_final_response()
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert answer.output_text == "Paris"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 2


async def test_a_call_in_a_stream_closes_the_text_before_it() -> None:
    family = Family([burst("See: ", CALL, " Bye.", finish="stop")])
    async with (
        client_of(family) as client,
        client.responses.stream(model=FULL, input="Weather?", tools=[TOOL]) as stream,
    ):
        events = [event async for event in stream]
        answer = await stream.get_final_response()
    assert [item.type for item in answer.output] == ["message", "function_call", "message"]
    assert len({item.to_dict()["id"] for item in answer.output}) == 3
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert numbers == list(range(len(events)))
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert json.loads(done[0].arguments) == {"city": "Oslo"}


async def test_a_stream_can_be_parsed_and_be_cut() -> None:
    family = Family([burst('{"name":', ' "Ada"}', finish="stop")], [burst("Pa", finish="length")])
    async with client_of(family) as client:
        async with client.responses.stream(model=FULL, input="Who?", text_format=Person) as parsing:
            answer = await parsing.get_final_response()
        cut = await client.responses.create(input="Capital?", stream=True)
        last = [event async for event in cut][-1]
    assert answer.output_parsed == Person(name="Ada")
    assert last.type == "response.incomplete"
    assert last.response.output_text == "Pa"


async def test_a_stream_without_a_text_has_an_empty_message() -> None:
    async with (
        client_of(Family([burst("", finish="stop")])) as client,
        client.responses.stream(model=FULL, input="Hi") as stream,
    ):
        answer = await stream.get_final_response()
    assert [item.type for item in answer.output] == ["message"]
    assert answer.output_text == ""


async def test_a_stream_that_breaks_ends_with_a_failed_answer() -> None:
    family = Family([burst("Par"), Problem("unavailable", "lost")])
    async with client_of(family) as client:
        events = [event async for event in await client.responses.create(input="Hi", stream=True)]
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.message == "lost"
    assert last.response.status == "failed"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        (
            {"text": {"format": {"type": "json_object"}}, "tools": [TOOL]},
            "text.format",
        ),
        (
            {"tools": [{**TOOL, "strict": True, "parameters": {"type": "array"}}]},
            "tools.0.parameters",
        ),
        ({"input": []}, "input"),
        ({"input": LINKED}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "input.0.content.0",
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "a"}]},
            "input",
        ),
        ({"max_output_tokens": 5000}, "max_output_tokens"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"no_such": 1}, "no_such"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(change: dict[str, Any], param: str) -> None:
    body = {"model": FULL, "input": "Hi"} | change
    response = await house.post(house.app({"generation": Family()}), "/v1/responses", body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


async def test_a_history_of_nothing_but_reasoning_misses_a_message() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    answering = house.app({"generation": Family(generated("Hi"))})
    refused = await house.post(answering, "/v1/responses", {"input": [thought, thought]})
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == "input"
    assert error["message"] == "input has only reasoning items: a message to answer is missing."
    instructed = {"input": [thought], "instructions": "Say hi."}
    assert (await house.post(answering, "/v1/responses", instructed)).status_code == 200


async def test_what_the_model_side_refuses_has_this_apis_names() -> None:
    family = Family(Problem("validation", "no room", "max_new_tokens"))
    body = {"input": "Hi", "max_output_tokens": 5}
    response = await house.post(house.app({"generation": family}), "/v1/responses", body)
    assert response.json()["error"]["param"] == "max_output_tokens"


async def test_below_a_model_the_path_decides() -> None:
    family = Family(generated("Hi"))
    application = house.app({"generation": family})
    path = f"/models/{FULL}/v1/responses"
    response = await house.post(application, path, {"model": "dummy", "input": "Hi"})
    assert response.json()["model"] == family.asked[0].model == FULL
