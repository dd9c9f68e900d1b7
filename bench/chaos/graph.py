"""The graph that is broken: both text generators in float32, an encoder, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.pairs import tell
from bench.peers.servers import ours
from bench.peers.weights import CHAT_FLOAT32
from serve_app.launcher import runs
from serve_app.launcher.auth import read_token
from serve_app.launcher.dashboard import Dashboard
from serve_app.launcher.plan import load_plan

FAMILIES = ("generation", "classification")


@dataclass(frozen=True)
class BrokenGraph:
    """A running graph: its URL, the process of its launcher, and Serve's config, which changes."""

    url: str
    launcher: int
    dashboard: Dashboard
    config: dict[str, Any]


@contextmanager
def running(place: Path, families: Sequence[str] = FAMILIES) -> Iterator[BrokenGraph]:
    """Start it, with its files in ``place``, and end it."""
    server = ours(families, place, "float32")
    profile = place / "profile.yaml"
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))
    for family in content["families"]:
        for model in family["models"]:
            if model["name"] == CHAT_FLOAT32:
                model["pinned"] = True
    profile.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    with server.running() as started:
        (run,) = [each for each in runs.live(runs.base_directory()) if each.url == started.url]
        tell(f"the launcher is process {run.launcher_pid}")
        token = read_token({"RAY_AUTH_TOKEN_PATH": run.token_path})
        config = load_plan(str(profile), None, port=started.port).config
        yield BrokenGraph(
            started.url, run.launcher_pid, Dashboard(run.dashboard_url, token), config
        )
