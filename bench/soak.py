"""Whether a graph that has worked for long takes more than before: ``python -m bench.soak``.

Mixed requests, some of which are cancelled and some refused, and three in a hundred of which
generate up to 16 tokens. Between the parts of the run nothing is asked, and the graph is looked at:
memory that no other process shares, descriptors and threads of every process, and the slots and the
KV cache in use. The command fails if something grew (see :class:`bench.parts_watch.Growth`), if a
request got no answer or a 5xx, or if a slot is in use while nobody asks.
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import httpx

from bench.chaos.graph import BrokenGraph, running
from bench.neighbours import watched
from bench.pairs import machine, table, tell
from bench.parts_watch import Growth, PartUse, growths, quarters, uses
from bench.peers.running import end_on_sigterm
from bench.peers.weights import CHAT, CHAT_FLOAT32, VECTORS

NATIVE = "/api/v1/huggingface"
LOOKS = 24
CLIENTS = 16
REST_S = 3.0
REST_LIMIT_S = 60.0
GENERATING = 0.03
CANCELLED = 0.05
REFUSED = 0.02
IN_USE = re.compile(r"^prsm_huggingface_(slots_in_use|kv_cache_usage_ratio)\{[^}]*\} (\S+)", re.M)
SHORT, LONG = 8, 40
"""The most words of a text, and of one of ten texts. It is the number of requests that wears a
server out; long texts would only take longer."""
WORDS = ("sea", "bicycle", "winter", "bread", "moon", "house", "music", "rain", "train", "coffee")
KV_TOLERANCE = 0.05
KV_CACHE_GB = 0.25
"""Of each engine. A prefix cache takes memory until it is full, which is to be in the first quarter
of the run."""
LOST = "lost: "
"""Before the error of a request that got no answer."""
TITLES = ["part", "MiB", "", "descriptors", "", "threads", "", "flat"]


@dataclass
class SoakRun:
    """What was asked so far, and what was seen while nothing was."""

    answers: Counter[str] = field(default_factory=Counter)
    looks: list[dict[str, PartUse]] = field(default_factory=list)
    slots_in_use: list[float] = field(default_factory=list)
    kv_usage: list[float] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a request got no answer or a 5xx, or a slot was in use while nobody asked."""
        lost = any(name.startswith(("5", LOST)) for name in self.answers)
        return lost or max(self.slots_in_use) > 0


async def ask(client: httpx.AsyncClient, source: random.Random, run: SoakRun) -> None:
    """One request of the mix, whose client leaves after a moment in some cases."""
    path, body = chosen(source)
    patience = source.uniform(0.0, 0.15) if source.random() < CANCELLED else None
    try:
        async with asyncio.timeout(patience):
            answer = await client.post(path, json=body)
        run.answers[str(answer.status_code)] += 1
    except TimeoutError:
        run.answers["cancelled"] += 1
    except httpx.TransportError as error:
        run.answers[f"{LOST}{type(error).__name__}"] += 1


def chosen(source: random.Random) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request."""
    most = LONG if source.random() < 0.1 else SHORT
    text = " ".join(source.choices(WORDS, k=source.randint(1, most)))
    kind = source.random()
    if kind < GENERATING:
        tokens, model = source.randrange(1, 17), source.choice((CHAT, CHAT_FLOAT32))
        if source.random() < 0.5:
            stream = f"{NATIVE}/generate/stream"
            return stream, {"prompt": text, "model_name": model, "max_new_tokens": tokens}
        messages = [{"role": "user", "content": text}]
        stops = {"stop": [source.choice(WORDS)], "seed": source.randrange(100)}
        body = {"model": model, "messages": messages, "max_tokens": tokens, "n": 2}
        return "/v1/chat/completions", body | stops
    if kind < GENERATING + REFUSED:
        return f"{NATIVE}/classify", {"texts": text, "nonsense": text}
    if kind < 0.5:
        return f"{NATIVE}/classify", {"texts": [text] * source.randrange(1, 5)}
    if kind < 0.6:
        return f"{NATIVE}/similarity", {"text1": text, "text2": "a share"}
    return "/v1/embeddings", {"input": [text] * source.randrange(1, 5), "model": VECTORS}


async def worked(graph: BrokenGraph, requests: int, run: SoakRun) -> None:
    """All requests, in parts, and a look at the graph after each part."""
    source = random.Random(7)
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(
        base_url=graph.url, timeout=300, limits=limits, trust_env=False
    ) as client:
        for number in range(LOOKS):
            room = asyncio.Semaphore(CLIENTS)

            async def one(room: asyncio.Semaphore = room) -> None:
                async with room:
                    await ask(client, source, run)

            await asyncio.gather(*(one() for _ in range(requests // LOOKS)))
            await rested(client, run)
            run.looks.append(await asyncio.to_thread(uses, graph.launcher))
            total = sum(use.memory_mib for use in run.looks[-1].values())
            tell(f"{number + 1} of {LOOKS}: {total:,.0f} MiB, {dict(run.answers)}")


async def rested(client: httpx.AsyncClient, run: SoakRun) -> None:
    """Wait until no slot is in use, for so long at most, and note what is."""
    loop = asyncio.get_running_loop()
    until = loop.time() + REST_LIMIT_S
    while True:
        await asyncio.sleep(REST_S)
        found = IN_USE.findall((await client.get("/metrics")).text)
        slots = sum(float(value) for name, value in found if name == "slots_in_use")
        if not slots or loop.time() > until:
            break
    run.slots_in_use.append(slots)
    run.kv_usage.append(max(float(v) for name, v in found if name == "kv_cache_usage_ratio"))


def rows(found: list[Growth]) -> list[list[str]]:
    """A row for each part: the second quarter's median and the last one's of each figure."""
    by_part: dict[str, list[Growth]] = {}
    for each in found:
        by_part.setdefault(each.part, []).append(each)
    return [
        [
            part,
            *(f"{value:,.0f}" for each in figures for value in (each.before, each.after)),
            "yes" if all(each.is_flat for each in figures) else "**no**",
        ]
        for part, figures in by_part.items()
    ]


@click.command()
@click.option("--requests", default=50_000, show_default=True, type=click.IntRange(240, 1_000_000))
def main(requests: int) -> None:
    """Memory, descriptors and threads of every part, early and late in a run of many requests."""
    end_on_sigterm()
    run = SoakRun()
    families = ("generation", "classification", "embeddings")
    with (
        TemporaryDirectory(prefix="bench-soak-") as place,
        running(Path(place), families, kv_cache_gb=KV_CACHE_GB) as graph,
        watched() as neighbours,
    ):
        asyncio.run(worked(graph, requests, run))
    found = growths(run.looks)
    click.echo(f"{machine()}. {neighbours}\n")
    click.echo(table(TITLES, rows(found)))
    click.echo(f"\nanswers: {dict(run.answers)}")
    click.echo(f"slots in use while nobody asked: {max(run.slots_in_use):g} at the most")
    before, after = quarters(run.kv_usage)
    click.echo(f"KV cache in use while nobody asked: {before:.3f} early, {after:.3f} late")
    grew = after - before > KV_TOLERANCE or not all(each.is_flat for each in found)
    sys.exit(run.failed or grew)


if __name__ == "__main__":
    main()
