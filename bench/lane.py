"""The lane against ``@serve.batch`` alone: ``python -m bench.lane``.

64 requests come 10 ms apart to a model that takes 200 ms a forward, however many items are in it
(32 at most), in a real deployment. Ideal are forwards of 1, 20, 20, 20 and 3 items: 1.0 s from the
first request to the last answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import click
import ray
from ray import serve

from bench.pairs import Side, alternated, machine, table, tell
from configs.engines import EngineName
from configs.profile import ModelSpec
from configs.settings import Settings
from configs.weights import PackageSource
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment

REQUESTS, APART_S, FORWARD_S, ITEMS = 64, 0.010, 0.200, 32
IDEAL_S = 1.0
MODEL = "bench/sleeper"
NO_WEIGHTS = PackageSource(package="configs.shapes", path="captions")


def forward(batch: Sequence[int]) -> list[int]:
    """The model: its time does not depend on the batch."""
    time.sleep(FORWARD_S)
    return [2 * item for item in batch]


class Sleeper:
    """The loaded model of the family below."""

    engine: EngineName = "torch"

    def __init__(self, lane: Lane[int, int]) -> None:
        self.lane = lane


class SleeperLoader(BatchedModelLoader[Sleeper]):
    def load(self, spec: ModelSpec) -> Sleeper:
        return Sleeper(self._batcher.lane(spec.name, BatchedModel(forward, size=lambda item: 8)))


class Ours(FamilyDeployment[Sleeper]):
    """A family behind the lane, as every other."""

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        self._batcher = Batcher(config, meter)
        loader = SleeperLoader(config, self._batcher, libraries=())
        super().__init__(config, loader, self._batcher, meter)

    async def ask(self, item: int) -> int:
        async def items() -> AsyncGenerator[Sequence[int], None]:
            yield [item]

        async with self._models.use(MODEL) as model:
            (answer,) = await self._batcher.answers(model.lane, items())
        return cast("int", answer)  # the model refuses nothing


class Stock:
    """As Serve's documentation writes it, with the forward off the event loop."""

    @serve.batch(max_batch_size=ITEMS, batch_wait_timeout_s=0.010)
    async def ask(self, items: list[int]) -> list[int]:
        return await asyncio.to_thread(forward, items)


async def pattern(handle: Any) -> float:
    """Seconds from the first request to the last answer."""
    began = time.perf_counter()

    async def one(number: int) -> int:
        await asyncio.sleep(number * APART_S)
        answer: int = await handle.ask.remote(number)
        return answer

    answers = await asyncio.gather(*(one(number) for number in range(REQUESTS)))
    took = time.perf_counter() - began
    if answers != [2 * number for number in range(REQUESTS)]:
        raise AssertionError(f"wrong answers: {answers}")
    return took


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 20))
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(rounds: int, file: Path | None) -> None:
    """Seconds for 64 requests, alternated with stock ``@serve.batch``."""
    quiet: dict[str, Any] = {
        "include_dashboard": False,
        "logging_level": logging.WARNING,
        "log_to_driver": False,
    }
    ray.init(num_cpus=2, **quiet)
    try:
        ours, stock = _deployed()
        tell("warming up")
        for handle in (ours, stock):
            asyncio.run(pattern(handle))
        pair = alternated(
            Side("lane", "200 ms a forward", lambda: asyncio.run(pattern(ours))),
            Side("@serve.batch", "200 ms a forward", lambda: asyncio.run(pattern(stock))),
            rounds=rounds,
            said=tell,
        )
    finally:
        ray.shutdown()
    rows = [
        [side.name, f"{side.median:.2f}", f"{side.median / IDEAL_S:.2f}"]
        for side in (pair.ours, pair.theirs)
    ]
    click.echo(f"{machine()}\n")
    click.echo(table(["", "seconds", "of the ideal schedule"], rows))
    click.echo(f"\nlane / @serve.batch: {pair.ratio:.2f} (median of {rounds} pairs)")
    if file is not None:
        figures = {side.name: side.values for side in (pair.ours, pair.theirs)}
        file.write_text(json.dumps({"seconds": figures, "ratio": pair.ratio}, indent=2) + "\n")


def _deployed() -> tuple[Any, Any]:
    config = FamilyConfig(
        "sleepers",
        (ModelSpec(name=MODEL, tasks=("sleep",), source=NO_WEIGHTS, pinned=True),),
        Settings(batch_size=ITEMS),
    )
    options: dict[str, Any] = {"max_ongoing_requests": 256, "ray_actor_options": {"num_cpus": 0.1}}
    deployed: Any = serve.deployment(**options)
    return (
        serve.run(deployed(Ours).bind(config), name="ours", route_prefix=None),
        serve.run(deployed(Stock).bind(), name="stock", route_prefix=None),
    )


if __name__ == "__main__":
    main()
