"""Prompts of a completion: several at once, token ids, and those that are none."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import RayError

from deployments.seam.problems import Problem
from serve_app.ingress.routes.openai.completions import PROMPTS_AT_A_TIME
from tests.serve_app import house
from tests.serve_app.house import FAST, burst, events, generated
from tests.serve_app.ingress.routes.openai.completion_calls import PATH, posted, reaching
from tests.serve_app.local_handle import FOREVER, Family, happens

USAGE = {"include_usage": True}
SECRET = "/home/inside/model.py line 7"


async def test_several_prompts_are_asked_for_one_by_one_with_the_same_seed() -> None:
    requests = await reaching(prompt=["a", "b", "c"])
    assert sorted(str(request.prompt) for request in requests) == ["a", "b", "c"]
    assert len({request.sampling.seed for request in requests}) == 1


async def test_answers_to_several_prompts_are_numbered_through() -> None:
    response = await posted(
        Family(generated("a", "b"), generated("c", "d")), prompt=["x", "y"], n=2
    )
    body = response.json()
    texts = [(choice["index"], choice["text"]) for choice in body["choices"]]
    assert texts == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert body["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}
    assert (body["object"], body["model"]) == ("text_completion", FAST)
    assert body["id"].startswith("cmpl-")


async def test_one_prompt_that_fails_fails_them_all_and_stops_the_others() -> None:
    family = Family(FOREVER, Problem("validation", "too long", "max_new_tokens"))
    response = await posted(family, prompt=["x", "y"])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"
    await happens(family.stopped)


async def test_several_prompts_in_a_stream_are_told_apart_by_their_index() -> None:
    bursts = [
        [burst(text, choice=0, finish="stop"), burst("!", choice=1, finish="stop")]
        for text in "abc"
    ]
    response = await posted(
        Family(*bursts), prompt=["x", "y", "z"], n=2, stream=True, stream_options=USAGE
    )
    *found, last, done = [data for _, data in events(response.text)]
    choices = [chunk["choices"][0] for chunk in found]
    texts = {choice["index"]: choice["text"] for choice in choices}
    assert texts == {0: "a", 1: "!", 2: "b", 3: "!", 4: "c", 5: "!"}
    assert last["usage"] == {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}
    assert done == "[DONE]"


async def test_a_prompt_that_fails_first_gives_the_stream_its_status() -> None:
    family = Family([FOREVER], [Problem("validation", "too long", "max_new_tokens")])
    response = await posted(family, prompt=["x", "y"], stream=True)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "max_tokens")


async def test_a_prompt_that_fails_later_ends_the_stream_of_all() -> None:
    family = Family([burst("a"), FOREVER], [burst("b"), RayError(SECRET)])
    found = [
        data for _, data in events((await posted(family, prompt=["x", "y"], stream=True)).text)
    ]
    assert found[-2]["error"]["code"] == "internal_error"
    assert found[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
async def test_thousands_of_prompts_are_worked_on_some_at_a_time(stream: bool) -> None:
    answer: Any = [burst("a", finish="stop")] if stream else generated("a")
    family = Family(*[answer] * 2048)
    response = await posted(family, prompt=["x"] * 2048, max_tokens=1, stream=stream)
    assert response.status_code == 200, response.text
    assert len(family.asked) == 2048
    if not stream:
        assert [choice["index"] for choice in response.json()["choices"]] == list(range(2048))
    waiting = Family(*[[FOREVER] if stream else FOREVER] * 2048)
    application = house.app({"generation": waiting})
    body = {"prompt": ["x"] * 100, "max_tokens": 1, "stream": stream}
    connection = house.Connection(application, PATH, body)
    await happens(waiting.began)
    connection.done.cancel()
    await happens(waiting.stopped)
    assert len(waiting.asked) <= PROMPTS_AT_A_TIME


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("prompt", {"prompt": ["x"] * 2049}),
        ("max_tokens", {"prompt": ["x"] * 2048, "max_tokens": 513}),
        ("max_tokens", {"prompt": ["x"] * 2048, "max_tokens": 33, "logprobs": 0}),
        ("max_tokens", {"prompt": ["x"] * 2048, "max_tokens": 33, "n": 16}),
    ],
)
async def test_what_a_list_of_prompts_asks_for_is_bounded(field: str, body: Any) -> None:
    response = await posted(Family(), **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


async def test_token_ids_are_one_prompt_and_lists_of_them_several() -> None:
    (one,) = await reaching(prompt=[5, 6, 7])
    assert (one.prompt, one.prompt_ids) == (None, (5, 6, 7))
    (alone,) = await reaching(prompt=[5], stream=True)
    assert alone.prompt_ids == (5,)
    several = await reaching(prompt=[[5], [6, 7]])
    assert [request.prompt_ids for request in several] == [(5,), (6, 7)]
    texts = await reaching(prompt=["a", "b"])
    assert [(request.prompt, request.prompt_ids) for request in texts] == [("a", None), ("b", None)]


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        (7, ["prompt"]),
        ([], ["prompt"]),
        (["a", 7], ["prompt.1"]),
        ([1, "a"], ["prompt.1"]),
        ([[1], ["a"]], ["prompt.1.0"]),
        ([[1], "a"], ["prompt.1"]),
    ],
)
async def test_of_a_wrong_prompt_only_what_was_meant_is_complained_about(
    prompt: Any, named: list[str]
) -> None:
    message = (await posted(Family(), prompt=prompt)).json()["error"]["message"]
    assert [each.partition(":")[0] for each in message.split("; ")] == named


@pytest.mark.parametrize("prompt", [[], [[]], [-1], [1, "a"], [1.5], [[1], "a"], [True]])
async def test_a_prompt_that_is_neither_text_nor_tokens_is_named(prompt: Any) -> None:
    response = await posted(Family(), prompt=prompt)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("prompt")
