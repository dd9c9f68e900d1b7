"""Messages of a chat: histories, names and contents that are taken, and those that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.generation import ChatMessage
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import FULL, generated
from tests.serve_app.ingress.routes.openai.chat_calls import MESSAGES, PATH, posted, reaching
from tests.serve_app.local_handle import Family

CACHE = {"type": "ephemeral", "ttl": "5m"}
OTHER_SHAPE = "content.0: an image is a part of the type image_url here"


async def test_a_history_of_other_servers_is_taken_back_as_it_came() -> None:
    request = await reaching(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": CACHE}]},
            {
                "role": "assistant",
                "content": "Ho",
                "tool_calls": [],
                "reasoning": "I think",
                "reasoning_content": "I think",
                "name": "Bob",
            },
            {"role": "assistant", "content": None},
            {"role": "assistant", "reasoning_content": None, "reasoning": None},
            {"role": "user", "content": "So?", "name": "Ada"},
            {"role": "user", "content": "Well?", "name": None},
            {"role": "user", "content": "Yes?", "name": ""},
        ]
    )
    assert request.messages == (
        ChatMessage("user", "Hi"),
        ChatMessage("assistant", "Ho", name="Bob"),
        ChatMessage("assistant", ""),
        ChatMessage("assistant", ""),
        ChatMessage("user", "So?", name="Ada"),
        ChatMessage("user", "Well?"),
        ChatMessage("user", "Yes?"),
    )


async def test_names_count_as_part_of_the_prompt() -> None:
    messages = [{"role": "user", "content": "x", "name": "A" * 50}] * 3
    application = house.app({"generation": Family()}, max_prompt_bytes=150)
    response = await house.post(application, PATH, {"messages": messages})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"


async def test_parts_are_one_text_and_a_developer_is_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = await reaching(messages=[{"role": "developer", "content": parts}, *MESSAGES])
    assert request.messages == (ChatMessage("system", "ab"), ChatMessage("user", "Hi"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (7, "content: expected a string"),
        ([], "content: expected at least 1 item"),
        (["Hi"], "content.0: expected an object"),
        ([{"type": "text", "text": 7}], "content.0.text: expected a string"),
        (
            [{"type": "text", "text": "a"}, {"type": "audio", "text": "b"}],
            "content.1.type: expected 'text'",
        ),
        ([{"type": "image_url", "image_url": RED_DOT}], "content.0.image_url: expected an object"),
        ([{"type": "input_image", "image_url": "data:,", "detail": "low"}], OTHER_SHAPE),
        ([{"type": "image", "source": {"type": "url"}}], OTHER_SHAPE),
    ],
)
async def test_of_a_wrong_content_only_what_was_meant_is_complained_about(
    content: Any, message: str
) -> None:
    response = await posted(Family(), messages=[{"role": "user", "content": content}])
    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"messages.0.{message}"


async def test_of_a_part_of_another_type_its_type_alone_is_complained_about() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    response = await posted(Family(), messages=[{"role": "user", "content": [part]}])
    message = response.json()["error"]["message"]
    assert message.startswith("messages.0.content.0.type: ")
    assert "; " not in message


async def test_messages_are_bounded_together_not_one_by_one() -> None:
    application = house.app(max_prompt_bytes=10)
    turns = [{"role": "user", "content": "x" * 6}] * 2
    response = await house.post(application, PATH, {"messages": turns})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"


async def test_what_openais_client_parsed_comes_back_without_effect() -> None:
    called = {"name": "f", "arguments": '{"a": 1}', "parsed_arguments": {"a": 1}}
    call = {"index": 0, "id": "1", "type": "function", "function": called}
    said = {"role": "assistant", "content": None, "parsed": {"b": 2}, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "1", "content": "2"}
    request = await reaching(model=FULL, messages=[*MESSAGES, said, result])
    assert [each.role for each in request.messages or ()] == ["user", "assistant", "tool"]


async def test_names_and_ids_of_calls_count_as_part_of_the_messages() -> None:
    function = {"name": "f" * 64, "arguments": "{}"}
    calls = [{"id": "i" * 250, "type": "function", "function": function} for _ in range(128)]
    said = [{"role": "assistant", "tool_calls": calls} for _ in range(5)]
    response = await posted(Family(generated("a")), model=FULL, messages=[*MESSAGES, *said])
    assert response.status_code == 400
    assert "messages has " in response.json()["error"]["message"]
