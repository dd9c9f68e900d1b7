"""Streamed tokens a second through the whole graph to 64 clients: ``python -m bench.streams``.

The graph is the real one, except that a stub decodes: it makes one token a step for every stream.
Measured are the tokens that arrive at the clients, in order, from the first request to the last
byte, against the tokens that the stub offers at most. A token's age is the time from the engine's
thread to the client. The clients run in this process, on the same cores as the graph.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click

from bench.graph.client import Address, StreamSample, read_stream, request, run
from bench.pairs import machine, table, tell
from bench.peers.running import Server, free_port

PROFILE = Path(__file__).parent / "graph" / "profile.yaml"
PATH = "/api/v1/huggingface/generate/stream"
STREAMS = 64
STEPS_MS = (2, 1)
SLOW = "stub/20ms"


def graph(environment: dict[str, str | None] | None = None, profile: Path = PROFILE) -> Server:
    """The graph of stubs, started with the launcher."""
    port = free_port()
    command = [sys.executable, "-m", "serve_app.cli", "up", "--profile", profile, "--port", port]
    return Server(
        "graph",
        "none",
        [str(each) for each in command],
        port,
        "/health/readiness",
        environment={"PYTHONPATH": str(PROFILE.parents[2]), **(environment or {})},
    )


def generation_request(model: str, tokens: int) -> bytes:
    body = {"prompt": "a red circle", "model_name": model, "max_new_tokens": tokens}
    return request(PATH, json.dumps(body).encode())


def together(address: Address, model: str, streams: int, tokens: int) -> dict[str, Any]:
    """Rates and token ages of so many streams at once, and the clients' processor time."""

    async def work() -> list[StreamSample]:
        one = generation_request(model, tokens)
        return await asyncio.gather(*(read_stream(address, one) for _ in range(streams)))

    samples, cpu_s = run(work)
    short = [each.tokens for each in samples if each.tokens != tokens]
    if short:
        raise AssertionError(f"{tokens} tokens were requested, {short} came")
    seconds = max(each.ended for each in samples) - min(each.began for each in samples)
    total, chunks = streams * tokens, sum(each.chunks for each in samples)
    return {
        "model": model,
        "streams": streams,
        "tokens_per_s": total / seconds,
        "seconds": seconds,
        "tokens_per_chunk": total / chunks,
        "age_ms": percentiles([age for each in samples for age in each.ages_s]),
        "client_cpu_us_per_token": cpu_s / total * 1e6,
        "client_cores": cpu_s / seconds,
    }


def alone(address: Address, requests: int) -> dict[str, Any]:
    """The ages of the first and of later tokens, with one client at a time."""

    async def work() -> list[StreamSample]:
        one = generation_request(SLOW, 33)
        return [await read_stream(address, one) for _ in range(requests)]

    samples, _ = run(work)
    return {
        "first_ms": percentiles([each.ages_s[0] for each in samples]),
        "later_ms": percentiles([age for each in samples for age in each.ages_s[1:]]),
        "from_request_ms": percentiles([each.first - each.began for each in samples]),
        "tokens_per_chunk": sum(e.tokens for e in samples) / sum(e.chunks for e in samples),
    }


def model_of(step_ms: int) -> str:
    """The name of the stub whose decode step takes so long."""
    return f"stub/{step_ms}ms"


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    return {"p50": median(seconds) * 1e3, "p95": quantiles(seconds, n=20)[-1] * 1e3}


@click.command()
@click.option("--tokens", default=2000, show_default=True, type=click.IntRange(64, 100_000))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(tokens: int, rounds: int, file: Path | None) -> None:
    """Tokens a second to 64 clients, and the age of the first token at one client."""
    with graph().running() as server:
        address = Address("127.0.0.1", server.port)
        together(address, model_of(STEPS_MS[0]), STREAMS, 200)
        one = alone(address, 20)
        tell(f"first token: {one}")
        many = []
        for number in range(rounds):
            for step_ms in STEPS_MS:
                many.append(together(address, model_of(step_ms), STREAMS, tokens))
                tell(f"round {number + 1}: {many[-1]}")
    click.echo(f"{machine()}\n")
    rows = [
        [
            row["model"],
            f"{row['tokens_per_s']:,.0f}",
            f"{row['seconds']:.1f}",
            f"{row['tokens_per_chunk']:.1f}",
            f"{row['age_ms']['p50']:.0f} / {row['age_ms']['p95']:.0f}",
            f"{row['client_cores']:.2f}",
        ]
        for row in sorted(many, key=lambda row: str(row["model"]))
    ]
    titles = ["step", "tokens/s", "seconds", "tokens a chunk", "age, ms p50 / p95", "client, cores"]
    click.echo(table([f"{STREAMS} streams; {titles[0]}", *titles[1:]], rows))
    for step_ms in STEPS_MS:
        speeds = [row["tokens_per_s"] for row in many if row["model"] == model_of(step_ms)]
        offered = STREAMS * 1000 / step_ms
        click.echo(
            f"\n{model_of(step_ms)} offers {offered:,.0f} tokens/s at the most;"
            f" {median(speeds):,.0f} arrived, the median of {rounds}"
        )
    click.echo(
        f"\none client, {SLOW}: the first token is {one['first_ms']['p50']:.1f} ms old when it"
        f" arrives (p95 {one['first_ms']['p95']:.1f}), later ones {one['later_ms']['p50']:.1f}"
    )
    if file is not None:
        file.write_text(json.dumps({"alone": one, "together": many}, indent=2) + "\n")


if __name__ == "__main__":
    main()
