"""One run: a graph on a cluster, load that comes and goes, and what became of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from bench.peers.running import end_on_sigterm, free_port
from bench.scale_out.load import Load, open_client, quantile
from bench.scale_out.watch import Observation, Watch
from configs.serve_schema import serve_config
from serve_app.ingress.routes.context import NATIVE_PREFIX

PROFILE = Path(__file__).with_name("profile.yaml")
FAMILIES = ("hot", "steady", "asleep")
START_LIMIT_S = 240.0
QUIET_LIMIT_S = 120.0
LOOK_S = 2.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second. A replica of these families answers ten."""

    calm: float = 2.0
    hot: float = 30.0


@dataclass(slots=True)
class Outcome:
    """What a run has shown.

    ``waking_s`` is the time of the first request to a family that slept, once alone and once beside
    the hot family; ``awake_s`` that of one right after it. ``bound`` says what bound each family in
    the middle of the load.
    """

    load: Load
    seen: list[Observation]
    hot_from_s: float = 0.0
    hot_until_s: float = 0.0
    waking_s: tuple[float, ...] = ()
    awake_s: float = 0.0
    bound: dict[str, str] = field(default_factory=dict)
    slept_again: bool = False
    calm_again: bool = False

    @property
    def most_replicas(self) -> dict[str, int]:
        return {name: max(each.running[name] for each in self.seen) for name in FAMILIES}

    @property
    def most_nodes(self) -> int:
        return max(each.nodes for each in self.seen)

    def steady_p95(self, *, hot: bool) -> float:
        """The 95th percentile of the steady family's times, beside the hot one's load or before."""
        since, until = (self.hot_from_s, self.hot_until_s) if hot else (0.0, self.hot_from_s)
        return quantile(self.load.of("steady", since, until), 0.95)


def deployed(address: str) -> tuple[str, Any, str]:
    """Deploy the graph, and wait until it runs: its URL, Serve's client and the application."""
    ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    end_on_sigterm()
    port = free_port()
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    client: Any = _get_global_client()
    config = serve_config(PROFILE)
    client.deploy_apps(ServeDeploySchema.model_validate(
        {"applications": config["applications"], "logging_config": config["logging_config"]}
    ))  # fmt: skip
    name = config["applications"][0]["name"]
    limit = time.monotonic() + START_LIMIT_S
    while client.get_serve_status(name).app_status.status != "RUNNING":
        if time.monotonic() > limit:
            raise TimeoutError(f"the graph did not start: {client.get_serve_status(name)}")
        time.sleep(0.5)
    return f"http://127.0.0.1:{port}", client, name


async def scaled(url: str, watch: Watch, rates: Rates, hot_s: float, tell: Tell) -> Outcome:
    """Calm, a family that wakes, a hot family, another that wakes beside it, and calm again."""
    load = Load(url)
    made = Outcome(load, watch.seen)
    watching = asyncio.create_task(_watching(watch, load, tell))
    try:
        async with open_client(url) as client:
            calm = {"hot": rates.calm, "steady": rates.calm}
            tell("calm")
            under_way = await load.at_rates(client, calm, 10)
            tell("a request wakes the family that sleeps")
            alone, made.awake_s = await _woken(load, client)
            woken_s = load.now
            made.slept_again = await _until(
                lambda: watch.seen[-1].at_s > woken_s and not watch.seen[-1].running["asleep"],
                watching,
            )
            tell(f"{rates.hot:g} requests a second for the hot family")
            made.hot_from_s = load.now
            hot = asyncio.create_task(
                load.at_rates(client, {"hot": rates.hot, "steady": rates.calm}, hot_s)
            )
            await asyncio.sleep(hot_s / 2)
            tell("a request wakes the family that sleeps, beside the hot one")
            beside, _ = await _woken(load, client)
            made.waking_s = (alone, beside)
            made.bound = await _binding_limits(client)
            for family, why in made.bound.items():
                tell(f"{family} is bound by {why}")
            under_way += await hot
            await asyncio.gather(*under_way)
            made.hot_until_s = load.now
            tell("calm again")
            await asyncio.gather(*await load.at_rates(client, calm, 10))
            made.calm_again = await _until(lambda: _is_calm(watch.seen[-1]), watching)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return made


async def _woken(load: Load, client: httpx.AsyncClient) -> tuple[float, float]:
    """The times of ten requests at once to the sleeping family, the slowest, and of one after."""
    first = await asyncio.gather(*(load.send(client, "asleep") for _ in range(10)))
    return max(each.took_s for each in first), (await load.send(client, "asleep")).took_s


async def _binding_limits(client: httpx.AsyncClient) -> dict[str, str]:
    """What binds each family that has a replica, as the graph tells operators."""
    answer = (await client.get(f"{NATIVE_PREFIX}/performance")).raise_for_status().json()
    return {
        family: "; ".join(f"{each['limit']} ({each['why']})" for each in found["limits"])
        or "nothing"
        for family, found in answer.get("binding_limits", {}).items()
    }


async def _watching(watch: Watch, load: Load, tell: Tell) -> None:
    while True:
        seen = await asyncio.to_thread(watch.look, load.now)
        tell(row(seen, load))
        await asyncio.sleep(LOOK_S)


async def _until(true: Callable[[], bool], watching: asyncio.Task[None]) -> bool:
    """Whether it came about in time."""
    limit = time.monotonic() + QUIET_LIMIT_S
    while not true():
        if time.monotonic() > limit or watching.done():
            return False
        await asyncio.sleep(LOOK_S / 4)
    return True


def _is_calm(seen: Observation) -> bool:
    return seen.running == {"hot": 1, "steady": 1, "asleep": 0} and seen.nodes == 1


HEADER = (
    "     s  nodes  GPUs used  hot        steady     asleep     hot p95   steady p95  failed   "
    "the hot family's decision"
)


def row(seen: Observation, load: Load) -> str:
    """One line of the table: replicas that run and, behind the slash, that Serve wants."""
    counts = "".join(f"{f'{seen.running[n]}/{seen.wanted[n]}':<11}" for n in FAMILIES)
    since = seen.at_s - LOOK_S
    p95 = [f"{quantile(load.of(name, since), 0.95):8.2f} s" for name in ("hot", "steady")]
    decision = seen.decisions.get("hot")
    why = f"{decision.needed}: {decision.why}" if decision else ""
    gpus = f"{seen.gpus_in_use:.2f}/{seen.gpus:g}"
    return (
        f"{seen.at_s:6.0f}  {seen.nodes:<5}  {gpus:<9}  {counts}{p95[0]}  {p95[1]}  "
        f"{len(load.failures):>6}   {why}"
    )
