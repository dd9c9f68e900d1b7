"""Streams of ``POST /v1/responses``, as OpenAI's own client reads them."""

from __future__ import annotations

import json

from deployments.seam.problems import Problem
from tests.serve_app.house import FULL, burst
from tests.serve_app.ingress.routes.openai.responses.responding import CALL, TOOL, Person, client_of
from tests.serve_app.local_handle import Family


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
