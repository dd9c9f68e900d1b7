"""The graph that is broken: text generators in float32, a paced one, an encoder, and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from bench.chaos.disk import SmallDisk, small_disk
from bench.pairs import tell
from bench.peers.servers import ours
from serve_app.launcher import runs
from serve_app.launcher.auth import read_token
from serve_app.launcher.dashboard import Dashboard
from serve_app.launcher.plan import load_plan

FAMILIES = ("generation", "classification")

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
    """A running graph: its URL, the process of its launcher, and Serve's config, which changes."""

    url: str
    launcher: int
    dashboard: Dashboard
    config: dict[str, Any]
    disk: SmallDisk


@contextmanager
def running(place: Path, families: Sequence[str] = FAMILIES) -> Iterator[BrokenGraph]:
    """Start it, with its files in ``place``, and end it."""
    server = ours(families, place, "float32")
    profile = place / "profile.yaml"
    content = yaml.safe_load(profile.read_text(encoding="utf-8"))
    (generation,) = [each for each in content["families"] if each["name"] == "generation"]
    generation["deployment"] = "bench.chaos.paced:PacedGeneration"
    for model in generation["models"]:
        model |= {"pinned": False, "slots": SLOTS}
    generation["models"].insert(0, PACED_MODEL)
    profile.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    with (
        small_disk(place / "small") as disk,
        replace(server, environment={**server.environment, **_settings(disk)}).running() as started,
    ):
        (run,) = [each for each in runs.live(runs.base_directory()) if each.url == started.url]
        tell(f"the launcher is process {run.launcher_pid}")
        token = read_token({"RAY_AUTH_TOKEN_PATH": run.token_path})
        config = load_plan(str(profile), None, port=started.port).config
        yield BrokenGraph(
            started.url, run.launcher_pid, Dashboard(run.dashboard_url, token), config, disk
        )


def _settings(disk: SmallDisk) -> dict[str, str | None]:
    """Conversations on the small disk, their answers short and the same again, and where the graph
    finds the paced family."""
    return {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PRSM_HF_CONVERSATIONS_URL": f"sqlite:///{disk.folder / 'conversations.sqlite3'}",
        "PRSM_HF_TEMPERATURE": "0",
        "PRSM_HF_ANSWER_MAX_NEW_TOKENS": "32",
    }
