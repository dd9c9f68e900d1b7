"""How much a key that floods slows another key's requests: ``python -m bench.fair_keys``.

One key sends a chat of 16 tokens and the sentiment of one text, by one client each that pauses
between them. Beside it a second key sends exactly as much; then it floods, by 4, 16 and 64 clients
of each kind without a pause. Printed are the first key's latencies and their ratio to those beside
its equal: 1 is perfect fairness. ``--long`` has the flood send long chats and lists of texts.
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
from statistics import median, quantiles
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
LONG = (chat(256), sentiments(64))


class Clients:
    """The clients of both keys, and the latencies and the refusals of their requests."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
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

    async def shop(self, seconds: float) -> dict[str, list[float]]:
        """The latencies of the first key's clients."""
        until = time.monotonic() + seconds
        taken = await asyncio.gather(
            *(self.pausing(SHOP, request, until) for request in SMALL.values())
        )
        return dict(zip(SMALL, taken, strict=True))

    async def beside_equal(self, seconds: float) -> dict[str, list[float]]:
        until = time.monotonic() + seconds
        other = (self.pausing(OTHER, request, until) for request in SMALL.values())
        beside = asyncio.gather(*other)
        taken = await self.shop(seconds)
        await beside
        return taken

    async def beside_flood(
        self, clients: int, seconds: float, *, long: bool = False
    ) -> dict[str, list[float]]:
        requests = (*LONG,) if long else (*SMALL.values(),)
        tasks = [asyncio.create_task(self.flood(request)) for request in requests * clients]
        try:
            await asyncio.sleep(WARM_UP_S)
            taken = await self.shop(seconds)
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
    """Latencies of the first key by what the second one does, and the requests refused by key."""
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    connector = aiohttp.TCPConnector(limit=0)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        clients = Clients(url, session)
        await clients.shop(WARM_UP_S)
        for _ in range(rounds):
            runs: dict[str, Callable[[float], Awaitable[dict[str, list[float]]]]] = {
                "nothing": clients.shop,
                "its equal": clients.beside_equal,
            }
            for flood in FLOODS:
                runs[f"a flood of {flood}"] = partial(clients.beside_flood, flood, long=long)
            for name, run in runs.items():
                tell(f"beside {name}")
                before = clients.flooded
                for kind, taken in (await run(seconds)).items():
                    found[name][kind] += taken
                if clients.flooded > before:
                    tell(f"the flood got {clients.flooded - before} answers")
        return found, clients.refused


def rows(found: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """A line of the table for each kind of request and each neighbour."""
    lines = []
    for kind in SMALL:
        equal = found["its equal"][kind]
        for name, by_kind in found.items():
            times = by_kind[kind]
            lines.append(
                [kind, name, f"{median(times):.3f}", f"{quantiles(times, n=20)[-1]:.3f}",
                 str(len(times)), f"{median(times) / median(equal):.2f}",
                 f"{sum(times) / len(times) / (sum(equal) / len(equal)):.2f}"]
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
