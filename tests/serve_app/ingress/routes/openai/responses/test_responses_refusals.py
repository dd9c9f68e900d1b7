"""What ``POST /v1/responses`` cannot do is refused by the name of its field."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FULL, generated
from tests.serve_app.ingress.routes.openai.responses.responding import TOOL
from tests.serve_app.local_handle import Family

LINK = {"type": "input_image", "image_url": "https://a.example/b.png"}
LINKED = [{"role": "user", "content": [LINK]}]


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
