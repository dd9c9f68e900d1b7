"""Loads and waits of models that do not fit in memory together: ``python -m bench.model_swaps``.

The real model cache serves the same requests twice on a simulated clock: as it is, and with plain
LRU, which evicts the model that was used longest ago, and as soon as the requests that run on it
have ended. It needs no quiet machine, and gives the same figures every time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import click

from bench.instant_loader import InstantLoader
from bench.pairs import table
from bench.virtual_time import VirtualLoop
from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.cache import ModelCache
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB, MemoryUse


@dataclass(frozen=True)
class SimulatedModel:
    """A model of ``gb`` GiB, which takes ``load_s`` seconds to load and ``answer_s`` to answer."""

    name: str
    gb: float
    load_s: float
    answer_s: float = 0.1


@dataclass
class SwapFigures:
    """What serving the requests took: each load, in seconds, and each request's wait."""

    loads: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    max_gb: float = 0.0
    seconds: float = 0.0


class SimulatedLoader(InstantLoader[SimulatedModel]):
    """Loads :class:`SimulatedModel`: in time of the loop's clock, and without real memory."""

    def __init__(
        self,
        models: Sequence[SimulatedModel],
        files: Path,
        loop: VirtualLoop,
        figures: SwapFigures,
    ) -> None:
        by_name = {model.name: model for model in models}
        super().__init__(lambda spec: by_name[spec.name])
        self._files = files
        self._loop = loop
        self._figures = figures
        self.taken_gb = 0.0

    def fetch(self, spec: ModelSpec) -> Path:
        """A folder whose sparse file tells what the model takes."""
        folder = self._files / spec.name
        folder.mkdir(exist_ok=True)
        with (folder / "model.safetensors").open("wb") as weights:
            weights.truncate(int(super().load(spec).gb * GIB))
        return folder

    def load(self, spec: ModelSpec) -> SimulatedModel:
        model = super().load(spec)
        self._loop.spend(model.load_s)
        self._figures.loads.append(model.load_s)
        self.taken_gb += model.gb
        self._figures.max_gb = max(self._figures.max_gb, self.taken_gb)
        return model

    def unload(self, model: SimulatedModel) -> None:
        self.taken_gb -= model.gb

    def memory(self) -> MemoryUse:
        return MemoryUse(int(self.taken_gb * GIB), 0)


@dataclass(frozen=True)
class SwapRequests:
    """Requests for ``models`` in a memory of ``budget_gb`` GiB.

    ``clients`` each ask for one model again as soon as they have an answer, ``rounds`` times; the
    others come by themselves, ``a_second``, for popular models more often.
    """

    name: str
    models: Sequence[SimulatedModel]
    budget_gb: float
    clients: int = 0
    rounds: int = 500
    a_second: float = 0.0
    arrivals: int = 1500


MIXED = [
    *(SimulatedModel(f"small-{each}", 0.2, 3.0) for each in range(6)),
    *(SimulatedModel(f"compiled-{each}", 0.5, 25.0) for each in range(3)),
    *(SimulatedModel(f"large-{each}", 4.0, 9.0) for each in range(4)),
]

REQUESTS = [
    SwapRequests(
        "2 clients, 2 models, room for 1",
        [SimulatedModel("a", 2, 5), SimulatedModel("b", 2, 5)],
        3,
        clients=2,
    ),
    SwapRequests(
        "12 clients, 3 models, room for 1",
        [SimulatedModel("a", 2, 5), SimulatedModel("b", 2, 5), SimulatedModel("c", 2, 5)],
        3,
        clients=12,
    ),
    SwapRequests("13 models of all kinds, rarely", MIXED, 10, a_second=0.05),
    SwapRequests("13 models of all kinds, often", MIXED, 10, a_second=1.0),
]


def serve(load: SwapRequests, seed: int = 0) -> SwapFigures:
    """Serve the requests of ``load`` by the cache as it is."""
    with TemporaryDirectory() as files, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_served(load, random.Random(seed), Path(files)))


@contextmanager
def plain_lru() -> Iterator[None]:
    """The cache as it would be with plain LRU, and without turns: a model makes room for another
    as soon as the requests that run on it have ended."""

    def idle_s(model: LoadedModel[Any], nbytes: int, now: float) -> float:
        return 0.0 if model.users else now - model.last_used

    with ExitStack() as patches:
        patches.enter_context(patch("deployments.models.eviction_order.idle_cost", idle_s))
        patches.enter_context(patch("deployments.models.turns._turn_s", lambda model: 0.0))
        yield


async def _served(load: SwapRequests, dice: random.Random, files: Path) -> SwapFigures:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    figures = SwapFigures()
    loader = SimulatedLoader(load.models, files, loop, figures)
    cache = ModelCache(
        [_spec(each.name) for each in load.models],
        loader,
        lambda event, name: None,
        load.budget_gb,
        clock=loop.time,
    )

    async def ask(name: str) -> None:
        asked = loop.time()
        async with cache.use(name) as model:
            figures.waits.append(loop.time() - asked)
            await asyncio.sleep(model.answer_s)

    with (
        patch("deployments.models.load_thread.memory_use", loader.memory),
        patch("deployments.models.load_thread.give_back", lambda: None),
    ):
        await (_clients if load.clients else _arrivals)(load, ask, dice)
    figures.seconds = loop.time()
    return figures


async def _clients(load: SwapRequests, ask: Callable[[str], Any], dice: random.Random) -> None:
    async def client(number: int) -> None:
        for _ in range(load.rounds):
            await ask(load.models[number % len(load.models)].name)
            await asyncio.sleep(dice.uniform(0.0, 0.02))

    await asyncio.gather(*(client(number) for number in range(load.clients)))


async def _arrivals(load: SwapRequests, ask: Callable[[str], Any], dice: random.Random) -> None:
    popularity = [1 / (1 + place) for place in range(len(load.models))]
    names = [each.name for each in dice.sample(list(load.models), len(load.models))]
    async with asyncio.TaskGroup() as running:
        for name in dice.choices(names, popularity, k=load.arrivals):
            running.create_task(ask(name))
            await asyncio.sleep(dice.expovariate(load.a_second))


def _spec(name: str) -> ModelSpec:
    source = FolderSource.model_validate({"folder": "nowhere"})
    return ModelSpec(name=name, tasks=("embed",), source=source)


@click.command()
@click.option("--seeds", default=4, help="How many times each, with other arrivals.")
def main(seeds: int) -> None:
    """Print the loads and the waits, as it is and with plain LRU."""
    rows = []
    for load in REQUESTS:
        for name, ours in (("as it is", True), ("plain LRU", False)):
            with ExitStack() as patches:
                if not ours:
                    patches.enter_context(plain_lru())
                each = [serve(load, seed) for seed in range(seeds)]
            rows.append([load.name, name, *_row(each)])
    columns = ["requests", "rule", "loads", "loading, s", "wait, s", "longest, s", "max GiB", "s"]
    click.echo(table(columns, rows))


def _row(all_figures: Sequence[SwapFigures]) -> list[str]:
    return [
        f"{mean(len(each.loads) for each in all_figures):.0f}",
        f"{mean(sum(each.loads) for each in all_figures):.0f}",
        f"{mean(mean(each.waits) for each in all_figures):.2f}",
        f"{max(max(each.waits) for each in all_figures):.0f}",
        f"{max(each.max_gb for each in all_figures):.1f}",
        f"{mean(each.seconds for each in all_figures):.0f}",
    ]


if __name__ == "__main__":
    main()
