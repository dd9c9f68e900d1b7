"""Completions that begin with their prompt, and the log probabilities of its tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deployments.seam.generation import (
    GeneratedSequence,
    GenerationResult,
    PromptLogprobs,
    TokenLogprob,
)
from tests.serve_app.house import FAST, FULL, burst, events, generated
from tests.serve_app.ingress.routes.openai.completion_calls import LOGPROBS, posted
from tests.serve_app.local_handle import Family

PROMPT_LOGPROBS = PromptLogprobs(
    (
        TokenLogprob("<s>", 0.0, b"<s>"),
        TokenLogprob("Hi", -2.0, b"Hi", (("Ho", -1.0, b"Ho"),)),
        TokenLogprob("!", -0.5, b"!", (("!", -0.5, b"!"),)),
    ),
    (True, False, False),
)


def scored(text: str = "abc") -> GenerationResult:
    first = replace(LOGPROBS[0], prompt=PROMPT_LOGPROBS)
    choices = (GeneratedSequence(text, "stop", 2, (first, LOGPROBS[1])),)
    return GenerationResult(3, choices)


async def test_an_echo_is_the_prompt_before_each_text() -> None:
    family = Family(generated("a", "b"), generated("c", "d"))
    body = (await posted(family, prompt=["x", "y"], n=2, echo=True)).json()
    assert [choice["text"] for choice in body["choices"]] == ["xa", "xb", "yc", "yd"]
    assert not any(request.sampling.prompt_logprobs for request in family.asked)
    streams = Family([burst("a", finish="stop")], [burst("b", finish="stop")])
    response = await posted(streams, prompt=["x", "y"], echo=True, stream=True)
    chunks = [data["choices"][0] for _, data in events(response.text) if data != "[DONE]"]
    assert {chunk["index"]: chunk["text"] for chunk in chunks} == {0: "xa", 1: "yb"}


@pytest.mark.parametrize("max_tokens", [0, 1])
async def test_an_echo_with_logprobs_scores_the_prompt(max_tokens: int) -> None:
    """What lm-evaluation-harness asks for: everything between the first and the last token."""
    family = Family(scored("ab"))
    asked = {"prompt": [1, 2, 3], "echo": True, "logprobs": 1, "max_tokens": max_tokens}
    body = (await posted(family, model=FULL, **asked)).json()
    (request,) = family.asked
    assert request.sampling.prompt_logprobs
    assert request.sampling.logprobs
    assert (request.sampling.top_logprobs, request.max_new_tokens) == (1, 1)
    (choice,) = body["choices"]
    values = [None, -2.0, -0.5, -0.5, -0.25][: 3 + 2 * max_tokens]
    assert choice["logprobs"]["token_logprobs"] == values
    assert choice["logprobs"]["tokens"][:3] == ["<s>", "Hi", "!"]
    assert choice["logprobs"]["text_offset"][:3] == [0, 0, 2]
    assert choice["logprobs"]["top_logprobs"][:3] == [None, {"Ho": -1.0, "Hi": -2.0}, {"!": -0.5}]
    assert choice["text"] == ("Hi!ab" if max_tokens else "Hi!")
    assert body["usage"]["completion_tokens"] == 2 * max_tokens
    assert choice["finish_reason"] == ("stop" if max_tokens else "length")


async def test_the_echo_of_token_ids_is_their_text() -> None:
    family = Family(scored())
    body = (await posted(family, model=FULL, prompt=[1, 2, 3], echo=True)).json()
    assert body["choices"][0]["text"] == "Hi!abc"
    assert body["choices"][0]["logprobs"] is None


async def test_an_echo_goes_to_a_model_that_can_score() -> None:
    family = Family(scored())
    body = (await posted(family, prompt="Hi!", echo=True, logprobs=0)).json()
    assert body["model"] == FULL


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("echo", {"echo": True, "logprobs": 0, "model": FAST}),
        ("echo", {"echo": True, "prompt": [1], "model": FAST}),
        ("echo", {"echo": True, "logprobs": 0, "stream": True}),
        ("prompt", {"echo": True, "prompt": ["x" * 90_000] * 10, "n": 16}),
        ("prompt", {"echo": True, "prompt": "x" * 5_000, "n": 16, "logprobs": 0}),
        ("max_tokens", {"echo": True, "max_tokens": 0, "stream": True}),
        ("max_tokens", {"max_tokens": 0}),
        ("prompt", {"echo": True, "logprobs": 0, "prompt": [[1] * 40_000] * 2}),
        ("prompt", {"echo": True, "logprobs": 0, "prompt": "x" * 70_000}),
    ],
)
async def test_an_echo_that_cannot_be_is_refused_by_name(field: str, body: Any) -> None:
    response = await posted(Family(), **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)
