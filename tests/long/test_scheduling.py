"""Where Ray puts the families of a graph: a real cluster with made-up GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_app.launcher import processes
from serve_app.launcher.environment import MARKER
from tests.deployments import tiny

ROOT = Path(__file__).parents[2]
HERE = "tests.long.scheduling_families"
LIMIT_S = 600.0
GRACE_S = 3.0


def family(name: str, cls: str, model: str, folder: Path, gpus: float) -> dict[str, Any]:
    source = {"folder": str(folder)}
    tasks = ["sentiment"] if cls == "Judge" else ["any"]
    spec = {"name": model, "tasks": tasks, "pinned": True, "memory_gb": 1, "source": source}
    return {
        "name": name,
        "deployment": f"{HERE}:{cls}",
        "routers": [f"{HERE}:router"],
        "options": {
            "ray_actor_options": {"num_cpus": 0.1, "num_gpus": gpus},
            "user_config": {"max_batch_size": 4, "batch_wait_timeout_s": 0.0},
        },
        "models": [spec],
    }


def profile(path: Path, *families: dict[str, Any]) -> Path:
    settings = {"device": "cpu", "threads": 1, "hf_cache_dir": str(path.parent / "cache")}
    content = {"name": path.stem, "gpu_memory_gb": 24, "settings": settings, "families": families}
    path.write_text(yaml.safe_dump({**content, "families": list(families)}))
    return path


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a cluster of two GPUs made of a graph that takes both and one that asks for more."""
    folder = tmp_path_factory.mktemp("scheduling")
    empty = folder / "empty"
    empty.mkdir()
    (empty / "model.safetensors").touch()
    judge = tiny.classifier(folder / "judge")
    first = profile(
        folder / "first.yaml",
        family("half", "Letters", "house/letters", empty, 0.5),
        family("judge", "Judge", "house/judge", judge, 1),
        family("other_half", "Letters", "house/letters-2", empty, 0.5),
        family("without", "Letters", "house/letters-3", empty, 0),
    )
    second = profile(folder / "second.yaml", family("late", "Letters", "house/letters", empty, 0.5))
    observations = folder / "seen.json"
    run([str(first), str(second), str(observations)], folder / "run.log")
    observed: dict[str, Any] = json.loads(observations.read_text())
    return observed


def run(arguments: list[str], log: Path) -> None:
    """The cluster's process, and everything that it starts, gone when this returns."""
    marker = uuid.uuid4().hex
    dropped = {"RAY_ADDRESS", "CUDA_VISIBLE_DEVICES"}
    given = {name: value for name, value in os.environ.items() if name not in dropped}
    # Ray's sockets have to have short names, so its directory is not in pytest's.
    with tempfile.TemporaryDirectory(prefix="ray") as ray, log.open("wb") as output:
        own = {"RAY_TMPDIR": ray, "RAY_USAGE_STATS_ENABLED": "0", "SPT_NOENV": "1", MARKER: marker}
        command = [sys.executable, "-m", "tests.long.scheduling_run", *arguments]
        environment = given | own | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(LIMIT_S)
        finally:
            process.kill()
            process.wait()
            survivors = processes.end(marker, GRACE_S)
    assert code == 0, log.read_text()
    assert survivors == []


def test_every_family_has_the_share_of_its_profile(seen: dict[str, Any]) -> None:
    shares = {name: report["share"] for name, report in seen["reports"].items()}
    assert shares == {"half": 0.5, "judge": 1.0, "other_half": 0.5, "without": 0.0}


def test_every_family_sees_its_gpu_and_no_other(seen: dict[str, Any]) -> None:
    gpus = {name: report["gpus"] for name, report in seen["reports"].items()}
    assert {gpus["half"], gpus["judge"]} == {"0", "1"}


def test_two_halves_share_a_gpu(seen: dict[str, Any]) -> None:
    half, other = seen["reports"]["half"], seen["reports"]["other_half"]
    assert half["gpus"] == other["gpus"]
    assert half["pid"] != other["pid"]
    assert seen["free"] == 0


def test_a_family_is_a_class_a_router_and_an_entry_in_a_profile(seen: dict[str, Any]) -> None:
    assert {report["answered"] for report in seen["reports"].values()} == {12}


def test_a_new_batch_size_reaches_the_replica_that_runs(seen: dict[str, Any]) -> None:
    before, after = seen["reports"]["half"], seen["reports_after_change"]["half"]
    assert (before["largest"], after["largest"]) == (4, 2)
    assert seen["reports_after_change"]["other_half"]["largest"] == 4


def test_changing_one_family_restarts_none(seen: dict[str, Any]) -> None:
    pids = [
        {name: report["pid"] for name, report in seen[moment].items()}
        for moment in ("reports", "reports_after_change", "reports_beside_late")
    ]
    assert pids[0] == pids[1] == pids[2]


def test_a_graph_without_a_gpu_to_be_had_waits(seen: dict[str, Any]) -> None:
    assert seen["late"]["Ingress"] == "HEALTHY"
    assert seen["late"]["Late"] == "UPDATING"
    assert seen["late"]["replicas"] == ["STARTING"]


def test_it_starts_when_a_gpu_is_given_back(seen: dict[str, Any]) -> None:
    assert seen["late_at_last"]["answered"] == 12
    assert seen["late_at_last"]["gpus"] in {"0", "1"}
