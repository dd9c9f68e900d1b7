"""Calls that travel together against calls one by one: ``python -m bench.joined_calls``.

A deployment calls another one, which answers at once, through the ingress's own client: with calls
that join while others are in flight, and with a call of the handle for each. Measured is the
processor time of a call in both processes, which other load on the machine hardly changes. The
ratio is joined / one by one: below 1 joining is cheaper. There is no HTTP in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

import click
import ray
from ray import serve

from bench.graph.classification import InstantClassification
from bench.pairs import Pair, Side, alternated, machine, table, tell
from configs.settings import Settings
from deployments.models.config import FamilyConfig
from deployments.seam.call_context import CallContext
from deployments.seam.classification import ClassificationRequest
from serve_app.ingress.cluster.deployment_client import DeploymentClient

FAMILY = "classification"
REQUEST = ClassificationRequest("stub/at-once", ("a good day",))
FAST_PATH = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
DEADLINE_S = 60.0


class Callee(InstantClassification):
    """The family, and the processor time of its process."""

    async def cpu_s(self, request: None) -> float:
        return time.process_time()


class Caller:
    """Stands in for the ingress."""

    def __init__(self, handle: Any) -> None:
        handles = {FAMILY: handle}
        context = CallContext("a key")
        joined = DeploymentClient(handles, DEADLINE_S, joined=handles)
        self._one_by_one = DeploymentClient(handles, DEADLINE_S).for_request(context)
        self._joined = joined.for_request(context)

    async def microseconds(self, joined: bool, at_once: int, calls: int) -> float:
        """Processor time of a call, of both processes, with so many calls at once."""
        client = self._joined if joined else self._one_by_one
        began = await self._cpu_s()

        async def some() -> None:
            for _ in range(calls // at_once):
                await client.call(FAMILY, "classify", REQUEST)

        await asyncio.gather(*(some() for _ in range(at_once)))
        return (await self._cpu_s() - began) / (calls // at_once * at_once) * 1e6

    async def _cpu_s(self) -> float:
        there: float = await self._one_by_one.call(FAMILY, "cpu_s", None)
        return there + time.process_time()


def compared(caller: Any, at_once: int, calls: int, rounds: int) -> Pair:
    def measure(joined: bool) -> float:
        took: float = caller.microseconds.remote(joined, at_once, calls).result()
        return took

    tell(f"{at_once} calls at once")
    for joined in (True, False):
        measure(joined)  # warms up
    return alternated(
        Side("joined", "none", lambda: measure(True)),
        Side("one by one", "none", lambda: measure(False)),
        rounds=rounds,
        said=tell,
    )


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 20))
@click.option("--calls", default=1000, show_default=True, type=click.IntRange(64, 100_000))
def main(rounds: int, calls: int) -> None:
    """Processor time of a call, joined and one by one, with 1, 8 and 32 calls at once."""
    os.environ |= FAST_PATH  # Serve reads it where its processes start
    ray.init(
        num_cpus=2, include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False
    )
    try:
        options: dict[str, Any] = {
            "ray_actor_options": {"num_cpus": 0.1},
            "max_ongoing_requests": 256,
            "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        }
        config = FamilyConfig(FAMILY, (), Settings())
        deployed: Any = serve.deployment(**options)
        callee = deployed(Callee).bind(config)
        caller = serve.run(deployed(Caller).bind(callee), route_prefix=None)
        pairs = {count: compared(caller, count, calls, rounds) for count in (1, 8, 32)}
    finally:
        ray.shutdown()
    rows = [
        [
            str(count),
            f"{pair.ours.median:.0f}",
            f"{pair.theirs.median:.0f}",
            f"**{pair.ratio:.2f}**",
            f"{min(pair.ratios):.2f}–{max(pair.ratios):.2f}",
        ]
        for count, pair in pairs.items()
    ]
    click.echo(f"{machine()}\n")
    click.echo(table(["calls at once", "joined, µs", "one by one, µs", "ratio", "spread"], rows))


if __name__ == "__main__":
    main()
