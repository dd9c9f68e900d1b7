"""How much the heaviest valid requests slow small ones: ``python -m bench.fairness``.

Twenty clients send the largest requests that the service accepts, one after another. Beside them
one client asks for a chat of one token and another for the sentiment of one text. Printed are the
latencies of the small requests, alone and beside the twenty, with their ratio: 1 is perfect
fairness.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median, quantiles

import aiohttp
import click

from bench.heavy import NATIVE, WRITING, Request, heavy_requests
from bench.pairs import machine, table, tell
from bench.peers.running import Server, end_on_sigterm, free_port

CHAT = Request(
    "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
)
CLASSIFY = Request(f"{NATIVE}/classify", {"texts": "What a lovely day!"})
SMALL = {"chat of one token": CHAT, "sentiment of one text": CLASSIFY}
PAUSE_S = 0.25
LIMIT_S = 320.0


async def latencies(
    session: aiohttp.ClientSession, request: Request, seconds: float
) -> list[float]:
    """The latency of each request of one client that pauses between them, for some seconds.

    Raises when an answer is not a 200.
    """
    until, taken = time.monotonic() + seconds, []
    while time.monotonic() < until:
        began = time.monotonic()
        async with session.post(request.path, json=request.body) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise click.ClickException(f"{request.path}: {answer.status} {text[:300]}")
        taken.append(time.monotonic() - began)
        await asyncio.sleep(PAUSE_S)
    return taken


async def heavy_client(
    session: aiohttp.ClientSession, path: str, body: bytes, answers: dict[str, int]
) -> None:
    """One heavy client: sends its next request after any answer, until it is cancelled."""
    headers = {"Content-Type": "application/json"}
    while True:
        async with session.post(path, data=body, headers=headers) as answer:
            await answer.read()
            key = f"{path} {answer.status}"
            answers[key] = answers.get(key, 0) + 1
            if answer.status != 200:
                await asyncio.sleep(PAUSE_S)


async def small_clients(session: aiohttp.ClientSession, seconds: float) -> dict[str, list[float]]:
    """The latencies of both small clients, which run at the same time."""
    taken = await asyncio.gather(*(latencies(session, each, seconds) for each in SMALL.values()))
    return dict(zip(SMALL, taken, strict=True))


async def measure(
    url: str, clients: int, seconds: float, *, writing_only: bool
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, int]]:
    """Latencies alone, latencies beside heavy clients, and the heavy answers by status."""
    kinds = [each for each in heavy_requests() if not writing_only or each.path.endswith(WRITING)]
    bodies = [(each.path, json.dumps(each.body).encode()) for each in kinds]
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    answers: dict[str, int] = {}
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        await small_clients(session, 2)
        alone = await small_clients(session, seconds / 2)
        tell(f"beside {clients} heavy clients now")
        heavy = [bodies[number % len(bodies)] for number in range(clients)]
        tasks = [
            asyncio.create_task(heavy_client(session, path, body, answers)) for path, body in heavy
        ]
        await asyncio.sleep(3)  # until their requests have arrived
        try:
            return alone, await small_clients(session, seconds), answers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def rows(alone: dict[str, list[float]], beside: dict[str, list[float]]) -> list[list[str]]:
    """A line of the table for each small client."""
    return [
        [name, _shown(median(alone[name])), _shown(median(times)), _shown(_p95(times)),
         _shown(max(times)), str(len(times)), f"{median(times) / median(alone[name]):.1f}"]
        for name, times in beside.items()
    ]  # fmt: skip


def _p95(times: Sequence[float]) -> float:
    return quantiles(times, n=20)[-1] if len(times) > 1 else times[0]


def _shown(seconds: float) -> str:
    return f"{seconds:.3f}"


@click.command()
@click.option("--url", help="A running graph of the embedded profile; without it one is started.")
@click.option("--clients", default=20, show_default=True, type=click.IntRange(1, 64))
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(5, 600))
@click.option("--writing-only", is_flag=True, help="Heavy requests of text generation alone.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    url: str | None, clients: int, seconds: float, writing_only: bool, file: Path | None
) -> None:
    """Latencies of small requests, alone and beside clients with the largest requests."""
    end_on_sigterm()
    port = free_port()
    command: list[str | Path] = [Path(sys.executable).with_name("prsm-serve"), "up"]
    command += ["--port", str(port)]
    ours = Server("the embedded graph", "as it comes", command, port, "/health/readiness")
    with nullcontext() if url else ours.running():
        alone, beside, answers = asyncio.run(
            measure(url or ours.url, clients, seconds, writing_only=writing_only)
        )
    click.echo(f"{machine()}; {clients} heavy clients, {seconds:g} s\n")
    heads = ["seconds", "alone, median", "median", "p95", "longest", "requests", "median / alone"]
    click.echo(table(heads, rows(alone, beside)))
    click.echo("\nThe heavy requests that ended: " + json.dumps(answers, sort_keys=True))
    if file is not None:
        file.write_text(json.dumps({"alone": alone, "beside": beside, "heavy": answers}) + "\n")


if __name__ == "__main__":
    main()
