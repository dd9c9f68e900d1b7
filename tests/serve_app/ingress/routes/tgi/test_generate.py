"""TGI's own paths for text generation."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.seam.problems import Problem
from tests.serve_app.house import events, generated
from tests.serve_app.ingress.routes.huggingface.hub import MODEL
from tests.serve_app.ingress.routes.huggingface.test_generation import two_tokens
from tests.serve_app.ingress.routes.other import post, sent
from tests.serve_app.local_handle import Family

BODY = {"inputs": "The capital is", "parameters": {"max_new_tokens": 2}}
PLACES = pytest.mark.parametrize("place", ["", f"/models/{MODEL}"])


@PLACES
async def test_a_prompt_is_continued_in_an_object(place: str) -> None:
    family = Family(generated(" Paris"))
    answer = await post(family, "generate", f"{place}/generate", BODY)
    assert answer == {"generated_text": " Paris"}
    assert (family.asked[0].prompt, family.asked[0].max_new_tokens) == ("The capital is", 2)


async def test_details_come_with_the_text() -> None:
    body = {"inputs": "The capital is", "parameters": {"details": True}}
    answer = await post(two_tokens(), "generate", "/generate", body)
    assert answer["details"]["finish_reason"] == "eos_token"
    assert [each["id"] for each in answer["details"]["tokens"]] == [100, 101]


@PLACES
async def test_a_stream_has_an_event_a_token_and_the_text_in_the_last(place: str) -> None:
    response = await sent(two_tokens(), "generate", f"{place}/generate_stream", BODY)
    assert response.headers["content-type"].startswith("text/event-stream")
    first, last = (data for _, data in events(response.text))
    assert (first["token"]["text"], first["generated_text"]) == (" Paris", None)
    assert last["generated_text"] == " Paris"


@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"inputs": ""}, "inputs"),
        ({"parameters": {"watermark": True}}, "parameters.watermark"),
        ({"parameters": {"max_new_tokens": 5000}}, "parameters.max_new_tokens"),
        ({"stream": True}, "stream"),
    ],
)
async def test_what_cannot_be_done_is_named(path: str, change: dict[str, Any], named: str) -> None:
    response = await sent(Family(), "generate", path, BODY | change)
    assert (response.status_code, response.json()["error_type"]) == (400, "validation")
    assert list(response.json()["details"]["field_errors"]) == [named]


async def test_failures_have_tgis_words() -> None:
    response = await sent(Family(Problem("overloaded", "busy")), "generate", "/generate", BODY)
    assert (response.status_code, response.json()["error_type"]) == (429, "overloaded")
