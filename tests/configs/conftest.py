"""Shared by the tests of the configuration: a clean environment, a valid profile, a source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from configs.settings import PREFIX
from configs.weights import WeightsStep, conversion

Change: TypeAlias = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def silent(_: WeightsStep) -> None:
    """Progress that is not shown."""


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A folder with weights."""
    folder = tmp_path / "origin"
    folder.mkdir()
    (folder / "model.safetensors").write_text("weights")
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty weights file, which no test here reads."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def sound(weights: Path) -> dict[str, Any]:
    """A profile that keeps every rule, as loaded from YAML; new for each test."""
    writer = {"name": "house/writer", "aliases": ["writer"], "tasks": ["generate"], "pinned": True}
    reader = {"name": "house/reader", "tasks": ["embed"], "pinned": True}
    for model in (writer, reader):
        model |= {"source": {"folder": str(weights)}, "memory_gb": 2.0}
    return {
        "name": "sound",
        "settings": {"default_generation_model": "writer"},
        "gpu_memory_gb": 24.0,
        "families": [
            {
                "name": "generation",
                "deployment": "deployments.generation:Generation",
                "models": [writer],
            },
            {
                "name": "embeddings",
                "deployment": "deployments.embeddings:Embeddings",
                "options": {
                    "ray_actor_options": {"num_gpus": 0.5},
                    "user_config": {"max_batch_size": 8},
                },
                "models": [reader],
            },
        ],
    }


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a profile, or any text, to a file."""

    def write(content: Any) -> Path:
        path = tmp_path / "profile.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces every recipe; the list has the name of each conversion that ran."""
    done: list[str] = []

    def run(name: str, _: Path, folder: Path, __: dict[str, Any]) -> None:
        done.append(name)
        (folder / "model.safetensors").write_text("whole")

    monkeypatch.setattr(conversion, "run", run)
    return done
