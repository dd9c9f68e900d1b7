"""Completions: prompts of their own, sixteen tokens by default, OpenAI's older shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from ray.exceptions import RayError

from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    Grammar,
    PromptLogprobs,
    Sampling,
    Token,
    TokenChunk,
    TokenLogprob,
)
from deployments.seam.problems import Problem
from serve_app.ingress.routes.openai.completions import PROMPTS_AT_A_TIME
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, WINDOW, burst, events, generated
from tests.serve_app.local_handle import FOREVER, Family, happens

PATH = "/v1/completions"
USAGE = {"include_usage": True}
SECRET = "/home/inside/model.py line 7"
LOGPROBS = (
    TokenLogprob("ab", -0.5, b"ab", (("x", -1.0, b"x"),)),
    TokenLogprob("c", -0.25, b"c"),
)


async def posted(family: Family, **body: Any) -> httpx.Response:
    application = house.app({"generation": family})
    return await house.post(application, PATH, {"prompt": "Hi", **body})


async def reaching(**body: Any) -> list[GenerationRequest]:
    """The requests that reach the family."""
    whole: list[Any] = [[burst("a", finish="stop")]] if body.get("stream") else [generated("a")] * 3
    family = Family(*whole)
    response = await posted(family, **body)
    assert response.status_code == 200, response.text
    return family.asked


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_said_is_as_openai_says(stream: bool) -> None:
    (request,) = await reaching(stream=stream)
    assert request.sampling == Sampling(seed=request.sampling.seed)
    assert (request.max_new_tokens, request.max_length) == (16, None)
    assert (request.prompt, request.messages, request.choices) == ("Hi", None, 1)


async def test_what_is_said_is_what_reaches_the_model() -> None:
    given = {"temperature": 0.5, "top_p": 0.25, "seed": 3, "max_tokens": 4, "n": 2, "stop": ["x"]}
    (request,) = await reaching(model=FULL, logprobs=2, **given)
    assert request.sampling == Sampling(0.5, 0.25, logprobs=True, top_logprobs=2, seed=3)
    assert (request.max_new_tokens, request.choices, request.stop) == (4, 2, ("x",))


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


async def test_an_engine_without_alternatives_names_a_model_that_has_them() -> None:
    response = await posted(Family(), model=FAST, logprobs=2)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "logprobs")
    assert FULL in response.json()["error"]["message"]


async def test_the_chosen_tokens_own_probability_needs_no_alternatives() -> None:
    (request,) = await reaching(model=FAST, logprobs=0)
    assert (request.sampling.logprobs, request.sampling.top_logprobs) == (True, 0)


async def test_a_bound_beyond_the_window_is_named() -> None:
    response = await posted(Family(), max_tokens=WINDOW + 1)
    assert response.json()["error"]["param"] == "max_tokens"


async def test_log_probabilities_have_the_older_shape_with_offsets() -> None:
    answer = GenerationResult(3, (GeneratedSequence("abc", "stop", 2, LOGPROBS),))
    response = await posted(Family(answer), model=FULL, logprobs=1)
    assert response.json()["choices"][0]["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"x": -1.0, "ab": -0.5}, {"c": -0.25}],
        "text_offset": [0, 2],
    }


async def test_offsets_go_on_through_a_stream() -> None:
    tokens = (Token(0, 0, 1, "ab", None, LOGPROBS[0]), Token(0, 1, 2, "c", "stop", LOGPROBS[1]))
    family = Family([TokenChunk(3, tokens)])
    response = await posted(family, model=FULL, logprobs=1, stream=True)
    chunks = [data["choices"][0] for _, data in events(response.text) if data != "[DONE]"]
    assert [chunk["logprobs"]["text_offset"] for chunk in chunks] == [[0], [2]]


PARTS = [b" \xf0\x9f", b"\x99\x82", b"<|mark|>", b"a\xc3", b"\xa9", b"!", b"\xff", b"end", b"e"]
SPELT = " 🙂aé!\ufffd"
OFFSETS = [0, 1, 2, 2, 3, 4, 5, 6, 6]


def spelt(raw: bytes) -> TokenLogprob:
    return TokenLogprob(raw.decode(errors="replace"), -0.5, raw)


async def test_offsets_index_the_text_where_characters_have_several_tokens() -> None:
    """Marks have no text, and neither has the stop string that ended it."""
    special = tuple(raw.startswith(b"<|") for raw in PARTS)
    choice = GeneratedSequence(SPELT, "stop", len(PARTS), tuple(map(spelt, PARTS)), "ende", special)
    response = await posted(Family(GenerationResult(3, (choice,))), model=FULL, logprobs=0)
    answer = response.json()["choices"][0]
    assert answer["logprobs"]["text_offset"] == OFFSETS
    assert SPELT[OFFSETS[0] :].startswith(" 🙂")
    assert SPELT[OFFSETS[3] :].startswith("aé")


async def test_offsets_index_the_text_in_a_stream_too() -> None:
    texts = [" ", "🙂", "", "a", "é", "!", "\ufffd"]
    tokens = tuple(
        Token(0, at, at, text, None, spelt(raw), special=raw.startswith(b"<|"))
        for at, (text, raw) in enumerate(zip(texts, PARTS, strict=False))
    )
    last = Token(0, len(tokens), 2, "", "stop", spelt(b"<|end|>"), special=True)
    family = Family([TokenChunk(3, tokens), TokenChunk(3, (last,))])
    response = await posted(family, model=FULL, logprobs=0, stream=True)
    chunks = [data["choices"][0] for _, data in events(response.text) if data != "[DONE]"]
    found = [offset for chunk in chunks for offset in chunk["logprobs"]["text_offset"]]
    assert found == [*OFFSETS[:7], 6]
    assert "".join(chunk["text"] for chunk in chunks) == SPELT


async def test_a_stream_is_pieces_of_text_and_then_done() -> None:
    family = Family([burst("a", ""), burst("b", at=2, finish="stop")])
    found = [data for _, data in events((await posted(family, stream=True)).text)]
    assert found[-1] == "[DONE]"
    choices = [chunk["choices"][0] for chunk in found[:-1]]
    assert [(choice["text"], choice["finish_reason"]) for choice in choices] == [
        ("a", None),
        ("b", "stop"),
    ]


async def test_a_stream_that_breaks_says_so_in_openais_envelope_and_is_done() -> None:
    family = Family([burst("a"), RayError(SECRET)])
    found = [data for _, data in events((await posted(family, stream=True)).text)]
    assert found[-1] == "[DONE]"
    assert found[-2]["error"]["code"] == "internal_error"
    assert SECRET not in str(found)


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


async def test_stream_options_without_a_stream_are_named() -> None:
    response = await posted(Family(), stream_options={"include_usage": True})
    assert response.json()["error"]["param"] == "stream_options"


NEUTRAL: dict[str, Any] = {
    "ignore_eos": False,
    "min_tokens": 0,
    "min_p": 0,
    "top_k": -1,
    "stop": "",
    "echo": False,
    "truncate_prompt_tokens": None,
    "structured_outputs": None,
    "guided_json": None,
}
"""Fields that do something at other values. The compatibility table's test has the rest."""


async def test_values_that_ask_for_nothing_have_no_effect() -> None:
    (plain,) = await reaching(seed=1)
    for field, value in NEUTRAL.items():
        (request,) = await reaching(seed=1, **{field: value})
        assert replace(request, request_id=plain.request_id) == plain, field


async def test_fields_of_other_servers_reach_the_model() -> None:
    (request,) = await reaching(min_p=0.25, min_tokens=3, ignore_eos=True, max_tokens=9)
    assert (request.sampling.min_p, request.min_new_tokens, request.ignore_eos) == (0.25, 3, True)
    (request,) = await reaching(truncate_prompt_tokens=7)
    assert (request.keep_last, request.truncate) == (7, False)
    (request,) = await reaching(truncate_prompt_tokens=-1)
    assert (request.keep_last, request.truncate) == (None, True)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("min_tokens", {"min_tokens": 17}),
        ("min_p", {"min_p": 1.5}),
        ("truncate_prompt_tokens", {"truncate_prompt_tokens": 0}),
        ("truncate_prompt_tokens", {"truncate_prompt_tokens": -2}),
        ("best_of", {"best_of": 2}),
        ("guided_regex", {"guided_regex": "a", "model": FAST}),
        ("structured_outputs.json", {"structured_outputs": {"json": {}}, "model": FAST}),
        ("guided_regex", {"guided_json": {}, "guided_regex": "a"}),
        ("guided_json", {"guided_json": "no schema", "model": FULL}),
        ("guided_grammar", {"guided_grammar": "root ::= x", "model": FULL}),
        ("guided_choice", {"guided_choice": ["x" * 1000] * 33, "model": FULL}),
        ("guided_regex", {"guided_regex": "x" * 33_000, "model": FULL}),
    ],
)
async def test_what_cannot_be_meant_is_named(field: str, fields: dict[str, Any]) -> None:
    response = await posted(Family(), **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("given", "grammar"),
    [
        ({"guided_json": SCHEMA}, Grammar("json_schema", '{"type":"object"}')),
        ({"guided_json": '{"type": "object"}'}, Grammar("json_schema", '{"type": "object"}')),
        ({"guided_regex": "a+"}, Grammar("regex", "a+")),
        ({"guided_choice": ["a b", "c.d\n"]}, Grammar("regex", "(a b|c\\.d\n)")),
        (
            {"structured_outputs": {"json": SCHEMA}},
            Grammar("json_schema", '{"type":"object"}'),
        ),
        ({"structured_outputs": {"regex": "a+"}}, Grammar("regex", "a+")),
        ({"structured_outputs": {"choice": ["x", "y"]}}, Grammar("regex", "(x|y)")),
        ({"structured_outputs": {"json_object": True}}, Grammar("json")),
    ],
)
async def test_vllms_constraints_are_grammars(given: dict[str, Any], grammar: Grammar) -> None:
    (request,) = await reaching(model=FULL, **given)
    assert request.grammar == grammar


async def test_a_constraint_that_the_model_side_refuses_has_its_own_name() -> None:
    family = Family(Problem("validation", "it is too complex", "grammar"))
    response = await posted(family, model=FULL, structured_outputs={"regex": "a{9999}"})
    assert response.json()["error"]["param"] == "structured_outputs.regex"


async def test_usage_may_be_in_every_chunk() -> None:
    family = Family([burst("a", "b"), burst("c", at=2, finish="stop")])
    options = {"include_usage": True, "continuous_usage_stats": True}
    response = await posted(family, stream=True, stream_options=options)
    found = [data for _, data in events(response.text)][:-1]
    assert [chunk["usage"]["completion_tokens"] for chunk in found] == [1, 2, 3, 3]
    assert [chunk["usage"]["total_tokens"] for chunk in found] == [4, 5, 6, 6]
    assert [len(chunk["choices"]) for chunk in found] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("suffix", "end"), ("best_of", 2), ("logprobs", 6), ("max_tokens", 0)],
)
async def test_what_is_not_served_is_named(field: str, value: Any) -> None:
    response = await posted(Family(), **{field: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == field


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
