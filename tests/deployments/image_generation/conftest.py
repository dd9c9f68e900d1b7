"""Folders of tiny pipelines of random weights, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployments.image_generation.image_requests import PIPELINES


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("pipelines")
    return {name: make(home / name) for name, make in PIPELINES.items()}


@pytest.fixture(scope="session")
def plain(folders: dict[str, Path]) -> Path:
    return folders["StableDiffusionPipeline"]
