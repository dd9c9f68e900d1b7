"""The cost of a call without a model, in requests a second: ``python -m bench.empty_call``.

32 connections call ``/classify``: HTTP, the ingress, Serve and a stub of a family that answers at
once. Compared are this launcher's settings and Serve's defaults, with the same graph and code. The
ratio is ours / stock: above 1 this launcher's settings are faster. The clients run in this process,
on the same cores.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import yaml

from bench.graph.client import Address, count_answers, request, run
from bench.pairs import Side, alternated, machine, table, tell
from bench.streams import PROFILE, graph

PATH = "/api/v1/huggingface/classify"
CLIENTS = 32
STOCK: dict[str, str | None] = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0",
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
}


def per_second(address: Address, clients: int, seconds: float) -> float:
    """Requests a second of so many clients, each of which sends the next one at once."""

    async def work() -> int:
        asked = request(PATH, json.dumps({"texts": "a good day"}).encode())
        until = time.monotonic() + seconds
        return sum(
            await asyncio.gather(*(count_answers(address, asked, until) for _ in range(clients)))
        )

    began = time.monotonic()
    count, cpu_s = run(work)
    took = time.monotonic() - began
    tell(f"{count / took:.0f} requests/s; the clients took {cpu_s / took:.2f} cores")
    return count / took


def measured(
    environment: dict[str, str | None], profile: Path, clients: int, seconds: float
) -> float:
    """Requests a second of a graph that is started for it and warmed up."""
    with graph(environment, profile).running() as server:
        address = Address("127.0.0.1", server.port)
        per_second(address, clients, 2.0)
        return per_second(address, clients, seconds)


def with_ingresses(count: int, place: Path) -> Path:
    """The profile of stubs with so many replicas of the ingress, as a file in ``place``."""
    content = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    content["ingress"]["autoscaling_config"] |= {"min_replicas": count, "max_replicas": count}
    file = place / "profile.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


@click.command()
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(1, 20))
@click.option("--seconds", default=8.0, show_default=True, type=click.FloatRange(1, 60))
@click.option("--ingresses", default=1, show_default=True, type=click.IntRange(1, 8))
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(rounds: int, seconds: float, ingresses: int, file: Path | None) -> None:
    """Requests a second, alternated with stock Serve settings; a graph is started for each.

    Both have as many replicas of the ingress.
    """
    with TemporaryDirectory(prefix="bench-empty-") as place:
        profile = with_ingresses(ingresses, Path(place))
        pair = alternated(
            Side("as launched", "none", lambda: measured({}, profile, CLIENTS, seconds)),
            Side("stock Serve", "none", lambda: measured(STOCK, profile, CLIENTS, seconds)),
            rounds=rounds,
            said=tell,
        )
    rows = [
        [side.name, f"{side.median:.0f}", ", ".join(f"{value:.0f}" for value in side.values)]
        for side in (pair.ours, pair.theirs)
    ]
    click.echo(f"{machine()}; replicas of the ingress: {ingresses}\n")
    click.echo(table([f"{CLIENTS} connections", "requests/s", "rounds"], rows))
    ratios = ", ".join(f"{ratio:.2f}" for ratio in pair.ratios)
    click.echo(f"\nas launched / stock: {pair.ratio:.2f} (median of {ratios}; {seconds:g} s each)")
    if file is not None:
        figures = {side.name: side.values for side in (pair.ours, pair.theirs)}
        file.write_text(
            json.dumps({"requests_per_s": figures, "ratio": pair.ratio}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
