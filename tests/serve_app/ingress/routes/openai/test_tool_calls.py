"""What of a model's text is a call of a tool, whole and in streams."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.serve_app import house
from tests.serve_app.house import burst, generated
from tests.serve_app.ingress.routes.openai.tool_calls import CALL, answer, posted
from tests.serve_app.local_handle import Family


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
