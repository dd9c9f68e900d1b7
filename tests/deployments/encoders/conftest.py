"""OpenVINO exports of tiny models, each made once and in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from configs.engines import ModelHead
from configs.weights.exports import EXPORT_RECORD_FILE
from deployments.conversion.openvino_export import write_export

Exported: TypeAlias = Callable[[Path, ModelHead], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The export of a checkpoint, and the facts that the conversion recorded."""
    made: dict[tuple[Path, ModelHead], tuple[Path, dict[str, Any]]] = {}

    def export(origin: Path, head: ModelHead) -> tuple[Path, dict[str, Any]]:
        if (origin, head) not in made:
            folder = tmp_path_factory.mktemp("export")
            write_export(origin, folder, head)
            made[origin, head] = folder, json.loads((folder / EXPORT_RECORD_FILE).read_text())
        return made[origin, head]

    return export
