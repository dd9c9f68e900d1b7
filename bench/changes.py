"""Changes of a running graph under load: ``python -m bench.changes``.

Clients ask for vectors and for streamed chats without a pause, while the graph is deployed with
other limits, another number of replicas, another ingress, and another profile. Each change gets at
least so many requests, until it is complete. The table says how many failed, which replicas were
replaced, and how many 5xx HAProxy itself counted meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import click
import yaml

from bench.changes_seen import FrontErrors, Replicas, replicas
from bench.neighbours import watched
from bench.pairs import machine, table, tell
from bench.peers.running import end_on_sigterm, free_port
from bench.peers.servers import ours
from bench.peers.weights import CHAT, VECTORS
from serve_app.launcher import runs
from serve_app.launcher.auth import read_token
from serve_app.launcher.dashboard import Dashboard
from serve_app.launcher.plan import load_plan
from serve_app.load.client import LoadClient
from serve_app.load.figures import Percentiles, RequestSample
from serve_app.load.load import Load

FAMILIES = ("generation", "embeddings")
LOADS = (
    Load("embeddings", clients=8, model=VECTORS, texts="short"),
    Load("chat", clients=2, model=CHAT, texts="short", new_tokens=8),
)
LIMIT_S = 400.0
POLL_S = 0.5
SETTLED_S = 5.0
"""So long all has to be healthy, with the replicas that are wanted, for a change to be complete."""
OLD_PROXY_S = 12.0
"""After a change the load goes on for so long: an old HAProxy closes idle connections meanwhile."""

Config: TypeAlias = dict[str, Any]
Edit: TypeAlias = Callable[[Config], None]


@dataclass(frozen=True)
class Running:
    """The graph under change, seen from outside."""

    url: str
    dashboard: Dashboard
    front: FrontErrors


@dataclass(frozen=True)
class Outcome:
    """What one change did: seconds until it was complete, the requests, the replicas replaced."""

    name: str
    seconds: float
    samples: list[RequestSample]
    before: Replicas
    after: Replicas
    front_errors: int

    def row(self) -> list[str]:
        """Its row of the table."""
        failures = [sample for sample in self.samples if sample.error]
        latency = Percentiles.of([sample.latency_s for sample in self.samples])
        replaced = [name for name, ids in self.before.items() if not ids <= self.after[name]]
        longest = max(sample.latency_s for sample in self.samples)
        return [
            self.name,
            f"{self.seconds:.0f}",
            f"{len(self.samples):,}",
            f"**{len(failures)}**",
            str(self.front_errors),
            ", ".join(replaced) or "none",
            f"{latency.p50 * 1e3:.0f} / {latency.p99 * 1e3:.0f} / {longest * 1e3:.0f}",
        ]


def deployment(config: Config, name: str) -> Config:
    """The options of one deployment of the graph."""
    found: Config = next(
        each for each in config["applications"][0]["deployments"] if each["name"] == name
    )
    return found


def other_limits(config: Config) -> None:
    deployment(config, "Embeddings")["user_config"]["max_batch_size"] = 16


def more_replicas(config: Config) -> None:
    deployment(config, "Embeddings")["autoscaling_config"] |= {
        "min_replicas": 2,
        "max_replicas": 2,
    }


def fewer_replicas(config: Config) -> None:
    deployment(config, "Embeddings")["autoscaling_config"] |= {
        "min_replicas": 1,
        "max_replicas": 1,
        "downscale_delay_s": 0,
    }


def other_ingress(config: Config) -> None:
    """Options of Ray's actors cannot change on a running replica: it is replaced."""
    deployment(config, "Ingress")["ray_actor_options"]["num_cpus"] = 0.15


def other_profile(changed: Path) -> Edit:
    """A profile of another name: Serve builds the graph anew and replaces every replica."""

    def edit(config: Config) -> None:
        config["applications"] = load_plan(str(changed), None).config["applications"]

    return edit


def changed_profile(profile: Path) -> Path:
    """The profile with shorter texts for embeddings and fewer slots, in a file of its own."""
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))
    for family in content["families"]:
        for model in family["models"]:
            model |= {"slots": 8} if family["name"] == "generation" else {"max_tokens": 128}
    changed = profile.with_name("profile-2.yaml")
    changed.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return changed


@contextmanager
def graph(place: Path) -> Iterator[tuple[Running, Path]]:
    """The graph, and the file of its profile."""
    metrics = free_port()
    server = ours(FAMILIES, place, "Q4_1")
    variables = {**server.environment, "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics)}
    with replace(server, environment=variables).running() as started:
        (run,) = [each for each in runs.live(runs.base_directory()) if each.url == started.url]
        token = read_token({"RAY_AUTH_TOKEN_PATH": run.token_path})
        dashboard = Dashboard(run.dashboard_url, token)
        yield (
            Running(started.url, dashboard, FrontErrors(f"http://127.0.0.1:{metrics}/metrics")),
            place / "profile.yaml",
        )


async def changed(running: Running, name: str, config: Config, requests: int) -> Outcome:
    """Deploy ``config`` under load, and wait until it is complete and the load has been enough."""
    before = replicas(running.dashboard.details())
    samples: list[RequestSample] = []
    front = await running.front.total()
    async with LoadClient.open(running.url) as client:
        loads = [asyncio.create_task(client.run(each, samples)) for each in LOADS]
        await until(lambda: len(samples) >= requests // 4)
        began = time.monotonic()
        await asyncio.to_thread(running.dashboard.deploy, config)
        await settled(running.dashboard)
        seconds = time.monotonic() - began - SETTLED_S
        await asyncio.sleep(OLD_PROXY_S)
        await until(lambda: len(samples) >= requests)
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
    after = replicas(running.dashboard.details())
    errors = await running.front.total() - front
    for sample in samples:
        if sample.error:
            tell(f"failed after {sample.latency_s:.2f} s: {sample.error} {sample.detail}")
    return Outcome(name, seconds, samples, before, after, errors)


async def settled(dashboard: Dashboard, for_s: float = SETTLED_S) -> None:
    """Wait until every deployment has been healthy, with what is wanted, for so many seconds."""
    since: float | None = None
    limit = time.monotonic() + LIMIT_S
    while since is None or time.monotonic() - since < for_s:
        if time.monotonic() > limit:
            raise TimeoutError(f"not complete within {LIMIT_S:.0f} s")
        details = await asyncio.to_thread(dashboard.details)
        since = (since or time.monotonic()) if complete(details) else None
        await asyncio.sleep(POLL_S)


def complete(details: Config) -> bool:
    """Whether the application runs, and each deployment has just its replicas, all of them up."""
    (application,) = details["applications"].values()
    return application["status"] == "RUNNING" and all(
        each["status"] == "HEALTHY"
        and [replica["state"] for replica in each["replicas"]]
        == ["RUNNING"] * each["target_num_replicas"]
        for each in application["deployments"].values()
    )


async def until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not reached():
        if time.monotonic() > limit:
            raise TimeoutError(f"too few answers within {LIMIT_S:.0f} s")
        await asyncio.sleep(POLL_S)


async def measured(
    running: Running, config: Config, edits: dict[str, Edit], requests: int
) -> list[Outcome]:
    """Each change, after those before it."""
    async with running.front.watched():
        outcomes = []
        for name, edit in edits.items():
            edit(config)
            tell(f"change: {name}")
            outcomes.append(await changed(running, name, config, requests))
            tell("  ".join(outcomes[-1].row()))
        return outcomes


@click.command()
@click.option("--requests", default=2000, show_default=True, type=click.IntRange(10, 1_000_000))
@click.option("--only", multiple=True, help="The name of a change; repeat it for several.")
def main(requests: int, only: tuple[str, ...]) -> None:
    """Failed requests while a running graph is changed; 0 is right."""
    end_on_sigterm()
    with (
        TemporaryDirectory(prefix="bench-changes-") as place,
        graph(Path(place)) as (running, profile),
        watched() as neighbours,
    ):
        edits: dict[str, Edit] = {
            "limits": other_limits,
            "replicas, 1 to 2": more_replicas,
            "replicas, 2 to 1": fewer_replicas,
            "ingress": other_ingress,
            "profile": other_profile(changed_profile(profile)),
        }
        chosen = {name: edit for name, edit in edits.items() if not only or name in only}
        config = load_plan(str(profile), None, port=urlsplit(running.url).port).config
        outcomes = asyncio.run(measured(running, config, chosen, requests))
    click.echo(f"{machine()}. {neighbours}\n")
    titles = ["change", "seconds", "requests", "failed", "5xx of HAProxy", "replicas gone"]
    rows = [each.row() for each in outcomes]
    click.echo(table([*titles, "ms, p50 / p99 / longest"], rows))


if __name__ == "__main__":
    main()
