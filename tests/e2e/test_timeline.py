"""The timeline of a request, from the replicas that answered it."""

from __future__ import annotations

import re

import httpx

ASKED = {"X-Timeline": "1"}
NATIVE = "/api/v1/huggingface"
NAME = re.compile(r"(?:^|, )(\w+);")


def test_an_answer_says_where_its_time_went(client: httpx.Client) -> None:
    body = {"texts": ["fine", "bad"]}
    response = client.post(f"{NATIVE}/classify", json=body, headers=ASKED)
    header = response.headers["server-timing"]
    assert NAME.findall(header) == ["total", "call", "tokenize", "queue", "forward"]
    items = re.findall(r"forward;[^,]*;items=(\d+);requests=(\d+)", header)
    assert [int(items[0][0]) >= 2, int(items[0][1]) >= 1] == [True, True]
    times = dict(re.findall(r"(\w+);dur=([\d.]+)", header))
    assert float(times["total"]) >= float(times["call"]) >= float(times["forward"]) > 0


def test_a_stream_says_it_at_its_end(client: httpx.Client) -> None:
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 4,
        "stream": True,
    }
    text = client.post("/v1/chat/completions", json=body, headers=ASKED).text
    before, _, timeline = text.rpartition(": timeline ")
    assert before.endswith("data: [DONE]\n\n")
    assert NAME.findall(timeline) == ["total", "call", "tokenize", "queue", "prefill", "decode"]


def test_a_graph_says_it_of_every_call(client: httpx.Client) -> None:
    steps = [
        {"id": "mood", "task": "classify", "inputs": {"texts": "fine"}},
        {"id": "text", "task": "generate", "inputs": {"prompt": "Hi", "max_new_tokens": 2}},
    ]
    response = client.post(f"{NATIVE}/graph", json={"steps": steps}, headers=ASKED)
    names = NAME.findall(response.headers["server-timing"])
    assert names.count("call") == 2
    assert {"forward", "prefill", "decode"} <= set(names)
