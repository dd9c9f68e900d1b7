"""The graph that is broken: text generators in float32, a paced one, an encoder, and the ledger.

It is started with what a scenario breaks around it (:class:`~bench.chaos.events.Stores`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from bench.chaos.disk import SmallDisk, small_disk
from bench.chaos.events import Stores
from bench.chaos.postgresql import postgresql, programs
from bench.chaos.redis_server import is_installed
from bench.chaos.stored_gcs import stored_gcs
from bench.pairs import tell
from bench.peers.running import Server
from bench.peers.servers import ours, script
from serve_app.launcher import runs
from serve_app.launcher.auth import read_token
from serve_app.launcher.dashboard import Dashboard
from serve_app.launcher.plan import load_plan

FAMILIES = ("generation", "classification")

OPTIONS = {
    "health_check_period_s": 5,
    "health_check_timeout_s": 5,
    "graceful_shutdown_timeout_s": 90,
}
STALL_TIMEOUT_S = 20
"""Both are shorter than by default, so that a run need not wait for minutes until a hang is found,
and until the process that hangs is ended."""
SLOTS = 40
"""All streams of a load run at the same time, so that a fault finds each of them under way."""
PACED = "paced/100ms"
PACED_MODEL = {
    "name": PACED,
    "tasks": ["generate", "chat"],
    "engine": "openvino",  # not what decodes, only what need not be imported
    "pinned": True,
    "slots": SLOTS,
    "window": 100_000,
    "chat_template": "{% for message in messages %}{{ message.content }} {% endfor %}",
    # It reads no weights, only a tokenizer: any folder with one will do.
    "source": {"package": "configs.shapes", "path": "captions"},
}


@dataclass(frozen=True)
class BrokenGraph:
    """A running graph: its URL, the process above all others, and Serve's config, which changes.

    Each request has the ``headers``.
    """

    url: str
    launcher: int
    dashboard: Dashboard
    config: dict[str, Any]
    disk: SmallDisk
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running(
    place: Path,
    families: Sequence[str] = FAMILIES,
    databases: Mapping[str, str] | None = None,
    kv_cache_gb: float | None = None,
) -> Iterator[BrokenGraph]:
    """Start it, with its files in ``place``, and end it.

    ``databases`` are variables that name others than a SQLite file on a small disk.
    ``kv_cache_gb`` are GiB of KV cache of each text generator, the profile's by default.
    """
    server, profile = _server(place, families, kv_cache_gb)
    with (
        small_disk(place / "small") as disk,
        replace(
            server, environment={**server.environment, **_settings(disk), **(databases or {})}
        ).running() as started,
    ):
        (run,) = [each for each in runs.live(runs.base_directory()) if each.url == started.url]
        tell(f"the launcher is process {run.launcher_pid}")
        token = read_token({"RAY_AUTH_TOKEN_PATH": run.token_path})
        config = load_plan(str(profile), None, port=started.port).config
        yield BrokenGraph(
            started.url, run.launcher_pid, Dashboard(run.dashboard_url, token), config, disk
        )


@contextmanager
def on_postgresql(place: Path) -> Iterator[BrokenGraph]:
    """The graph with its conversations and API keys in PostgreSQL, and a key for every request."""
    with postgresql() as url:
        databases = {"PRSM_HF_CONVERSATIONS_URL": url, "PRSM_HF_KEYS_URL": url}
        with running(place, databases=databases) as graph:
            profile = str(place / "profile.yaml")
            key = subprocess.run(
                [script("prsm-serve"), "keys", "create", "chaos", "--profile", profile],
                env=os.environ | databases,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            yield replace(graph, headers={"authorization": f"Bearer {key.stdout.strip()}"})


@contextmanager
def on_redis(place: Path) -> Iterator[BrokenGraph]:
    """The graph on a Ray head whose GCS has its tables in Redis."""
    server, profile = _server(place, FAMILIES)
    plan = load_plan(str(profile), None, port=server.port)
    with (
        small_disk(place / "small") as disk,
        stored_gcs(plan, {**server.environment, **_settings(disk)}) as (url, dashboard),
    ):
        yield BrokenGraph(url, os.getpid(), dashboard, plan.config, disk)


GRAPHS: Mapping[Stores, Callable[[Path], AbstractContextManager[BrokenGraph]]] = {
    Stores.FILES: running,
    Stores.POSTGRESQL: on_postgresql,
    Stores.REDIS: on_redis,
}


def missing(stores: Stores) -> str | None:
    """What has to be installed for a graph with these stores; ``None`` if nothing is missing."""
    if stores is Stores.POSTGRESQL and programs() is None:
        return "apt-get install postgresql"
    if stores is Stores.REDIS and not is_installed():
        return "apt-get install redis-server"
    return None


def _server(
    place: Path, families: Sequence[str], kv_cache_gb: float | None = None
) -> tuple[Server, Path]:
    """How `prsm-serve up` starts it, and its profile, with the paced model in it."""
    server = ours(families, place, "float32")
    profile = place / "profile.yaml"
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))
    (generation,) = [each for each in content["families"] if each["name"] == "generation"]
    generation["deployment"] = "bench.chaos.paced:PacedGeneration"
    generation["options"] = generation.get("options", {}) | OPTIONS
    for model in generation["models"]:
        model |= {"pinned": False, "slots": SLOTS}
        if kv_cache_gb is not None:
            model["kv_cache_gb"] = kv_cache_gb
    generation["models"].insert(0, PACED_MODEL)
    profile.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return server, profile


def _settings(disk: SmallDisk) -> dict[str, str | None]:
    """Conversations on the small disk, their answers short and the same again, and where the graph
    finds the paced family."""
    return {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PRSM_HF_CONVERSATIONS_URL": f"sqlite:///{disk.folder / 'conversations.sqlite3'}",
        "PRSM_HF_TEMPERATURE": "0",
        "PRSM_HF_ANSWER_MAX_NEW_TOKENS": "32",
        "PRSM_HF_STALL_TIMEOUT_S": str(STALL_TIMEOUT_S),
    }
