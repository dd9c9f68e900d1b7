"""No stranger stops the others: beside each trick liveness and a chat of one token are answered.

It prints how long each took at most, and what the trick was answered. It fails where they took far
longer than without tricks in the same session, each time that it was tried, or where a trick was
answered as if it were none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from bench.real_time import before_others
from tests.e2e.conftest import Graph
from tests.long.beside import PAUSE_S, Beside, liveness
from tests.long.stranger_tricks import tricks
from tests.long.strangers import CHAT, HI, Trick, send

TRIES = 3
QUIET_S = 8.0
LIVENESS_S, CHAT_S = 0.25, 2.0
"""What was promised; asserted is that plus ten times what it takes when nothing else is sent."""

SLACK = 10
NEVER = {"500", "502"}


def _chat(client: httpx.Client) -> httpx.Response:
    body = {"messages": HI, "max_tokens": 1, "temperature": 0}
    for _ in range(20):
        answer = client.post(CHAT, json=body)
        if answer.status_code != 429:  # a fair refusal at once, which says when to come again
            return answer
        time.sleep(PAUSE_S)
    return answer


@pytest.fixture(scope="module")
def others(graph: Graph) -> Iterator[tuple[Beside, Beside]]:
    with before_others(), ExitStack() as stack:
        yield (
            stack.enter_context(Beside(liveness, graph.url)),
            stack.enter_context(Beside(_chat, graph.url)),
        )


def tried(graph: Graph, trick: Trick) -> list[str]:
    with ThreadPoolExecutor(trick.clients) as clients:
        return sorted(set(clients.map(lambda _: send(graph.url, trick), range(trick.clients))))


def test_no_trick_stops_the_others(graph: Graph, others: tuple[Beside, Beside]) -> None:
    liveness, chat = others
    time.sleep(2)
    for each in others:
        each.taken()
    time.sleep(QUIET_S)
    quiet = liveness.taken(), chat.taken()
    bounds = LIVENESS_S + SLACK * quiet[0], CHAT_S + SLACK * quiet[1]
    told = [f"{'undisturbed':42} {quiet[0]:6.3f} s {quiet[1]:6.3f} s"]
    faults: list[str] = []
    for trick in tricks():
        for _ in range(TRIES):
            answers = tried(graph, trick)
            took = liveness.taken(), chat.taken()
            if took[0] < bounds[0] and took[1] < bounds[1]:
                break
            time.sleep(1)
        line = f"{trick.name:42} {took[0]:6.3f} s {took[1]:6.3f} s {' '.join(answers)}"
        told.append(line)
        sys.stdout.write(f"{line}\n")
        if took[0] >= bounds[0] or took[1] >= bounds[1] or NEVER & set(answers):
            faults.append(line)
    sys.stdout.write("\n".join(["trick, liveness and chat at most, answers", *told, ""]))
    assert faults == [], f"bounds: {bounds}"


def test_everybody_gets_their_own_answer(graph: Graph) -> None:
    """Also behind requests that two parsers could cut at different places."""
    framing = [trick for trick in tricks() if trick.name.startswith("framing")]
    with httpx.Client(base_url=graph.url) as client:
        for number, trick in enumerate(framing):
            send(graph.url, trick)
            for turn in range(5):
                name = f"own-{number}-{turn}"
                answer = client.get("/health/liveness", headers={"x-request-id": name})
                assert answer.headers["x-request-id"] == name, trick.name
                assert answer.json() == {"status": "alive"}, trick.name
