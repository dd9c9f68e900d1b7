"""Three replicas of a family over HTTP: sessions stay, models load once, a lost replica is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from bench.streams import graph
from tests.e2e.conftest import wait_until

NATIVE = "/api/v1/huggingface"
PINNED, OTHER = "named/pinned", "named/other"
REPLICAS = 3
REPORTED_S = 30.0
"""Until every router knows what replicas loaded; a few seconds on an idle machine."""


def profile(folder: Path) -> Path:
    model = {
        "tasks": ["generate", "chat"],
        "engine": "openvino",  # not what answers, only what need not be imported
        "window": 1000,
        "source": {"package": "configs.shapes", "path": "captions"},
    }
    routes = ("generation", "openai.chat")
    family = {
        "name": "generation",
        "deployment": "tests.long.named_generation:NamedGeneration",
        "routers": [f"serve_app.ingress.routes.{name}:router" for name in routes],
        "options": {"num_replicas": REPLICAS, "ray_actor_options": {"num_cpus": 0.1}},
        "models": [{"name": PINNED, "pinned": True, **model}, {"name": OTHER, **model}],
    }
    file = folder / "profile.yaml"
    file.write_text(yaml.safe_dump({"name": "named", "families": [family]}), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    started = graph(profile=profile(tmp_path_factory.mktemp("named")))
    with (
        started.running() as server,
        httpx.Client(base_url=server.url, timeout=60, trust_env=False) as opened,
    ):
        yield opened


def answered_by(client: httpx.Client, messages: list[dict[str, str]], **more: Any) -> int:
    """The process that answers a chat."""
    headers = more.pop("headers", {})
    body = {"model": PINNED, "messages": messages, "max_tokens": 1, **more}
    answer = client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["choices"][0]["message"]["content"])


def chat(topic: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Tell me about {topic}."}]


def holders(client: httpx.Client, model: str) -> int:
    """The number of replicas that have ``model`` in memory."""
    usage = client.get(f"{NATIVE}/models/loaded").json()["memory_usage"]
    return len([each for each in usage["replicas"] if each["model"] == model])


def test_the_next_turn_of_a_chat_goes_to_the_replica_that_answered_the_first(
    client: httpx.Client,
) -> None:
    used = set()
    for number in range(20):
        messages = chat(f"the number {number}")
        first = answered_by(client, messages)
        messages += [{"role": "assistant", "content": "It is odd."}, *chat("the next one")]
        assert answered_by(client, messages) == first
        used.add(first)
    assert len(used) == REPLICAS


def test_a_session_of_the_client_stays_with_its_replica_whatever_it_says(
    client: httpx.Client,
) -> None:
    used = {
        answered_by(client, chat(f"the day {day}"), headers={"x-session-id": "s-1"})
        for day in range(8)
    }
    assert len(used) == 1


def test_a_model_on_demand_is_loaded_by_one_replica(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        chats = [chat(f"the letter {letter}") for letter in "abcdefghijklmnop"]
        used = set(threads.map(lambda each: answered_by(client, each, model=OTHER), chats))
    assert len(used) == 1
    assert holders(client, OTHER) == 1


def test_orders_reach_every_replica_and_calls_follow_them(client: httpx.Client) -> None:
    def used() -> set[int]:
        return {answered_by(client, chat(f"the city {n}"), model=OTHER) for n in range(12)}

    assert client.post(f"{NATIVE}/models/{OTHER}").status_code == 200
    assert holders(client, OTHER) == REPLICAS
    wait_until(lambda: len(used()) > 1, REPORTED_S)
    assert client.delete(f"{NATIVE}/models/{OTHER}").status_code == 200
    assert holders(client, OTHER) == 0


def test_a_stream_and_its_session_move_when_the_replica_is_killed(client: httpx.Client) -> None:
    asked = {"prompt": "Once upon a time", "max_new_tokens": 60, "model_name": PINNED}
    headers = {"x-session-id": "s-2"}
    tokens: list[tuple[int, int]] = []
    path = f"{NATIVE}/generate/stream"
    with client.stream("POST", path, json=asked, headers=headers) as response:
        for line in response.iter_lines():
            if line.startswith("data: ") and "sequence_index" in line:
                token = json.loads(line[6:])
                tokens.append((token["sequence_index"], int(token["text_delta"])))
                if len(tokens) == 5:
                    psutil.Process(tokens[0][1]).kill()
    assert [index for index, _ in tokens] == list(range(60))
    first, last = tokens[0][1], tokens[-1][1]
    assert first != last
    assert answered_by(client, chat("the sea"), headers=headers) != first
