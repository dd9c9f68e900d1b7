"""``POST /v1/responses``, judged by OpenAI's own client."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from deployments.seam.generation import (
    ChatImage,
    ChatMessage,
    GeneratedSequence,
    GenerationResult,
    TokenLogprob,
    ToolCall,
)
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import FULL, generated
from tests.serve_app.ingress.routes.openai.responses.responding import CALL, TOOL, Person, client_of
from tests.serve_app.local_handle import Family


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


async def test_below_a_model_the_path_decides() -> None:
    family = Family(generated("Hi"))
    application = house.app({"generation": family})
    path = f"/models/{FULL}/v1/responses"
    response = await house.post(application, path, {"model": "dummy", "input": "Hi"})
    assert response.json()["model"] == family.asked[0].model == FULL
