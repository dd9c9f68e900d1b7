"""A request that asks for its timeline gets it with the answer, and no other request does."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.problems import Problem
from deployments.seam.timings import CallTiming, Stage
from serve_app.ingress.metering.timeline import MAX_BYTES, Timeline
from tests.serve_app import house
from tests.serve_app.house import FAST, NATIVE, burst, generated
from tests.serve_app.local_handle import Family

ASKED = {"x-timeline": "1"}
CLASSIFY, GENERATE = f"{NATIVE}/classify", f"{NATIVE}/generate"
MOOD = ClassificationResult(((LabelScore("POSITIVE", 0.9),),), (7,))
PART = re.compile(r"(?P<name>\w+)(?P<parameters>(?:;\w+=(?:\"[^\"]*\"|[^,;\"]+))*)(?:, |$)")


def parts(header: str) -> list[tuple[str, dict[str, str]]]:
    """Names and parameters, as a browser reads them."""
    found = []
    for match in PART.finditer(header):
        pairs = re.findall(r";(\w+)=(\"[^\"]*\"|[^,;\"]+)", match["parameters"])
        found.append((match["name"], {name: value.strip('"') for name, value in pairs}))
    return found


def mood(*answers: Any) -> Any:
    return house.app({"classification": Family(*answers)})


async def test_an_answer_has_its_stages_in_a_header() -> None:
    response = await house.post(mood(MOOD), CLASSIFY, {"texts": "fine"}, **ASKED)
    assert response.json()["sentiment"] == "POSITIVE"
    found = parts(response.headers["server-timing"])
    assert [name for name, _ in found] == ["total", "call", "queue", "forward"]
    forward = found[3][1]
    assert (forward["dur"], forward["items"], forward["requests"]) == ("0.50", "5", "2")
    assert (forward["call"], forward["desc"]) == ("1", "house/mood")
    assert float(found[0][1]["dur"]) >= float(found[1][1]["dur"]) > 0


@pytest.mark.parametrize("headers", [{}, {"x-timeline": "0"}, {"x-timeline": ""}])
async def test_who_does_not_ask_gets_none(headers: dict[str, str]) -> None:
    response = await house.post(mood(MOOD), CLASSIFY, {"texts": "fine"}, **headers)
    assert response.status_code == 200
    assert "server-timing" not in response.headers


async def test_a_stream_has_it_in_its_last_line_which_clients_pass_over() -> None:
    family = Family([burst("there", finish="stop")], [burst("there", finish="stop")])
    application = house.app({"generation": family})
    body = {"model": FAST, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    asked = await house.post(application, "/v1/chat/completions", body, **ASKED)
    plain = await house.post(application, "/v1/chat/completions", body)
    assert "server-timing" not in asked.headers
    before, _, comment = asked.text.rpartition(": timeline ")
    assert comment.endswith("\n\n")
    assert [name for name, _ in parts(comment.strip())] == ["total", "call", "queue", "forward"]
    assert before.endswith("data: [DONE]\n\n")
    assert len(house.events(asked.text)) == len(house.events(plain.text))
    assert "timeline" not in plain.text


async def test_a_native_stream_has_it_too() -> None:
    application = house.app({"generation": Family([burst("a"), burst("b", at=1, finish="stop")])})
    response = await house.post(application, f"{GENERATE}/stream", {"prompt": "Hi"}, **ASKED)
    assert [name for name, _ in house.events(response.text)] == ["token", "token", "result"]
    assert ": timeline total;dur=" in response.text.rpartition("event: result")[2]


async def test_a_whole_text_is_timed_and_counted_as_ever() -> None:
    application = house.app({"generation": Family(generated("there"))})
    response = await house.post(application, GENERATE, {"prompt": "Hi"}, **ASKED)
    assert response.json()["generated_text"] == "there"
    assert "queue;" in response.headers["server-timing"]
    metrics = (await house.get(application, "/metrics")).text
    assert f'tokens_in_total{{model_name="{FAST}",task="generate"}} 3.0' in metrics


async def test_a_graph_has_the_stages_of_each_of_its_calls() -> None:
    steps = [
        {"id": name, "task": "classify", "inputs": {"texts": "fine"}} for name in ("one", "two")
    ]
    response = await house.post(mood(MOOD, MOOD), f"{NATIVE}/graph", {"steps": steps}, **ASKED)
    found = parts(response.headers["server-timing"])
    calls = [parameters["call"] for name, parameters in found if name == "forward"]
    assert sorted(calls) == ["1", "2"]


async def test_an_error_has_the_time_that_it_took() -> None:
    application = mood(Problem("overloaded", "busy"))
    response = await house.post(application, CLASSIFY, {"texts": "fine"}, **ASKED)
    assert response.status_code == 429
    assert next(name for name, _ in parts(response.headers["server-timing"])) == "total"
    refused = await house.post(application, CLASSIFY, {}, **ASKED)
    assert refused.status_code == 400
    assert [name for name, _ in parts(refused.headers["server-timing"])] == ["total"]


async def test_other_routes_have_none() -> None:
    transport = httpx.ASGITransport(house.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        response = await client.get("/health", headers=ASKED)
    assert "server-timing" not in response.headers


def test_stages_lie_in_the_middle_of_their_call() -> None:
    now = 10.0
    timeline = Timeline(began=0.0, clock=lambda: now)
    timeline.call_ended("a/model", 4.0, CallTiming(2.0, (Stage("forward", 0.5, 1.0, 3, 2),)))
    found = dict(parts(timeline.server_timing().decode()))
    assert found["call"]["start"] == "4000.00"
    assert found["call"]["dur"] == "6000.00"
    assert found["forward"]["start"] == "6500.00"
    assert found["total"]["dur"] == "10000.00"


def test_a_long_timeline_is_cut_and_says_so() -> None:
    timeline = Timeline(began=0.0, clock=lambda: 1.0)
    stages = tuple(Stage("forward", 0.0, 0.1, 3, 2) for _ in range(16))
    for _ in range(32):
        timeline.call_ended("some/model", 0.0, CallTiming(0.5, stages, left_out=1))
    header = timeline.server_timing()
    assert len(header) < MAX_BYTES + 100
    *_, (name, last) = parts(header.decode())
    shown = header.count(b"dur=")
    assert name == "more"
    assert last["desc"] == f"{1 + 32 + 32 * 16 + 32 - shown} further parts"


def test_a_models_name_cannot_leave_its_quotes() -> None:
    timeline = Timeline(began=0.0, clock=lambda: 1.0)
    timeline.call_ended('a"; evil=1\\\r\n€', 0.0, CallTiming(0.5, ()))
    header = timeline.server_timing().decode("ascii")
    assert '\\"; evil' in header
    assert "\r" not in header
    assert "\n" not in header
