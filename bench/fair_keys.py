"""How much a key that floods slows another key's requests: ``python -m bench.fair_keys``.

One key sends chats of 16 tokens, and then the sentiment of one text, by a client that pauses
between them. Beside it a second key sends exactly as much; then it floods the same model, by 4, 16
and 64 clients without a pause. Printed are the first key's latencies and their ratio to those
beside its equal: 1 is perfect fairness. Beside them stands what the flood pays: its answers a
second, and the ratio to those before the first key's client began. A second table shows where the
first key's requests spent their time. ``--long`` has the flood send long chats and lists of texts;
with ``--pause 1`` the first key sends only about one request a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean, median, quantiles
from tempfile import TemporaryDirectory

import aiohttp
import click

from bench.flood import LIMIT_S, Flood
from bench.heavy import NATIVE, Request
from bench.neighbours import watched
from bench.pairs import machine, table, tell
from bench.peers.running import Server, end_on_sigterm, free_port
from bench.server_timing import ASKED, disjoint_parts

SHOP, OTHER = "shop", "other"
FLOODS = (4, 16, 64)
PAUSE_S = 0.25
WARM_UP_S = 4.0
FLOOD_ALONE_S = 3.0


def chat(tokens: int) -> Request:
    messages = [{"role": "user", "content": "Write about a lighthouse."}]
    return Request("/v1/chat/completions", {"messages": messages, "max_tokens": tokens})


def sentiments(texts: int) -> Request:
    return Request(f"{NATIVE}/classify", {"texts": ["What a lovely day!"] * texts})


SMALL = {"chat of 16 tokens": chat(16), "sentiment of one text": sentiments(1)}
LONG = {"chat of 16 tokens": chat(256), "sentiment of one text": sentiments(64)}


@dataclass
class Taken:
    """What was measured beside one neighbour.

    ``parts`` are the seconds of each request by part. Of a flood: its answers a second, ``alone``
    and ``beside`` the first key's client.
    """

    latencies: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


class Clients:
    """The clients of both keys, and the refusals of their requests."""

    def __init__(self, url: str, session: aiohttp.ClientSession, pause: float) -> None:
        self._url = url
        self._session = session
        self._pause = pause
        self.refused: Counter[str] = Counter()

    async def ask(self, key: str, request: Request) -> tuple[float, str] | None:
        """The latency of one request and its timeline; ``None`` if it was refused.

        Raises when the answer is neither a 200 nor a 429, which floods may get.
        """
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {key}"} | (ASKED if key == SHOP else {})
        async with self._session.post(request.path, json=request.body, headers=headers) as answer:
            text = await answer.text()
            if answer.status == 429:
                self.refused[key] += 1
                return None
            if answer.status != 200:
                raise click.ClickException(f"{request.path}: {answer.status} {text[:300]}")
        return time.monotonic() - began, answer.headers.get("Server-Timing", "")

    async def pausing(self, key: str, kind: str, seconds: float) -> Taken:
        """One client that pauses between its small requests."""
        taken, until = Taken(), time.monotonic() + seconds
        while time.monotonic() < until:
            answer = await self.ask(key, SMALL[kind])
            if answer is not None:
                latency, timeline = answer
                taken.latencies.append(latency)
                taken.parts.append(disjoint_parts(timeline, latency))
            await asyncio.sleep(self._pause)
        return taken

    async def alone(self, kind: str, seconds: float) -> Taken:
        return await self.pausing(SHOP, kind, seconds)

    async def beside_equal(self, kind: str, seconds: float) -> Taken:
        taken, _ = await asyncio.gather(
            self.pausing(SHOP, kind, seconds), self.pausing(OTHER, kind, seconds)
        )
        return taken

    async def beside_flood(
        self, clients: int, kind: str, seconds: float, *, long: bool = False
    ) -> Taken:
        request, key = (LONG if long else SMALL)[kind], {"Authorization": f"Bearer {OTHER}"}
        with Flood(self._url, clients, request, key).running() as flood:
            await asyncio.sleep(WARM_UP_S)
            before, began = flood.answered, time.monotonic()
            await asyncio.sleep(FLOOD_ALONE_S)
            alone = flood.rate(before, began)
            before, began = flood.answered, time.monotonic()
            taken = await self.alone(kind, seconds)
            beside = flood.rate(before, began)
        self.refused[OTHER] += flood.refused
        taken.alone, taken.beside = [alone], [beside]
        return taken


async def measure(
    url: str,
    kinds: Sequence[str],
    floods: Sequence[int],
    seconds: float,
    rounds: int,
    pause: float,
    *,
    long: bool,
) -> tuple[dict[str, dict[str, Taken]], Counter[str]]:
    """What was measured by kind and by what the second key does; refusals by key."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    connector = aiohttp.TCPConnector(limit=0)
    found: dict[str, dict[str, Taken]] = {kind: defaultdict(Taken) for kind in kinds}
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        clients = Clients(url, session, pause)
        runs: dict[str, Callable[[str, float], Awaitable[Taken]]] = {
            "nothing": clients.alone,
            "its equal": clients.beside_equal,
        }
        for flood in floods:
            runs[f"a flood of {flood}"] = partial(clients.beside_flood, flood, long=long)
        for kind in kinds:
            await clients.alone(kind, WARM_UP_S)
            for _ in range(rounds):
                for name, run in runs.items():
                    tell(f"{kind} beside {name}")
                    taken, all_rounds = await run(kind, seconds), found[kind][name]
                    all_rounds.latencies += taken.latencies
                    all_rounds.parts += taken.parts
                    all_rounds.alone += taken.alone
                    all_rounds.beside += taken.beside
        return found, clients.refused


def rows(found: dict[str, dict[str, Taken]]) -> list[list[str]]:
    """A line of the table for each kind of request and each neighbour."""
    lines = []
    for kind, by_neighbour in found.items():
        equal = by_neighbour["its equal"].latencies
        for name, taken in by_neighbour.items():
            times = taken.latencies
            ratios = median(times) / median(equal), mean(times) / mean(equal)
            cells = (median(times), quantiles(times, n=20)[-1])
            rates = ["", ""]
            if taken.beside:
                rate, alone = mean(taken.beside), mean(taken.alone)
                rates = [f"{rate:.1f}", f"{rate / alone:.2f}" if alone else "-"]
            lines.append(
                [kind, name, *(f"{each:.3f}" for each in cells), str(len(times)),
                 *(f"{each:.2f}" for each in ratios), *rates]
            )  # fmt: skip
    return lines


def part_rows(found: dict[str, dict[str, Taken]]) -> list[list[str]]:
    """A line for each kind of request and each neighbour: the mean milliseconds of its parts."""
    lines = []
    for kind, by_neighbour in found.items():
        for name, taken in by_neighbour.items():
            names = dict.fromkeys(part for each in taken.parts for part in each)
            means = {
                part: mean(each.get(part, 0.0) for each in taken.parts) * 1000 for part in names
            }
            shown = ", ".join(f"{part} {each:.1f}" for part, each in means.items())
            lines.append([kind, name, shown])
    return lines


@contextmanager
def started() -> Iterator[str]:
    """The URL of the embedded graph with two keys, started for the block."""
    with TemporaryDirectory(prefix="bench-keys-") as place:
        keys = Path(place) / "keys"
        lines = [f"{key}:{hashlib.sha256(key.encode()).hexdigest()}" for key in (SHOP, OTHER)]
        keys.write_text("\n".join(lines) + "\n")
        port = free_port()
        command: list[str | Path] = [Path(sys.executable).with_name("prsm-serve"), "up"]
        command += ["--port", str(port)]
        environment = {"PRSM_HF_API_KEYS_FILE": str(keys)}
        name = "the embedded graph with two keys"
        ready = "/health/readiness"
        with Server(name, "as it comes", command, port, ready, environment=environment).running():
            yield f"http://127.0.0.1:{port}"


@click.command()
@click.option("--seconds", default=15.0, show_default=True, type=click.FloatRange(5, 120))
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, 10))
@click.option("--pause", default=PAUSE_S, show_default=True, type=click.FloatRange(0.05, 5))
@click.option("--only", type=click.Choice(list(SMALL)), help="One kind of request.")
@click.option("--flood", "floods", multiple=True, default=FLOODS, type=click.IntRange(2, 256))
@click.option("--long", is_flag=True, help="Long chats and lists of texts in the flood.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    seconds: float,
    rounds: int,
    pause: float,
    only: str | None,
    floods: Sequence[int],
    long: bool,
    file: Path | None,
) -> None:
    """Latencies of one key's small requests, alone and beside a key that floods."""
    end_on_sigterm()
    kinds = [only] if only else list(SMALL)
    with started() as url, watched() as neighbours:
        found, refused = asyncio.run(measure(url, kinds, floods, seconds, rounds, pause, long=long))
    click.echo(f"{machine()}; {seconds:g} s each, {rounds} rounds, pauses of {pause:g} s\n")
    heads = ["request", "beside", "median, s", "p95, s", "requests", "/ equal", "mean / equal"]
    click.echo(table([*heads, "flood's answers/s", "/ without"], rows(found)))
    click.echo("")
    click.echo(table(["request", "beside", "where the time went, mean ms"], part_rows(found)))
    click.echo(f"\nRefused with 429: {dict(refused)}. {neighbours}")
    if file is not None:
        shown = {
            kind: {name: asdict(each) for name, each in by.items()} for kind, by in found.items()
        }
        file.write_text(json.dumps({"taken": shown, "refused": refused}) + "\n")


if __name__ == "__main__":
    main()
