"""How much a key that floods slows another key's requests: ``python -m bench.fair_keys``.

One key sends chats of 16 tokens, and then the sentiment of one text, by a client that pauses
between them. Beside it a second key sends exactly as much; then it floods the same model, by 4, 16
and 64 clients without a pause. Printed are the first key's latencies and their ratio to those
beside its equal: 1 is perfect fairness. ``--long`` has the flood send long chats and lists of
texts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean, median, quantiles
from tempfile import TemporaryDirectory

import aiohttp
import click

from bench.heavy import NATIVE, Request
from bench.pairs import machine, table, tell
from bench.peers.running import Server, end_on_sigterm, free_port

SHOP, OTHER = "shop", "other"
FLOODS = (4, 16, 64)
PAUSE_S = 0.25
WARM_UP_S = 3.0
LIMIT_S = 320.0


def chat(tokens: int) -> Request:
    messages = [{"role": "user", "content": "Write about a lighthouse."}]
    return Request("/v1/chat/completions", {"messages": messages, "max_tokens": tokens})


def sentiments(texts: int) -> Request:
    return Request(f"{NATIVE}/classify", {"texts": ["What a lovely day!"] * texts})


SMALL = {"chat of 16 tokens": chat(16), "sentiment of one text": sentiments(1)}
LONG = {"chat of 16 tokens": chat(256), "sentiment of one text": sentiments(64)}


class Clients:
    """The clients of both keys, and the latencies and the refusals of their requests."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.refused: Counter[str] = Counter()
        self.flooded = 0
        """Answers that the flooding clients got."""

    async def ask(self, key: str, request: Request) -> float | None:
        """The latency of one request; ``None`` if it was refused, as floods may be.

        Raises when the answer is neither.
        """
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {key}"}
        async with self._session.post(request.path, json=request.body, headers=headers) as answer:
            text = await answer.text()
            if answer.status == 429:
                self.refused[key] += 1
                return None
            if answer.status != 200:
                raise click.ClickException(f"{request.path}: {answer.status} {text[:300]}")
        return time.monotonic() - began

    async def pausing(self, key: str, request: Request, until: float) -> list[float]:
        """The latencies of one client that pauses between its requests."""
        taken = []
        while time.monotonic() < until:
            latency = await self.ask(key, request)
            if latency is not None:
                taken.append(latency)
            await asyncio.sleep(PAUSE_S)
        return taken

    async def flood(self, request: Request) -> None:
        """One client of the second key without a pause, until it is cancelled."""
        while True:
            if await self.ask(OTHER, request) is None:
                await asyncio.sleep(PAUSE_S)
            else:
                self.flooded += 1

    async def alone(self, kind: str, seconds: float) -> list[float]:
        """The latencies of the first key's client."""
        return await self.pausing(SHOP, SMALL[kind], time.monotonic() + seconds)

    async def beside_equal(self, kind: str, seconds: float) -> list[float]:
        until = time.monotonic() + seconds
        taken, _ = await asyncio.gather(
            self.pausing(SHOP, SMALL[kind], until), self.pausing(OTHER, SMALL[kind], until)
        )
        return taken

    async def beside_flood(
        self, clients: int, kind: str, seconds: float, *, long: bool = False
    ) -> list[float]:
        request = (LONG if long else SMALL)[kind]
        tasks = [asyncio.create_task(self.flood(request)) for _ in range(clients)]
        try:
            await asyncio.sleep(WARM_UP_S)
            taken = await self.alone(kind, seconds)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for each in ended:
            if isinstance(each, click.ClickException):
                raise each
        return taken


async def measure(
    url: str, seconds: float, rounds: int, *, long: bool
) -> tuple[dict[str, dict[str, list[float]]], Counter[str]]:
    """Latencies of the first key by kind and by what the second one does; refusals by key."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    connector = aiohttp.TCPConnector(limit=0)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        clients = Clients(session)
        runs: dict[str, Callable[[str, float], Awaitable[list[float]]]] = {
            "nothing": clients.alone,
            "its equal": clients.beside_equal,
        }
        for flood in FLOODS:
            runs[f"a flood of {flood}"] = partial(clients.beside_flood, flood, long=long)
        for kind in SMALL:
            await clients.alone(kind, WARM_UP_S)
            for _ in range(rounds):
                for name, run in runs.items():
                    before = clients.flooded
                    found[kind][name] += await run(kind, seconds)
                    tell(f"{kind} beside {name}, which got {clients.flooded - before} answers")
        return found, clients.refused


def rows(found: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """A line of the table for each kind of request and each neighbour."""
    lines = []
    for kind, by_neighbour in found.items():
        equal = by_neighbour["its equal"]
        for name, times in by_neighbour.items():
            ratios = median(times) / median(equal), mean(times) / mean(equal)
            cells = (median(times), quantiles(times, n=20)[-1])
            lines.append(
                [kind, name, *(f"{each:.3f}" for each in cells), str(len(times)),
                 *(f"{each:.2f}" for each in ratios)]
            )  # fmt: skip
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
@click.option("--long", is_flag=True, help="Long chats and lists of texts in the flood.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(seconds: float, rounds: int, long: bool, file: Path | None) -> None:
    """Latencies of one key's small requests, alone and beside a key that floods."""
    end_on_sigterm()
    with started() as url:
        found, refused = asyncio.run(measure(url, seconds, rounds, long=long))
    click.echo(f"{machine()}; {seconds:g} s each, {rounds} rounds\n")
    heads = ["request", "beside", "median, s", "p95, s", "requests", "/ equal", "mean / equal"]
    click.echo(table(heads, rows(found)))
    click.echo(f"\nRefused with 429: {dict(refused)}")
    if file is not None:
        file.write_text(json.dumps({"latencies": found, "refused": refused}) + "\n")


if __name__ == "__main__":
    main()
