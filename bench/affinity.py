"""The second turn of a conversation with three replicas: ``python -m bench.affinity``.

A conversation begins with a message of about 1,000 tokens, and has a second turn. The figure is the
time to first token of the second turn divided by that of the first: small where the replica that
read the message gets the second turn too. Compared are the router of the families and Serve's
default router, over the same three replicas, each with one thread and an engine of its own. A graph
is started for each. A chat of one word shows what a turn takes that reads almost nothing. The last
column is the share of second turns that took less than half of the time of the first.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import httpx
import yaml

from bench.neighbours import watched
from bench.pairs import machine, table, tell
from bench.peers.running import Server, end_on_sigterm
from bench.peers.servers import ours
from bench.peers.weights import CHAT
from configs.routers import ROUTER_CLASS, ROUTER_OPTION

SERVES_OWN = "ray.serve._private.request_router:PowerOfTwoChoicesRequestRouter"
ROUTERS = {"ours": ROUTER_CLASS, "serve": SERVES_OWN}
REPLICAS = 3
WORDS = 970
"""Some 1,000 tokens of SmolLM2."""

VOCABULARY = (
    "river",
    "old",
    "house",
    "children",
    "stones",
    "bread",
    "market",
    "quiet",
    "day",
    "town",
)


def with_replicas(place: Path, router: str) -> Server:
    """This service with text generation alone, on three replicas behind ``router``."""
    server = ours(["generation"], place, "Q4_1")
    file = place / "profile.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content.setdefault("settings", {})["threads"] = 1
    (family,) = content["families"]
    family["options"]["autoscaling_config"] |= {"min_replicas": REPLICAS, "max_replicas": REPLICAS}
    family["options"][ROUTER_OPTION] = {"request_router_class": router}
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return server


def conversation(client: httpx.Client, seed: int) -> tuple[float, float, float]:
    """The seconds to the first token: both turns of a new conversation, and a chat of one word."""
    words = random.Random(seed).choices(VOCABULARY, k=WORDS)
    messages = [{"role": "user", "content": " ".join(words)}]
    first, answer = turn(client, messages)
    messages += [
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "And what comes after that?"},
    ]
    second, _ = turn(client, messages)
    short, _ = turn(client, [{"role": "user", "content": f"Hello{seed}"}])
    return first, second, short


def turn(client: httpx.Client, messages: list[dict[str, str]]) -> tuple[float, str]:
    """The seconds to the first token, and the text of the answer."""
    body = {"model": CHAT, "messages": messages, "max_tokens": 16, "temperature": 0, "stream": True}
    began, first, text = time.monotonic(), 0.0, ""
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith("data: {"):
                first = first or time.monotonic()  # the answer begins with its first token
                text += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
    return first - began, text


def measured(router: str, conversations: int) -> list[tuple[float, float, float]]:
    """The seconds of each conversation, over a graph that is started for them."""
    with (
        TemporaryDirectory(prefix="bench-affinity-") as place,
        with_replicas(Path(place), router).running() as server,
        httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client,
    ):
        conversation(client, conversations)  # to warm up
        found = []
        for seed in range(conversations):
            found.append(conversation(client, seed))
            tell("first turn {:.2f} s, second {:.2f} s, one word {:.2f} s".format(*found[-1]))
    return found


def row(name: str, seconds: list[tuple[float, float, float]]) -> list[str]:
    ratios = [second / first for first, second, _ in seconds]
    milliseconds = [f"{median(each) * 1e3:.0f}" for each in zip(*seconds, strict=True)]
    found = sum(ratio < 0.5 for ratio in ratios) / len(ratios)
    return [
        name,
        *milliseconds,
        f"**{median(ratios):.3f}**",
        f"{min(ratios):.3f} to {max(ratios):.3f}",
        f"{found:.0%}",
    ]


@click.command()
@click.option("--conversations", default=6, show_default=True, type=click.IntRange(2, 100))
@click.option("--router", "names", multiple=True, type=click.Choice(list(ROUTERS)))
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(conversations: int, names: tuple[str, ...], file: Path | None) -> None:
    """Time to first token, second turn / first turn, with three replicas; below 1 is better.

    Both routers are measured unless ``--router`` names one.
    """
    end_on_sigterm()
    figures: dict[str, Any] = {}
    with watched() as neighbours:
        for name in names or ROUTERS:
            tell(f"router: {name}")
            figures[name] = measured(ROUTERS[name], conversations)
    click.echo(f"{machine()}. {neighbours}\n")
    titles = ["router", "first turn, ms", "second turn, ms", "one word, ms", "second / first"]
    rows = [row(name, seconds) for name, seconds in figures.items()]
    click.echo(table([*titles, "spread", "found"], rows))
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
